//! `ssh`: the system's OpenSSH, with the node's word for the host key and its stream for the
//! connection.

mod carry;
mod config;

use std::fmt::Write as _;
use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use dwell_api::paths::Paths;
use dwell_api::remote::DIAL;
use dwell_api::workspace::{Workspace as Shown, WorkspaceDial};
use dwell_api::{Code, Problem, endpoint};
use dwell_core::WorkspaceName;
use dwell_core::workspace::{PublicKey, USER};
use dwell_drivers::ssh::make_host_key;

use super::workspace::of;
use super::{Context, own_binary};
use crate::arguments::ssh::{SUFFIX, Ssh};
use crate::connect::private_directory;
use crate::failure::Ended;

pub(crate) use config::{is_configured, run as configure};

/// The port of a workspace's ssh server, in its own network.
const PORT: u16 = 22;

/// Logs in, or carries the connection for an ssh that does.
pub(crate) async fn run(it: Ssh, context: &Context) -> Ended {
    if it.stdio {
        return carry(&it.name, context).await;
    }
    // So that what is wrong is said by us, and not by ssh.
    let shown: Shown = context.connect().await?.get(&of(endpoint::WORKSPACE, &it.name)).await?;
    let mut ssh = Command::new("ssh");
    for (name, value) in options(&Files::of(&context.paths))? {
        ssh.arg("-o").arg(format!("{name}={value}"));
    }
    if it.forward_agent && shown.refuses_agents {
        let how = format!("`dwell ws ssh-agent {} allow`", shown.name);
        context.output.warn(&format!("`{}` refuses ssh agents: {how} changes that", shown.name));
    } else if it.forward_agent {
        ssh.arg("-A");
    }
    ssh.arg(format!("{}{SUFFIX}", shown.name)).args(&it.words);
    let error = ssh.exec();
    Err(Problem::new(Code::ToolMissing, format!("ssh could not be run: {error}"))
        .hint("install the OpenSSH client")
        .into())
}

async fn carry(name: &WorkspaceName, context: &Context) -> Ended {
    let mut client = context.connect().await?;
    let shown: Shown = client.get(&of(endpoint::WORKSPACE, name)).await?;
    let key = Files::of(&context.paths).prepare(&shown).await?;
    let path = of(endpoint::WORKSPACE_DIAL, name);
    let dial = WorkspaceDial { port: PORT, inside: false, desktop: false, key: Some(key) };
    let stream = client.upgrade(&path, DIAL, &dial).await?;
    // Another connection wakes it, whatever becomes of that.
    let knock = WorkspaceDial { key: None, ..dial };
    let wake = || async {
        if let Ok(client) = context.connect().await {
            let _ = client.upgrade(&path, DIAL, &knock).await;
        }
    };
    carry::carry(stream, wake).await
}

/// What ssh is to do for any workspace, in the order in which it is written.
fn options(files: &Files) -> Result<Vec<(&'static str, String)>, Problem> {
    let own = own_binary()?;
    Ok(vec![
        ("ProxyCommand", format!("{} ssh --stdio %n", quoted(&own)?)),
        ("User", USER.to_owned()),
        ("IdentityFile", quoted(&files.key())?),
        ("UserKnownHostsFile", quoted(&files.known_hosts())?),
        ("GlobalKnownHostsFile", "/dev/null".to_owned()),
        ("StrictHostKeyChecking", "yes".to_owned()),
        ("UpdateHostKeys", "no".to_owned()),
        ("CheckHostIP", "no".to_owned()),
        // One that stands still does not answer, and the connection is to outlast that. That a
        // node or a workspace is gone is seen by the stream's end.
        ("ServerAliveInterval", "0".to_owned()),
    ])
}

/// A path as ssh reads it.
fn quoted(path: &Path) -> Result<String, Problem> {
    match path.to_str() {
        Some(text) if !text.contains(['"', '\\', '\n', '$', '`']) => {
            Ok(format!("\"{}\"", text.replace('%', "%%")))
        }
        _ => {
            let message = format!("ssh cannot be told of the path {}", path.display());
            Err(Problem::new(Code::InvalidArgument, message))
        }
    }
}

/// What ssh is given besides, in a directory that only the user enters.
struct Files {
    directory: PathBuf,
}

impl Files {
    fn of(paths: &Paths) -> Self {
        Self { directory: paths.state.join("ssh") }
    }

    fn key(&self) -> PathBuf {
        self.directory.join("id_ed25519")
    }

    fn known_hosts(&self) -> PathBuf {
        self.directory.join("known_hosts")
    }

    /// Makes the key where there is none, and pins the workspace's host key. Gives the public key.
    async fn prepare(&self, shown: &Shown) -> Result<PublicKey, Problem> {
        private_directory(&self.directory)?;
        let failed = |path: &Path| {
            let path = path.display().to_string();
            move |error: std::io::Error| {
                Problem::new(Code::State, format!("`{path}` cannot be used: {error}"))
            }
        };
        let lock = self.directory.join("lock");
        let held = File::create(&lock).map_err(failed(&lock))?;
        held.lock().map_err(failed(&lock))?;
        let public = make_host_key(&self.key(), "dwell").await.map_err(|error| {
            Problem::new(Code::ToolMissing, error.to_string()).hint("install the OpenSSH client")
        })?;
        let known = self.known_hosts();
        let before = std::fs::read_to_string(&known).unwrap_or_default();
        let after = pinned(&before, &shown.name, &shown.host_key);
        if after != before {
            let part = self.directory.join("known_hosts.part");
            std::fs::write(&part, after).map_err(failed(&part))?;
            std::fs::rename(&part, &known).map_err(failed(&known))?;
        }
        let wrong = |error: dwell_core::workspace::PublicKeyError| {
            let path = self.key();
            Problem::new(Code::State, format!("{}.pub: {error}", path.display()))
        };
        public.parse().map_err(wrong)
    }
}

/// Known hosts with a workspace's key, and with no other of that name.
fn pinned(known: &str, name: &WorkspaceName, key: &str) -> String {
    let host = format!("{name}{SUFFIX}");
    let others = known.lines().filter(|line| line.split(' ').next() != Some(host.as_str()));
    let mut text = String::new();
    for line in others {
        // A string takes everything.
        let _ = writeln!(text, "{line}");
    }
    let _ = writeln!(text, "{host} {key}");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_has_one_key_the_last_that_the_node_said() {
        let name: WorkspaceName = "box".parse().unwrap();
        let first = pinned("", &name, "ssh-ed25519 AAAA1");
        assert_eq!(first, "box.dwell ssh-ed25519 AAAA1\n");
        let other = pinned(&first, &"red".parse().unwrap(), "ssh-ed25519 AAAA2");
        let again = pinned(&other, &name, "ssh-ed25519 AAAA3");
        assert_eq!(again, "red.dwell ssh-ed25519 AAAA2\nbox.dwell ssh-ed25519 AAAA3\n");
        assert_eq!(pinned(&again, &name, "ssh-ed25519 AAAA3"), again);
    }

    #[test]
    fn paths_are_quoted_or_refused() {
        assert_eq!(quoted(Path::new("/a b/100%/dwell")).unwrap(), "\"/a b/100%%/dwell\"");
        for bad in ["/a\"b", "/a$(id)", "/a`id`", "/a\\b"] {
            assert!(quoted(Path::new(bad)).is_err(), "{bad}");
        }
    }
}

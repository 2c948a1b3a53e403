//! The workspace image as people and programs find it inside, and `dwell image` on a real engine.
//! The image has neither agents nor a desktop; `scripts/images.sh` builds it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "a test ends where it meets what it does not expect"
)]

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;
use std::time::Duration;

use dwell_testkit::{Ran, TestHome, docker, run, wait_until};

const IMAGE: &str = "dwell-test-workspace-image";
const FIRST_IN_PATH: &str = "/home/dev/.local/bin:";

/// A container of the image that does nothing, with the ssh keys where dwell mounts them.
struct Workspace {
    home: TestHome,
    container: String,
}

impl Workspace {
    fn start() -> Self {
        let home = TestHome::new(env!("CARGO_BIN_EXE_dwell"));
        let keys = home.path().join("keys");
        fs::create_dir(&keys).unwrap();
        for name in ["host_ed25519", "client"] {
            let mut make = Command::new("ssh-keygen");
            make.args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(keys.join(name));
            run(&mut make, Duration::from_secs(20)).ok();
        }
        fs::rename(keys.join("client"), home.path().join("client")).unwrap();
        fs::rename(keys.join("client.pub"), keys.join("authorized_keys")).unwrap();
        let mount = format!("{}:/run/dwell/ssh:ro", keys.display());
        let arguments = ["run", "--detach", "--init", "--network", "none", "--volume", &mount];
        let ran = docker(arguments.into_iter().chain([IMAGE, "sleep", "infinity"]));
        Self { home, container: ran.ok().to_owned() }
    }

    /// Runs a program as dev.
    fn dev(&self, words: &[&str]) -> Ran {
        docker(["exec", "--user", "dev", &self.container].iter().chain(words))
    }

    /// What a script of the plain shell prints.
    fn sh(&self, script: &str) -> String {
        self.dev(&["sh", "-ec", script]).ok().to_owned()
    }

    /// Runs a command over ssh, with sshd on the standard streams of a `docker exec`.
    fn ssh(&self, user: &str, command: &str) -> Ran {
        let host = fs::read_to_string(self.home.path().join("keys/host_ed25519.pub")).unwrap();
        let known = self.home.path().join("known_hosts");
        fs::write(&known, format!("ws {host}")).unwrap();
        let proxy = format!("docker exec -i {} /usr/sbin/sshd -i", self.container);
        let mut ssh = self.home.command("ssh");
        ssh.args(["-F", "none", "-T", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes"])
            .args(["-o", &format!("ProxyCommand={proxy}")])
            .args(["-o", &format!("UserKnownHostsFile={}", known.display())])
            .arg("-i")
            .arg(self.home.path().join("client"))
            .args(["-l", user, "ws", command]);
        run(&mut ssh, Duration::from_secs(60))
    }
}

impl Drop for Workspace {
    fn drop(&mut self) {
        docker(["rm", "--force", "--volumes", &self.container]);
    }
}

fn variables(text: &str) -> BTreeMap<&str, &str> {
    text.lines().filter_map(|line| line.split_once('=')).collect()
}

#[test]
fn the_image_has_what_a_person_and_an_agent_need() {
    let workspace = Workspace::start();
    assert_eq!(
        workspace.sh("id -un; id -u; id -g; pwd; echo ~"),
        "dev\n1000\n1000\n/home/dev\n/home/dev"
    );
    assert_eq!(workspace.sh("sudo -n id -u"), "0");
    let locales = workspace.sh("locale -a");
    for name in ["C.utf8", "en_US.utf8"] {
        assert!(locales.lines().any(|line| line == name), "{locales}");
    }
    assert_eq!(workspace.sh("locale charmap"), "UTF-8");
    for program in [
        "cc", "curl", "git", "gh", "htop", "jq", "less", "make", "nano", "node", "npm", "npx",
        "pip3", "python3", "rg", "rsync", "scp", "ssh", "tmux", "unzip", "vim",
    ] {
        workspace.dev(&["sh", "-c", &format!("command -v {program}")]).ok();
    }
    assert_eq!(workspace.sh("node -p 6*7"), "42");
    assert_eq!(workspace.sh("echo '{\"a\": 42}' | jq .a"), "42");
    assert_eq!(workspace.sh("echo needle > /tmp/hay && rg -o need /tmp/hay"), "need");
    assert_eq!(workspace.sh("npm config get prefix"), "/home/dev/.local");
    workspace.sh("python3 -m venv /tmp/venv && /tmp/venv/bin/pip --version");
    workspace
        .sh("echo 'int main(void) { return 0; }' > /tmp/a.c && cc -o /tmp/a /tmp/a.c && /tmp/a");
    assert_eq!(workspace.sh("ls /etc/ssh | grep ssh_host_ || true"), "");
    // A tree that belongs to another user is mounted in.
    workspace.sh("sudo git init -q /tmp/tree && git -C /tmp/tree status");
}

#[test]
fn programs_of_the_home_are_found_in_every_kind_of_shell() {
    let workspace = Workspace::start();
    let path = |ran: Ran| {
        let path = ran.ok().trim().to_owned();
        assert!(path.starts_with(FIRST_IN_PATH) && path.contains("/usr/sbin"), "{path}");
    };
    path(workspace.dev(&["printenv", "PATH"]));
    path(workspace.dev(&["sh", "-c", "echo $PATH"]));
    path(workspace.dev(&["bash", "-lc", "echo $PATH"]));
    path(workspace.dev(&["env", "-i", "HOME=/home/dev", "bash", "-lc", "echo $PATH"]));
    path(workspace.ssh("dev", "echo $PATH"));
    workspace.sh("tmux -L test new-session -d -s a 'printenv PATH > /tmp/command'");
    // A window without a command has a login shell.
    workspace.sh("tmux -L test new-session -d -s b");
    workspace.sh("tmux -L test send-keys -t b 'printenv PATH > /tmp/window' Enter");
    for file in ["/tmp/command", "/tmp/window"] {
        let written = || workspace.dev(&["test", "-s", file]).code == Some(0);
        wait_until(Duration::from_secs(30), file, written);
        path(workspace.dev(&["cat", file]));
    }
    assert_eq!(workspace.sh("tmux -L test show -gv history-limit"), "50000");
    workspace.sh("tmux -L test kill-server");
}

#[test]
fn ssh_takes_keys_only_and_gives_the_same_variables() {
    let workspace = Workspace::start();
    docker(["exec", &workspace.container, "/usr/sbin/sshd", "-t"]).ok();
    let settings = docker(["exec", &workspace.container, "/usr/sbin/sshd", "-T"]);
    for line in [
        "passwordauthentication no",
        "kbdinteractiveauthentication no",
        "permitrootlogin no",
        "allowagentforwarding yes",
        "authorizedkeysfile /run/dwell/ssh/authorized_keys",
        "hostkey /run/dwell/ssh/host_ed25519",
        "subsystem sftp /usr/lib/openssh/sftp-server",
    ] {
        assert!(settings.ok().lines().any(|given| given == line), "{line}: {settings:?}");
    }
    assert_eq!(workspace.ssh("dev", "id -un; npm config get prefix").ok(), "dev\n/home/dev/.local");
    let refused = workspace.ssh("root", "id");
    assert!(refused.fails_with(255).contains("Permission denied"), "{refused:?}");
    let (exec, ssh) = (workspace.dev(&["env"]), workspace.ssh("dev", "env"));
    let (exec, ssh) = (variables(exec.ok()), variables(ssh.ok()));
    for (name, value) in exec.iter().filter(|(name, _)| **name != "HOSTNAME") {
        assert_eq!(ssh.get(name), Some(value), "{name}");
    }
}

/// A repository for the images of one test.
struct Repository {
    home: TestHome,
    name: String,
}

impl Repository {
    fn new(name: &str) -> Self {
        let home = TestHome::new(env!("CARGO_BIN_EXE_dwell")).limit(Duration::from_secs(400));
        Self { home, name: format!("dwell-test-image-{name}-{}", std::process::id()) }
    }

    fn image(&self, arguments: &[&str]) -> Ran {
        let repository = ["--repository", &self.name];
        self.home.dwell(["image"].iter().chain(arguments).chain(&repository))
    }
}

impl Drop for Repository {
    fn drop(&mut self) {
        let tags = ["base", "latest", "from"].map(|tag| format!("{}:{tag}", self.name));
        docker(["image", "rm", "--force"].into_iter().chain(tags.iter().map(String::as_str)));
    }
}

#[test]
fn an_image_is_built_once_and_again_when_its_base_changed() {
    let repository = Repository::new("fresh");
    let name = &repository.name;
    let from = format!("{name}:from");
    docker(["tag", "debian:bookworm", &from]).ok();
    let missing = repository.image(&["check"]);
    missing.fails_with(1);
    assert_eq!(missing.stdout, format!("{name}:base missing\n"));

    let build = ["build", "--base", &from, "--no-agents", "--json"];
    let first = repository.image(&build).json();
    assert_eq!(first["built"], true, "{first}");
    let again = repository.image(&build).json();
    assert_eq!((&again["built"], &again["hash"]), (&false.into(), &first["hash"]));
    let label = "{{index .Config.Labels \"dwell.image.hash\"}}";
    let latest = format!("{name}:latest");
    let hash = docker(["image", "inspect", "--format", label, &latest]);
    assert_eq!(hash.ok(), first["hash"]);
    assert_eq!(repository.image(&["check"]).ok(), format!("{name}:base fresh"));
    let list = repository.home.dwell(["image", "ls", "--json"]).json();
    let own = |image: &&serde_json::Value| image["tag"] == latest;
    let own = list.as_array().unwrap().iter().find(own).unwrap();
    assert_eq!((&own["state"], &own["base"]), (&"fresh".into(), &from.as_str().into()));

    docker(["tag", "busybox:latest", &from]).ok();
    let old = repository.image(&["check"]);
    old.fails_with(1);
    assert_eq!(old.stdout, format!("{name}:base old\n  {from} is another image now\n"));
}

#[test]
fn a_build_that_fails_says_the_last_lines_and_a_base_that_is_nowhere_is_named() {
    let repository = Repository::new("fails");
    let failed = repository.image(&["build", "--base", "busybox:latest"]);
    let told = failed.fails_with(1);
    assert!(told.contains("apt-get") && told.contains("could not be built"), "{told}");
    let nowhere = repository.image(&["build", "--base", "localhost:1/nowhere"]);
    let told = nowhere.fails_with(3);
    assert!(told.contains("localhost:1/nowhere is not here and cannot be pulled"), "{told}");
    let refused = repository.image(&["build", "--base", "--privileged"]);
    refused.fails_with(2);
}

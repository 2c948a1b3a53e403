//! The user of a workspace, who is made where the image has none.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::{Command, Stdio};

use dwell_core::workspace::{HOME, UID, USER};

/// Who may become root without a password, where the image has sudo.
const SUDOERS: &str = "/etc/sudoers.d/dwell";

/// Sees to it that the user is there with its home; gives what did not work.
pub(super) fn prepare() -> Vec<String> {
    let accounts = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let mut troubles = Vec::new();
    let mut run = |program: &str, arguments: &[&str]| {
        if let Err(trouble) = run(program, arguments) {
            troubles.push(trouble);
        }
    };
    let uid = UID.to_string();
    match owner(&accounts, UID) {
        _ if has(&accounts, USER) => {}
        Some(other) => run("usermod", &["--login", USER, "--home", HOME, other]),
        None => {
            let shell = if Path::new("/bin/bash").exists() { "/bin/bash" } else { "/bin/sh" };
            let own = ["--uid", &uid, "--user-group", "--no-create-home", "--home-dir", HOME];
            let rest = ["--shell", shell, "--password", "*", USER];
            run("useradd", &[&own[..], &rest[..]].concat());
        }
    }
    // An ssh server takes a locked account for one that nobody may use.
    if is_locked(&fs::read_to_string("/etc/shadow").unwrap_or_default(), USER) {
        run("usermod", &["--password", "*", USER]);
    }
    troubles.extend(home().err());
    troubles.extend(sudo().err());
    troubles
}

/// A new volume is root's, and empty.
fn home() -> Result<(), String> {
    let failed = |e: std::io::Error| format!("{HOME} could not be prepared: {e}");
    let metadata = fs::metadata(HOME).map_err(failed)?;
    if metadata.uid() == UID {
        return Ok(());
    }
    let is_empty = fs::read_dir(HOME).map_err(failed)?.next().is_none();
    if is_empty && Path::new("/etc/skel").is_dir() {
        run("cp", &["-a", "/etc/skel/.", HOME])?;
    }
    run("chown", &["-R", &format!("{UID}:{UID}"), HOME])
}

fn sudo() -> Result<(), String> {
    let place = Path::new(SUDOERS);
    if place.exists() || !place.parent().is_some_and(Path::is_dir) {
        return Ok(());
    }
    let failed = |e: std::io::Error| format!("{SUDOERS} could not be written: {e}");
    fs::write(place, format!("{USER} ALL=(ALL:ALL) NOPASSWD:ALL\n")).map_err(failed)?;
    fs::set_permissions(place, fs::Permissions::from_mode(0o440)).map_err(failed)
}

fn has(accounts: &str, name: &str) -> bool {
    accounts.lines().any(|line| line.split(':').next() == Some(name))
}

/// Whose an id is.
fn owner(accounts: &str, uid: u32) -> Option<&str> {
    let uid = uid.to_string();
    accounts.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1) == Some(uid.as_str())).then_some(name)
    })
}

fn is_locked(shadow: &str, name: &str) -> bool {
    shadow.lines().any(|line| {
        let mut fields = line.split(':');
        fields.next() == Some(name) && fields.next().is_some_and(|field| field.starts_with('!'))
    })
}

pub(super) fn run(program: &str, arguments: &[&str]) -> Result<(), String> {
    let mut command = Command::new(program);
    let output = command.args(arguments).stdin(Stdio::null()).output();
    match output {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            Err(format!("`{program}` failed: {said}"))
        }
        Err(error) => Err(format!("`{program}` could not be run: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACCOUNTS: &str = "root:x:0:0:root:/root:/bin/bash\n\
         ubuntu:x:1000:1000:Ubuntu:/home/ubuntu:/bin/bash\n";

    #[test]
    fn accounts_are_read() {
        assert!(has(ACCOUNTS, "root") && !has(ACCOUNTS, "roo") && !has(ACCOUNTS, "dev"));
        assert_eq!(owner(ACCOUNTS, 1000), Some("ubuntu"));
        assert_eq!(owner(ACCOUNTS, 100), None);
    }

    #[test]
    fn a_locked_account_is_one_whose_password_begins_with_an_exclamation_mark() {
        let shadow = "root:*:1::::::\ndev:!:1::::::\n";
        assert!(is_locked(shadow, "dev") && !is_locked(shadow, "root") && !is_locked("", "dev"));
    }
}

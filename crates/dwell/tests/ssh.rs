//! Workspaces over the system's OpenSSH: logging in, files, names, and whose key it is.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "a test ends where it meets what it does not expect"
)]

use std::fs;
use std::time::Duration;

use dwell_testkit::{Ran, TestHome, docker, run};

/// Debian with an ssh server, sudo and git.
const IMAGE: &str = "dwell-test-workspace";
const LIMIT: Duration = Duration::from_secs(60);

/// A home with a workspace of that image; `None` where there is no such image.
fn home() -> Option<TestHome> {
    if docker(["image", "inspect", "--format", "ok", IMAGE]).code != Some(0) {
        eprintln!("skipped: this takes the image {IMAGE}");
        return None;
    }
    let home = TestHome::new(env!("CARGO_BIN_EXE_dwell"));
    home.dwell(["ws", "create", "box", "--image", IMAGE, "--class", "cpu=1,mem=512m"]).ok();
    Some(home)
}

/// A tool of OpenSSH with the home's configuration.
fn openssh(home: &TestHome, program: &str, arguments: &[&str]) -> Ran {
    let mut command = home.command(program);
    command.arg("-F").arg(home.path().join(".ssh/config")).args(arguments);
    run(&mut command, LIMIT)
}

#[test]
fn commands_run_and_their_codes_come_back() {
    let Some(home) = home() else { return };
    let ran = home.dwell(["ssh", "box", "--", "id -un; echo $DWELL_WORKSPACE_NAME; exit 7"]);
    assert_eq!(ran.fails_with(7), "");
    assert_eq!(ran.stdout.trim(), "dev\nbox");
    let state = home.state().join("ssh");
    let known = fs::read_to_string(state.join("known_hosts")).unwrap();
    let shown = home.dwell(["ws", "show", "box", "--json"]).json();
    assert_eq!(known, format!("box.dwell {}\n", shown["host_key"].as_str().unwrap()));

    home.dwell(["ws", "suspend", "box"]).ok();
    assert_eq!(home.dwell(["ssh", "box", "--", "echo woke"]).ok(), "woke");
    home.dwell(["ws", "stop", "box"]).ok();
    let stopped = home.dwell(["ssh", "box", "--", "true"]);
    assert!(stopped.fails_with(255).contains("dwell ws start box"), "{stopped:?}");
    home.dwell(["ws", "start", "box"]).ok();
    assert_eq!(home.dwell(["ssh", "box", "--", "echo back"]).ok(), "back");
    home.dwell(["ssh", "none", "--", "true"]).fails_with(3);
}

#[test]
fn ssh_scp_and_git_find_it_by_its_name() {
    let Some(home) = home() else { return };
    let config = home.path().join(".ssh/config");
    fs::create_dir_all(config.parent().unwrap()).unwrap();
    let own = "Host *\n  Compression no\n";
    fs::write(&config, own).unwrap();
    let dry = home.dwell(["config-ssh", "--dry-run"]);
    assert!(dry.ok().contains("Host *.dwell") && dry.stdout.contains("Include"), "{dry:?}");
    assert_eq!(fs::read_to_string(&config).unwrap(), own);

    for _ in 0..2 {
        home.dwell(["config-ssh"]).ok();
    }
    // OpenSSH takes the home from the system's user, and relative includes from there.
    let text = fs::read_to_string(&config).unwrap();
    let included = home.path().join(".ssh/dwell.conf");
    fs::write(
        &config,
        text.replace("Include dwell.conf", &format!("Include {}", included.display())),
    )
    .unwrap();
    assert_eq!(text.matches("Include dwell.conf").count(), 1, "{text}");
    assert_eq!(openssh(&home, "ssh", &["box.dwell", "echo hello"]).ok(), "hello");

    let file = home.path().join("file");
    fs::write(&file, "content\n").unwrap();
    openssh(&home, "scp", &["-q", &file.display().to_string(), "box.dwell:there"]).ok();
    assert_eq!(home.dwell(["ws", "exec", "box", "cat", "there"]).ok(), "content");

    let make = "git init -q work && cd work && git -c user.name=a -c user.email=a@b \
                commit -q --allow-empty -m first";
    home.dwell(["ws", "exec", "box", "sh", "-c", make]).ok();
    let mut clone = home.command("git");
    clone.env("GIT_SSH_COMMAND", format!("ssh -F {}", config.display()));
    clone.args(["clone", "-q", "box.dwell:work"]).arg(home.path().join("work"));
    run(&mut clone, LIMIT).ok();
    assert!(home.path().join("work/.git").is_dir());

    fs::write(&config, &text).unwrap();
    home.dwell(["config-ssh", "--undo"]).ok();
    assert_eq!(fs::read_to_string(&config).unwrap(), own);
    assert!(!included.exists());
}

#[test]
fn a_server_that_is_not_the_workspace_is_refused_and_so_is_a_stranger() {
    let Some(home) = home() else { return };
    assert_eq!(home.dwell(["ssh", "box", "--", "echo hello"]).ok(), "hello");
    let shown = home.dwell(["ws", "show", "box", "--json"]).json();
    let address = shown["address"].as_str().unwrap();
    // Straight to its address, with a key that it was not told of.
    let key = home.path().join("stranger");
    let mut keygen = home.command("ssh-keygen");
    run(keygen.args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&key), LIMIT).ok();
    let mut ssh = home.command("ssh");
    ssh.args(["-F", "/dev/null", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no", "-o"]);
    ssh.args(["UserKnownHostsFile=/dev/null", "-o", "IdentitiesOnly=yes", "-i"]).arg(&key);
    let refused = run(ssh.arg(format!("dev@{address}")).arg("true"), LIMIT);
    assert!(refused.fails_with(255).contains("Permission denied"), "{refused:?}");

    // Another server in its place.
    let swap = "ssh-keygen -q -t ed25519 -N '' -f /tmp/key && printf 'Port 22\\nHostKey /tmp/key\\n\
                AuthorizedKeysFile /run/dwell/authorized_keys\\nStrictModes no\\nPidFile none\\n' \
                > /tmp/sshd && (kill $(pgrep -o sshd); /usr/sbin/sshd -f /tmp/sshd)";
    home.dwell(["ws", "exec", "-u", "root", "box", "sh", "-c", swap]).ok();
    let refused = home.dwell(["ssh", "box", "--", "true"]);
    assert!(refused.fails_with(255).contains("verification failed"), "{refused:?}");
}

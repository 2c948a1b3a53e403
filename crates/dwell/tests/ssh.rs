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

use dwell_testkit::{Ran, Terminal, TestHome, has_image, run, wait_until};

/// Debian with an ssh server, sudo and git.
const IMAGE: &str = "dwell-test-workspace";
const LIMIT: Duration = Duration::from_secs(60);

/// A home with a workspace of that image; `None` where there is no such image.
fn home() -> Option<TestHome> {
    if !has_image(IMAGE) {
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
fn editors_are_told_where_it_is() {
    let Some(home) = home() else { return };
    let print = |editor: &str, more: &[&str]| {
        home.dwell([&["open", "box", "--in", editor, "--print"], more].concat())
    };
    let first = print("vscode", &[]);
    assert_eq!(first.ok(), "vscode://vscode-remote/ssh-remote+box.dwell/home/dev?windowId=_blank");
    assert!(first.stderr.contains("dwell config-ssh"), "{first:?}");
    // Nobody can be asked here.
    assert!(home.dwell(["open", "box"]).fails_with(2).contains("dwell config-ssh"));
    home.dwell(["config-ssh"]).ok();
    let zed = print("zed", &["work"]);
    assert_eq!((zed.ok(), zed.stderr.as_str()), ("zed://ssh/dev@box.dwell/home/dev/work", ""));
    assert!(print("gateway", &[]).ok().starts_with("jetbrains-gateway://connect#type=ssh"));
    home.dwell(["open", "none", "--print"]).fails_with(3);
    home.tool("xdg-open", "#!/bin/sh\necho \"$@\" > ~/opened");
    home.dwell(["open", "box", "--in", "cursor"]).ok();
    let opened = home.path().join("opened");
    wait_until(LIMIT, "the link is opened", || {
        fs::read_to_string(&opened).is_ok_and(|text| text.starts_with("cursor://vscode-remote/"))
    });

    let missing = home.dwell(["tunnel", "code", "box"]);
    assert!(missing.fails_with(1).contains("has no `code` command"), "{missing:?}");
    let install = "mkdir -p ~/.local/bin && printf '#!/bin/sh\\necho \"$@\"\\nexit 4\\n' > /tmp/code && \
                   sudo install -m 755 /tmp/code /usr/local/bin/code";
    home.dwell(["ws", "exec", "box", "sh", "-c", install]).ok();
    let tunnel = home.dwell(["tunnel", "code", "box"]);
    tunnel.fails_with(4);
    assert_eq!(tunnel.stdout.trim(), "tunnel --accept-server-license-terms --name box");
}

/// An ssh agent with one key, ended with the test.
struct KeyAgent {
    process: std::process::Child,
    socket: std::path::PathBuf,
}

impl KeyAgent {
    fn start(home: &TestHome, name: &str) -> Self {
        let socket = home.path().join(format!("{name}.sock"));
        let mut agent = home.command("ssh-agent");
        agent.arg("-D").arg("-a").arg(&socket).stdout(std::process::Stdio::null());
        let process = agent.spawn().unwrap();
        wait_until(LIMIT, "the agent listens", || socket.exists());
        let key = home.path().join(name);
        let mut keygen = home.command("ssh-keygen");
        keygen.args(["-q", "-t", "ed25519", "-N", "", "-C", name, "-f"]).arg(&key);
        run(&mut keygen, LIMIT).ok();
        let mut add = home.command("ssh-add");
        run(add.arg("-q").arg(&key).env("SSH_AUTH_SOCK", &socket), LIMIT).ok();
        Self { process, socket }
    }

    /// A connection that forwards it, and lasts until it is killed.
    fn forward(&self, home: &TestHome, mark: &str) -> std::process::Child {
        let mut ssh = home.dwell_command();
        ssh.args(["ssh", "-A", "box", "--", &format!("touch {mark}; exec sleep 1000")]);
        ssh.env("SSH_AUTH_SOCK", &self.socket).stdin(std::process::Stdio::null());
        let child = ssh.spawn().unwrap();
        wait_until(LIMIT, "it is connected", || {
            home.dwell(["ws", "exec", "box", "test", "-e", mark]).code == Some(0)
        });
        child
    }
}

impl Drop for KeyAgent {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn the_newest_agent_answers_and_older_ones_when_it_is_gone() {
    let Some(home) = home() else { return };
    // A shell that is older than all of them, as in a session that stays.
    let keys = || home.dwell(["ws", "exec", "box", "ssh-add", "-l"]);
    let no_keys = |ran: Ran| ran.code == Some(1) && ran.stdout.contains("has no identities");
    assert!(no_keys(keys()));
    let (one, two) = (KeyAgent::start(&home, "one"), KeyAgent::start(&home, "two"));
    let mut first = one.forward(&home, "/tmp/first");
    assert!(keys().ok().contains(" one "));
    let mut second = two.forward(&home, "/tmp/second");
    assert!(keys().ok().contains(" two "));
    let by_path = "echo $SSH_AUTH_SOCK; ssh-add -l";
    let inside = home.dwell(["ssh", "box", "--", by_path]);
    assert!(inside.ok().starts_with("/run/user/1000/ssh-agent.sock\n"), "{inside:?}");
    assert!(inside.stdout.contains(" two "), "{inside:?}");
    second.kill().unwrap();
    second.wait().unwrap();
    wait_until(LIMIT, "the older one answers", || keys().stdout.contains(" one "));
    first.kill().unwrap();
    first.wait().unwrap();
    wait_until(LIMIT, "none answers", || no_keys(keys()));

    home.dwell(["ws", "ssh-agent", "box", "deny"]).ok();
    let denied = || {
        let mut ssh = home.dwell_command();
        ssh.args([
            "ssh",
            "-A",
            "box",
            "--",
            "echo at=$SSH_AUTH_SOCK; ls /run/user/1000; ssh-add -l",
        ]);
        run(ssh.env("SSH_AUTH_SOCK", &one.socket), LIMIT)
    };
    wait_until(LIMIT, "it is refused", || denied().stdout.starts_with("at=\n"));
    let refused = denied();
    assert!(refused.fails_with(2).contains("refuses ssh agents"), "{refused:?}");
    assert!(!refused.stdout.contains("ssh-agent.sock"), "{refused:?}");
    home.dwell(["ws", "ssh-agent", "box", "allow"]).ok();
    wait_until(LIMIT, "it is allowed", || denied().stdout.contains(" one "));
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

#[test]
fn what_is_typed_at_an_open_connection_wakes_it_and_nothing_else() {
    let Some(home) = home() else { return };
    let status = || home.dwell(["ws", "show", "box", "--json"]).json()["status"].clone();
    let terminal = Terminal::shell(&home, home.path());
    let binary = home.binary().display();
    terminal.types(&format!("{binary} ssh box"));
    terminal.keys(&["Enter"]);
    terminal.shows("dev@box");
    home.dwell(["ws", "suspend", "box"]).ok();
    assert_eq!(status(), "frozen");
    terminal.types("echo woke-$((40 + 2))");
    terminal.keys(&["Enter"]);
    terminal.shows("woke-42");
    assert_eq!(status(), "running");
    terminal.types("exit");
    terminal.keys(&["Enter"]);
    terminal.shows("Connection to box.dwell closed");

    // One that sends something every second by itself, while its terminal is used for something
    // else.
    let quiet = "-N -o ServerAliveInterval=1 -o ServerAliveCountMax=60";
    terminal.types(&format!("clear; {binary} ssh box {quiet} & echo beside"));
    terminal.keys(&["Enter"]);
    terminal.says("beside");
    let logged_in = ["ws", "exec", "-u", "root", "box", "pgrep", "-f", "sshd: dev"];
    wait_until(LIMIT, "it is connected", || home.dwell(logged_in).code == Some(0));
    home.dwell(["ws", "suspend", "box"]).ok();
    for number in 0..6 {
        terminal.types(&format!("sleep 1; echo at-$(({number} + 40))"));
        terminal.keys(&["Enter"]);
        terminal.shows(&format!("at-{}", number + 40));
    }
    assert_eq!(status(), "frozen");
}

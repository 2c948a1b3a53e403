//! A person's settings in workspaces: what follows, what stays, what never leaves.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "a test ends where it meets what it does not expect"
)]

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use dwell_testkit::{TestHome, docker, has_image, run, sh, wait_until};
use serde_json::Value;

const IMAGE: &str = "debian:bookworm";
const KEY: &str = "-----BEGIN OPENSSH PRIVATE KEY-----\nsecret-key\n-----END-----\n";

fn home() -> TestHome {
    let home = TestHome::new(env!("CARGO_BIN_EXE_dwell"));
    let at = home.path().display().to_string();
    put(
        &home,
        ".gitconfig",
        &format!("[core]\n\texcludesfile = {at}/ignored\n[credential]\n\thelper = osxkeychain\n"),
    );
    put(&home, "ignored", "*.o\n");
    put(&home, ".ssh/id_ed25519", KEY);
    put(&home, ".ssh/id_ed25519.pub", "ssh-ed25519 AAAA me\n");
    put(&home, ".ssh/config", "Host *\n  UseKeychain yes\n");
    put(&home, ".ssh/known_hosts", "example.org ssh-ed25519 AAAA\n");
    let settings = format!(
        r#"{{"statusLine": {{"command": "{at}/.claude/statusline.sh"}}, "env": {{"A_TOKEN": "secret-token-1"}}, "hooks": {{"Stop": [{{"hooks": [{{"type": "command", "command": "no-such-program x"}}]}}]}}}}"#
    );
    put(&home, ".claude/settings.json", &settings);
    put(&home, ".claude/statusline.sh", "#!/bin/sh\necho status\n");
    let mode = fs::Permissions::from_mode(0o755);
    fs::set_permissions(home.path().join(".claude/statusline.sh"), mode).unwrap();
    put(&home, ".claude/.credentials.json", "{\"secret\": \"secret-login\"}");
    put(&home, ".claude/projects/x/talk.jsonl", "secret-talk");
    put(&home, ".claude/skills/a/SKILL.md", "first");
    symlink(home.path().join(".ssh/id_ed25519"), home.path().join(".claude/CLAUDE.md")).unwrap();
    home
}

fn put(home: &TestHome, path: &str, text: &str) {
    let place = home.path().join(path);
    fs::create_dir_all(place.parent().unwrap()).unwrap();
    fs::write(place, text).unwrap();
}

fn create(home: &TestHome, name: &str) {
    home.dwell(["ws", "create", name, "--image", IMAGE, "--class", "cpu=1,mem=512m"]).ok();
}

fn push(home: &TestHome, more: &[&str]) -> Value {
    let all = ["config", "push", "--json"].iter().chain(more);
    home.dwell(all.copied().collect::<Vec<_>>()).json()
}

/// What became of a file in the first workspace.
fn fate(told: &Value, path: &str) -> String {
    let files = told["workspaces"][0]["files"].as_array().unwrap();
    let found = files.iter().find(|file| file["path"] == path);
    found.map_or("absent", |file| file["fate"].as_str().unwrap()).to_owned()
}

#[test]
fn settings_follow_and_what_was_changed_inside_stays() {
    let home = home();
    create(&home, "box");
    let dry = push(&home, &["--dry-run"]);
    assert_eq!(fate(&dry, ".gitconfig"), "new");
    assert_eq!(
        sh(&home, "box", "ls -d ~/.gitconfig ~/.claude ~/.local 2>/dev/null; true").ok(),
        ""
    );

    let shown = home.dwell(["config", "push", "--to", "box"]);
    for part in ["/home/dev/ignored", "osxkeychain", "A_TOKEN", "no-such-program", "private key"] {
        assert!(shown.ok().contains(part), "{part}: {shown:?}");
    }
    let git = sh(&home, "box", "cat ~/.gitconfig; cat ~/ignored; stat -c '%U %a' ~/.gitconfig")
        .ok()
        .to_owned();
    assert!(git.contains("excludesfile = /home/dev/ignored\n"), "{git}");
    assert!(git.contains("# dwell left this out: helper = osxkeychain"), "{git}");
    assert!(git.ends_with("*.o\ndev 600"), "{git}");
    assert_eq!(
        sh(&home, "box", "~/.claude/statusline.sh; cat ~/.claude/skills/a/SKILL.md").ok(),
        "status\nfirst"
    );
    assert_eq!(
        sh(&home, "box", "grep -c UseKeychain ~/.ssh/config; grep -v '^#' ~/.ssh/config").ok(),
        "1\nHost *"
    );
    let secrets = sh(
        &home,
        "box",
        "grep -rl secret /home/dev; ls ~/.ssh/id_ed25519 ~/.claude/.credentials.json ~/.claude/CLAUDE.md ~/.claude/projects 2>/dev/null; true",
    );
    assert_eq!(secrets.ok(), "", "no secret has come along");

    // Updates reach it; what was changed or removed inside is left alone.
    sh(&home, "box", "echo mine >> ~/.claude/skills/a/SKILL.md; rm ~/ignored; echo learned >> ~/.ssh/known_hosts").ok();
    put(&home, ".claude/skills/a/SKILL.md", "second");
    put(&home, ".claude/statusline.sh", "#!/bin/sh\necho new\n");
    put(&home, ".ssh/known_hosts", "example.com ssh-ed25519 BBBB\n");
    fs::remove_file(home.path().join(".ssh/id_ed25519.pub")).unwrap();
    let told = push(&home, &[]);
    assert_eq!(fate(&told, ".claude/skills/a/SKILL.md"), "changed_inside");
    assert_eq!(fate(&told, ".claude/statusline.sh"), "updated");
    assert_eq!(fate(&told, "ignored"), "removed_inside");
    assert_eq!(fate(&told, ".ssh/id_ed25519.pub"), "removed");
    assert_eq!(fate(&told, ".gitconfig"), "same");
    assert_eq!(sh(&home, "box", "~/.claude/statusline.sh").ok(), "new");
    assert_eq!(
        sh(&home, "box", "cut -d' ' -f1 ~/.ssh/known_hosts").ok(),
        "example.org\nlearned\nexample.com"
    );
    assert_eq!(fate(&push(&home, &["--force"]), ".claude/skills/a/SKILL.md"), "updated");
    assert_eq!(
        sh(&home, "box", "cat ~/.claude/skills/a/SKILL.md; cat ~/ignored").ok(),
        "second*.o"
    );
}

#[test]
fn those_that_do_not_run_get_theirs_when_they_run() {
    let home = home();
    create(&home, "stopped");
    create(&home, "frozen");
    home.dwell(["ws", "stop", "stopped"]).ok();
    home.dwell(["ws", "suspend", "frozen"]).ok();
    let told = push(&home, &[]);
    for place in told["workspaces"].as_array().unwrap() {
        assert_eq!(place["waiting"], true, "{told}");
    }
    assert_eq!(home.dwell(["ws", "show", "frozen", "--json"]).json()["status"], "frozen");
    let started = home.dwell(["ws", "start", "stopped"]);
    started.ok();
    assert!(started.stderr.contains("followed"), "{started:?}");
    for name in ["stopped", "frozen"] {
        assert_eq!(sh(&home, name, "~/.claude/statusline.sh").ok(), "status", "{name}");
    }
    let states = home.state().join("workspaces");
    for entry in fs::read_dir(states).unwrap().flatten() {
        assert!(!entry.path().join("settings.json").exists(), "nothing waits any more");
    }
    home.dwell(["config", "push", "--to", "nowhere"]).fails_with(3);
}

#[test]
fn links_planted_inside_lead_nowhere() {
    let home = home();
    create(&home, "box");
    let plant = "mkdir -p ~/out && ln -s /etc/hostname ~/.gitconfig && ln -s ~/out ~/.claude && \
                 ln -s ~/out/new ~/ignored && mkfifo ~/out/pipe && mkdir -p ~/.ssh && \
                 ln -s ~/out/pipe ~/.ssh/config";
    sh(&home, "box", plant).ok();
    for more in [&[][..], &["--force"][..]] {
        let told = push(&home, more);
        for path in [".gitconfig", ".claude/settings.json", "ignored", ".ssh/config"] {
            assert_eq!(fate(&told, path), "in_the_way", "{path}");
        }
    }
    assert_eq!(sh(&home, "box", "ls ~/out; cat /etc/hostname").ok(), "pipe\nbox");
}

#[test]
fn keys_come_only_when_they_are_asked_for() {
    let home = home();
    create(&home, "box");
    let refused = home.dwell(["config", "push", "--include-keys"]);
    assert!(refused.fails_with(2).contains(".ssh/id_ed25519"), "{refused:?}");
    assert_ne!(sh(&home, "box", "ls ~/.ssh/id_ed25519").code, Some(0));
    push(&home, &["--include-keys", "--yes"]);
    let there = "stat -c '%U %a' ~/.ssh/id_ed25519; grep -c secret-key ~/.ssh/id_ed25519; \
                 grep -c secret-token ~/.claude/settings.json";
    assert_eq!(sh(&home, "box", there).ok(), "dev 600\n1\n1");
    // A push without them leaves them where they are.
    push(&home, &[]);
    assert_eq!(sh(&home, "box", "grep -c secret-key ~/.ssh/id_ed25519").ok(), "1");
    // What sleeps is woken for them, since they are not kept for later.
    let status = || home.dwell(["ws", "show", "box", "--json"]).json()["status"].clone();
    home.dwell(["ws", "suspend", "box"]).ok();
    push(&home, &["--include-keys", "--dry-run"]);
    assert_eq!(status(), "frozen");
    put(&home, ".ssh/id_ed25519", &KEY.replace("secret-key", "secret-two"));
    push(&home, &["--include-keys", "--yes"]);
    assert_eq!(status(), "running");
    assert_eq!(sh(&home, "box", "grep -c secret-two ~/.ssh/id_ed25519").ok(), "1");
    home.dwell(["ws", "stop", "box"]).ok();
    let told = home.dwell(["config", "push", "--include-keys", "--yes"]);
    assert!(told.code == Some(1) && told.stdout.contains("not kept"), "{told:?}");
    let node = fs::read_to_string(home.state().join("node.log")).unwrap_or_default();
    assert!(!node.contains("secret-"), "no secret is in the log");
}

/// Serves the repositories of a folder to containers; ends with the test.
struct Repositories {
    daemon: Child,
    address: String,
}

impl Repositories {
    fn serve(folder: &Path) -> Self {
        let subnet = ["network", "inspect", "bridge", "-f", "{{(index .IPAM.Config 0).Subnet}}"];
        let (network, _) =
            docker(subnet).ok().rsplit_once('.').map(|(a, b)| (a.to_owned(), b.len())).unwrap();
        let gateway = format!("{network}.1");
        let port = std::net::TcpListener::bind((gateway.as_str(), 0)).unwrap();
        let port = port.local_addr().unwrap().port();
        let daemon = Command::new("git")
            .args(["daemon", "--export-all", "--reuseaddr", "--log-destination=none"])
            .arg(format!("--listen={gateway}"))
            .arg(format!("--port={port}"))
            .arg(format!("--base-path={}", folder.display()))
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let address = format!("{gateway}:{port}");
        wait_until(Duration::from_secs(10), "git serves", || {
            std::net::TcpStream::connect(&address).is_ok()
        });
        Self { daemon, address }
    }

    /// A repository with these files.
    fn make(&self, home: &TestHome, name: &str, files: &[(&str, &str)]) -> String {
        for (path, text) in files {
            put(home, &format!("repositories/{name}/{path}"), text);
        }
        let folder = home.path().join("repositories").join(name);
        for line in [&["init", "-q"][..], &["add", "-A"], &["commit", "-qm", "first"]] {
            let mut git = home.command("git");
            run(
                git.current_dir(&folder).args(["-c", "init.defaultBranch=main"]).args(line),
                Duration::from_secs(20),
            )
            .ok();
        }
        format!("git://{}/{name}", self.address)
    }
}

impl Drop for Repositories {
    fn drop(&mut self) {
        let _ = self.daemon.kill();
        let _ = self.daemon.wait();
    }
}

#[test]
fn dotfiles_are_installed_after_settings() {
    const SERVER: &str = "dwell-test-workspace";
    if !has_image(SERVER) {
        return;
    }
    let home = TestHome::new(env!("CARGO_BIN_EXE_dwell"));
    put(&home, ".gitconfig", "[user]\n\tname = test\n\temail = test@localhost\n");
    let folder = home.path().join("repositories");
    fs::create_dir_all(&folder).unwrap();
    let served = Repositories::serve(&folder);
    let script = "#!/bin/sh\nset -e\necho told by the script\ngrep -c test@localhost ~/.gitconfig > ~/seen\nid -un >> ~/seen\npwd >> ~/seen\n";
    let with_script = served.make(
        &home,
        "script",
        &[("script/setup", script), ("setup", "#!/bin/sh\nexit 3\n"), ("install.sh", script)],
    );
    let args = ["--image", SERVER, "--class", "cpu=1,mem=512m"];
    let create = |name: &str, more: &[&str]| {
        let all = [&["ws", "create", name][..], &args, more].concat();
        home.dwell(all)
    };
    let made = create("one", &["--settings", "--dotfiles", &with_script]);
    made.ok();
    assert!(made.stderr.contains("told by the script"), "{made:?}");
    assert_eq!(sh(&home, "one", "cat ~/seen").ok(), "1\ndev\n/home/dev/dotfiles");

    // By the person's default, without a script: links.
    let links = served.make(
        &home,
        "links",
        &[(".vimrc", "set x"), (".gitconfig", "[a]"), (".github/x", "y"), ("README", "z")],
    );
    home.configure(&format!("[person]\nsettings = true\ndotfiles = \"{links}\"\n"));
    create("two", &[]).ok();
    let seen = sh(
        &home,
        "two",
        "readlink ~/.vimrc; cat ~/.gitconfig; ls -a ~ | grep -c github; ls ~/.gitconfig.before-dotfiles",
    );
    assert_eq!(seen.stdout.trim(), "dotfiles/.vimrc\n[a]0\n/home/dev/.gitconfig.before-dotfiles");
    // What they replaced is not replaced again.
    assert_eq!(fate(&push(&home, &["--to", "two"]), ".gitconfig"), "in_the_way");

    // One that fails, and one that is not there, leave a workspace that works.
    let broken =
        served.make(&home, "broken", &[("install", "#!/bin/sh\necho no luck >&2\nexit 7\n")]);
    let absent = format!("git://{}/absent", served.address);
    for (name, repository, told) in
        [("three", &broken, "no luck"), ("four", &absent, "exit code 1")]
    {
        let made = create(name, &["--dotfiles", repository, "--no-settings"]);
        made.ok();
        assert!(made.stderr.contains("not installed") && made.stderr.contains(told), "{made:?}");
        assert_eq!(sh(&home, name, "ls ~/.gitconfig 2>/dev/null; echo works").ok(), "works");
    }
    create("five", &["--dotfiles", "https://me:token@host/x"]).fails_with(2);
}

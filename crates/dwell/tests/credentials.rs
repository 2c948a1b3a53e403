//! Sign-ins that workspaces share: renewed in one, renewed in all, and told to nobody.
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

use dwell_testkit::{TestHome, docker, sh, wait_until};

const IMAGE: &str = "debian:bookworm";
const FILE: &str = "~/.claude/.credentials.json";

fn create(home: &TestHome, name: &str, more: &[&str]) {
    let args = ["ws", "create", name, "--image", IMAGE, "--class", "cpu=1,mem=512m"];
    home.dwell([&args, more].concat()).ok();
}

/// Waits until a workspace has this sign-in, through the link.
fn wait_for(home: &TestHome, name: &str, token: &str) {
    wait_until(Duration::from_secs(10), token, || {
        sh(home, name, &format!("test -L {FILE} && cat {FILE}")).stdout.trim() == token
    });
}

#[test]
fn a_sign_in_that_is_renewed_in_one_is_renewed_in_all() {
    let home = TestHome::new(env!("CARGO_BIN_EXE_dwell"));
    for name in ["one", "two"] {
        create(&home, name, &["--credentials", "claude"]);
    }
    create(&home, "apart", &[]);
    let list = home.dwell(["credentials", "ls", "--json"]).json();
    assert_eq!((&list[0]["agent"], &list[0]["present"]), (&"claude".into(), &false.into()));

    // As agents write it: a file of its own that takes the place.
    let renew = |token: &str| {
        format!("mkdir -p ~/.claude; umask 077; echo {token} > {FILE}.tmp; mv {FILE}.tmp {FILE}")
    };
    sh(&home, "one", &renew("secret-first")).ok();
    wait_for(&home, "two", "secret-first");
    wait_for(&home, "one", "secret-first");
    // Or through what is there.
    sh(&home, "two", &format!("echo secret-second > {FILE}")).ok();
    assert_eq!(sh(&home, "one", &format!("cat {FILE}")).ok(), "secret-second");
    let only = sh(&home, "apart", &format!("ls {FILE} /run/dwell-credentials 2>/dev/null; true"));
    assert_eq!(only.ok(), "", "who did not ask has none");

    // Both at once, many times: whole, and the same in both.
    std::thread::scope(|scope| {
        for name in ["one", "two"] {
            let home = &home;
            scope.spawn(move || {
                let many = format!("cd ~/.claude; for i in $(seq 50); do echo secret-{name}-$i > .new; mv .new .credentials.json; done");
                sh(home, name, &many).ok().len()
            });
        }
    });
    wait_until(Duration::from_secs(10), "both are links to one file", || {
        let [a, b] = ["one", "two"]
            .map(|name| sh(&home, name, &format!("test -L {FILE} && cat {FILE}")).stdout);
        a == b && (a.trim() == "secret-one-50" || a.trim() == "secret-two-50")
    });
    let left = sh(&home, "one", "ls -A ~/.claude").ok().to_owned();
    assert_eq!(left, ".credentials.json", "no copy is left");

    // It stays over a stop, and a keeper that was killed comes back.
    home.dwell(["ws", "stop", "two"]).ok();
    sh(&home, "one", &renew("secret-third")).ok();
    wait_for(&home, "one", "secret-third");
    home.dwell(["ws", "start", "two"]).ok();
    wait_for(&home, "two", "secret-third");
    let kill = "kill -9 $(grep -l workspace-credentials /proc/[0-9]*/cmdline | cut -d/ -f3)";
    home.dwell(["ws", "exec", "-u", "root", "two", "sh", "-c", kill]);
    sh(&home, "two", &renew("secret-fourth")).ok();
    wait_for(&home, "one", "secret-fourth");

    let shown = home.dwell(["ws", "show", "one", "--json"]);
    let container = shown.json()["container"].as_str().unwrap().to_owned();
    assert_eq!(shown.json()["credentials"], serde_json::json!(["claude"]));
    let mut told = vec![shown.ok().to_owned(), home.dwell(["ws", "ls", "--json"]).ok().to_owned()];
    told.push(home.dwell(["credentials", "ls", "--json"]).ok().to_owned());
    told.push(docker(["inspect", &container]).ok().to_owned());
    told.push(fs::read_to_string(home.state().join("node.log")).unwrap());
    told.push(
        sh(&home, "one", "cat /proc/[0-9]*/cmdline /run/dwell/variables | tr '\\0' ' '; env")
            .stdout,
    );
    assert!(!told.concat().contains("secret-"), "what is in it was told");
    let place = home.state().join("credentials");
    use std::os::unix::fs::PermissionsExt;
    assert_eq!(fs::metadata(place).unwrap().permissions().mode() & 0o777, 0o700);

    home.dwell(["credentials", "forget", "claude"]).ok();
    assert_ne!(sh(&home, "one", &format!("cat {FILE}")).code, Some(0), "it is gone everywhere");
}

#[test]
fn a_sign_in_of_ones_own_can_be_taken_over() {
    let home = TestHome::new(env!("CARGO_BIN_EXE_dwell"));
    create(&home, "box", &["--credentials", "codex,claude"]);
    let none = home.dwell(["credentials", "import", "codex"]);
    assert!(none.fails_with(3).contains("sign in inside"), "{none:?}");
    fs::create_dir_all(home.path().join(".codex")).unwrap();
    fs::write(home.path().join(".codex/auth.json"), "secret-own\n").unwrap();
    let taken = home.dwell(["credentials", "import", "codex"]);
    assert!(taken.ok().contains("shared") && taken.stderr.contains("sign in anew"), "{taken:?}");
    assert_eq!(
        sh(&home, "box", "cat ~/.codex/auth.json; echo secret-new > ~/.codex/auth.json").ok(),
        "secret-own"
    );
    assert_eq!(
        fs::read_to_string(home.state().join("credentials/codex/auth.json")).unwrap(),
        "secret-new\n"
    );
    home.dwell(["ws", "create", "x", "--credentials", "aider"]).fails_with(2);
}

//! Trees of environments in workspaces: work on both sides, and what a workspace cannot do to git
//! outside.
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

use dwell_testkit::{IDLE, Project, Ran, TestHome, docker, run, wait_until};

const IMAGE: &str = "dwell-test-workspace-image";
const LIMIT: Duration = Duration::from_secs(30);
fn home() -> TestHome {
    TestHome::new(env!("CARGO_BIN_EXE_dwell"))
}

/// A project in git with an environment `red` of it.
fn lab(home: &TestHome) -> Project {
    let lab = home.project("lab").compose(IDLE);
    fs::write(lab.path().join("file"), "first\n").unwrap();
    let git = "git init -q -b main . && git add -A && \
               git -c user.name=n -c user.email=e@x commit -qm first";
    run(home.command("sh").args(["-c", git]).current_dir(lab.path()), LIMIT).ok();
    home.dwell_in(&lab, ["up", "red"]).ok();
    lab
}

fn create(home: &TestHome, more: &[&str]) {
    let image = ["ws", "create", "box", "--image", IMAGE, "--class", "cpu=1,mem=512m"];
    home.dwell(image.iter().chain(more)).ok();
}

#[track_caller]
fn sh(home: &TestHome, line: &str) -> Ran {
    home.dwell(["ws", "exec", "box", "--", "sh", "-c", line])
}

#[test]
fn work_in_a_tree_goes_both_ways_and_comes_back_with_merge() {
    let home = home();
    let lab = lab(&home);
    let other = home.dwell_in(&lab, ["create", "blue"]);
    other.ok();
    create(&home, &["--env", "lab/red"]);
    let tree = home.data().join("lab/red");
    let script = "pwd; cat file; echo in >> file; git add file; \
                  git -c user.name=n -c user.email=e@x commit -qm in-box; git status --short; \
                  mkdir new; echo new > new/file; echo $DWELL_ENV $WEB_HOST";
    let ran = home.dwell_in(&lab, ["run", "--in", "box", "red", "--", "sh", "-c", script]);
    let lines: Vec<&str> = ran.ok().lines().collect();
    assert_eq!(lines[..2], [&tree.display().to_string(), "first"], "{ran:?}");
    assert!(lines.last().unwrap().starts_with("red "), "{ran:?}");
    assert_eq!(fs::read_to_string(tree.join("file")).unwrap(), "first\nin\n");
    assert_eq!(fs::read_to_string(tree.join("new/file")).unwrap(), "new\n");
    // What is made here can be changed there.
    fs::create_dir(tree.join("ours")).unwrap();
    fs::write(tree.join("ours/file"), "host\n").unwrap();
    sh(
        &home,
        &format!("cd {}; echo box >> ours/file; rm new/file; touch ours/other", tree.display()),
    )
    .ok();
    assert_eq!(fs::read_to_string(tree.join("ours/file")).unwrap(), "host\nbox\n");
    home.dwell_in(&lab, ["merge", "red", "--commit", "more"]).ok();
    assert_eq!(fs::read_to_string(lab.path().join("file")).unwrap(), "first\nin\n");
    assert!(lab.path().join("ours/other").exists());

    // Nothing else of the machine is there, and a session is the environment's too.
    sh(&home, &format!("test ! -e {}", home.data().join("lab/blue").display())).ok();
    home.dwell_in(&lab, ["run", "--in", "box", "-d", "red", "--", "sleep", "1000"]).ok();
    let listed = home.dwell_in(&lab, ["sessions", "red", "--json"]).json();
    assert_eq!(listed.as_array().unwrap().len(), 2, "{listed}");
    let refused = home.dwell_in(&lab, ["destroy", "red", "--yes"]);
    assert!(refused.code != Some(0) && refused.stderr.contains("sleep"), "{refused:?}");

    // A workspace whose tree is gone starts all the same, with what was installed in it.
    home.dwell(["ws", "exec", "-u", "root", "box", "touch", "/usr/local/mine"]).ok();
    home.dwell_in(&lab, ["destroy", "red", "--yes", "--force"]).ok();
    home.dwell(["ws", "stop", "box"]).ok();
    home.dwell(["ws", "start", "box"]).ok();
    sh(&home, "test -e /usr/local/mine").ok();
    assert_eq!(home.dwell(["ws", "show", "box", "--json"]).json()["generation"], 2);
}

#[test]
fn git_outside_runs_nothing_that_a_workspace_wrote() {
    let home = home();
    let lab = lab(&home);
    create(&home, &["--env", "lab/red"]);
    let (tree, source) = (home.data().join("lab/red"), lab.path().join(".git"));
    let own = source.join("worktrees/red");
    for (what, refused) in [
        ("the configuration", format!("git -C {} config core.fsmonitor x", tree.display())),
        ("hooks", format!("touch {}/hooks/post-commit", source.display())),
        (
            "what leads to the repository",
            format!("rm -f {0}/.git || mv {0}/.git {0}/.it", tree.display()),
        ),
        ("what leads to its common part", format!("echo /tmp > {}/commondir", own.display())),
        ("its place", format!("mv {} {}/worktrees/other", own.display(), source.display())),
        ("other work trees", format!("mkdir {}/worktrees/blue", source.display())),
    ] {
        let ran = home.dwell(["ws", "exec", "-u", "root", "box", "--", "sh", "-c", &refused]);
        assert_ne!(ran.code, Some(0), "{what}: {ran:?}");
    }
    let status =
        home.command("git").args(["status", "--short"]).current_dir(&tree).output().unwrap();
    assert!(status.status.success() && status.stdout.is_empty(), "{status:?}");
}

#[test]
fn a_tree_comes_later_with_what_was_installed_kept() {
    let home = home();
    let lab = lab(&home);
    create(&home, &[]);
    let refused = home.dwell_in(&lab, ["run", "--in", "box", "red", "--", "true"]);
    assert!(refused.fails_with(5).contains("--tree"), "{refused:?}");
    home.dwell(["ws", "exec", "-u", "root", "box", "touch", "/usr/local/mine"]).ok();
    home.dwell(["run", "--in", "box", "-d", "--name", "shell"]).ok();
    home.dwell(["ws", "join", "box", "lab/red", "--tree"]).ok();
    let ran = home.dwell_in(
        &lab,
        ["run", "--in", "box", "red", "--", "sh", "-c", "test -e /usr/local/mine && pwd"],
    );
    assert_eq!(ran.ok(), home.data().join("lab/red").display().to_string());
    let shell = || home.dwell(["sessions", "box", "--json"]).json()[0].clone();
    wait_until(LIMIT, "the shell is restored", || shell()["restored"] == true);
    let id = home.dwell(["ws", "show", "box", "--json"]).json()["id"].as_str().unwrap().to_owned();
    let images =
        || docker(["image", "ls", "-q", "--filter", &format!("label=dwell.workspace={id}")]).stdout;
    assert_eq!(images().lines().count(), 1);
    home.dwell(["ws", "destroy", "box", "--force", "--purge"]).ok();
    assert_eq!(images(), "", "nothing of it is left");
}

//! One command from a project to an agent at work on it, with a real agent and a model that does what
//! the prompt says.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "a test ends where it meets what it does not expect"
)]

use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use dwell_testkit::{IDLE, ModelServer, Project, TestHome, has_image, run, wait_until};
use serde_json::{Value, json};

/// Has no agent.
const PLAIN: &str = "dwell-test-workspace-image";
/// Has Claude Code.
const IMAGE: &str = "dwell-test-workspace-agents";
const LIMIT: Duration = Duration::from_secs(60);
fn home() -> TestHome {
    TestHome::new(env!("CARGO_BIN_EXE_dwell")).limit(Duration::from_secs(120))
}

fn in_git(home: &TestHome, lab: &Project) {
    fs::write(lab.path().join("file"), "first\n").unwrap();
    let git = "git init -q -b main . && git add -A && \
               git -c user.name=n -c user.email=e@x commit -qm first";
    run(home.command("sh").args(["-c", git]).current_dir(lab.path()), LIMIT).ok();
}

fn session(home: &TestHome, workspace: &str) -> Value {
    home.dwell(["sessions", workspace, "--json"]).json()[0].clone()
}

fn transcript(home: &TestHome, workspace: &str) -> String {
    home.dwell(["logs", workspace, "--session", "claude"]).stdout
}

#[test]
fn what_is_there_is_used_and_returned_to() {
    let home = home();
    let lab = home.project("notes").compose(IDLE);
    in_git(&home, &lab);
    // A stand-in for the agent, so that none has to be installed.
    let agent = "printf '#!/bin/sh\\necho at $PWD: $*\\nread line; echo told $line; sleep 1000\\n' \
                 > /usr/local/bin/claude; chmod +x /usr/local/bin/claude";
    home.dwell_in(&lab, ["create", "claude"]).ok();
    let create = ["ws", "create", "notes-claude", "--image", PLAIN, "--env", "notes/claude"];
    home.dwell_in(&lab, create).ok();
    home.dwell(["ws", "exec", "-u", "root", "notes-claude", "--", "sh", "-c", agent]).ok();
    let began = home.dwell_in(&lab, ["claude", "--detach", "fix", "it"]);
    assert_eq!(began.ok(), "claude");
    let tree = home.data().join("notes/claude").display().to_string();
    wait_until(LIMIT, "it works in the tree", || {
        transcript(&home, "notes-claude").contains(&format!("at {tree}: "))
    });
    assert!(transcript(&home, "notes-claude").contains("fix it"));
    // A prompt for one that is at work is typed to it.
    assert_eq!(home.dwell_in(&lab, ["claude", "--detach", "and that"]).ok(), "claude");
    wait_until(LIMIT, "it is told", || transcript(&home, "notes-claude").contains("told and that"));
    assert_eq!(home.dwell(["sessions", "notes-claude", "-q"]).ok(), "claude", "one session");
}

#[test]
fn claude_code_edits_in_a_session_and_goes_on_after_a_stop() {
    if !has_image(IMAGE) {
        return;
    }
    let home = home();
    let lab = home.project("lab").compose(IDLE);
    in_git(&home, &lab);
    home.dwell_in(&lab, ["up", "claude"]).ok();
    let create = ["ws", "create", "lab-claude", "--image", IMAGE, "--env", "lab/claude"];
    home.dwell_in(&lab, create).ok();
    let shown = home.dwell(["ws", "show", "lab-claude", "--json"]).json();
    let own: Ipv4Addr = shown["address"].as_str().unwrap().parse().unwrap();
    let model = ModelServer::at(IpAddr::from(Ipv4Addr::from_bits(own.to_bits() - 1)));
    let tree = home.data().join("lab/claude");
    let known = json!({
        "hasCompletedOnboarding": true,
        "theme": "dark",
        "customApiKeyResponses": { "approved": ["none"], "rejected": [] },
        "projects": { tree.display().to_string(): { "hasTrustDialogAccepted": true } },
    });
    let settings = json!({
        "env": {
            "ANTHROPIC_BASE_URL": model.url(),
            "ANTHROPIC_API_KEY": "none",
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        },
        "permissions": { "defaultMode": "acceptEdits" },
    });
    let write = format!(
        "mkdir -p ~/.claude; cat > ~/.claude.json <<'END'\n{known}\nEND\n\
         cat > ~/.claude/settings.json <<'END'\n{settings}\nEND"
    );
    home.dwell(["ws", "exec", "lab-claude", "--", "sh", "-c", &write]).ok();

    let notes = tree.join("notes.txt");
    let prompt = format!("MODEL write {} made by an agent", notes.display());
    let key = ["--env", "ANTHROPIC_API_KEY=none"];
    let begin = [&["claude", "--detach"][..], &key, &[&prompt]].concat();
    assert_eq!(home.dwell_in(&lab, begin).ok(), "claude");
    let said = || format!("{}\n{}", transcript(&home, "lab-claude"), model.asked().join("\n"));
    wait_until(LIMIT, "the agent has written", || {
        fs::read_to_string(&notes).is_ok_and(|text| text.trim() == "made by an agent")
    });
    assert_eq!(session(&home, "lab-claude")["status"], "running", "{}", said());

    home.dwell(["ws", "stop", "lab-claude"]).ok();
    assert_eq!(session(&home, "lab-claude")["status"], "lost");
    home.dwell(["ws", "start", "lab-claude"]).ok();
    assert_eq!(session(&home, "lab-claude")["restored"], true, "{}", said());
    home.dwell_in(&lab, ["merge", "claude", "--commit", "by an agent"]).ok();
    assert_eq!(
        fs::read_to_string(lab.path().join("notes.txt")).unwrap().trim(),
        "made by an agent"
    );
}

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

use dwell_testkit::{IDLE, ModelServer, Project, Terminal, TestHome, has_image, run, wait_until};
use serde_json::{Value, json};

/// Has a stand-in for Claude Code.
const STAND_IN: &str = "dwell-test-agent";
/// Has no agent, but npm.
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

/// A person's terminal in a project: what is missing is made, without questions.
#[test]
fn from_nothing_to_an_agent_at_work_and_back() {
    if !has_image(STAND_IN) {
        return;
    }
    let home = home();
    let ann = "[user]\n\tname = Ann\n\temail = ann@example.org\n";
    fs::write(home.path().join(".gitconfig"), ann).unwrap();
    // An environment of that name of another project is not meant.
    let other = home.project("other").file("a.txt", "other\n").git();
    home.dwell_in(&other, ["create", "claude"]).ok();
    let notes = home.project("notes").file("a.txt", "one\n").git();
    let first = format!("claude --image {STAND_IN} write a.txt two");
    let terminal = Terminal::open(&home, &notes, &first);
    terminal.shows_within(LIMIT, "wrote a.txt");
    terminal.shows(&format!("at {}", home.data().join("notes/claude").display()));
    terminal.types("write b.txt mine");
    terminal.keys(&["Enter"]);
    terminal.shows("wrote b.txt");
    terminal.keys(&["C-b", "d"]);
    terminal.says("left 0");
    // The same command returns to it, and so does `attach`.
    terminal.runs("claude", "wrote b.txt");
    terminal.keys(&["C-b", "d"]);
    terminal.says("left 0");
    terminal.runs("attach notes-claude", "wrote b.txt");
    terminal.keys(&["C-b", "d"]);
    terminal.says("left 0");
    // A prompt for one that is at work is typed to it.
    let told = home.dwell_in(&notes, ["claude", "--detach", "write", "c.txt", "three"]);
    assert_eq!(told.ok(), "claude");
    wait_until(LIMIT, "it is told", || transcript(&home, "notes-claude").contains("wrote c.txt"));
    assert_eq!(home.dwell(["sessions", "notes-claude", "-q"]).ok(), "claude", "one session");
    let name = ["ws", "exec", "notes-claude", "--", "git", "config", "user.name"];
    assert_eq!(home.dwell(name).ok(), "Ann", "the person's settings are there");

    let diff = home.dwell_in(&notes, ["diff", "claude", "--name-only"]);
    assert_eq!(diff.ok(), "a.txt\nb.txt\nc.txt");
    home.dwell_in(&notes, ["merge", "claude", "--commit", "By an agent"]).ok();
    for (file, text) in [("a.txt", "two\n"), ("b.txt", "mine\n"), ("c.txt", "three\n")] {
        assert_eq!(fs::read_to_string(notes.path().join(file)).unwrap(), text);
    }
    assert_eq!(fs::read_to_string(other.path().join("a.txt")).unwrap(), "other\n");
}

#[test]
fn a_project_without_git_is_copied_and_its_services_run() {
    if !has_image(STAND_IN) {
        return;
    }
    let home = home();
    let notes = home.project("notes").compose(IDLE).file("a.txt", "one\n");
    let begin = ["claude", "--detach", "--no-settings", "--image", STAND_IN, "write a.txt two"];
    assert_eq!(home.dwell_in(&notes, begin).ok(), "claude");
    wait_until(LIMIT, "it has written", || transcript(&home, "notes-claude").contains("wrote"));
    assert_eq!(fs::read_to_string(notes.path().join("a.txt")).unwrap(), "one\n");
    assert_eq!(home.containers("claude", Some("web")).len(), 1);
    home.dwell_in(&notes, ["merge", "claude"]).ok();
    assert_eq!(fs::read_to_string(notes.path().join("a.txt")).unwrap(), "two\n");
}

/// Takes the registry of npm.
#[test]
fn an_agent_that_the_image_lacks_is_installed() {
    if !has_image(PLAIN) {
        return;
    }
    let home = home();
    let notes = home.project("notes").file("a.txt", "one\n").git();
    home.dwell(["ws", "create", "notes-gemini", "--image", PLAIN]).ok();
    let asked = ["ws", "exec", "notes-gemini", "--", "npm", "view", "@google/gemini-cli", "name"];
    if home.dwell(asked).code != Some(0) {
        eprintln!("skipped: this takes the registry of npm");
        return;
    }
    let began = home.dwell_in(&notes, ["gemini", "--detach"]);
    assert_eq!(began.ok(), "gemini");
    assert!(began.stderr.contains("Gemini CLI is not in `notes-gemini`"), "{began:?}");
    assert!(began.stderr.contains("Gemini CLI is installed"), "{began:?}");
    let list = home.dwell(["agents", "ls", "--in", "notes-gemini", "--json"]).json();
    let gemini = list.as_array().unwrap().iter().find(|found| found["agent"] == "gemini").unwrap();
    assert_eq!(gemini["program"], "/home/dev/.local/bin/gemini");
    assert_eq!(session(&home, "notes-gemini")["agent"], "gemini");
    assert_eq!(session(&home, "notes-gemini")["status"], "running");
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

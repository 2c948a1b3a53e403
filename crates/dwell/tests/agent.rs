//! Real coding agents in workspaces, with a model that does what the prompt says: they edit files
//! with their own tools, and go on with a conversation.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "a test ends where it meets what it does not expect"
)]

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use dwell_testkit::{ModelServer, Ran, TestHome, has_image, wait_until};

/// Has Claude Code, Codex and OpenCode.
const IMAGE: &str = "dwell-test-workspace-agents";
const NAME: &str = "box";

/// A workspace with agents, and the model that they talk to.
struct Bench {
    home: TestHome,
    model: ModelServer,
}

impl Bench {
    /// `None` where the image is not there.
    fn start() -> Option<Self> {
        if !has_image(IMAGE) {
            return None;
        }
        let home = TestHome::new(env!("CARGO_BIN_EXE_dwell")).limit(Duration::from_secs(120));
        home.dwell(["ws", "create", NAME, "--image", IMAGE]).ok();
        let shown = home.dwell(["ws", "show", NAME, "--json"]).json();
        let own: Ipv4Addr = shown["address"].as_str().unwrap().parse().unwrap();
        // The machine's own address in that network is the first, the workspace's the second.
        let gateway = IpAddr::from(Ipv4Addr::from_bits(own.to_bits() - 1));
        Some(Self { home, model: ModelServer::at(gateway) })
    }

    fn sh(&self, line: &str) -> Ran {
        self.home.dwell(["ws", "exec", NAME, "--", "sh", "-c", line])
    }

    /// Writes a file of the home.
    fn write(&self, path: &str, text: &str) {
        let directory = path.rsplit_once('/').map_or(".", |(directory, _)| directory);
        self.sh(&format!("mkdir -p {directory} && cat > {path} <<'END'\n{text}\nEND")).ok();
    }
}

/// An agent works without a terminal, then goes on with its conversation.
fn works(bench: &Bench, first: &str, again: &str) {
    let told = |command: &str, prompt: &str| {
        let line = command.replace("PROMPT", &format!("'{prompt}'"));
        bench.sh(&format!("mkdir -p ~/work && cd ~/work && {line}"))
    };
    let ran = told(first, "MODEL write /home/dev/work/notes.txt made by an agent");
    assert!(ran.code == Some(0), "{ran:?}");
    assert_eq!(bench.sh("cat ~/work/notes.txt").ok(), "made by an agent", "{ran:?}");
    let ran = told(again, "MODEL recall");
    let said = ran.ok();
    assert!(said.contains("before: write /home/dev/work/notes.txt"), "{ran:?}");
    assert!(bench.model.asked().contains(&"recall".to_owned()));
}

#[test]
fn claude_code_edits_and_goes_on() {
    let Some(bench) = Bench::start() else { return };
    let variables = format!(
        "ANTHROPIC_BASE_URL={} ANTHROPIC_API_KEY=none CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC=1",
        bench.model.url()
    );
    let claude = format!("{variables} claude -p PROMPT --permission-mode bypassPermissions");
    works(&bench, &claude, &format!("{claude} --continue"));
}

#[test]
fn codex_edits_and_goes_on() {
    let Some(bench) = Bench::start() else { return };
    let config = format!(
        "model = \"test\"\nmodel_provider = \"test\"\n[model_providers.test]\nname = \"test\"\n\
         base_url = \"{}/v1\"\nwire_api = \"responses\"\nenv_key = \"TEST_KEY\"",
        bench.model.url()
    );
    bench.write("~/.codex/config.toml", &config);
    let codex = "TEST_KEY=none codex exec";
    let free = "--dangerously-bypass-approvals-and-sandbox --skip-git-repo-check";
    works(
        &bench,
        &format!("{codex} {free} PROMPT"),
        &format!("{codex} resume --last {free} PROMPT"),
    );
}

#[test]
fn opencode_edits_and_goes_on() {
    let Some(bench) = Bench::start() else { return };
    let config = serde_json::json!({
        "model": "test/test",
        "small_model": "test/test",
        "provider": { "test": {
            "npm": "@ai-sdk/openai-compatible",
            "options": { "baseURL": format!("{}/v1", bench.model.url()), "apiKey": "none" },
            "models": { "test": { "tool_call": true } },
        } },
    });
    bench.write("~/.config/opencode/opencode.json", &config.to_string());
    let opencode = "OPENCODE_DISABLE_MODELS_FETCH=1 opencode run";
    works(&bench, &format!("{opencode} PROMPT"), &format!("{opencode} --continue PROMPT"));
}

impl Bench {
    /// Settings with which Claude Code begins at once and talks to the model.
    fn claude(&self) {
        let key = "sk-test-of-agents-in-workspaces";
        let settings = serde_json::json!({ "env": {
            "ANTHROPIC_BASE_URL": self.model.url(),
            "ANTHROPIC_API_KEY": key,
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        } });
        self.write("~/.claude/settings.json", &settings.to_string());
        let last: String = key.chars().skip(key.len() - 20).collect();
        let state = serde_json::json!({
            "hasCompletedOnboarding": true,
            "theme": "dark",
            "customApiKeyResponses": { "approved": [last], "rejected": [] },
            "projects": { "/home/dev": { "hasTrustDialogAccepted": true } },
        });
        self.write("~/.claude.json", &state.to_string());
    }

    #[track_caller]
    fn comes_to(&self, state: &str) {
        let wait = ["agent", "wait", NAME, "--for", state, "--timeout", "60s"];
        let waited = self.home.dwell(wait);
        let log = || self.home.dwell(["logs", NAME, "--session", "claude"]).stdout;
        assert_eq!(waited.stdout.trim(), state, "{waited:?}\n{}", log());
    }
}

#[test]
fn what_claude_code_does_in_a_session_is_known_and_goes_on_after_a_stop() {
    let Some(bench) = Bench::start() else { return };
    bench.claude();
    let mode = ["--permission-mode", "default"];
    bench.home.dwell(["run", "--in", NAME, "--detach", "claude"].iter().chain(&mode)).ok();
    bench.comes_to("idle");
    bench.home.dwell(["agent", "send", NAME, "MODEL write /home/dev/notes.txt by hand"]).ok();
    bench.comes_to("needs_input");
    assert!(bench.home.dwell(["sessions", NAME]).ok().contains("needs_input"));
    assert_ne!(bench.sh("cat ~/notes.txt").code, Some(0), "nothing without the person's word");
    // Enter alone takes what is offered first.
    bench.home.dwell(["agent", "send", NAME, ""]).ok();
    bench.comes_to("idle");
    assert_eq!(bench.sh("cat ~/notes.txt").ok(), "by hand");

    let shown = bench.home.dwell(["sessions", NAME, "--json"]).json();
    let conversation = shown[0]["conversation"].as_str().unwrap().to_owned();
    bench.home.dwell(["ws", "stop", NAME]).ok();
    bench.home.dwell(["ws", "start", NAME]).ok();
    bench.comes_to("idle");
    let shown = bench.home.dwell(["sessions", NAME, "--json"]).json();
    assert_eq!((&shown[0]["restored"], &shown[0]["agent"]), (&true.into(), &"claude".into()));
    assert!(shown[0]["command"].to_string().contains(&conversation), "{shown}");
    bench.home.dwell(["agent", "send", NAME, "MODEL recall"]).ok();
    wait_until(Duration::from_secs(30), "it recalls what was before the stop", || {
        let log = bench.home.dwell(["logs", NAME, "--session", "claude"]).stdout;
        // A screen moves where a line would have blanks.
        let dense: String = log.split_whitespace().collect();
        dense.contains("before:write/home/dev/notes.txt")
    });
    bench.home.dwell(["sessions", "kill", NAME, "claude"]).ok();
}

#[test]
fn agents_are_listed_with_what_keeps_them_from_working() {
    let Some(bench) = Bench::start() else { return };
    let list = bench.home.dwell(["agent", "ls", "--in", NAME, "--json"]).json();
    let of = |name: &str| {
        let found = list.as_array().unwrap().iter().find(|found| found["agent"] == name);
        found.unwrap_or_else(|| panic!("{list}")).clone()
    };
    for name in ["claude", "codex", "opencode"] {
        assert!(of(name)["version"].is_string(), "{list}");
    }
    assert!(of("aider")["program"].is_null(), "{list}");
    bench.write("~/.codex/auth.json", "{\"token\": \"secret\"}");
    let doctor = bench.home.dwell(["agent", "doctor", "--in", NAME]);
    assert_eq!(doctor.code, Some(1), "{doctor:?}");
    assert!(doctor.stdout.contains("codex: works"), "{doctor:?}");
    assert!(doctor.stdout.contains("claude: no key and no sign-in"), "{doctor:?}");
    assert!(!doctor.stdout.contains("secret"));
    let missing = bench.home.dwell(["agent", "doctor", "aider", "--in", NAME]);
    let hint = "`dwell agent install aider --in box`";
    assert!(missing.stdout.contains(hint), "{missing:?}");
    let state = bench.home.dwell(["agent", "state", NAME]);
    assert!(state.fails_with(3).contains("no agent has a session"), "{state:?}");
}

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
use serde_json::json;

/// Has Claude Code, Codex and OpenCode.
const IMAGE: &str = "dwell-test-workspace-agents";
/// Has Aider and Gemini CLI.
const MORE: &str = "dwell-test-workspace-agents-more";
const NAME: &str = "box";

/// A workspace with agents, and the model that they talk to.
struct Bench {
    home: TestHome,
    model: ModelServer,
}

impl Bench {
    /// `None` where the image is not there.
    fn start(image: &str) -> Option<Self> {
        if !has_image(image) {
            return None;
        }
        let home = TestHome::new(env!("CARGO_BIN_EXE_dwell")).limit(Duration::from_secs(120));
        home.dwell(["ws", "create", NAME, "--image", image]).ok();
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
    let Some(bench) = Bench::start(IMAGE) else { return };
    let variables = format!(
        "ANTHROPIC_BASE_URL={} ANTHROPIC_API_KEY=none CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC=1",
        bench.model.url()
    );
    let claude = format!("{variables} claude -p PROMPT --permission-mode bypassPermissions");
    works(&bench, &claude, &format!("{claude} --continue"));
}

#[test]
fn codex_edits_and_goes_on() {
    let Some(bench) = Bench::start(IMAGE) else { return };
    bench.codex("");
    let free = "--dangerously-bypass-approvals-and-sandbox --skip-git-repo-check";
    works(
        &bench,
        &format!("codex exec {free} PROMPT"),
        &format!("codex exec resume --last {free} PROMPT"),
    );
}

#[test]
fn opencode_edits_and_goes_on() {
    let Some(bench) = Bench::start(IMAGE) else { return };
    bench.opencode();
    let opencode = "OPENCODE_DISABLE_MODELS_FETCH=1 opencode run --auto";
    works(&bench, &format!("{opencode} PROMPT"), &format!("{opencode} --continue PROMPT"));
}

#[test]
fn aider_edits_and_goes_on() {
    let Some(bench) = Bench::start(MORE) else { return };
    bench.aider();
    let aider = "aider --yes-always --message PROMPT";
    works(&bench, aider, &format!("{aider} --restore-chat-history"));
}

#[test]
fn gemini_cli_edits_and_goes_on() {
    let Some(bench) = Bench::start(MORE) else { return };
    bench.gemini();
    let gemini = "gemini --yolo --prompt PROMPT";
    works(&bench, gemini, &format!("{gemini} --resume latest"));
}

/// An agent as it is tested in a session.
struct Subject {
    name: &'static str,
    /// Its command line.
    command: &'static [&'static str],
    /// What is typed to let it write.
    yes: &'static str,
    /// What is typed to leave it.
    leave: &'static str,
}

impl Bench {
    /// Settings with which Claude Code begins at once and talks to the model.
    fn claude(&self) {
        let key = "sk-test-of-agents-in-workspaces";
        let settings = json!({ "env": {
            "ANTHROPIC_BASE_URL": self.model.url(),
            "ANTHROPIC_API_KEY": key,
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        } });
        self.write("~/.claude/settings.json", &settings.to_string());
        let last: String = key.chars().skip(key.len() - 20).collect();
        let state = json!({
            "hasCompletedOnboarding": true,
            "theme": "dark",
            "customApiKeyResponses": { "approved": [last], "rejected": [] },
            "projects": { "/home/dev": { "hasTrustDialogAccepted": true } },
        });
        self.write("~/.claude.json", &state.to_string());
    }

    /// The same for Codex, with what more there is to say.
    fn codex(&self, more: &str) {
        let config = format!(
            "model = \"test\"\nmodel_provider = \"test\"\n{more}\n[model_providers.test]\n\
             name = \"test\"\nbase_url = \"{}/v1\"\nwire_api = \"responses\"",
            self.model.url()
        );
        self.write("~/.codex/config.toml", &config);
    }

    fn opencode(&self) {
        let config = json!({
            "model": "test/test",
            "small_model": "test/test",
            "permission": { "edit": "ask" },
            "provider": { "test": {
                "npm": "@ai-sdk/openai-compatible",
                "options": { "baseURL": format!("{}/v1", self.model.url()), "apiKey": "none" },
                "models": { "test": { "tool_call": true } },
            } },
        });
        self.write("~/.config/opencode/opencode.json", &config.to_string());
    }

    fn aider(&self) {
        let config = format!(
            "model: openai/test\nopenai-api-base: {}/v1\nopenai-api-key: none\n\
             check-update: false\nanalytics-disable: true\nshow-model-warnings: false\nshow-release-notes: false",
            self.model.url()
        );
        self.write("~/.aider.conf.yml", &config);
    }

    fn gemini(&self) {
        let settings = json!({
            "security": { "auth": { "selectedType": "gemini-api-key" } },
            "model": { "name": "gemini-2.5-flash" },
        });
        self.write("~/.gemini/settings.json", &settings.to_string());
        let trusted = json!({ "/home/dev": "TRUST_FOLDER" });
        self.write("~/.gemini/trustedFolders.json", &trusted.to_string());
        let variables = format!("GEMINI_API_KEY=none\nGOOGLE_GEMINI_BASE_URL={}", self.model.url());
        self.write("~/.gemini/.env", &variables);
    }

    fn log(&self, agent: &str) -> String {
        self.home.dwell(["logs", NAME, "--session", agent]).stdout
    }

    #[track_caller]
    fn comes_to(&self, agent: &str, state: &str) {
        let wait = ["agent", "wait", NAME, "--for", state, "--timeout", "90s"];
        let waited = self.home.dwell(wait);
        assert_eq!(waited.stdout.trim(), state, "{waited:?}\n{}", self.log(agent));
    }

    /// Waits until a file of the home has a text.
    #[track_caller]
    fn has(&self, agent: &str, file: &str, text: &str) {
        let has = || self.sh(&format!("cat ~/{file}")).stdout.trim() == text;
        let told = format!("{agent} writes {file}: {}", self.log(agent));
        wait_until(Duration::from_secs(60), &told, has);
    }

    /// It works in a session, asks before it writes, and goes on with its conversation after the
    /// workspace was stopped. What it does meanwhile is known.
    fn in_a_session(&self, subject: &Subject) {
        let Subject { name, command, yes, leave } = subject;
        let run = [&["run", "--in", NAME, "--detach", name][..], command].concat();
        self.home.dwell(run).ok();
        self.comes_to(name, "idle");
        self.home.dwell(["agent", "send", NAME, "MODEL write /home/dev/notes.txt by hand"]).ok();
        self.comes_to(name, "needs_input");
        assert!(self.home.dwell(["sessions", NAME]).ok().contains("needs_input"));
        assert_ne!(self.sh("cat ~/notes.txt").code, Some(0), "nothing without the person's word");
        self.home.dwell(["agent", "send", NAME, yes]).ok();
        self.has(name, "notes.txt", "by hand");
        self.comes_to(name, "idle");

        let shown = self.home.dwell(["sessions", NAME, "--json"]).json();
        let conversation = shown[0]["conversation"].as_str().map(str::to_owned);
        self.home.dwell(["ws", "stop", NAME]).ok();
        self.home.dwell(["ws", "start", NAME]).ok();
        self.comes_to(name, "idle");
        let shown = self.home.dwell(["sessions", NAME, "--json"]).json();
        assert_eq!((&shown[0]["restored"], &shown[0]["agent"]), (&true.into(), &(*name).into()));
        if ["claude", "codex"].contains(name) {
            let conversation = conversation.unwrap_or_else(|| panic!("{shown}"));
            assert!(shown[0]["command"].to_string().contains(&conversation), "{shown}");
        }
        self.home.dwell(["agent", "send", NAME, "MODEL recall"]).ok();
        wait_until(Duration::from_secs(60), "it recalls what was before the stop", || {
            // A screen moves where a line would have blanks.
            let dense: String = self.log(name).split_whitespace().collect();
            dense.contains("before:write/home/dev/notes.txt")
        });
        self.comes_to(name, "idle");
        self.home.dwell(["agent", "send", NAME, leave]).ok();
        self.comes_to(name, "done");
    }
}

#[test]
fn claude_code_in_a_session_is_known_and_goes_on_after_a_stop() {
    let Some(bench) = Bench::start(IMAGE) else { return };
    bench.claude();
    let mode = &["--permission-mode", "default"];
    // Enter alone takes what is offered first.
    bench.in_a_session(&Subject { name: "claude", command: mode, yes: "", leave: "/exit" });
}

#[test]
fn codex_in_a_session_is_known_and_goes_on_after_a_stop() {
    let Some(bench) = Bench::start(IMAGE) else { return };
    bench.codex("approval_policy = \"on-request\"");
    bench.in_a_session(&Subject { name: "codex", command: &[], yes: "", leave: "/quit" });
}

#[test]
fn aider_in_a_session_is_known_and_goes_on_after_a_stop() {
    let Some(bench) = Bench::start(MORE) else { return };
    bench.aider();
    bench.in_a_session(&Subject { name: "aider", command: &[], yes: "y", leave: "/exit" });
}

#[test]
fn agents_are_listed_with_what_keeps_them_from_working() {
    let Some(bench) = Bench::start(IMAGE) else { return };
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

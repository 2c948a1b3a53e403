//! What a coding agent is doing: from what its hooks say, where it has such, else from what its
//! terminal shows.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Agent, Shown};

/// What an agent is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum AgentState {
    /// It has shown nothing yet.
    Starting,
    /// It works.
    Working,
    /// It waits for a decision of a person.
    NeedsInput,
    /// It waits for its next task.
    Idle,
    /// It ended well.
    Done,
    /// It ended with an error.
    Error,
}

impl AgentState {
    /// Every state.
    pub const ALL: [Self; 6] =
        [Self::Starting, Self::Working, Self::NeedsInput, Self::Idle, Self::Done, Self::Error];

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Working => "working",
            Self::NeedsInput => "needs_input",
            Self::Idle => "idle",
            Self::Done => "done",
            Self::Error => "error",
        }
    }
}

impl std::str::FromStr for AgentState {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|state| state.as_str() == text.replace('-', "_"));
        found.ok_or_else(|| {
            format!("no state; there are {}", Self::ALL.map(Self::as_str).join(", "))
        })
    }
}

/// What an agent said of itself last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// What it is doing.
    pub state: AgentState,
    /// When it said so, in microseconds since the Unix epoch.
    pub at: i64,
    /// The identity that it knows its conversation by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conversation: Option<String>,
}

/// What was seen of an agent's session. Times are in microseconds since the Unix epoch.
#[derive(Debug, Clone, Copy, Default)]
pub struct Seen<'a> {
    /// When it was started.
    pub started: i64,
    /// How it ended.
    pub exit: Option<i32>,
    /// What it said of itself last.
    pub report: Option<&'a Report>,
    /// When its terminal showed something last.
    pub output: Option<i64>,
    /// What its terminal shows that it does.
    pub shown: Option<Shown>,
}

/// A terminal that shows nothing new for this long is quiet: agents that work move something
/// several times a second.
const QUIET: i64 = 3_000_000;
/// What a terminal shows this soon after a report belongs to it.
const SETTLING: i64 = 1_500_000;

impl Agent {
    /// What it is doing.
    pub fn state(&self, seen: &Seen<'_>, now: i64) -> AgentState {
        if let Some(code) = seen.exit {
            return if code == 0 { AgentState::Done } else { AgentState::Error };
        }
        let is_young = now.saturating_sub(seen.started) < QUIET;
        // Some move something while they wait, too.
        match seen.shown.filter(|_| self.hooks != Hooks::All) {
            Some(Shown::Nothing) => return AgentState::Starting,
            Some(Shown::Asks) => return AgentState::NeedsInput,
            Some(Shown::Waits) => return AgentState::Idle,
            Some(Shown::Works) if is_young => return AgentState::Starting,
            Some(Shown::Works) => return AgentState::Working,
            None => {}
        }
        let moves = seen.output.is_some_and(|at| now.saturating_sub(at) < QUIET);
        match (seen.report, self.hooks) {
            // It says that it begins before its prompt is there.
            (Some(report), Hooks::All) if report.state == AgentState::Starting && !moves => {
                AgentState::Idle
            }
            (Some(report), Hooks::All) => report.state,
            (Some(report), _) => {
                let since = seen.output.is_some_and(|at| at > report.at + SETTLING);
                if moves && since { AgentState::Working } else { report.state }
            }
            (None, _) if is_young => AgentState::Starting,
            // It asks whether it may work here, or who one is: before that it has no hooks.
            (None, Hooks::All) if !moves => AgentState::NeedsInput,
            (None, _) if moves => AgentState::Working,
            (None, _) => AgentState::Idle,
        }
    }

    /// The command line with which the agent tells what it is doing: `hook` is a command that gets
    /// it, on its standard input or as its last argument. Other agents, and command lines that hold
    /// no conversation, are as they were.
    pub fn observed(&self, argv: &[String], hook: &[String]) -> Vec<String> {
        let Some((program, arguments)) = argv.split_first() else { return Vec::new() };
        let does_other = arguments.first().is_some_and(|a| self.other.contains(&a.as_str()));
        let own = match self.hooks {
            Hooks::All if !does_other && !arguments.iter().any(|a| a == "--settings") => {
                vec!["--settings".to_owned(), claude_settings(hook).to_string()]
            }
            Hooks::Ends if !does_other => {
                vec!["-c".to_owned(), format!("notify={}", json!(hook))]
            }
            _ => Vec::new(),
        };
        std::iter::once(program.clone()).chain(own).chain(arguments.to_vec()).collect()
    }
}

/// What an agent tells by its hooks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hooks {
    /// Everything.
    All,
    /// That it waits again.
    Ends,
    /// Nothing.
    None,
}

/// Claude Code's events that tell a state (code.claude.com/docs/en/hooks).
const EVENTS: [&str; 7] = [
    "SessionStart",
    "UserPromptSubmit",
    "PreToolUse",
    "PostToolUse",
    "Notification",
    "Stop",
    "SessionEnd",
];

fn claude_settings(hook: &[String]) -> Value {
    let line: Vec<String> = hook.iter().map(|word| quoted(word)).collect();
    let one =
        json!([{ "hooks": [{ "type": "command", "command": line.join(" "), "timeout": 10 }] }]);
    let hooks: serde_json::Map<String, Value> =
        EVENTS.iter().map(|event| ((*event).to_owned(), one.clone())).collect();
    json!({ "hooks": hooks })
}

/// A word for a shell.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// It becomes an argument, so it is no option and nothing for a shell.
fn is_identity(text: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
    (1..=128).contains(&text.len()) && !text.starts_with('-') && text.chars().all(allowed)
}

/// What a hook was told means; `None` where it says nothing about what the agent does.
pub fn reported(told: &Value, at: i64) -> Option<Report> {
    let text = |name: &str| told.get(name).and_then(Value::as_str);
    let named = ["session_id", "thread-id"].into_iter().find_map(text);
    let conversation = named.filter(|id| is_identity(id));
    let state = match (text("hook_event_name"), text("type")) {
        (Some("SessionStart"), _) => AgentState::Starting,
        (Some("Stop" | "SessionEnd"), _) => AgentState::Idle,
        (Some("UserPromptSubmit" | "PreToolUse" | "PostToolUse"), _) => AgentState::Working,
        // After a minute without a task it says that it waits for one.
        (Some("Notification"), _) if text("notification_type") == Some("idle_prompt") => {
            AgentState::Idle
        }
        (Some("Notification"), _)
            if text("message").is_some_and(|m| m.contains("waiting for your input")) =>
        {
            AgentState::Idle
        }
        (Some("Notification"), _) => AgentState::NeedsInput,
        (None, Some("agent-turn-complete")) => AgentState::Idle,
        (None, Some("approval-requested")) => AgentState::NeedsInput,
        _ => return None,
    };
    Some(Report { state, at, conversation: conversation.map(str::to_owned) })
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: i64 = 1_000_000;

    fn agent(name: &str) -> &'static Agent {
        Agent::of(name).unwrap()
    }

    fn report(state: AgentState, at: i64) -> Report {
        Report { state, at, conversation: None }
    }

    #[test]
    fn who_tells_everything_is_believed() {
        let claude = agent("claude");
        let working = report(AgentState::Working, 10 * S);
        // A command of an hour shows nothing meanwhile.
        let seen = Seen { report: Some(&working), output: Some(11 * S), ..Seen::default() };
        assert_eq!(claude.state(&seen, 3600 * S), AgentState::Working);
        let asks = report(AgentState::NeedsInput, 10 * S);
        let seen = Seen { report: Some(&asks), output: Some(3599 * S), ..Seen::default() };
        assert_eq!(claude.state(&seen, 3600 * S), AgentState::NeedsInput);
        let begins = report(AgentState::Starting, 10 * S);
        let seen = Seen { report: Some(&begins), output: Some(11 * S), ..Seen::default() };
        assert_eq!(claude.state(&seen, 12 * S), AgentState::Starting);
        assert_eq!(claude.state(&seen, 15 * S), AgentState::Idle);
        let silent = Seen { output: Some(2 * S), ..Seen::default() };
        assert_eq!(claude.state(&silent, S), AgentState::Starting);
        assert_eq!(claude.state(&silent, 60 * S), AgentState::NeedsInput, "it asks for trust");
    }

    #[test]
    fn who_tells_only_that_it_waits_works_while_its_terminal_moves() {
        let codex = agent("codex");
        let waits = report(AgentState::Idle, 10 * S);
        let seen = |output| Seen { report: Some(&waits), output: Some(output), ..Seen::default() };
        assert_eq!(codex.state(&seen(11 * S), 12 * S), AgentState::Idle, "its own farewell");
        assert_eq!(codex.state(&seen(20 * S), 21 * S), AgentState::Working);
        assert_eq!(codex.state(&seen(20 * S), 30 * S), AgentState::Idle);
    }

    #[test]
    fn who_tells_nothing_is_known_by_its_terminal_and_its_end() {
        let aider = agent("aider");
        let seen = Seen { output: Some(20 * S), ..Seen::default() };
        assert_eq!(aider.state(&seen, 21 * S), AgentState::Working);
        assert_eq!(aider.state(&seen, 30 * S), AgentState::Idle);
        for (shown, state) in [
            (Shown::Nothing, AgentState::Starting),
            (Shown::Asks, AgentState::NeedsInput),
            (Shown::Waits, AgentState::Idle),
            (Shown::Works, AgentState::Working),
        ] {
            assert_eq!(aider.state(&Seen { shown: Some(shown), ..seen }, 21 * S), state);
        }
        let begins = Seen { shown: Some(Shown::Works), ..Seen::default() };
        assert_eq!(aider.state(&begins, S), AgentState::Starting);
        for (code, state) in [(0, AgentState::Done), (1, AgentState::Error)] {
            assert_eq!(aider.state(&Seen { exit: Some(code), ..seen }, 21 * S), state);
        }
    }

    #[test]
    fn hooks_tell_states_and_the_conversation() {
        let told = |text: &str| reported(&serde_json::from_str(text).unwrap(), 7);
        let start = told(r#"{"hook_event_name":"UserPromptSubmit","session_id":"a-1"}"#).unwrap();
        assert_eq!((start.state, start.at), (AgentState::Working, 7));
        assert_eq!(start.conversation.as_deref(), Some("a-1"));
        let asks = r#"{"hook_event_name":"Notification","message":"Claude needs your permission"}"#;
        assert_eq!(told(asks).unwrap().state, AgentState::NeedsInput);
        let waits =
            r#"{"hook_event_name":"Notification","message":"Claude is waiting for your input"}"#;
        assert_eq!(told(waits).unwrap().state, AgentState::Idle);
        let codex = told(r#"{"type":"agent-turn-complete","thread-id":"t"}"#).unwrap();
        assert_eq!(codex.conversation.as_deref(), Some("t"));
        let odd = told(r#"{"type":"agent-turn-complete","thread-id":"--yolo"}"#).unwrap();
        assert_eq!(odd.conversation, None);
        assert_eq!(told("{}"), None);
        assert_eq!(told("[1]"), None);
    }

    #[test]
    fn only_command_lines_of_conversations_get_hooks() {
        let hook = ["/run/dwell/dwell", "agent-hook", "/it's"].map(str::to_owned);
        let observed = |line: &str| {
            let argv: Vec<String> = line.split(' ').map(str::to_owned).collect();
            agent(&argv[0]).observed(&argv, &hook)
        };
        let claude = observed("claude --model opus");
        assert_eq!((claude[1].as_str(), claude[3].as_str()), ("--settings", "--model"));
        let settings: Value = serde_json::from_str(&claude[2]).unwrap();
        let command = &settings["hooks"]["Stop"][0]["hooks"][0]["command"];
        assert_eq!(command, r"'/run/dwell/dwell' 'agent-hook' '/it'\''s'");
        let codex = observed("codex exec fix");
        assert_eq!(codex[2], r#"notify=["/run/dwell/dwell","agent-hook","/it's"]"#);
        for line in ["claude mcp list", "claude --settings x", "codex login", "aider x", "gemini"] {
            assert_eq!(observed(line).join(" "), line);
        }
    }

    #[test]
    fn states_are_read_as_they_are_written() {
        for state in AgentState::ALL {
            assert_eq!(state.as_str().parse::<AgentState>().unwrap(), state);
        }
        assert_eq!("needs-input".parse(), Ok(AgentState::NeedsInput));
        assert!("asleep".parse::<AgentState>().is_err());
    }
}

//! Coding agents as adapters: what a known agent's command line is called and how it goes on with
//! its last conversation; and the variables that every session gets.

mod begin;
mod installed;
pub mod mcp;
mod screen;
mod state;
mod variables;

use installed::Package;
pub use installed::{Found, survey, surveyed};
pub use screen::{Shown, TAIL};
use screen::{Signs, UNSEEN};
use state::Hooks;
pub use state::{AgentState, Report, Seen, reported};
pub use variables::{Collision, ServiceFacts, SessionFacts, Variables, variables};

/// A coding agent CLI that dwell knows. Any other command runs just as well; it only cannot be
/// told to go on where it left off.
#[derive(Debug, PartialEq, Eq)]
pub struct Agent {
    /// The short name, which is also the program's name.
    pub name: &'static str,
    /// The name for people.
    pub title: &'static str,
    /// The subcommand under which the agent works without a terminal.
    headless: Option<&'static str>,
    /// Options with which it works on a prompt without a terminal, and ends.
    prints: &'static [&'static str],
    /// Whether what stands alone at the end of its arguments is a prompt, not a file or a directory.
    takes_prompt: bool,
    /// Options whose value is a prompt that begins a conversation.
    prompts: &'static [&'static str],
    /// Options that take no value and may stand before a prompt.
    switches: &'static [&'static str],
    /// Subcommands that hold no conversation.
    other: &'static [&'static str],
    /// The arguments that make it go on with the last conversation of its directory.
    resume: &'static [&'static str],
    /// Arguments that show that the command line already chooses a conversation.
    chooses: &'static [&'static str],
    /// Variables with a key or token, any of which lets it reach a model.
    keys: &'static [&'static str],
    /// What comes before the identity of a conversation that it is to go on with; nothing where it
    /// knows none.
    by_identity: &'static [&'static str],
    /// What it tells by hooks.
    hooks: Hooks,
    /// How its terminal shows what it does.
    signs: Signs,
    /// Where it comes from.
    package: Package,
    /// The file below the home that a sign-in leaves.
    credentials: &'static str,
}

const AGENTS: &[Agent] = &[
    Agent {
        name: "claude",
        title: "Claude Code",
        headless: None,
        prints: &["-p", "--print"],
        takes_prompt: true,
        prompts: &[],
        switches: &["--dangerously-skip-permissions", "--continue", "-c", "--verbose", "--ide"],
        other: &["mcp", "update", "doctor"],
        resume: &["--continue"],
        chooses: &["--continue", "-c", "--resume", "-r", "--session-id"],
        keys: &["ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "CLAUDE_CODE_OAUTH_TOKEN"],
        by_identity: &["--resume"],
        hooks: Hooks::All,
        signs: UNSEEN,
        package: Package::Npm("@anthropic-ai/claude-code"),
        credentials: ".claude/.credentials.json",
    },
    Agent {
        name: "codex",
        title: "Codex",
        headless: Some("exec"),
        prints: &["e"],
        takes_prompt: true,
        prompts: &[],
        switches: &["--full-auto", "--dangerously-bypass-approvals-and-sandbox", "--search"],
        other: &[
            "app-server",
            "cloud",
            "doctor",
            "fork",
            "login",
            "logout",
            "mcp",
            "mcp-server",
            "review",
        ],
        resume: &["resume", "--last"],
        chooses: &["resume"],
        keys: &["OPENAI_API_KEY", "CODEX_API_KEY"],
        by_identity: &["resume"],
        hooks: Hooks::Ends,
        signs: Signs {
            titles: &[("Action Required", Shown::Asks)],
            questions: &[("Doyoutrustthecontents", 2500)],
            ..UNSEEN
        },
        package: Package::Npm("@openai/codex"),
        credentials: ".codex/auth.json",
    },
    Agent {
        name: "opencode",
        title: "OpenCode",
        headless: Some("run"),
        prints: &[],
        takes_prompt: false,
        prompts: &["--prompt"],
        switches: &["--continue", "-c", "--print-logs"],
        other: &["acp", "agent", "attach", "auth", "github", "mcp", "models", "serve", "web"],
        resume: &["--continue"],
        chooses: &["--continue", "-c", "--session", "-s"],
        keys: &["ANTHROPIC_API_KEY", "OPENAI_API_KEY", "GEMINI_API_KEY", "OPENROUTER_API_KEY"],
        by_identity: &["--session"],
        hooks: Hooks::None,
        signs: Signs { questions: &[("Permissionrequired", 2500)], ..UNSEEN },
        package: Package::Npm("opencode-ai"),
        credentials: ".local/share/opencode/auth.json",
    },
    Agent {
        name: "aider",
        title: "Aider",
        headless: None,
        prints: &["--message", "-m", "--message-file", "-f"],
        takes_prompt: false,
        prompts: &[],
        switches: &["--yes-always", "--no-auto-commits", "--restore-chat-history"],
        other: &[],
        resume: &["--restore-chat-history"],
        chooses: &["--restore-chat-history", "--no-restore-chat-history"],
        keys: &["OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GEMINI_API_KEY", "OPENROUTER_API_KEY"],
        by_identity: &[],
        hooks: Hooks::None,
        signs: Signs { pastes: Some("(Y)es/(N)o"), ..UNSEEN },
        package: Package::Python("aider-chat"),
        credentials: ".aider/oauth-keys.env",
    },
    Agent {
        name: "gemini",
        title: "Gemini CLI",
        headless: None,
        prints: &["-p", "--prompt"],
        takes_prompt: true,
        prompts: &["-i", "--prompt-interactive"],
        switches: &["--yolo", "-y", "--skip-trust", "--sandbox", "-s", "--debug", "-d"],
        other: &["extensions", "extension", "gemma", "hooks", "hook", "mcp", "skills", "skill"],
        resume: &["--resume", "latest"],
        chooses: &["--resume", "-r"],
        keys: &["GEMINI_API_KEY", "GOOGLE_API_KEY"],
        by_identity: &[],
        hooks: Hooks::None,
        signs: Signs {
            titles: &[
                ("Action Required", Shown::Asks),
                ("Ready", Shown::Waits),
                ("Working", Shown::Works),
            ],
            questions: &[("Doyoutrustthefiles", 2500)],
            ..UNSEEN
        },
        package: Package::Npm("@google/gemini-cli"),
        credentials: ".gemini/oauth_creds.json",
    },
];

impl Agent {
    /// Every agent that dwell knows.
    pub fn all() -> &'static [Agent] {
        AGENTS
    }

    /// The agent that a program's name or path stands for; `None` for any other command.
    pub fn of(command: &str) -> Option<&'static Agent> {
        let name = command.rsplit('/').next().unwrap_or(command);
        AGENTS.iter().find(|agent| agent.name == name)
    }

    /// The variables with keys that are here and would help it where it is about to run; none
    /// where it has one there, which is enough.
    pub fn keys_left_behind(
        &self,
        is_here: impl Fn(&str) -> bool,
        is_there: impl Fn(&str) -> bool,
    ) -> Vec<&'static str> {
        if self.keys.iter().any(|name| is_there(name)) {
            return Vec::new();
        }
        self.keys.iter().copied().filter(|name| is_here(name)).collect()
    }

    /// Whether the agent works on a prompt of its command line and ends.
    fn is_headless(&self, arguments: &[String]) -> bool {
        arguments.iter().take_while(|argument| *argument != "--").any(|argument| {
            let option = argument.split_once('=').map_or(argument.as_str(), |(option, _)| option);
            Some(option) == self.headless || self.prints.contains(&option)
        })
    }

    /// Whether the last argument is a prompt: not an option, nor the value of one.
    fn is_prompt(&self, last: &str, before: &[String]) -> bool {
        if !self.takes_prompt || last.starts_with('-') {
            return false;
        }
        match before.last().map(String::as_str) {
            // A value of an option that we do not know stays.
            Some(option) if option.starts_with('-') && option != "--" => {
                self.switches.contains(&option)
            }
            _ => true,
        }
    }

    /// The arguments without the prompts that are values of options.
    fn without_prompts(&self, arguments: &[String]) -> Vec<String> {
        let mut kept = Vec::new();
        let mut rest = arguments.iter();
        while let Some(argument) = rest.next() {
            let (option, value) = match argument.split_once('=') {
                Some((option, _)) => (option, true),
                None => (argument.as_str(), false),
            };
            match (self.prompts.contains(&option), value) {
                (true, false) => drop(rest.next()),
                (true, true) => {}
                (false, _) => kept.push(argument.clone()),
            }
        }
        kept
    }

    /// Whether the arguments leave it to us which conversation is meant.
    fn resumable(&self, arguments: &[String]) -> bool {
        let other = arguments.first().is_some_and(|first| self.other.contains(&first.as_str()));
        !other && !self.chosen(arguments)
    }

    fn chosen(&self, arguments: &[String]) -> bool {
        arguments.iter().take_while(|argument| *argument != "--").any(|argument| {
            let option = argument.split_once('=').map_or(argument.as_str(), |(option, _)| option);
            self.chooses.contains(&option)
        })
    }
}

/// The command line that goes on where `argv` left off: an agent continues its last conversation
/// in the same directory, with the same options; any other command, and an agent that was already
/// told which conversation to take, is started again as it was. A prompt among the arguments is
/// given again, so an agent that was interrupted goes on with it.
///
/// Where the conversation's identity is known, and the agent takes one, it is that conversation.
pub fn resume_command(argv: &[String], conversation: Option<&str>) -> Vec<String> {
    let Some((program, arguments)) = argv.split_first() else { return Vec::new() };
    let Some(agent) = Agent::of(program).filter(|agent| agent.resumable(arguments)) else {
        return argv.to_vec();
    };
    let headless = arguments.iter().position(|a| Some(a.as_str()) == agent.headless);
    let (before, after) = arguments.split_at(headless.map_or(0, |at| at + 1));
    let known = conversation.filter(|_| !agent.by_identity.is_empty());
    let resume = if known.is_some() { agent.by_identity } else { agent.resume };
    let resume = resume.iter().copied().chain(known).map(str::to_owned);
    let program = std::iter::once(program.clone());
    program.chain(before.to_vec()).chain(resume).chain(after.to_vec()).collect()
}

/// The command line with which a session goes on by itself after its workspace was stopped: an
/// agent's that waits for a person, with its last conversation and without the prompt that it
/// began with, and a shell's that waits for one. `None` for everything else: nobody asked for it
/// to be done again.
pub fn restore_command(argv: &[String], conversation: Option<&str>) -> Option<Vec<String>> {
    let (program, arguments) = argv.split_first()?;
    if is_shell(program) {
        let waits =
            arguments.iter().all(|a| ["-l", "-i", "-il", "-li", "--login"].contains(&a.as_str()));
        return waits.then(|| argv.to_vec());
    }
    let agent = Agent::of(program)?;
    let first = arguments.first().map(String::as_str);
    let does_other = first.is_some_and(|first| agent.other.contains(&first));
    if does_other || agent.is_headless(arguments) {
        return None;
    }
    let arguments = agent.without_prompts(arguments);
    let without = arguments.split_last().filter(|(last, before)| agent.is_prompt(last, before));
    let kept = without.map_or(arguments.as_slice(), |(_, before)| before);
    let line: Vec<String> = std::iter::once(program.clone()).chain(kept.to_vec()).collect();
    Some(resume_command(&line, conversation))
}

fn is_shell(program: &str) -> bool {
    let name = program.rsplit('/').next().unwrap_or(program);
    ["sh", "bash", "zsh", "fish", "dash", "ksh"].contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resumed(line: &str) -> String {
        let argv: Vec<String> = line.split(' ').map(str::to_owned).collect();
        resume_command(&argv, None).join(" ")
    }

    #[test]
    fn an_agent_is_known_by_its_programs_name() {
        assert_eq!(Agent::of("claude").map(|a| a.title), Some("Claude Code"));
        assert_eq!(Agent::of("/opt/bin/codex").map(|a| a.name), Some("codex"));
        assert_eq!(Agent::of("claude-wrapper"), None);
        assert_eq!(Agent::of(""), None);
    }

    #[test]
    fn every_agent_continues_its_last_conversation_with_its_options() {
        let table = [
            ("claude", "claude --continue"),
            ("claude --model opus", "claude --continue --model opus"),
            ("/usr/bin/claude -p fix", "/usr/bin/claude --continue -p fix"),
            ("codex", "codex resume --last"),
            ("codex --search", "codex resume --last --search"),
            ("codex exec fix", "codex exec resume --last fix"),
            ("codex -c a=b exec fix", "codex -c a=b exec resume --last fix"),
            ("opencode", "opencode --continue"),
            ("opencode run fix", "opencode run --continue fix"),
            ("aider --model x", "aider --restore-chat-history --model x"),
            ("gemini --yolo", "gemini --resume latest --yolo"),
        ];
        for (before, after) in table {
            assert_eq!(resumed(before), after);
        }
    }

    #[test]
    fn a_key_is_missed_only_where_no_other_one_is() {
        let claude = Agent::of("claude").unwrap();
        let left = |here: &[&str], there: &[&str]| {
            claude.keys_left_behind(|name| here.contains(&name), |name| there.contains(&name))
        };
        assert_eq!(left(&["ANTHROPIC_API_KEY", "OTHER"], &["PATH"]), ["ANTHROPIC_API_KEY"]);
        assert!(left(&["ANTHROPIC_API_KEY"], &["ANTHROPIC_AUTH_TOKEN"]).is_empty());
        assert!(left(&["OPENAI_API_KEY"], &[]).is_empty());
    }

    #[test]
    fn a_conversation_that_is_known_is_the_one_that_goes_on() {
        let by = |line: &str| {
            let argv: Vec<String> = line.split(' ').map(str::to_owned).collect();
            resume_command(&argv, Some("c-1")).join(" ")
        };
        assert_eq!(by("claude --model opus"), "claude --resume c-1 --model opus");
        assert_eq!(by("codex exec fix"), "codex exec resume c-1 fix");
        assert_eq!(by("aider"), "aider --restore-chat-history");
        assert_eq!(by("bash"), "bash");
    }

    #[test]
    fn resuming_twice_changes_nothing_more() {
        for agent in Agent::all() {
            let once = resumed(agent.name);
            assert_ne!(once, agent.name);
            assert_eq!(resumed(&once), once, "{}", agent.name);
        }
    }

    #[test]
    fn a_chosen_conversation_is_kept() {
        assert_eq!(resumed("claude --resume=abc"), "claude --resume=abc");
        assert_eq!(resumed("opencode -s ses_1"), "opencode -s ses_1");
        assert_eq!(resumed("claude -- -c"), "claude --continue -- -c");
    }

    #[test]
    fn only_what_waits_for_a_person_is_restored_and_its_prompt_is_not_given_again() {
        let restored = |words: &[&str]| {
            let argv: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
            restore_command(&argv, None).map(|words| words.join(" "))
        };
        let some = |line: &str| Some(line.to_owned());
        assert_eq!(restored(&["bash"]), some("bash"));
        assert_eq!(restored(&["/bin/bash", "-l"]), some("/bin/bash -l"));
        assert_eq!(restored(&["claude", "fix it"]), some("claude --continue"));
        let model = ["claude", "--model", "opus", "fix it"];
        assert_eq!(restored(&model), some("claude --continue --model opus"));
        assert_eq!(restored(&model[..3]), some("claude --continue --model opus"));
        assert_eq!(restored(&["codex", "--search", "fix"]), some("codex resume --last --search"));
        assert_eq!(restored(&["aider", "a.py"]), some("aider --restore-chat-history a.py"));
        let gemini = ["gemini", "--yolo", "--prompt-interactive", "fix it"];
        assert_eq!(restored(&gemini), some("gemini --resume latest --yolo"));
        assert_eq!(restored(&["opencode", "--prompt", "fix"]), some("opencode --continue"));
        let model = ["opencode", "--prompt=fix", "--model", "a/b"];
        assert_eq!(restored(&model), some("opencode --continue --model a/b"));
        for over in [
            &["claude", "-p", "fix it"][..],
            &["codex", "exec", "fix"],
            &["opencode", "run", "fix"],
            &["opencode", "serve"],
            &["gemini", "--prompt=fix"],
            &["aider", "--message", "fix"],
            &["bash", "-c", "make"],
            &["make"],
            &[],
        ] {
            assert_eq!(restored(over), None, "{over:?}");
        }
    }

    #[test]
    fn other_commands_start_again_as_they_were() {
        assert_eq!(resumed("bash -l"), "bash -l");
        assert_eq!(resumed("opencode serve"), "opencode serve");
        assert_eq!(resumed("codex mcp-server"), "codex mcp-server");
        assert_eq!(resume_command(&[], None), Vec::<String>::new());
    }
}

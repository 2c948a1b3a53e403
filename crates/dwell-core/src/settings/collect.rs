//! Which files are a person's settings: git's, ssh's, and of each agent those that it documents as
//! settings; never caches, transcripts or credentials.

use super::homes::Homes;
use super::{HomePath, Kind, lines, programs, secret};

/// The largest file that is taken, in bytes.
pub const FILE_MAX: u64 = 1 << 20;
/// The most that is taken of all files, in bytes; they travel in one request.
pub const TOTAL_MAX: usize = 4 << 20;

/// What is looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Where on the person's machine: absolute, or below the home. Its last name may be a pattern.
    pub from: String,
    /// Where it belongs, below the home; with a pattern, the directory.
    pub to: String,
    /// Whether it is a directory that is taken with everything below it.
    pub tree: bool,
    /// What it is, where its name does not tell.
    pub kind: Option<Kind>,
}

impl Wanted {
    fn file(from: impl Into<String>, to: impl Into<String>, kind: Option<Kind>) -> Self {
        Self { from: from.into(), to: to.into(), tree: false, kind }
    }
}

/// A file as it is on the person's machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Raw {
    /// Where it belongs, below the home.
    pub to: HomePath,
    /// What it is.
    pub kind: Kind,
    /// Whether it is a program.
    pub executable: bool,
    /// What is in it.
    pub content: Vec<u8>,
}

/// Why a file is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It is a place for secrets.
    #[error("it holds secrets")]
    Secret,
    /// It holds a private key.
    #[error("it is a private key")]
    PrivateKey,
}

/// The settings of one agent: the variable that moves its directory, the directory, files and
/// directories in it.
struct AgentSettings {
    variable: Option<&'static str>,
    directory: &'static str,
    files: &'static [&'static str],
    trees: &'static [&'static str],
}

const AGENTS: [AgentSettings; 5] = [
    AgentSettings {
        variable: Some("CLAUDE_CONFIG_DIR"),
        directory: ".claude",
        files: &[
            "CLAUDE.md",
            "settings.json",
            "settings.local.json",
            "keybindings.json",
            "policy-limits.json",
            "statusline-command.sh",
            "statusline.sh",
        ],
        trees: &["hooks", "skills", "commands", "agents", "output-styles", "rules"],
    },
    AgentSettings {
        variable: Some("CODEX_HOME"),
        directory: ".codex",
        files: &["config.toml", "AGENTS.md", "AGENTS.override.md", "hooks.json"],
        trees: &["prompts", "rules", "skills", "agents", "hooks"],
    },
    AgentSettings {
        variable: Some("OPENCODE_CONFIG_DIR"),
        directory: ".config/opencode",
        files: &["opencode.json", "opencode.jsonc", "config.json", "tui.json", "AGENTS.md"],
        trees: &[
            "agent", "agents", "command", "commands", "mode", "modes", "plugin", "plugins",
            "skill", "skills", "tool", "tools", "themes",
        ],
    },
    AgentSettings {
        variable: None,
        directory: ".gemini",
        files: &["settings.json", "GEMINI.md", "keybindings.json"],
        trees: &["commands", "policies", "skills", "agents", "hooks"],
    },
    AgentSettings {
        variable: None,
        directory: "",
        files: &[".aider.conf.yml", ".aider.model.settings.yml", ".aider.model.metadata.json"],
        trees: &[],
    },
];

/// Names that are no settings wherever they stand.
const JUNK: [&str; 9] = [
    ".git",
    "node_modules",
    "__pycache__",
    ".DS_Store",
    ".venv",
    "venv",
    ".cache",
    "cache",
    "logs",
];

/// Whether a name in a directory is passed over.
pub fn is_junk(name: &str) -> bool {
    let ends = [".sock", ".log", ".pyc", ".swp", "~", ".jsonl"];
    JUNK.contains(&name) || ends.iter().any(|end| name.ends_with(end))
}

/// What is looked for first. `variable` gives variables of the person's shell.
pub fn wanted(variable: impl Fn(&str) -> Option<String>) -> Vec<Wanted> {
    let absolute = |name: &str| variable(name).filter(|path| path.starts_with('/'));
    let config = absolute("XDG_CONFIG_HOME").unwrap_or_else(|| ".config".to_owned());
    let mut all = vec![
        Wanted::file(".gitconfig", ".gitconfig", Some(Kind::Git)),
        Wanted::file(format!("{config}/git/config"), ".config/git/config", Some(Kind::Git)),
        Wanted::file(format!("{config}/git/ignore"), ".config/git/ignore", None),
        Wanted::file(format!("{config}/git/attributes"), ".config/git/attributes", None),
        Wanted::file(".ssh/config", ".ssh/config", Some(Kind::Ssh)),
        Wanted::file(".ssh/known_hosts", ".ssh/known_hosts", Some(Kind::Lines)),
        Wanted::file(".ssh/*.pub", ".ssh", None),
    ];
    for agent in &AGENTS {
        let moved = agent.variable.and_then(absolute);
        let usual = match agent.directory.strip_prefix(".config/") {
            Some(rest) => format!("{config}/{rest}"),
            None => agent.directory.to_owned(),
        };
        let from = moved.unwrap_or(usual);
        let join = |directory: &str, name: &str| match directory {
            "" => name.to_owned(),
            directory => format!("{directory}/{name}"),
        };
        let each = |name: &&str, tree| Wanted {
            from: join(&from, name),
            to: join(agent.directory, name),
            tree,
            kind: None,
        };
        all.extend(agent.files.iter().map(|name| each(name, false)));
        all.extend(agent.trees.iter().map(|name| each(name, true)));
    }
    all
}

/// The private keys of ssh, which are looked for only when they are asked for.
pub fn private_keys() -> Wanted {
    Wanted::file(".ssh/*", ".ssh", None)
}

/// Files that a file which was found makes part of the settings.
pub fn further(raw: &Raw, homes: &Homes) -> Vec<Wanted> {
    let Ok(text) = std::str::from_utf8(&raw.content) else { return Vec::new() };
    let path = raw.to.as_str();
    let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
    match raw.kind {
        Kind::Git => {
            let named = lines::git(text, homes, true).files;
            named.iter().filter_map(|file| included(file, folder, Kind::Git, homes)).collect()
        }
        Kind::Ssh => {
            let named = lines::ssh(text, homes).files;
            let found = named.iter().filter_map(|file| included(file, ".ssh", Kind::Ssh, homes));
            // What `dwell config-ssh` wrote leads nowhere from inside.
            found.filter(|it| it.from != ".ssh/dwell.conf").collect()
        }
        Kind::Json if path == ".claude/settings.json" => {
            status_line(text, homes).into_iter().collect()
        }
        _ => Vec::new(),
    }
}

/// A file that a configuration names; one outside the home is not taken.
fn included(file: &str, folder: &str, kind: Kind, homes: &Homes) -> Option<Wanted> {
    let is_relative = !file.starts_with(['/', '~', '$']) && !file.contains(':');
    let below = match homes.below(file) {
        Some(below) => below.to_owned(),
        None if is_relative && folder.is_empty() => file.to_owned(),
        None if is_relative => format!("{folder}/{file}"),
        None => return None,
    };
    // Ignored files and templates are no configuration.
    let is_config = kind == Kind::Ssh || !file.contains("ignore") && !file.contains("attributes");
    let to = match below.rsplit_once('/') {
        Some((folder, name)) if name.contains(['*', '?', '[']) => folder.to_owned(),
        _ => below.clone(),
    };
    to.parse::<HomePath>().ok()?;
    Some(Wanted::file(below, to, is_config.then_some(kind)))
}

/// The script of Claude Code's status line.
fn status_line(text: &str, homes: &Homes) -> Option<Wanted> {
    let settings: serde_json::Value = serde_json::from_str(text).ok()?;
    let command = settings.get("statusLine")?.get("command")?.as_str()?;
    let script = programs::of_shell(command)?;
    let below = homes.below(&script)?.to_owned();
    below.parse::<HomePath>().ok()?;
    Some(Wanted::file(below.clone(), below, None))
}

/// Whether a file is refused, by its real path and what is in it.
pub fn refuse(real_path: &str, content: &[u8]) -> Option<Refusal> {
    if secret::is_private_key(content) {
        return Some(Refusal::PrivateKey);
    }
    secret::is_secret_path(real_path).then_some(Refusal::Secret)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(to: &str, kind: Kind, text: &str) -> Raw {
        Raw { to: to.parse().unwrap(), kind, executable: false, content: text.into() }
    }

    #[test]
    fn agents_directories_follow_their_variables() {
        let all = wanted(|name| match name {
            "CLAUDE_CONFIG_DIR" => Some("/c".to_owned()),
            "XDG_CONFIG_HOME" => Some("/x".to_owned()),
            "CODEX_HOME" => Some("relative".to_owned()),
            _ => None,
        });
        let from = |to: &str| all.iter().find(|it| it.to == to).map(|it| it.from.as_str());
        assert_eq!(from(".claude/settings.json"), Some("/c/settings.json"));
        assert_eq!(from(".config/opencode/opencode.json"), Some("/x/opencode/opencode.json"));
        assert_eq!(from(".config/git/config"), Some("/x/git/config"));
        assert_eq!(from(".codex/config.toml"), Some(".codex/config.toml"));
        assert_eq!(from(".aider.conf.yml"), Some(".aider.conf.yml"));
        assert!(!all.iter().any(|it| it.from.contains("credentials") || it.from.contains("auth")));
    }

    #[test]
    fn files_that_settings_name_are_taken_from_the_home_only() {
        let homes = Homes::of("/Users/x", "x", &[]);
        let git = "[include]\npath = work/git.conf\npath = /etc/git\npath = ~/b\n\
                   [core]\nexcludesfile = /Users/x/.ignore\n";
        let found = further(&raw(".config/git/config", Kind::Git, git), &homes);
        let told: Vec<_> = found.iter().map(|it| (it.from.as_str(), it.kind)).collect();
        assert_eq!(
            told,
            [
                (".config/git/work/git.conf", Some(Kind::Git)),
                ("b", Some(Kind::Git)),
                (".ignore", None)
            ]
        );
        let ssh = "Include config.d/* dwell.conf ../../etc/x\n";
        let found = further(&raw(".ssh/config", Kind::Ssh, ssh), &homes);
        assert_eq!(found.len(), 1);
        assert_eq!(
            (found[0].from.as_str(), found[0].to.as_str()),
            (".ssh/config.d/*", ".ssh/config.d")
        );
        let claude = r#"{"statusLine": {"command": "python3 /Users/x/bin/status.py"}}"#;
        let found = further(&raw(".claude/settings.json", Kind::Json, claude), &homes);
        assert_eq!(found[0].from, "bin/status.py");
    }

    #[test]
    fn what_leads_to_a_secret_is_refused() {
        assert_eq!(refuse("/h/.aws/credentials", b"x"), Some(Refusal::Secret));
        let key = b"-----BEGIN OPENSSH PRIVATE KEY-----\n";
        assert_eq!(refuse("/h/.claude/CLAUDE.md", key), Some(Refusal::PrivateKey));
        assert_eq!(refuse("/h/dotfiles/gitconfig", b"[user]"), None);
    }
}

//! Sign-ins of coding agents that workspaces of a node share: which files they are, and where they
//! are in a workspace. Each agent has one directory on the node, mounted into the workspaces that
//! ask for it, so that there is one copy and whoever renews it renews it for all.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Where a workspace has the directories.
pub const CREDENTIALS: &str = "/run/dwell-credentials";

/// An agent whose sign-in can be shared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum SignIn {
    /// Claude Code.
    Claude,
    /// Codex.
    Codex,
    /// OpenCode.
    Opencode,
    /// Gemini CLI.
    Gemini,
}

/// Text that names no agent whose sign-in can be shared.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{given}` has no sign-in that can be shared: claude, codex, opencode and gemini have")]
pub struct SignInError {
    /// What was given.
    pub given: String,
}

impl SignIn {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Claude, Self::Codex, Self::Opencode, Self::Gemini];

    /// The agent's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Claude => "claude",
            Self::Codex => "codex",
            Self::Opencode => "opencode",
            Self::Gemini => "gemini",
        }
    }

    /// Its files, below a home. Their last names are told apart.
    pub fn files(self) -> &'static [&'static str] {
        match self {
            Self::Claude => &[".claude/.credentials.json"],
            Self::Codex => &[".codex/auth.json"],
            Self::Opencode => {
                &[".local/share/opencode/auth.json", ".local/share/opencode/mcp-auth.json"]
            }
            Self::Gemini => &[".gemini/oauth_creds.json", ".gemini/google_accounts.json"],
        }
    }

    /// The variable by which the agent keeps its sign-in in the shared directory itself. Then it also
    /// renews it under a lock there, so that of all who share it one does.
    pub fn variable(self) -> Option<(&'static str, String)> {
        let place = || format!("{CREDENTIALS}/{self}");
        (self == Self::Claude).then(|| ("CLAUDE_SECURESTORAGE_CONFIG_DIR", place()))
    }

    /// Whether what somebody wrote is to take the place of what is there: not where the latter was
    /// renewed later, as both tell.
    pub fn supersedes(self, new: &str, there: &str) -> bool {
        match (self.renewed(new), self.renewed(there)) {
            (Some(new), Some(there)) => new >= there,
            _ => true,
        }
    }

    /// What grows with each renewal.
    fn renewed(self, content: &str) -> Option<String> {
        let content: Value = serde_json::from_str(content).ok()?;
        let (pointer, is_text) = match self {
            Self::Claude => ("/claudeAiOauth/expiresAt", false),
            Self::Codex => ("/last_refresh", true),
            Self::Gemini => ("/expiry_date", false),
            Self::Opencode => return None,
        };
        match content.pointer(pointer)? {
            Value::String(text) if is_text => Some(text.clone()),
            number => number.as_u64().map(|number| format!("{number:020}")),
        }
    }

    /// The file's name in the shared directory, where it is one of this agent's.
    pub fn named(self, name: &str) -> Option<&'static str> {
        self.files().iter().copied().find(|path| file_name(path) == name)
    }
}

/// The last name of a path.
pub fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

impl FromStr for SignIn {
    type Err = SignInError;
    fn from_str(text: &str) -> Result<Self, SignInError> {
        let found = Self::ALL.into_iter().find(|it| it.as_str() == text);
        found.ok_or_else(|| SignInError { given: text.to_owned() })
    }
}

impl fmt::Display for SignIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_of_an_agent_has_a_name_of_its_own() {
        for agent in SignIn::ALL {
            assert_eq!(agent.as_str().parse(), Ok(agent));
            for path in agent.files() {
                assert_eq!(agent.named(file_name(path)), Some(*path));
            }
        }
        assert!("aider".parse::<SignIn>().is_err());
        assert_eq!(SignIn::Claude.named("../x"), None);
    }

    #[test]
    fn what_was_renewed_later_stays() {
        let claude = |expires: u64| format!(r#"{{"claudeAiOauth": {{"expiresAt": {expires}}}}}"#);
        assert!(SignIn::Claude.supersedes(&claude(1000), &claude(1000)));
        assert!(SignIn::Claude.supersedes(&claude(1000), &claude(999)));
        assert!(!SignIn::Claude.supersedes(&claude(999), &claude(1000)));
        let codex = |at: &str| format!(r#"{{"last_refresh": "2026-01-{at}T00:00:00Z"}}"#);
        assert!(!SignIn::Codex.supersedes(&codex("01"), &codex("02")));
        assert!(SignIn::Codex.supersedes(&codex("02"), &codex("01")));
        let gemini = |expires: u64| format!(r#"{{"expiry_date": {expires}}}"#);
        assert!(!SignIn::Gemini.supersedes(&gemini(1), &gemini(2)));
        // Where one does not tell, the last one wins.
        assert!(SignIn::Claude.supersedes("{}", &claude(1)));
        assert!(SignIn::Claude.supersedes(&claude(1), "not JSON"));
    }
}

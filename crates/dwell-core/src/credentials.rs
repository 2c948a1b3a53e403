//! Sign-ins of coding agents that workspaces of a node share: which files they are, and where they
//! are in a workspace. Each agent has one directory on the node, mounted into the workspaces that
//! ask for it, so that there is one copy and whoever renews it renews it for all.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

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
}

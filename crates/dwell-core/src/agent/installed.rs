//! Which agents a machine or a workspace has, and how one gets there: scripts of the plain shell,
//! run as the user who works there, and what they say.

use serde::Serialize;

use super::Agent;

/// Where an agent comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Package {
    /// A package of npm.
    Npm(&'static str),
    /// A package of Python, which gets an environment of its own.
    Python(&'static str),
}

/// An agent as it was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Found {
    /// The agent.
    pub agent: &'static str,
    /// Where its program is; absent where there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub program: Option<String>,
    /// What it says of its version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// How it reaches a model: the name of a variable or the file with what it was given at a
    /// sign-in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signed_in: Option<String>,
}

/// Seconds in which an agent says its version, one of many or the only one that is asked: what was
/// just installed takes longer the first time.
const PATIENCE: (u32, u32) = (20, 90);

/// Asks for all agents, or for one: a line each with its name, its program, its version and how it
/// is signed in, separated by tabs. Values of variables are not told.
pub fn survey(only: Option<&Agent>) -> String {
    let limit = if only.is_some() { PATIENCE.1 } else { PATIENCE.0 };
    let mut script = format!("limit={limit}\n");
    script.push_str(
        "ask() {\n\
         p=$(command -v \"$1\") || p=\n\
         v=; [ -z \"$p\" ] || v=$(timeout $limit \"$1\" --version 2>/dev/null </dev/null | head -n 1)\n\
         s=; for k in $3; do eval \"[ -z \\\"\\${$k:-}\\\" ]\" || { s=$k; break; }; done\n\
         [ -n \"$s\" ] || [ ! -s \"$HOME/$2\" ] || s=\"~/$2\"\n\
         printf '%s\\t%s\\t%s\\t%s\\n' \"$1\" \"$p\" \"$v\" \"$s\"\n}\n",
    );
    for agent in Agent::all().iter().filter(|agent| only.is_none_or(|only| only == *agent)) {
        let (name, file, keys) = (agent.name, agent.credentials, agent.keys.join(" "));
        script += &format!("ask {name} {file} '{keys}'\n");
    }
    script
}

/// What [`survey`] said; lines that are none of it are left out.
pub fn surveyed(text: &str) -> Vec<Found> {
    let some = |field: &str| Some(field.trim().to_owned()).filter(|field| !field.is_empty());
    let line = |line: &str| match line.split('\t').collect::<Vec<_>>().as_slice() {
        [name, program, version, signed_in] => Some(Found {
            agent: Agent::of(name)?.name,
            program: some(program),
            version: some(version),
            signed_in: some(signed_in),
        }),
        _ => None,
    };
    text.lines().filter_map(line).collect()
}

impl Agent {
    /// Installs it for the user alone, below `~/.local`. It takes npm or Python.
    pub fn install(&self) -> String {
        let name = self.name;
        match self.package {
            Package::Npm(package) => format!(
                "command -v npm >/dev/null || {{ echo 'npm is missing: install Node.js first' >&2; exit 127; }}\n\
                 npm install --global --prefix \"$HOME/.local\" --no-fund --no-audit {package}\n"
            ),
            Package::Python(package) => format!(
                "set -e\ncommand -v python3 >/dev/null || {{ echo 'python3 is missing' >&2; exit 127; }}\n\
                 python3 -m venv \"$HOME/.local/share/{name}\"\n\
                 \"$HOME/.local/share/{name}/bin/pip\" install --upgrade {package}\n\
                 mkdir -p \"$HOME/.local/bin\"\n\
                 ln -sf \"$HOME/.local/share/{name}/bin/{name}\" \"$HOME/.local/bin/{name}\"\n"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read_and_other_lines_are_not() {
        let said = "welcome\nclaude\t/usr/bin/claude\t2.1 (Claude Code)\tANTHROPIC_API_KEY\n\
                    codex\t\t\t\nothers\t/x\t1\t\n";
        let all = surveyed(said);
        assert_eq!(all.len(), 2);
        assert_eq!(all[0].version.as_deref(), Some("2.1 (Claude Code)"));
        assert_eq!((all[1].agent, &all[1].program), ("codex", &None));
    }

    #[test]
    fn every_agent_is_asked_for_and_can_be_installed() {
        let script = survey(None);
        for agent in Agent::all() {
            assert!(script.contains(&format!("ask {} {}", agent.name, agent.credentials)));
            assert!(agent.install().contains("$HOME/.local"));
            assert_eq!(survey(Some(agent)).matches("\nask ").count(), 1);
        }
    }
}

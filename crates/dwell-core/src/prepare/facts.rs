//! What is known of a host before it is prepared, and the script that finds it out.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::PrepareError;
use crate::remote::RemoteUser;

/// A script for `sh` that prints what [`HostFacts::parse`] reads. It changes nothing, needs no
/// rights, and ends within half a minute whatever hangs.
pub const PROBE: &str = r#"
export LC_ALL=C PATH="$PATH:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
say() { printf '%s=%s\n' "$1" "$2"; }
limit() { timeout 5 "$@" 2>/dev/null </dev/null; }
say user "$(id -un)"
say uid "$(id -u)"
say arch "$(uname -m)"
[ -r /etc/os-release ] && (
  . /etc/os-release
  say os "$ID"
  say os_like "$ID_LIKE"
  say os_version "$VERSION_ID"
  say os_codename "$VERSION_CODENAME"
  say os_name "$PRETTY_NAME"
)
limit sudo -n true && say sudo yes
[ -d /run/systemd/system ] && say systemd yes
case " $(id -nG) " in *" docker "*) say docker_group yes ;; esac
limit docker info >/dev/null && say engine yes
limit sudo -n docker info >/dev/null && say engine_runs yes
say docker "$(limit docker --version)"
say compose "$(limit docker compose version --short)"
say git "$(limit git --version)"
say tmux "$(limit tmux -V)"
say rsync "$(limit rsync --version | head -n 1)"
say caddy "$(limit caddy version)"
[ "$(limit loginctl show-user "$(id -un)" -p Linger --value)" = yes ] && say linger yes
[ -e "${XDG_CONFIG_HOME:-$HOME/.config}/systemd/user/default.target.wants/dwell.service" ] &&
  say unit yes
command -v apt-get >/dev/null 2>&1 && say apt yes
limit apt-cache policy docker-ce docker.io docker-compose-plugin docker-compose-v2 \
  docker-compose caddy |
  awk '/^[^ ]/ { sub(":$", ""); package = $1 } $1 == "Candidate:" { print "candidate=" package " " $2 }'
say end yes
"#;

/// A version as far as it can be compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Version(pub u32, pub u32, pub u32);

/// A program that dwell needs on a node, or can use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Program {
    /// The engine and its command.
    Docker,
    /// The compose plugin.
    Compose,
    /// git.
    Git,
    /// tmux.
    Tmux,
    /// rsync.
    Rsync,
    /// Caddy, for ingress.
    Caddy,
}

/// What is known of a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostFacts {
    /// Who asks.
    pub user: RemoteUser,
    /// The number of that user.
    pub uid: u32,
    /// The machine's architecture, as `uname -m` says it.
    pub architecture: String,
    /// The distribution's id, such as `debian`.
    pub os: String,
    /// The ids of those that it is like.
    pub os_like: Vec<String>,
    /// Its code name, such as `bookworm`.
    pub codename: String,
    /// Its name and version for people.
    pub os_name: String,
    /// Its major version.
    pub os_version: Option<u32>,
    /// Whether the user can be root without a password.
    pub sudo: bool,
    /// Whether systemd manages the host.
    pub systemd: bool,
    /// Whether the user is in the group that may use the engine.
    pub docker_group: bool,
    /// Whether the engine answers the user.
    pub engine: bool,
    /// Whether it is known to answer root.
    pub engine_runs: bool,
    /// Whether the user's services run without anybody being logged in.
    pub linger: bool,
    /// Whether the unit that starts dwell is enabled.
    pub unit: bool,
    /// Whether packages come by apt.
    pub apt: bool,
    /// The programs that are there.
    pub programs: BTreeMap<Program, Version>,
    /// The packages that could be installed, of those that were asked for.
    pub candidates: BTreeMap<String, Version>,
}

impl Version {
    /// The first version in a text: `git version 2.39.5`, `tmux 3.3a`, `1:2.26.1-4`.
    pub fn find(text: &str) -> Option<Self> {
        // The epoch of a Debian version says nothing about the program's.
        let text = match text.split_once(':') {
            Some((epoch, rest)) if epoch.bytes().all(|b| b.is_ascii_digit()) => rest,
            _ => text,
        };
        text.split(|c: char| !(c.is_ascii_digit() || c == '.')).find_map(|word| {
            let mut numbers = word.split('.').map(str::parse::<u32>);
            let first = numbers.next()?.ok()?;
            let second = numbers.next()?.ok()?;
            Some(Self(first, second, numbers.next().and_then(Result::ok).unwrap_or_default()))
        })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

impl Program {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Docker, Self::Compose, Self::Git, Self::Tmux, Self::Rsync, Self::Caddy];

    /// The name for people.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Docker => "docker",
            Self::Compose => "compose",
            Self::Git => "git",
            Self::Tmux => "tmux",
            Self::Rsync => "rsync",
            Self::Caddy => "caddy",
        }
    }

    /// The oldest version that does.
    pub fn oldest(self) -> Version {
        match self {
            Self::Docker => Version(20, 10, 0),
            Self::Compose => Version(2, 26, 0),
            Self::Git => Version(2, 38, 0),
            Self::Tmux => Version(3, 2, 0),
            Self::Rsync => Version(3, 1, 0),
            Self::Caddy => Version(2, 4, 0),
        }
    }
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl HostFacts {
    /// Reads what [`PROBE`] printed.
    ///
    /// # Errors
    /// When it is cut off, or does not say who asks.
    pub fn parse(text: &str) -> Result<Self, PrepareError> {
        let mut said: BTreeMap<&str, &str> = BTreeMap::new();
        let mut candidates = BTreeMap::new();
        for (key, value) in text.lines().filter_map(|line| line.split_once('=')) {
            match key {
                "candidate" => {
                    let package = value.split_once(' ');
                    let version = package.and_then(|(_, version)| Version::find(version));
                    candidates.extend(package.map(|(name, _)| name.to_owned()).zip(version));
                }
                _ => {
                    said.entry(key).or_insert(value.trim());
                }
            }
        }
        let get = |key: &str| said.get(key).copied().unwrap_or_default();
        let unclear = |what| PrepareError::Unclear { what };
        if get("end") != "yes" {
            return Err(unclear("the end"));
        }
        let programs = Program::ALL.into_iter();
        let programs = programs.filter_map(|p| Some((p, Version::find(get(p.as_str()))?)));
        Ok(Self {
            user: get("user").parse().map_err(|_| unclear("the user"))?,
            uid: get("uid").parse().map_err(|_| unclear("the user's number"))?,
            architecture: clean(get("arch")),
            os: clean(get("os")),
            os_like: get("os_like").split_whitespace().map(clean).collect(),
            codename: clean(get("os_codename")),
            os_name: get("os_name").escape_debug().to_string(),
            os_version: get("os_version").split('.').next().and_then(|major| major.parse().ok()),
            sudo: get("sudo") == "yes",
            systemd: get("systemd") == "yes",
            docker_group: get("docker_group") == "yes",
            engine: get("engine") == "yes",
            engine_runs: get("engine_runs") == "yes",
            linger: get("linger") == "yes",
            unit: get("unit") == "yes",
            apt: get("apt") == "yes",
            programs: programs.collect(),
            candidates,
        })
    }

    /// Whether the user is root.
    pub fn is_root(&self) -> bool {
        self.uid == 0
    }

    /// Whether a program is there, and new enough.
    pub fn has(&self, program: Program) -> bool {
        self.programs.get(&program).is_some_and(|version| *version >= program.oldest())
    }
}

/// A word that is safe wherever it is put.
fn clean(word: &str) -> String {
    let safe = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    word.chars().filter(safe).collect()
}

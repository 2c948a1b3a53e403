//! What a node tells about itself: the script that asks, and its answer as a type.

use std::collections::HashMap;

/// Prints `name=value` lines between two marks. A program that hangs is given up after 10 s.
pub(super) const SCRIPT: &str = r#"
export LC_ALL=C
tell() { printf '%s=%s\n' "$1" "$(printf %s "$2" | tr -d '\r' | head -n 1)"; }
ask() { timeout 10 "$@" 2>/dev/null </dev/null | head -n 1; }
version() { command -v "$1" >/dev/null 2>&1 && tell "$1" "$(shift; ask "$@")"; }
echo 'dwell-facts 1'
tell system "$(uname -s)"
tell architecture "$(uname -m)"
tell host "$(uname -n)"
tell user "$(id -un)"
tell uid "$(id -u)"
tell home "$HOME"
tell clock "$(date +%s)"
tell distribution "$(. /etc/os-release 2>/dev/null && echo "$ID ${VERSION_ID-} ${ID_LIKE-}")"
tell binary "$bin"
if [ -f "$bin" ]; then
    tell hash "$(sha256sum < "$bin" | cut -d ' ' -f 1)"
    tell version "$(ask "$bin" --version)"
fi
version docker docker --version
version rsync rsync --version
version git git --version
version tmux tmux -V
version caddy caddy version
if command -v nginx >/dev/null 2>&1; then tell nginx "$(nginx -v 2>&1 </dev/null)"; fi
if command -v docker >/dev/null 2>&1; then
    tell compose "$(ask docker compose version --short)"
    if engine=$(timeout 10 docker version --format '{{.Server.Version}}' 2>&1 </dev/null); then
        tell engine "$engine"
    else
        tell engine_error "$(printf %s "$engine" | grep . | tail -n 1)"
    fi
fi
place=$bin
until [ -d "$place" ]; do place=$(dirname "$place"); done
tell free "$(df -Pk "$place" | awk 'NR == 2 { print $4 }')"
if timeout 5 systemctl --user show-environment >/dev/null 2>&1 </dev/null; then tell units yes; fi
if [ -e "/var/lib/systemd/linger/$(id -un)" ]; then tell lingers yes; fi
if [ -d /run/systemd/system ]; then tell systemd yes; fi
if [ "$(id -u)" = 0 ]; then tell rights root
elif timeout 5 sudo -n true >/dev/null 2>&1 </dev/null; then tell rights sudo
elif command -v sudo >/dev/null 2>&1; then tell rights asks
fi
echo 'dwell-facts end'
"#;

/// A node as it was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    /// What `uname -s` says.
    pub system: String,
    /// What `uname -m` says.
    pub architecture: String,
    /// Its host name.
    pub host: String,
    /// The user's name.
    pub user: String,
    /// The user's number.
    pub uid: u32,
    /// The user's home directory.
    pub home: String,
    /// Its clock, in seconds since the Unix epoch.
    pub clock: i64,
    /// The distribution, its version and what it is like, such as `ubuntu 24.04 debian`.
    pub distribution: Option<String>,
    /// Where dwell belongs there.
    pub binary: String,
    /// The dwell that is there.
    pub installed: Option<Installed>,
    /// The version line of the Docker command line.
    pub docker: Option<String>,
    /// Whether the user can use a Docker engine.
    pub engine: Engine,
    /// The version of the compose plugin.
    pub compose: Option<String>,
    /// The version line of rsync.
    pub rsync: Option<String>,
    /// The version line of git.
    pub git: Option<String>,
    /// The version line of tmux.
    pub tmux: Option<String>,
    /// The version line of Caddy.
    pub caddy: Option<String>,
    /// The version line of nginx.
    pub nginx: Option<String>,
    /// Bytes free on the disk where dwell belongs.
    pub free: u64,
    /// Whether systemd runs the machine.
    pub systemd: bool,
    /// Whether the user's own systemd answers.
    pub user_units: bool,
    /// Whether the user's units start with the machine.
    pub lingers: bool,
    /// What the user may do there.
    pub rights: Rights,
}

/// A dwell that was found on a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installed {
    /// The SHA-256 of the binary, in hexadecimal.
    pub hash: String,
    /// Its version; `None` where it does not run.
    pub version: Option<String>,
}

/// A Docker engine as a node's user sees it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Engine {
    /// It answers, and is of this version.
    Answers(String),
    /// It does not, for this reason.
    Fails(String),
    /// There is no Docker command line to ask with.
    #[default]
    Missing,
}

/// What a node's user may do there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Rights {
    /// Everything.
    Root,
    /// Everything through sudo, without a password.
    Sudo,
    /// Perhaps everything, through a sudo that asks for a password.
    Asks,
    /// What users may do.
    #[default]
    User,
}

/// Reads the answer to [`SCRIPT`]; what a noisy login shell wrote around it is dropped.
pub(super) fn parse(text: &str) -> Result<Facts, String> {
    let (_, rest) = text.split_once("dwell-facts 1\n").ok_or("it gave no answer")?;
    let (body, _) = rest.split_once("dwell-facts end").ok_or("its answer is cut off")?;
    let pairs = body.lines().filter_map(|line| line.split_once('='));
    let values: HashMap<&str, &str> = pairs.map(|(name, value)| (name, value.trim())).collect();
    let given = |name: &str| values.get(name).filter(|value| !value.is_empty());
    let optional = |name: &str| given(name).map(|value| (*value).to_owned());
    let needed = |name: &str| optional(name).ok_or_else(|| format!("`{name}` is missing"));
    let number = |name: &str| {
        let number: Option<u64> = given(name).and_then(|value| value.parse().ok());
        number.ok_or_else(|| format!("`{name}` is no number"))
    };
    let installed = optional("hash").map(|hash| Installed {
        hash,
        version: given("version").and_then(|v| v.strip_prefix("dwell ")).map(str::to_owned),
    });
    let engine = match (optional("engine"), optional("engine_error")) {
        (Some(version), _) => Engine::Answers(version),
        (None, Some(reason)) => Engine::Fails(reason),
        (None, None) if given("docker").is_some() => Engine::Fails("it says nothing".into()),
        (None, None) => Engine::Missing,
    };
    let rights = match given("rights") {
        Some(&"root") => Rights::Root,
        Some(&"sudo") => Rights::Sudo,
        Some(&"asks") => Rights::Asks,
        _ => Rights::User,
    };
    let clock = given("clock").and_then(|value| value.parse().ok());
    Ok(Facts {
        system: needed("system")?,
        architecture: needed("architecture")?,
        host: optional("host").unwrap_or_default(),
        user: needed("user")?,
        uid: u32::try_from(number("uid")?).map_err(|_| "`uid` is too large")?,
        home: needed("home")?,
        clock: clock.ok_or("`clock` is no number")?,
        distribution: optional("distribution"),
        binary: needed("binary")?,
        installed,
        docker: optional("docker"),
        engine,
        compose: optional("compose"),
        rsync: optional("rsync"),
        git: optional("git"),
        tmux: optional("tmux"),
        caddy: optional("caddy"),
        nginx: optional("nginx"),
        free: number("free")?.saturating_mul(1024),
        systemd: given("systemd").is_some(),
        user_units: given("units").is_some(),
        lingers: given("lingers").is_some(),
        rights,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: &str = "dwell-facts 1\nsystem=Linux\narchitecture=x86_64\nhost=box\nuser=me\n\
                         uid=1000\nhome=/home/me\nclock=1700000000\n\
                         binary=/home/me/.local/share/dwell/bin/dwell\nfree=2048\n";

    #[test]
    fn a_bare_machine_is_told() {
        let facts = parse(&format!("Welcome!\nsystem=noise\n{PLAIN}dwell-facts end\n")).unwrap();
        assert_eq!((facts.system.as_str(), facts.uid, facts.free), ("Linux", 1000, 2 << 20));
        assert_eq!((facts.installed, facts.engine), (None, Engine::Missing));
        assert_eq!(facts.rights, Rights::User);
    }

    #[test]
    fn a_prepared_machine_is_told() {
        let more = "hash=ab\nversion=dwell 0.1.0\ndocker=Docker version 20.10\nrights=sudo\n\
                    engine_error=permission denied = no\nunits=yes\nlingers=yes\n";
        let facts = parse(&format!("{PLAIN}{more}dwell-facts end\n")).unwrap();
        let installed = facts.installed.unwrap();
        assert_eq!((installed.hash.as_str(), installed.version.as_deref()), ("ab", Some("0.1.0")));
        assert_eq!(facts.engine, Engine::Fails("permission denied = no".into()));
        assert_eq!((facts.rights, facts.lingers, facts.user_units), (Rights::Sudo, true, true));
    }

    #[test]
    fn half_an_answer_is_none() {
        assert_eq!(parse(PLAIN).unwrap_err(), "its answer is cut off");
        assert_eq!(parse("bash: no").unwrap_err(), "it gave no answer");
        let odd = PLAIN.replace("uid=1000", "uid=x") + "dwell-facts end\n";
        assert_eq!(parse(&odd).unwrap_err(), "`uid` is no number");
    }
}

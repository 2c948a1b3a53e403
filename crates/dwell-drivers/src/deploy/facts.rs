//! What a node tells about itself: the script that asks, and its answer as a type.

use std::collections::HashMap;

use dwell_core::prepare::{HostFacts, PROBE};

/// Prints `name=value` lines; a program that hangs is given up.
const SCRIPT: &str = r#"
export LC_ALL=C
tell() { printf '%s=%s\n' "$1" "$(printf %s "$2" | tr -d '\r' | head -n 1)"; }
tell system "$(uname -s)"
tell host "$(uname -n)"
tell home "$HOME"
tell clock "$(date +%s)"
tell binary "$bin"
if [ -f "$bin" ]; then
    tell hash "$(sha256sum < "$bin" | cut -d ' ' -f 1)"
    tell version "$(timeout 10 "$bin" --version 2>/dev/null </dev/null)"
fi
place=$bin
until [ -d "$place" ]; do place=$(dirname "$place"); done
tell free "$(df -Pk "$place" | awk 'NR == 2 { print $4 }')"
if timeout 5 systemctl --user show-environment >/dev/null 2>&1 </dev/null; then tell units yes; fi
if command -v sudo >/dev/null 2>&1; then tell asks yes; fi
"#;

/// A node as it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// What `uname -s` says.
    pub system: String,
    /// Its host name.
    pub host: String,
    /// The user's home directory.
    pub home: String,
    /// Its clock, in seconds since the Unix epoch.
    pub clock: i64,
    /// Where dwell belongs there.
    pub binary: String,
    /// The dwell that is there.
    pub installed: Option<Installed>,
    /// Bytes free on the disk where dwell belongs.
    pub free: u64,
    /// Whether the user's own systemd answers.
    pub user_units: bool,
    /// Whether there is a sudo, which may ask for a password.
    pub sudo_asks: bool,
    /// What it has of all that nodes use.
    pub machine: HostFacts,
}

/// A dwell that was found on a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installed {
    /// The SHA-256 of the binary, in hexadecimal.
    pub hash: String,
    /// Its version; `None` where it does not run.
    pub version: Option<String>,
}

/// The script that asks, between two marks. It needs `bin` to be set.
pub(super) fn script() -> String {
    format!("echo 'dwell-facts 1'\n{SCRIPT}\n{PROBE}\necho 'dwell-facts end'\n")
}

/// Reads the answer to [`script`]; what a noisy login shell wrote around it is dropped.
pub(super) fn parse(text: &str) -> Result<Facts, String> {
    let (_, rest) = text.split_once("dwell-facts 1\n").ok_or("it gave no answer")?;
    let (body, _) = rest.split_once("dwell-facts end").ok_or("its answer is cut off")?;
    let mut values = HashMap::new();
    for (name, value) in body.lines().filter_map(|line| line.split_once('=')) {
        values.entry(name).or_insert_with(|| value.trim());
    }
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
    Ok(Facts {
        system: needed("system")?,
        host: optional("host").unwrap_or_default(),
        home: needed("home")?,
        clock: i64::try_from(number("clock")?).map_err(|_| "`clock` is too large")?,
        binary: needed("binary")?,
        installed,
        free: number("free")?.saturating_mul(1024),
        user_units: given("units").is_some(),
        sudo_asks: given("asks").is_some(),
        machine: HostFacts::parse(body).map_err(|error| error.to_string())?,
    })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    const PLAIN: &str = "dwell-facts 1\nsystem=Linux\nhost=box\nhome=/home/me\nclock=1700000000\n\
                         binary=/home/me/.local/share/dwell/bin/dwell\nfree=2048\nuser=me\n\
                         uid=1000\narch=x86_64\nend=yes\n";

    /// A machine without anything.
    pub(in super::super) fn bare() -> Facts {
        parse(&format!("{PLAIN}dwell-facts end\n")).unwrap()
    }

    #[test]
    fn a_bare_machine_is_told() {
        let facts = parse(&format!("Welcome!\nsystem=noise\n{PLAIN}dwell-facts end\n")).unwrap();
        assert_eq!(
            (facts.system.as_str(), facts.machine.uid, facts.free),
            ("Linux", 1000, 2 << 20)
        );
        assert_eq!((facts.installed, facts.user_units, facts.sudo_asks), (None, false, false));
    }

    #[test]
    fn a_prepared_machine_is_told() {
        let more = "hash=ab\nversion=dwell 0.1.0\nunits=yes\nasks=yes\n";
        let facts = parse(&format!("{PLAIN}{more}dwell-facts end\n")).unwrap();
        let installed = facts.installed.unwrap();
        assert_eq!((installed.hash.as_str(), installed.version.as_deref()), ("ab", Some("0.1.0")));
        assert!(facts.user_units && facts.sudo_asks);
    }

    #[test]
    fn half_an_answer_is_none() {
        assert_eq!(parse(PLAIN).unwrap_err(), "its answer is cut off");
        assert_eq!(parse("bash: no").unwrap_err(), "it gave no answer");
        let odd = PLAIN.replace("clock=1", "clock=x") + "dwell-facts end\n";
        assert_eq!(parse(&odd).unwrap_err(), "`clock` is no number");
        assert!(parse(&(PLAIN.replace("end=yes", "") + "dwell-facts end\n")).is_err());
    }
}

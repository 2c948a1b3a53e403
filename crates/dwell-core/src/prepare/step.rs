//! One step of preparing a host, in words that a shell takes.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

/// One thing to do on a host. Doing it again changes nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// What it does, for people.
    pub title: String,
    /// The program and its arguments.
    pub argv: Vec<String>,
    /// Whether root has to do it.
    pub root: bool,
}

impl Step {
    pub(super) fn root(title: &str, words: &[&str]) -> Self {
        Self { root: true, ..Self::user(title, words) }
    }

    pub(super) fn user(title: &str, words: &[&str]) -> Self {
        let argv = words.iter().map(|word| (*word).to_owned()).collect();
        Self { title: title.to_owned(), argv, root: false }
    }

    /// The command line for a POSIX shell; by `sudo` where it needs root and `is_root` says that
    /// whoever runs it is not.
    pub fn line(&self, is_root: bool) -> String {
        let sudo = if self.root && !is_root { &["sudo", "-n", "--"][..] } else { &[] };
        let words = sudo.iter().copied().chain(self.argv.iter().map(String::as_str));
        words.map(quoted).collect::<Vec<_>>().join(" ")
    }
}

/// Takes the compose plugin out of Debian 13's package, which apt checks against Debian's archive
/// keys as any other, without making that release known to the system. It is one program that
/// needs libc only.
const NEWER_COMPOSE: &str = r#"set -eu
keys=/usr/share/keyrings/debian-archive-keyring.gpg
[ -e "$keys" ] || env DEBIAN_FRONTEND=noninteractive apt-get install --yes debian-archive-keyring
mirror=$(cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources 2>/dev/null |
    grep -v '^ *#' | grep -oE 'https?://[^ ]+/debian/?( |$)' | head -n 1 | tr -d ' ' || true)
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
chmod 755 "$place"
mkdir -p "$place/lists/partial" "$place/cache/archives/partial"
echo "deb [signed-by=$keys] ${mirror:-http://deb.debian.org/debian} trixie main" > "$place/sources"
get() {
    apt-get -o Dir::Etc::SourceList="$place/sources" -o Dir::Etc::SourceParts=/dev/null \
        -o Dir::State::Lists="$place/lists" -o Dir::Cache="$place/cache" -o APT::Sandbox::User=root "$@"
}
get update
cd "$place"
get download docker-compose
dpkg -x docker-compose_*.deb .
install -D -m 755 usr/libexec/docker/cli-plugins/docker-compose \
    /usr/local/lib/docker/cli-plugins/docker-compose"#;

/// The step that brings a compose plugin to a Debian whose own is too old.
pub(super) fn newer_compose() -> Step {
    Step::root("install the compose plugin of Debian 13", &["sh", "-c", NEWER_COMPOSE])
}

/// The steps that make Docker's own packages known to an Ubuntu's apt. The code name is the
/// caller's to check.
pub(super) fn docker_source(codename: &str) -> [Step; 4] {
    let place = "https://download.docker.com/linux/ubuntu";
    let key = "/etc/apt/keyrings/docker.asc";
    let write = format!(
        "set -e; umask 022; mkdir -p /etc/apt/keyrings; \
         curl -fsSL --retry 3 --max-time 60 -o {key}.part {place}/gpg; mv {key}.part {key}; \
         echo \"deb [arch=$(dpkg --print-architecture) signed-by={key}] {place} {codename} stable\" \
         > /etc/apt/sources.list.d/docker.list"
    );
    let install = ["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "install", "--yes"];
    let install = [&install[..], &["--no-install-recommends", "ca-certificates", "curl"]].concat();
    let update = ["apt-get", "update"];
    [
        Step::root("refresh the lists of packages", &update),
        Step::root("install ca-certificates, curl", &install),
        Step::root("add Docker's source of packages", &["sh", "-c", &write]),
        Step::root("refresh the lists of packages again", &update),
    ]
}

/// A word that a POSIX shell reads as one, as it is.
fn quoted(word: &str) -> Cow<'_, str> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:@%+,".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        Cow::Borrowed(word)
    } else {
        Cow::Owned(format!("'{}'", word.replace('\'', r"'\''")))
    }
}

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

/// The steps that make Docker's own packages known to apt. The names are the caller's to check.
pub(super) fn docker_source(os: &str, codename: &str) -> [Step; 4] {
    let place = format!("https://download.docker.com/linux/{os}");
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

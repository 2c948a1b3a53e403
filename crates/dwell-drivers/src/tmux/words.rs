//! How tmux reads its arguments, and how its answers are read.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use super::TmuxSession;
use crate::process::{Finished, Program};

/// The variables that the server gets when it starts, apart from `LC_*`. Sessions bring their
/// own; these are for the windows that people open beside them, so nothing secret is needed.
const VARIABLES: &[&str] = &[
    "HOME",
    "LANG",
    "LANGUAGE",
    "LOGNAME",
    "PATH",
    "SHELL",
    "TMPDIR",
    "TZ",
    "USER",
    "XDG_CACHE_HOME",
    "XDG_CONFIG_HOME",
    "XDG_DATA_HOME",
    "XDG_RUNTIME_DIR",
    "XDG_STATE_HOME",
];

/// An argument as tmux takes it literally: a `;` at its end would end the command.
pub(super) fn argument(text: &OsStr) -> OsString {
    let mut bytes = text.as_bytes().to_vec();
    if bytes.last() == Some(&b';') {
        bytes.pop();
        bytes.extend(b"\\;");
    }
    OsString::from_vec(bytes)
}

/// The directory for tmux, which expands `#` in it (and runs what `#(…)` says): such a directory
/// is not given to it. The session itself starts where it should in any case.
pub(super) fn start_directory(directory: &Path) -> OsString {
    let plain = directory.is_absolute() && !directory.as_os_str().as_bytes().contains(&b'#');
    if plain { argument(directory.as_os_str()) } else { OsString::from("/") }
}

/// The program with only the variables that belong into a server that outlives its starter.
pub(super) fn with_plain_environment(program: Program) -> Program {
    std::env::vars_os()
        .filter(|(name, _)| {
            name.to_str().is_some_and(|name| VARIABLES.contains(&name) || name.starts_with("LC_"))
        })
        .fold(program.clear_env(), |program, (name, value)| program.env(name, value))
}

/// Whether tmux says that the session, or the whole server, is not there.
pub(super) fn absent(finished: &Finished) -> bool {
    let message = finished.error_text();
    const ABSENT: &[&str] = &[
        "can't find session",
        "can't find pane",
        "can't find window",
        "no current target",
        "no server running",
    ];
    ABSENT.iter().any(|start| message.starts_with(start))
        || (message.starts_with("error connecting to")
            && (message.ends_with("(No such file or directory)")
                || message.ends_with("(Connection refused)")))
}

/// The version in what `tmux -V` says; `None` for builds that have no number.
pub(super) fn version(text: &str) -> Option<(u32, u32)> {
    let number = text.split(' ').nth(1)?.trim_start_matches("next-");
    let (major, minor) = number.split_once('.')?;
    let digits = minor.find(|c: char| !c.is_ascii_digit()).unwrap_or(minor.len());
    Some((major.parse().ok()?, minor.get(..digits)?.parse().ok()?))
}

/// The sessions in a list of all panes: per session its oldest pane, which is the one that the
/// session was made with.
pub(super) fn sessions(panes: &str) -> Vec<TmuxSession> {
    let mut oldest: BTreeMap<String, (u64, TmuxSession)> = BTreeMap::new();
    for (id, session) in panes.lines().filter_map(pane) {
        match oldest.get(&session.name) {
            Some((other, _)) if *other < id => {}
            _ => drop(oldest.insert(session.name.clone(), (id, session))),
        }
    }
    oldest.into_values().map(|(_, session)| session).collect()
}

fn pane(line: &str) -> Option<(u64, TmuxSession)> {
    let mut fields = line.splitn(7, ' ');
    let id = fields.next()?.strip_prefix('%')?.parse().ok()?;
    let session = TmuxSession {
        created: fields.next()?.parse().ok()?,
        attached: fields.next()?.parse().ok()?,
        pid: fields.next()?.parse().ok()?,
        dead: fields.next()? == "1",
        windows: fields.next()?.parse().ok()?,
        name: fields.next()?.to_owned(),
    };
    Some((id, session))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_in_every_form() {
        assert_eq!(version("tmux 3.3a"), Some((3, 3)));
        assert_eq!(version("tmux 3.10"), Some((3, 10)));
        assert_eq!(version("tmux next-3.6"), Some((3, 6)));
        assert_eq!(version("tmux 2.9a"), Some((2, 9)));
        assert_eq!(version("tmux master"), None);
        assert_eq!(version(""), None);
    }

    #[test]
    fn a_session_is_its_oldest_pane_whatever_its_name() {
        let text = "%7 100 2 40 0 3 a\n%3 100 2 30 0 3 a\n%1 99 0 20 1 1 two words %9\nnonsense";
        let found = sessions(text);
        assert_eq!(found.len(), 2);
        assert_eq!((found[0].name.as_str(), found[0].pid, found[0].attached), ("a", 30, 2));
        assert_eq!((found[0].windows, found[1].windows), (3, 1));
        assert_eq!((found[1].name.as_str(), found[1].dead), ("two words %9", true));
    }

    #[test]
    fn tmux_gets_nothing_that_it_would_interpret() {
        assert_eq!(argument(OsStr::new("a;")), "a\\;");
        assert_eq!(argument(OsStr::new("a;b")), "a;b");
        assert_eq!(start_directory(Path::new("/a/#(touch x)")), "/");
        assert_eq!(start_directory(Path::new("relative")), "/");
        assert_eq!(start_directory(Path::new("/a b")), "/a b");
    }
}

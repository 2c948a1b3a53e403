//! Paths that only the person's own machine has.

use super::homes::{begins, path_end};

/// Where such paths begin.
const PLACES: [&str; 9] = [
    "/Users/",
    "/opt/homebrew/",
    "/usr/local/Cellar/",
    "/Applications/",
    "/Library/",
    "/System/",
    "/Volumes/",
    "/private/",
    "/var/home/",
];
/// How many of a file are told.
const MOST: usize = 20;

/// The paths in a text that a workspace cannot have.
pub(super) fn paths(text: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for (at, c) in text.char_indices() {
        let rest = text.get(at..).unwrap_or_default();
        let before = text.get(..at).unwrap_or_default();
        let windows = c.is_ascii_alphabetic() && is_drive(rest);
        let is_path = windows || (c == '/' && is_elsewhere(rest));
        if found.len() < MOST && is_path && begins(before) {
            let from = at + if windows { 2 } else { 0 };
            let path = text.get(at..path_end(text, at, from, windows)).unwrap_or_default();
            let path = path.trim_end_matches(['.', '*', '/']).to_owned();
            if !found.contains(&path) {
                found.push(path);
            }
        }
    }
    found
}

fn is_elsewhere(rest: &str) -> bool {
    let mounted = rest.strip_prefix("/mnt/").is_some_and(|rest| {
        let mut characters = rest.chars();
        characters.next().is_some_and(|c| c.is_ascii_alphabetic()) && characters.next() == Some('/')
    });
    let home = rest.strip_prefix("/home/").is_some_and(|rest| {
        let end = rest.find('/').unwrap_or_default();
        end > 0 && rest.get(..end) != Some("dev")
    });
    mounted || home || PLACES.iter().any(|place| rest.starts_with(place))
}

/// `C:\`; `a:/` may be anything.
fn is_drive(rest: &str) -> bool {
    rest.get(1..3) == Some(":\\")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_another_machine_are_found() {
        let text = "/opt/homebrew/bin/gh, '/home/other/a b' C:\\Program\\x https://h/Users/x \
                    /home/dev/a /usr/bin/env server:/Users/x /mnt/c/x";
        assert_eq!(
            paths(text),
            ["/opt/homebrew/bin/gh", "/home/other/a b", "C:\\Program\\x", "/mnt/c/x"]
        );
    }
}

//! Which files in a workspace settings may replace: those that are as they were put there.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{HomePath, Settings};

/// Where a workspace's home says what was put into it, below the home.
pub const RECORD: &str = ".local/state/dwell/settings.json";

/// What identifies a file's content and whether it is a program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Digest(String);

impl Digest {
    /// Of a file.
    pub fn of(content: &[u8], executable: bool) -> Self {
        let mark = if executable { "x" } else { "-" };
        Self(format!("{}{mark}", blake3::hash(content).to_hex()))
    }
}

/// What was put into a home, as it was put there.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The files.
    #[serde(default)]
    pub files: BTreeMap<HomePath, Entry>,
}

/// A file that was put into a home.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// As it was put there.
    pub digest: Digest,
    /// Whether it is a private key.
    #[serde(default)]
    pub private_key: bool,
}

impl Record {
    /// The files that were put there and are not among those that are pushed now.
    pub fn gone<'a>(&'a self, settings: &'a Settings) -> impl Iterator<Item = &'a HomePath> {
        let pushed: BTreeSet<&HomePath> = settings.files.iter().map(|file| &file.path).collect();
        let is_unknown = |path: &HomePath| {
            settings.unknown.iter().any(|place| {
                path.as_str()
                    .strip_prefix(place.as_str())
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            })
        };
        let gone = self.files.iter().filter(move |(path, entry)| {
            !pushed.contains(path) && !is_unknown(path) && (settings.keys || !entry.private_key)
        });
        gone.map(|(path, _)| path)
    }
}

/// What is at a file's place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Present {
    /// Nothing.
    Nothing,
    /// A file.
    File(Digest),
    /// Something else: a link, a directory, a file behind a link.
    Other,
}

/// What becomes of a file in a workspace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema), schema(as = SettingsFate))]
#[serde(rename_all = "snake_case")]
pub enum Fate {
    /// It is new.
    New,
    /// It replaces the one that was put there before, or lines were added.
    Updated,
    /// It is there already.
    Same,
    /// It was changed inside, and stays.
    ChangedInside,
    /// It was removed inside, and stays away.
    RemovedInside,
    /// Something that is no file is in its place, and stays.
    InTheWay,
    /// It is gone, as it is from the person's own machine.
    Removed,
    /// It is gone from the person's own machine, but was changed inside, and stays.
    LeftBehind,
}

impl Fate {
    /// Whether something was done.
    pub fn is_change(self) -> bool {
        matches!(self, Self::New | Self::Updated | Self::Removed)
    }

    /// The words for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Updated => "updated",
            Self::Same => "same",
            Self::ChangedInside => "kept: changed inside",
            Self::RemovedInside => "left out: removed inside",
            Self::InTheWay => "left out: a link or directory is there",
            Self::Removed => "removed",
            Self::LeftBehind => "kept: changed inside, removed here",
        }
    }
}

/// What becomes of a file that is pushed (`None`: it is not any more), by what is there and what
/// was put there last.
pub fn decide(
    pushed: Option<&Digest>,
    present: &Present,
    last: Option<&Digest>,
    force: bool,
) -> Fate {
    match (pushed, present) {
        (Some(_), Present::Nothing) if last.is_some() && !force => Fate::RemovedInside,
        (Some(_), Present::Nothing) => Fate::New,
        (Some(new), Present::File(there)) if new == there => Fate::Same,
        (Some(_), Present::File(there)) if last == Some(there) || force => Fate::Updated,
        (Some(_), Present::File(_)) => Fate::ChangedInside,
        (Some(_), Present::Other) => Fate::InTheWay,
        (None, Present::Nothing) => Fate::Removed,
        (None, Present::File(there)) if last == Some(there) => Fate::Removed,
        (None, _) => Fate::LeftBehind,
    }
}

/// The lines that are there with those that are not; `None` where all are.
pub fn union(there: &str, more: &str) -> Option<String> {
    let known: BTreeSet<&str> = there.lines().map(str::trim).collect();
    let new: Vec<&str> = more.lines().filter(|line| !known.contains(line.trim())).collect();
    if new.is_empty() {
        return None;
    }
    let mut all = there.to_owned();
    if !all.is_empty() && !all.ends_with('\n') {
        all.push('\n');
    }
    all.extend(new.into_iter().flat_map(|line| [line, "\n"]));
    Some(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_put_there_is_replaced() {
        let [a, b, c] = ["a", "b", "c"].map(|text| Digest::of(text.as_bytes(), false));
        let file = |digest: &Digest| Present::File(digest.clone());
        let decided = |pushed, present, last| decide(pushed, &present, last, false);
        assert_eq!(decided(Some(&b), Present::Nothing, None), Fate::New);
        assert_eq!(decided(Some(&b), file(&a), Some(&a)), Fate::Updated);
        assert_eq!(decided(Some(&b), file(&b), Some(&a)), Fate::Same);
        assert_eq!(decided(Some(&b), file(&b), None), Fate::Same);
        assert_eq!(decided(Some(&b), file(&c), Some(&a)), Fate::ChangedInside);
        assert_eq!(decided(Some(&b), file(&c), None), Fate::ChangedInside);
        assert_eq!(decided(Some(&b), Present::Nothing, Some(&a)), Fate::RemovedInside);
        assert_eq!(decided(Some(&b), Present::Other, Some(&a)), Fate::InTheWay);
        assert_eq!(decided(None, file(&a), Some(&a)), Fate::Removed);
        assert_eq!(decided(None, file(&c), Some(&a)), Fate::LeftBehind);
        assert_eq!(decided(None, Present::Other, Some(&a)), Fate::LeftBehind);
        assert_eq!(decide(Some(&b), &file(&c), Some(&a), true), Fate::Updated);
        assert_eq!(decide(Some(&b), &Present::Nothing, Some(&a), true), Fate::New);
        assert_eq!(decide(Some(&b), &Present::Other, None, true), Fate::InTheWay);
        assert_ne!(a, Digest::of(b"a", true));
    }

    #[test]
    fn only_what_is_known_to_be_gone_is_gone() {
        let entry = |private_key| Entry { digest: Digest::of(b"a", false), private_key };
        let files = [("a", false), ("b/c", false), ("bc", false), ("key", true)];
        let files = files.map(|(path, private_key)| (path.parse().unwrap(), entry(private_key)));
        let record = Record { files: files.into_iter().collect() };
        let mut settings = Settings { unknown: vec!["b".to_owned()], ..Settings::default() };
        let gone = |settings: &Settings| {
            record.gone(settings).map(ToString::to_string).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(gone(&settings), "a bc");
        settings.keys = true;
        assert_eq!(gone(&settings), "a bc key");
    }

    #[test]
    fn lines_are_added_once() {
        assert_eq!(union("a\nb", "b\nc\n").as_deref(), Some("a\nb\nc\n"));
        assert_eq!(union("", "a").as_deref(), Some("a\n"));
        assert_eq!(union("c\na\n", "a"), None);
    }
}

//! Gathering a person's settings. Links are followed; what they lead to is judged by where it
//! really is and by what is in it.

use std::collections::BTreeSet;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use dwell_core::settings::{
    FILE_MAX, HomePath, Homes, Kind, Raw, Refusal, TOTAL_MAX, Wanted, further, is_junk,
    private_keys, refuse, wanted,
};
use globset::Glob;

/// How deep directories are gone through, and how many files of one are taken.
const DEEPEST: usize = 8;
const MOST: usize = 2000;

/// A file that is no part of the settings, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOut {
    /// Which, below the home.
    pub path: String,
    /// Why.
    pub why: String,
    /// Whether it could not be read, so that nothing is known of it.
    pub unknown: bool,
}

/// What was gathered.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Collected {
    /// The files, by where they belong.
    pub files: Vec<Raw>,
    /// What was left out.
    pub left_out: Vec<LeftOut>,
}

/// Gathers the settings of the person whose home this is. `variable` gives variables of the
/// person's shell; with `keys` the private keys of ssh are taken as well.
pub fn collect(
    home: &Path,
    homes: &Homes,
    variable: impl Fn(&str) -> Option<String>,
    keys: bool,
) -> Collected {
    let mut gathering =
        Gathering { home, taken: BTreeSet::new(), length: 0, all: Collected::default() };
    let mut queue = wanted(variable);
    queue.reverse();
    while let Some(it) = queue.pop() {
        let before = gathering.all.files.len();
        gathering.want(&it);
        let new = gathering.all.files.get(before..).unwrap_or_default();
        let more: Vec<Wanted> = new.iter().flat_map(|raw| further(raw, homes)).collect();
        queue.extend(more.into_iter().rev());
    }
    if keys {
        gathering.keys();
    }
    gathering.all.files.sort_by(|a, b| a.to.cmp(&b.to));
    gathering.all
}

struct Gathering<'a> {
    home: &'a Path,
    taken: BTreeSet<HomePath>,
    length: usize,
    all: Collected,
}

impl Gathering<'_> {
    fn want(&mut self, it: &Wanted) {
        let place = self.home.join(&it.from);
        let pattern = place.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if it.tree {
            self.tree(&place, &it.to, &mut BTreeSet::new(), 0);
        } else if pattern.contains(['*', '?', '[']) {
            let (Ok(glob), Some(folder)) = (Glob::new(pattern), place.parent()) else { return };
            let matcher = glob.compile_matcher();
            for name in names(folder) {
                if matcher.is_match(&name) && !name.starts_with('.') {
                    self.file(&folder.join(&name), &format!("{}/{name}", it.to), it.kind);
                }
            }
        } else {
            self.file(&place, &it.to, it.kind);
        }
    }

    fn tree(&mut self, place: &Path, to: &str, seen: &mut BTreeSet<PathBuf>, depth: usize) {
        let real = match place.canonicalize() {
            Ok(real) => real,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return,
            Err(error) => return self.leave_out(to, &error.to_string(), true),
        };
        if depth > DEEPEST || seen.len() > MOST {
            return self.leave_out(to, "there is too much in it", true);
        }
        if !real.is_dir() || !seen.insert(real.clone()) {
            return;
        }
        for name in names(&real) {
            if is_junk(&name) {
                continue;
            }
            let (path, to) = (real.join(&name), format!("{to}/{name}"));
            if path.is_dir() {
                self.tree(&path, &to, seen, depth + 1);
            } else {
                self.file(&path, &to, None);
            }
        }
    }

    fn file(&mut self, place: &Path, to: &str, kind: Option<Kind>) {
        let Ok(to) = to.parse::<HomePath>() else {
            return self.leave_out(to, "its name cannot be used there", false);
        };
        if self.taken.contains(&to) {
            return;
        }
        let (real, content, metadata) = match read(place) {
            Ok(Some(read)) => read,
            Ok(None) => return,
            Err(error) => return self.leave_out(to.as_str(), &error.to_string(), true),
        };
        if let Some(refusal) = refuse(&real.to_string_lossy(), &content) {
            let leads = if real.ends_with(to.as_str()) {
                String::new()
            } else {
                format!(" (it leads to {})", real.display())
            };
            return self.leave_out(to.as_str(), &format!("{refusal}{leads}"), false);
        }
        let kind = kind.unwrap_or_else(|| Kind::of(to.as_str()));
        self.take(to, kind, content, &metadata);
    }

    /// The private keys of ssh, and nothing else that is there.
    fn keys(&mut self) {
        let wanted = private_keys();
        let folder = self.home.join(&wanted.to);
        for name in names(&folder) {
            let Ok(to) = format!("{}/{name}", wanted.to).parse::<HomePath>() else { continue };
            let Ok(Some((real, content, metadata))) = read(&folder.join(&name)) else { continue };
            if refuse(&real.to_string_lossy(), &content) == Some(Refusal::PrivateKey) {
                self.take(to, Kind::Text, content, &metadata);
            }
        }
    }

    fn take(&mut self, to: HomePath, kind: Kind, content: Vec<u8>, metadata: &Metadata) {
        if self.length + content.len() > TOTAL_MAX {
            return self.leave_out(to.as_str(), "all settings together are too large", true);
        }
        self.length += content.len();
        self.taken.insert(to.clone());
        let executable = metadata.permissions().mode() & 0o100 != 0;
        self.all.files.push(Raw { to, kind, executable, content });
    }

    fn leave_out(&mut self, path: &str, why: &str, unknown: bool) {
        self.all.left_out.push(LeftOut { path: path.to_owned(), why: why.to_owned(), unknown });
    }
}

/// The names in a directory, in order; none where it is not there.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<String> =
        entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort();
    names
}

/// A regular file behind any links: where it really is, and what is in it; `None` where there is
/// none.
fn read(place: &Path) -> io::Result<Option<(PathBuf, Vec<u8>, Metadata)>> {
    let real = match place.canonicalize() {
        Ok(real) => real,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    if !fs::metadata(&real)?.is_file() {
        return Ok(None);
    }
    // What took its place meanwhile is neither followed nor waited for.
    let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
    let flags = i32::try_from(flags.bits()).unwrap_or_default();
    let file: File = OpenOptions::new().read(true).custom_flags(flags).open(&real)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Ok(None);
    }
    let mut content = Vec::new();
    file.take(FILE_MAX + 1).read_to_end(&mut content)?;
    if u64::try_from(content.len()).is_ok_and(|length| length > FILE_MAX) {
        return Err(io::Error::other("it is larger than 1 MiB"));
    }
    Ok(Some((real, content, metadata)))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    const KEY: &str = "-----BEGIN OPENSSH PRIVATE KEY-----\nabc\n";

    fn gathered(home: &Path, keys: bool) -> Collected {
        let homes = Homes::of(&home.display().to_string(), "x", &[]);
        collect(home, &homes, |_| None, keys)
    }

    fn put(home: &Path, path: &str, text: &str) {
        let place = home.join(path);
        fs::create_dir_all(place.parent().unwrap()).unwrap();
        fs::write(place, text).unwrap();
    }

    #[test]
    fn links_are_followed_unless_they_lead_to_a_secret() {
        let home = tempfile::tempdir().unwrap();
        let home = home.path();
        put(home, "dotfiles/gitconfig", "[include]\npath = ~/dotfiles/work\n");
        put(home, "dotfiles/work", "[user]\nname = x\n");
        put(home, "dotfiles/skills/a/SKILL.md", "a");
        put(home, "dotfiles/skills/a/node_modules/b.js", "b");
        put(home, ".ssh/id_ed25519", KEY);
        put(home, ".ssh/id_ed25519.pub", "ssh-ed25519 AAAA");
        put(home, ".ssh/dwell.conf", "Host *.dwell");
        put(home, ".ssh/config", "Include dwell.conf more/*\n");
        put(home, ".ssh/more/one", "Host a");
        put(home, ".ssh/more/key", KEY);
        put(home, ".claude/.credentials.json", "{}");
        put(home, ".claude/history.jsonl", "{}");
        put(home, ".aws/credentials", "secret");
        symlink(home.join("dotfiles/gitconfig"), home.join(".gitconfig")).unwrap();
        symlink(home.join("dotfiles/skills"), home.join(".claude/skills")).unwrap();
        symlink(home.join("dotfiles/skills"), home.join("dotfiles/skills/loop")).unwrap();
        symlink(home.join(".ssh/id_ed25519"), home.join(".claude/CLAUDE.md")).unwrap();
        symlink(home.join(".aws/credentials"), home.join(".claude/settings.json")).unwrap();
        symlink("/dev/zero", home.join(".claude/keybindings.json")).unwrap();
        symlink(home.join("nowhere"), home.join(".claude/settings.local.json")).unwrap();

        let all = gathered(home, false);
        let paths: Vec<_> = all.files.iter().map(|raw| raw.to.as_str()).collect();
        assert_eq!(
            paths,
            [
                ".claude/skills/a/SKILL.md",
                ".gitconfig",
                ".ssh/config",
                ".ssh/id_ed25519.pub",
                ".ssh/more/one",
                "dotfiles/work"
            ]
        );
        let why: Vec<_> = all.left_out.iter().map(|it| (it.path.as_str(), it.unknown)).collect();
        assert_eq!(
            why,
            [
                (".ssh/more/key", false),
                (".claude/CLAUDE.md", false),
                (".claude/settings.json", false)
            ]
        );
        let keys = gathered(home, true).files;
        assert_eq!(keys.len(), paths.len() + 1);
        assert!(keys.iter().any(|raw| raw.to.as_str() == ".ssh/id_ed25519"));
    }

    #[test]
    fn what_is_too_large_or_cannot_be_read_is_told_as_unknown() {
        let home = tempfile::tempdir().unwrap();
        let home = home.path();
        put(home, ".gitconfig", &"#".repeat((1 << 20) + 1));
        symlink(home.join(".codex/AGENTS.md"), home.join("x")).unwrap();
        fs::create_dir(home.join(".codex")).unwrap();
        symlink("AGENTS.md", home.join(".codex/AGENTS.md")).unwrap();
        let all = gathered(home, false);
        assert!(all.files.is_empty());
        assert!(all.left_out.iter().all(|it| it.unknown), "{:?}", all.left_out);
        assert_eq!(all.left_out.len(), 2);
    }
}

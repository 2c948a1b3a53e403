//! Putting settings in place, in the workspace and as its user.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use dwell_core::settings::{
    Digest, Entry, Fate, File, FileFate, HomePath, Present, Program, PushSettings, PushedSettings,
    RECORD, Record, decide, union,
};

use super::home::{Found, Home};
use crate::mcp;

/// Where git has programs of its own.
const GIT_PROGRAMS: [&str; 2] = ["/usr/lib/git-core", "/usr/libexec/git-core"];

/// Why settings were not put in place.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// A file could not be read or written.
    #[error("{path}: {source}")]
    File {
        /// Which, below the home.
        path: String,
        /// What the system said.
        source: io::Error,
    },
    /// It cannot be recorded what was put there.
    #[error("what was put there cannot be recorded in ~/{RECORD}: {source}")]
    Record {
        /// What the system said.
        source: io::Error,
    },
}

/// Puts settings into a home. What was changed there since the last time stays.
///
/// # Errors
/// When the home cannot be read or written; files that were put there until then are recorded.
pub fn apply(home: &Path, push: &PushSettings) -> Result<PushedSettings, ApplyError> {
    let unrecorded = |source| ApplyError::Record { source };
    let place: HomePath =
        RECORD.parse().map_err(|error| unrecorded(io::Error::other(format!("{error}"))))?;
    let root = Home::open(home).map_err(unrecorded)?;
    let mut record = match root.look(&place).map_err(unrecorded)? {
        Found::File { content, .. } => serde_json::from_slice(&content).unwrap_or_default(),
        Found::Nothing | Found::Other => Record::default(),
    };
    if !push.dry_run {
        root.make_folder(&place).map_err(unrecorded)?;
    }
    let before = record.clone();
    let servers = mcp::Beside::read(&root).map_err(unrecorded)?;
    let mut done = Done { root: &root, record: &mut record, push, servers, files: Vec::new() };
    let ended = done.all(&before);
    let Done { files, servers, .. } = done;
    if !push.dry_run {
        servers.save(&root).map_err(unrecorded)?;
    }
    if record != before && !push.dry_run {
        let text = serde_json::to_vec(&record).map_err(|e| unrecorded(io::Error::other(e)))?;
        root.write(&place, &text, false).map_err(unrecorded)?;
    }
    ended?;
    Ok(PushedSettings { waiting: false, files, missing: missing(home, push) })
}

struct Done<'a> {
    root: &'a Home,
    record: &'a mut Record,
    push: &'a PushSettings,
    /// What dwell wrote into the same files: no change of the person's, and it stays.
    servers: mcp::Beside,
    files: Vec<FileFate>,
}

impl Done<'_> {
    fn all(&mut self, before: &Record) -> Result<(), ApplyError> {
        for file in &self.push.settings.files {
            let fate = self.file(file);
            self.note(&file.path, fate)?;
        }
        let gone: Vec<HomePath> = before.gone(&self.push.settings).cloned().collect();
        for path in gone {
            let fate = self.gone(&path);
            self.note(&path, fate)?;
        }
        self.files.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(())
    }

    fn note(&mut self, path: &HomePath, fate: io::Result<Fate>) -> Result<(), ApplyError> {
        let path = path.to_string();
        let fate = fate.map_err(|source| ApplyError::File { path: path.clone(), source })?;
        self.files.push(FileFate { path, fate });
        Ok(())
    }

    fn file(&mut self, file: &File) -> io::Result<Fate> {
        let found = self.servers.without(&file.path, self.root.look(&file.path)?);
        if file.add_lines {
            return self.lines(file, &found);
        }
        let digest = Digest::of(&file.content, file.executable);
        let last = self.record.files.get(&file.path).map(|entry| &entry.digest);
        let fate = decide(Some(&digest), &present(&found), last, self.push.force);
        if self.push.dry_run {
            return Ok(fate);
        }
        if matches!(fate, Fate::New | Fate::Updated) {
            let content = self.servers.with(&file.path, &file.content);
            self.root.write(&file.path, &content, file.executable)?;
        }
        if matches!(fate, Fate::New | Fate::Updated | Fate::Same) {
            let entry = Entry { digest, private_key: file.private_key };
            self.record.files.insert(file.path.clone(), entry);
        }
        Ok(fate)
    }

    /// Lines that are missing are added; nobody's are taken away.
    fn lines(&self, file: &File, found: &Found) -> io::Result<Fate> {
        let (there, fate) = match found {
            Found::Nothing => (String::new(), Fate::New),
            Found::File { content, .. } => {
                (String::from_utf8_lossy(content).into_owned(), Fate::Updated)
            }
            Found::Other => return Ok(Fate::InTheWay),
        };
        let Some(all) = union(&there, &String::from_utf8_lossy(&file.content)) else {
            return Ok(Fate::Same);
        };
        if !self.push.dry_run {
            self.root.write(&file.path, all.as_bytes(), false)?;
        }
        Ok(fate)
    }

    fn gone(&mut self, path: &HomePath) -> io::Result<Fate> {
        let found = self.servers.without(path, self.root.look(path)?);
        let last = self.record.files.get(path).map(|entry| &entry.digest);
        let fate = decide(None, &present(&found), last, self.push.force);
        if !self.push.dry_run {
            if fate == Fate::Removed {
                match self.servers.alone(path) {
                    Some(content) => self.root.write(path, &content, false)?,
                    None => self.root.remove(path)?,
                }
            }
            self.record.files.remove(path);
        }
        Ok(fate)
    }
}

fn present(found: &Found) -> Present {
    match found {
        Found::Nothing => Present::Nothing,
        Found::File { content, executable } => Present::File(Digest::of(content, *executable)),
        Found::Other => Present::Other,
    }
}

/// The programs that are not there.
fn missing(home: &Path, push: &PushSettings) -> Vec<Program> {
    let pushed: BTreeSet<PathBuf> =
        push.settings.files.iter().map(|file| home.join(file.path.as_str())).collect();
    let search = std::env::var_os("PATH").unwrap_or_default();
    let mut places: Vec<PathBuf> = std::env::split_paths(&search).collect();
    places.push(home.join(".local/bin"));
    places.extend(GIT_PROGRAMS.map(PathBuf::from));
    let is_there = |program: &str| {
        let below = ["~/", "$HOME/", "${HOME}/"].iter().find_map(|at| program.strip_prefix(at));
        match below {
            Some(below) => exists(&home.join(below), &pushed),
            None if program.contains('/') => exists(Path::new(program), &pushed),
            None => places.iter().any(|place| place.join(program).is_file()),
        }
    };
    let all = push.settings.programs.iter();
    all.filter(|it| !is_there(&it.program)).cloned().collect()
}

fn exists(path: &Path, pushed: &BTreeSet<PathBuf>) -> bool {
    path.exists() || pushed.contains(path)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use dwell_core::settings::Settings;

    use super::*;

    fn push(files: &[(&str, &str)]) -> PushSettings {
        let file = |(path, text): &(&str, &str)| File {
            path: path.parse().unwrap(),
            content: text.as_bytes().to_vec(),
            executable: path.ends_with(".sh"),
            add_lines: path.ends_with("known_hosts"),
            private_key: false,
        };
        let settings = Settings { files: files.iter().map(file).collect(), ..Settings::default() };
        PushSettings { settings, ..PushSettings::default() }
    }

    fn fates(home: &Path, push: &PushSettings) -> String {
        let done = apply(home, push).unwrap();
        let told = done.files.iter().map(|it| format!("{} {:?}", it.path, it.fate));
        told.collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn what_is_changed_inside_stays_and_the_rest_follows() {
        let home = tempfile::tempdir().unwrap();
        let home = home.path();
        let first = push(&[("a", "1"), ("b/c.sh", "1"), ("d", "1")]);
        let dry = PushSettings { dry_run: true, ..first.clone() };
        assert_eq!(fates(home, &dry), "a New, b/c.sh New, d New");
        assert_eq!(fs::read_dir(home).unwrap().count(), 0, "a dry run touches nothing");
        assert_eq!(fates(home, &first), "a New, b/c.sh New, d New");
        assert_eq!(fates(home, &first), "a Same, b/c.sh Same, d Same");
        let mode = fs::metadata(home.join("b/c.sh")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
        fs::write(home.join("a"), "mine").unwrap();
        let second = push(&[("a", "2"), ("b/c.sh", "2")]);
        assert_eq!(fates(home, &second), "a ChangedInside, b/c.sh Updated, d Removed");
        assert_eq!(fs::read_to_string(home.join("a")).unwrap(), "mine");
        assert!(!home.join("d").exists());
        let forced = PushSettings { force: true, ..second };
        assert_eq!(fates(home, &forced), "a Updated, b/c.sh Same");
        assert_eq!(fs::read_to_string(home.join("a")).unwrap(), "2");
        fs::remove_file(home.join("a")).unwrap();
        assert_eq!(
            fates(home, &push(&[("a", "3"), ("b/c.sh", "2")])),
            "a RemovedInside, b/c.sh Same"
        );
    }

    #[test]
    fn links_lead_nowhere() {
        let (home, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (home, out) = (home.path(), out.path());
        fs::write(out.join("file"), "theirs").unwrap();
        symlink(out.join("file"), home.join("a")).unwrap();
        symlink(out, home.join("b")).unwrap();
        symlink(out.join("new"), home.join("known_hosts")).unwrap();
        let all = push(&[("a", "1"), ("b/c", "1"), ("known_hosts", "h")]);
        assert_eq!(fates(home, &all), "a InTheWay, b/c InTheWay, known_hosts InTheWay");
        let forced = PushSettings { force: true, ..all };
        assert_eq!(fates(home, &forced), "a InTheWay, b/c InTheWay, known_hosts InTheWay");
        assert_eq!(fs::read_to_string(out.join("file")).unwrap(), "theirs");
        assert_eq!(fs::read_dir(out).unwrap().count(), 1);
    }

    #[test]
    fn a_home_that_cannot_record_is_refused_before_anything_is_written() {
        let home = tempfile::tempdir().unwrap();
        symlink("/tmp", home.path().join(".local")).unwrap();
        assert!(apply(home.path(), &push(&[("a", "1")])).is_err());
        assert!(!home.path().join("a").exists());
    }

    #[test]
    fn known_hosts_come_together() {
        let home = tempfile::tempdir().unwrap();
        let home = home.path();
        assert_eq!(fates(home, &push(&[("known_hosts", "a\n")])), "known_hosts New");
        fs::write(home.join("known_hosts"), "a\nlearned\n").unwrap();
        assert_eq!(fates(home, &push(&[("known_hosts", "a\nb\n")])), "known_hosts Updated");
        assert_eq!(fs::read_to_string(home.join("known_hosts")).unwrap(), "a\nlearned\nb\n");
        assert_eq!(fates(home, &push(&[])), "");
    }

    #[test]
    fn programs_that_are_not_there_are_told() {
        let home = tempfile::tempdir().unwrap();
        let mut push = push(&[("hook.sh", "x")]);
        let programs = ["sh", "/bin/sh", "~/hook.sh", "no-such-program", "~/no", "/no"];
        let program = |it: &str| Program { program: it.to_owned(), file: "f".to_owned() };
        push.settings.programs = programs.map(program).into();
        push.dry_run = true;
        let missing = apply(home.path(), &push).unwrap().missing;
        let told: Vec<_> = missing.iter().map(|it| it.program.as_str()).collect();
        assert_eq!(told, ["no-such-program", "~/no", "/no"]);
    }
}

//! Files that git does not keep but an environment needs: which ones go to another node. Those
//! that look secret go only where a rule or a service names them.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::ffi::OsStr;
use std::fs;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use dwell_core::config::CopyPattern;
use dwell_core::tree::TreePath;
use serde::{Deserialize, Serialize};

use super::beneath::Root;
use super::error::TravelError;
use super::secret::{Secrets, looks_secret};
use crate::git::{Discovered, Git, Repository, split_paths};
use crate::tree::ignore::{self, Ignore};
use crate::tree::notes::Notes;
use crate::tree::walk::{Leave, list};
use crate::tree::{TreeError, on_files, patterns};

/// What is looked for.
#[derive(Debug, Clone, Copy)]
pub struct ExtraRules<'a> {
    /// The root of the source's work tree; of a source without git the directory itself.
    pub root: &'a Path,
    /// The project's directory in it, which patterns are relative to.
    pub directory: &'a TreePath,
    /// What services need, relative to the root: a directory goes with all that it holds.
    pub needed: &'a [TreePath],
    /// Files to send.
    pub include: &'a [CopyPattern],
    /// Files to send though they look secret.
    pub secrets: &'a [CopyPattern],
    /// Files that are never sent.
    pub exclude: &'a [CopyPattern],
}

/// One file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExtraFile {
    /// Its place, relative to the root.
    pub path: TreePath,
    /// Its permissions.
    pub mode: u32,
    /// Whether it looks secret: then only the user may read it there.
    pub secret: bool,
    /// Its size in bytes.
    pub size: u64,
    /// The hash of its content.
    pub hash: String,
}

/// All files that go besides what git keeps.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extra {
    /// The files, in order.
    pub files: Vec<ExtraFile>,
}

/// What was chosen, and what a person should know about it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Chosen {
    /// The files.
    pub extra: Extra,
    /// What became of files that look secret.
    pub secrets: Secrets,
    /// What could not be taken.
    pub notes: Vec<String>,
}

/// Why a file is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Why {
    Pattern,
    Needed,
}

/// Chooses the files. What git keeps or takes into a snapshot is not among them.
///
/// # Errors
/// When git or the file system fails, or a pattern is not understood.
pub async fn choose(rules: ExtraRules<'_>) -> Result<Chosen, TravelError> {
    let repository = match Repository::discover(rules.root).await? {
        Discovered::Repository(repository) if !repository.bare => Some(*repository),
        _ => None,
    };
    let project = rules.directory.below(rules.root);
    let text = fs::read_to_string(project.join(ignore::FILE)).unwrap_or_default();
    let exclude: Vec<&str> = rules.exclude.iter().map(CopyPattern::as_str).collect();
    let (left_out, _) = Ignore::parse(&format!("{text}\n{}", exclude.join("\n")));
    let (never, _) = Ignore::parse(&exclude.join("\n"));
    let mut search = Search {
        root: rules.root.to_owned(),
        project,
        git: repository.as_ref().map(|_| Git::at(rules.root)),
        left_out,
        never,
        notes: Notes::default(),
        secrets: Secrets::default(),
    };
    let needed = search.needed(rules.needed).await?;
    let mut wanted = search.wanted(&rules, needed)?;
    search.drop_kept(&mut wanted).await?;
    search.note_left_out(&wanted).await?;
    search.read(wanted).await
}

/// A search for files in one source.
struct Search {
    root: PathBuf,
    project: PathBuf,
    git: Option<Git>,
    /// What a snapshot leaves out.
    left_out: Ignore,
    /// What nothing may send.
    never: Ignore,
    notes: Notes,
    secrets: Secrets,
}

impl Search {
    /// The files that services need and that do not travel by themselves: what is ignored or left
    /// out, with all that it holds.
    async fn needed(&mut self, needed: &[TreePath]) -> Result<Vec<PathBuf>, TravelError> {
        let inner = needed.iter().filter(|path| path.as_str() != ".");
        let paths: Vec<PathBuf> = inner.map(|path| PathBuf::from(path.as_str())).collect();
        let ignored = self.ignored(&paths).await?;
        let mut found = Vec::new();
        for path in paths {
            let Ok(data) = fs::symlink_metadata(self.root.join(&path)) else { continue };
            let aside = ignored.contains(&path) || self.is_left_out(&path, data.is_dir());
            if data.is_dir() && aside {
                self.below(&path, &mut found)?;
            } else if !data.is_dir() && (aside || looks_secret(&path)) {
                found.push(path);
            }
        }
        Ok(found)
    }

    /// All files that are wanted, with the stronger reason.
    fn wanted(
        &mut self,
        rules: &ExtraRules<'_>,
        needed: Vec<PathBuf>,
    ) -> Result<BTreeMap<PathBuf, Why>, TravelError> {
        let mut all: BTreeMap<PathBuf, Why> =
            needed.into_iter().map(|path| (path, Why::Needed)).collect();
        for (patterns, why) in [(rules.include, Why::Pattern), (rules.secrets, Why::Needed)] {
            for path in self.matching(patterns)? {
                let reason = all.entry(path).or_insert(why);
                *reason = why.max(*reason);
            }
        }
        let mut wanted = BTreeMap::new();
        for (path, why) in all {
            let inside = self.root.join(&path);
            let inside = inside.strip_prefix(&self.project).unwrap_or(&path);
            if self.never.leaves_out_file(inside) {
                if looks_secret(&path) {
                    self.secrets.left_out.push(path.display().to_string());
                }
                self.notes.add(format!("{} is excluded and was not sent", path.display()));
            } else if why == Why::Pattern && looks_secret(&path) {
                self.secrets.left_out.push(path.display().to_string());
            } else {
                wanted.insert(path, why);
            }
        }
        Ok(wanted)
    }

    /// Files of the project that patterns match, relative to the root.
    fn matching(&mut self, patterns: &[CopyPattern]) -> Result<BTreeSet<PathBuf>, TravelError> {
        let (without, with): (Vec<&str>, Vec<&str>) =
            patterns.iter().map(CopyPattern::as_str).partition(|text| text.starts_with('!'));
        let without: Vec<&str> = without.iter().map(|text| text.trim_start_matches('!')).collect();
        let (without, _) = Ignore::parse(&without.join("\n"));
        let prefix = self.project.strip_prefix(&self.root).unwrap_or(Path::new("")).to_owned();
        let mut found = Vec::new();
        for pattern in with {
            for path in patterns::expand(pattern, &self.project)? {
                let full = self.project.join(&path);
                if fs::symlink_metadata(&full).is_ok_and(|data| data.is_dir()) {
                    self.below(&prefix.join(path), &mut found)?;
                } else {
                    found.push(prefix.join(path));
                }
            }
        }
        let inside = |path: &PathBuf| path.strip_prefix(&prefix).unwrap_or(path).to_owned();
        found.retain(|path| !without.leaves_out_file(&inside(path)));
        Ok(found.into_iter().collect())
    }

    /// All that a directory holds, repositories' own files aside.
    fn below(&mut self, directory: &Path, found: &mut Vec<PathBuf>) -> Result<(), TravelError> {
        let listing = list(&self.root, directory, &Leave::default(), &mut self.notes);
        let listing = listing.map_err(|e| TravelError::io(&self.root.join(directory), e))?;
        found.extend(listing.files);
        Ok(())
    }

    fn is_left_out(&self, path: &Path, directory: bool) -> bool {
        let full = self.root.join(path);
        full.strip_prefix(&self.project).is_ok_and(|path| {
            self.left_out.leaves_out_file(path)
                || (directory && self.left_out.leaves_out(path, true))
        })
    }

    /// Those of the paths that git ignores; without git none.
    async fn ignored(&self, paths: &[PathBuf]) -> Result<HashSet<PathBuf>, TravelError> {
        let Some(git) = self.git.as_ref().filter(|_| !paths.is_empty()) else {
            return Ok(HashSet::new());
        };
        let mut input = Vec::new();
        for path in paths {
            input.extend_from_slice(path.as_os_str().as_bytes());
            input.push(0);
        }
        let program = git.program(["check-ignore", "-z", "--stdin"]).input(input);
        let finished = program.finish().await?;
        match finished.code {
            Some(0 | 1) => Ok(split_paths(&finished.stdout).into_iter().collect()),
            _ => Err(program.failed(&finished).into()),
        }
    }

    /// Drops what travels by itself.
    async fn drop_kept(&self, wanted: &mut BTreeMap<PathBuf, Why>) -> Result<(), TravelError> {
        let paths: Vec<PathBuf> = wanted.keys().cloned().collect();
        let ignored = self.ignored(&paths).await?;
        let mut open: Vec<PathBuf> = Vec::new();
        for path in paths.into_iter().filter(|path| !ignored.contains(path)) {
            if self.is_left_out(&path, false) || looks_secret(&path) {
                open.push(path);
            } else {
                wanted.remove(&path);
            }
        }
        let Some(git) = &self.git else { return Ok(()) };
        for some in open.chunks(200) {
            let tracked = git.program(["--literal-pathspecs", "ls-files", "-z", "--cached", "--"]);
            for path in split_paths(&tracked.args(some).run().await?.stdout) {
                wanted.remove(&path);
            }
        }
        Ok(())
    }

    /// Tells of ignored files that look secret and stay. What ignored directories hold is not
    /// looked at.
    async fn note_left_out(&mut self, wanted: &BTreeMap<PathBuf, Why>) -> Result<(), TravelError> {
        let Some(git) = &self.git else { return Ok(()) };
        let list = ["ls-files", "-z", "--others", "--ignored", "--exclude-standard", "--directory"];
        for path in git.paths(list).await? {
            let directory = path.as_os_str().as_bytes().ends_with(b"/");
            if !directory && looks_secret(&path) && !wanted.contains_key(&path) {
                self.secrets.left_out.push(path.display().to_string());
            }
        }
        Ok(())
    }

    /// Looks at the files themselves. Links and special files stay.
    async fn read(mut self, wanted: BTreeMap<PathBuf, Why>) -> Result<Chosen, TravelError> {
        let chosen = on_files(move || {
            let mut files = Vec::new();
            let root = Root::open(&self.root).map_err(|e| TreeError::io(&self.root, e))?;
            for path in wanted.into_keys() {
                match describe(&root, &path) {
                    Ok(file) => files.push(file),
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    Err(error) => {
                        self.notes.add(format!("{} was not sent: {error}", path.display()));
                    }
                }
            }
            let sent = files.iter().filter(|file| file.secret);
            self.secrets.sent.extend(sent.map(|file| file.path.to_string()));
            let secrets = self.secrets.and(Secrets::default());
            Ok(Chosen { extra: Extra { files }, secrets, notes: self.notes.into_vec() })
        });
        Ok(chosen.await?)
    }
}

fn describe(root: &Root, path: &Path) -> io::Result<ExtraFile> {
    let unfit = || io::Error::new(io::ErrorKind::InvalidInput, "its name is not plain text");
    let place = path.to_str().and_then(|text| text.parse().ok()).ok_or_else(unfit)?;
    let mut file = root.spot(path, false)?.read()?;
    let data = file.metadata()?;
    let (size, hash) = hash_of(&mut file)?;
    let secret = looks_secret(path);
    Ok(ExtraFile { path: place, mode: data.mode() & 0o777, secret, size, hash })
}

/// The size and the hash of what is left of a file.
pub(crate) fn hash_of(file: &mut impl Read) -> io::Result<(u64, String)> {
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0; 128 * 1024];
    let mut size = 0;
    loop {
        let length = file.read(&mut buffer)?;
        if length == 0 {
            return Ok((size, hasher.finalize().to_hex().to_string()));
        }
        hasher.update(buffer.get(..length).unwrap_or_default());
        size += length as u64;
    }
}

/// A path as it is in an ignore file of git: exactly this one, from the root.
pub(crate) fn exactly(path: &str) -> String {
    let mut line = String::from("/");
    for character in path.chars() {
        if matches!(character, '\\' | '*' | '?' | '[' | ' ') {
            line.push('\\');
        }
        line.push(character);
    }
    line
}

/// The path as the file system has it.
pub(crate) fn as_path(path: &TreePath) -> &Path {
    Path::new(OsStr::new(path.as_str()))
}

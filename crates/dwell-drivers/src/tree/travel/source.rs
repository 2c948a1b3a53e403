//! The side that has the user's directory: what is to be sent. Nothing of the user's changes:
//! neither repository, index nor work tree.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use dwell_core::tree::TreePath;

use super::error::TravelError;
use super::remark::remarks;
use super::secret::{Secrets, looks_secret};
use super::seen::{self, Seen};
use super::wire::{Identity, Offer};
use crate::git::{Discovered, Git, ObjectFormat, ObjectName, Repository};
use crate::tree::ignore::{self, Ignore};
use crate::tree::snapshot::{Snapshot, private_git};
use crate::tree::{Scratch, TreeError, private_directory};

/// A directory in a git work tree whose content goes to another node.
#[derive(Debug)]
pub struct Source {
    pub(crate) repository: Repository,
    pub(crate) state: PathBuf,
    pub(crate) project: PathBuf,
    pub(crate) exclude: Vec<String>,
}

/// An offer, and what a person should know about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offered {
    /// What is offered.
    pub offer: Offer,
    /// What is not part of it, submodules for instance.
    pub notes: Vec<String>,
    /// Files that look secret: git keeps those that are sent. Untracked ones are left out.
    pub secrets: Secrets,
}

impl Source {
    /// Finds the repository of a project's directory. `state` is a directory of dwell's own for
    /// this environment, where it keeps what it knows of the source; `exclude` are patterns, as in
    /// `.dwellignore`, of files that are not sent unless git tracks them. `None` for a directory
    /// that is in no repository, or of which nothing is tracked in the repository around it.
    ///
    /// # Errors
    /// When the directory does not exist, or git refuses the repository.
    pub async fn open(
        project: &Path,
        state: &Path,
        exclude: &[String],
    ) -> Result<Option<Self>, TravelError> {
        let missing = || TreeError::NoSource { path: project.to_owned() };
        let found = fs::canonicalize(project).ok().filter(|path| path.is_dir());
        let project = found.ok_or_else(missing)?;
        let repository = match Repository::discover(&project).await? {
            Discovered::Repository(repository) => *repository,
            Discovered::Refused(advice) => {
                return Err(TreeError::Refused { path: project, advice }.into());
            }
            Discovered::None => return Ok(None),
        };
        if repository.bare {
            return Err(TreeError::NoSource { path: project }.into());
        }
        if !repository.prefix.as_os_str().is_empty() {
            let tracked = Git::at(&project).run(["ls-files", "-z", "--cached", "--", "."]).await?;
            if tracked.stdout.is_empty() {
                return Ok(None);
            }
        }
        private_directory(state)?;
        let state = fs::canonicalize(state).map_err(|e| TravelError::io(state, e))?;
        Ok(Some(Self { repository, state, project, exclude: exclude.to_vec() }))
    }

    /// The root of its work tree.
    pub fn root(&self) -> &Path {
        &self.repository.root
    }

    /// What the source is now. Cheap where nothing changed since the last time.
    ///
    /// # Errors
    /// When git or the file system fails.
    pub async fn offer(&self) -> Result<Offered, TravelError> {
        if let Some(offered) = seen::recall(self).await? {
            return Ok(offered);
        }
        let seen = Seen::begin(self).await?;
        let repository = Repository { head: self.git().head().await?, ..self.repository.clone() };
        let scratch = Scratch::new(&self.state)?;
        let (rules, bad) = self.rules();
        let leave = |path: &Path| self.leaves_out(&rules, path) || looks_secret(path);
        let (snapshot, others) =
            Snapshot::take_leaving(&repository, &self.state, &scratch, leave).await?;
        let offer = self.describe(&repository, &snapshot.tree).await?;
        let (notes, secrets) = remarks(self, &snapshot, &others, bad).await?;
        let offered = Offered { offer, notes, secrets };
        seen.keep(self, &snapshot.index, &others, &offered)?;
        Ok(offered)
    }

    /// Git in the user's work tree.
    pub(crate) fn git(&self) -> Git {
        self.repository.git()
    }

    /// Git that also sees the snapshots.
    pub(crate) fn private_git(&self) -> Git {
        private_git(&self.repository, &self.state)
    }

    /// The file with the project's own rules of what is not sent.
    pub(crate) fn ignore_file(&self) -> PathBuf {
        self.project.join(ignore::FILE)
    }

    /// The patterns that were given besides that file.
    pub(crate) fn exclude(&self) -> &[String] {
        &self.exclude
    }

    /// The rules of what is not sent, and the lines that are not understood.
    fn rules(&self) -> (Ignore, Vec<String>) {
        let mut text = fs::read_to_string(self.ignore_file()).unwrap_or_default();
        for pattern in &self.exclude {
            text.push('\n');
            text.push_str(pattern);
        }
        Ignore::parse(&text)
    }

    /// Whether an untracked file, relative to the work tree, is not sent.
    fn leaves_out(&self, rules: &Ignore, path: &Path) -> bool {
        let full = self.repository.root.join(path);
        if full.starts_with(&self.state) {
            return true;
        }
        full.strip_prefix(&self.project).is_ok_and(|path| rules.leaves_out_file(path))
    }

    /// A commit that holds a tree, on top of another one. Equal ones are the same commit.
    pub(crate) async fn snapshot(
        &self,
        head: Option<&str>,
        tree: &str,
    ) -> Result<String, TravelError> {
        let mut arguments = vec!["-c", "i18n.commitEncoding=utf-8", "commit-tree", tree];
        arguments.extend(["-m", "snapshot"]);
        if let Some(head) = head {
            arguments.extend(["-p", head]);
        }
        Ok(self.private_git().timeless().line(arguments).await?)
    }

    pub(crate) async fn describe(
        &self,
        repository: &Repository,
        tree: &str,
    ) -> Result<Offer, TravelError> {
        let head = repository.head.as_deref();
        let snapshot = self.snapshot(head, tree).await?;
        let format = match repository.hash_length {
            32 => ObjectFormat::Sha256,
            _ => ObjectFormat::Sha1,
        };
        let unfit = TravelError::Path {
            path: self.project.clone(),
            why: "its name is not plain text in UTF-8",
        };
        Ok(Offer {
            format,
            head: head.map(object).transpose()?,
            snapshot: object(&snapshot)?,
            tree: object(tree)?,
            directory: TreePath::of(&repository.root, &self.project).ok_or(unfit)?,
            shallow: shallow(repository),
            tags: self.tags(head).await?,
            identity: self.identity().await?,
            own: None,
        })
    }

    /// The tags that point into a commit's history.
    pub(crate) async fn tags(
        &self,
        head: Option<&str>,
    ) -> Result<BTreeMap<String, ObjectName>, TravelError> {
        let Some(head) = head else { return Ok(BTreeMap::new()) };
        let merged = format!("--merged={head}");
        let format = "--format=%(objectname) %(refname:strip=2)";
        let listed = self.git().run(["for-each-ref", &merged, format, "refs/tags"]).await?.stdout;
        let tag = |line: &str| {
            let (name, tag) = line.split_once(' ')?;
            Some((tag.to_owned(), name.parse().ok()?))
        };
        Ok(String::from_utf8_lossy(&listed).lines().filter_map(tag).collect())
    }

    async fn identity(&self) -> Result<Option<Identity>, TravelError> {
        let wanted = ["config", "-z", "--get-regexp", r"^user\.(name|email)$"];
        let listed = self.git().program(wanted).finish().await?.stdout;
        let (mut name, mut email) = (String::new(), String::new());
        for entry in String::from_utf8_lossy(&listed).split('\0') {
            match entry.split_once('\n') {
                Some(("user.name", value)) => value.clone_into(&mut name),
                Some(("user.email", value)) => value.clone_into(&mut email),
                _ => {}
            }
        }
        Ok(Identity::new(&name, &email))
    }
}

/// The commits whose parents a repository does not have.
pub(crate) fn shallow(repository: &Repository) -> Vec<ObjectName> {
    let text = fs::read_to_string(repository.common_dir.join("shallow")).unwrap_or_default();
    text.lines().filter_map(|line| line.parse().ok()).collect()
}

/// What git prints as an object's name.
pub(crate) fn object(text: &str) -> Result<ObjectName, TravelError> {
    text.parse().map_err(|error| TravelError::wire(&error))
}

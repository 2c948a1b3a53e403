//! The bare repository of one project on the node that its environments run on. It takes in what
//! other nodes send, whole or not at all, and keeps refs to what is needed: below `refs/dwell/`,
//! for each environment `incoming` (received last), `base` (what its tree was last brought up to),
//! `own` (what it made of that, where its whole tree came) and `stage` (the first part of a large
//! transfer that did not come to its end).

use std::fs;
use std::path::{Path, PathBuf};

use dwell_core::EnvironmentName;

use super::error::TravelError;
use super::source::object;
use super::wire::{Haves, Offer};
use crate::git::{Discovered, Git, ObjectFormat, ObjectName, Repository};
use crate::tree::{TreeError, private_directory};

/// The ref of an environment whose whole tree came: what it made of its source.
pub(crate) const OWN: &str = "own";

/// How many of the commits that are there are told: transfers stay small also with fewer.
const MOST_HAVES: &str = "--count=500";
/// How long a ref that is being changed is waited for, ms.
const PATIENCE: [&str; 4] =
    ["-c", "core.filesRefLockTimeout=10000", "-c", "core.packedRefsTimeout=10000"];

/// A project's repository.
#[derive(Debug, Clone)]
pub struct Store {
    pub(crate) repository: Repository,
    pub(crate) format: ObjectFormat,
}

/// What was received last for an environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Arrived {
    pub(crate) head: Option<String>,
    pub(crate) snapshot: String,
    pub(crate) tree: String,
}

impl Store {
    /// Opens the repository, and makes it where there is none: only for the user, whole or not at
    /// all.
    ///
    /// # Errors
    /// When it names objects in another way than what is to come, or cannot be made.
    pub async fn open(path: &Path, format: ObjectFormat) -> Result<Self, TravelError> {
        if !path.exists() {
            make(path, format).await?;
        }
        let repository = match Repository::discover(path).await? {
            Discovered::Repository(repository) if repository.bare => *repository,
            Discovered::Refused(advice) => {
                return Err(TreeError::Refused { path: path.to_owned(), advice }.into());
            }
            _ => return Err(TravelError::NoRepository { path: path.to_owned() }),
        };
        let has =
            if repository.hash_length == 32 { ObjectFormat::Sha256 } else { ObjectFormat::Sha1 };
        if has != format {
            return Err(TravelError::Format { path: path.to_owned(), has, sent: format });
        }
        super::quarantine::sweep(path);
        Ok(Self { repository, format })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.repository.git_dir
    }

    pub(crate) fn git(&self) -> Git {
        Git::at(self.path())
    }

    /// What is there already, for the side that sends to an environment.
    ///
    /// # Errors
    /// When git fails.
    pub async fn haves(&self, environment: &EnvironmentName) -> Result<Haves, TravelError> {
        let format = "--format=%(objectname)";
        let newest = "--sort=-creatordate";
        let list = ["for-each-ref", MOST_HAVES, newest, format, "refs/dwell", "refs/heads"];
        let text = self.git().line(list).await?;
        let mut commits: Vec<ObjectName> = text.lines().map(object).collect::<Result<_, _>>()?;
        commits.sort();
        commits.dedup();
        let stages: Vec<ObjectName> = self
            .commit_of(environment, "stage")
            .await?
            .as_deref()
            .map(object)
            .transpose()?
            .into_iter()
            .collect();
        commits.retain(|commit| !stages.contains(commit));
        Ok(Haves { commits, stages, nothing_to_do: false })
    }

    /// The commit of one of an environment's refs.
    pub(crate) async fn commit_of(
        &self,
        environment: &EnvironmentName,
        what: &str,
    ) -> Result<Option<String>, TravelError> {
        Ok(self.git().commit(&reference(environment, what)).await?)
    }

    /// What was received last, which has to be what was offered.
    pub(crate) async fn arrived(
        &self,
        environment: &EnvironmentName,
        offer: &Offer,
    ) -> Result<Arrived, TravelError> {
        let incoming = self.commit_of(environment, "incoming").await?;
        match incoming {
            Some(commit) if commit == offer.snapshot.as_str() => {
                self.read_snapshot(&self.git(), &commit).await
            }
            _ => Err(TravelError::NotReceived { commit: offer.snapshot.to_string() }),
        }
    }

    /// A snapshot's parts.
    pub(crate) async fn read_snapshot(
        &self,
        git: &Git,
        commit: &str,
    ) -> Result<Arrived, TravelError> {
        let text = git.line(["show", "--no-patch", "--format=%T %P", commit, "--"]).await?;
        let mut names = text.split_whitespace().map(str::to_owned);
        let (tree, head) = (names.next().unwrap_or_default(), names.next());
        Ok(Arrived { head, snapshot: commit.to_owned(), tree })
    }

    /// Sets (or with an empty commit removes) several of an environment's refs at once.
    pub(crate) async fn set(
        &self,
        environment: &EnvironmentName,
        refs: &[(&str, &str)],
    ) -> Result<(), TravelError> {
        let mut orders = String::new();
        for (what, commit) in refs {
            let name = reference(environment, what);
            let order = if commit.is_empty() { "delete" } else { "update" };
            orders.push_str(format!("{order} {name} {commit}").trim_end());
            orders.push('\n');
        }
        let arguments = PATIENCE.into_iter().chain(["update-ref", "--stdin"]);
        self.git().program(arguments).input(orders).run().await?;
        Ok(())
    }

    /// Sets the tags that differ. A tag that cannot be set, because its name leaves no room for
    /// another one, is told and does no harm.
    pub(crate) async fn set_tags(&self, offer: &Offer) -> Result<Vec<String>, TravelError> {
        if offer.tags.is_empty() {
            return Ok(Vec::new());
        }
        let format = "--format=%(objectname) %(refname:strip=2)";
        let text = self.git().run(["for-each-ref", format, "refs/tags"]).await?.stdout;
        let text = String::from_utf8_lossy(&text);
        let there: std::collections::HashSet<&str> = text.lines().collect();
        let mut orders = String::new();
        for (name, tag) in &offer.tags {
            let plain = !name.contains(|c: char| c.is_whitespace() || c.is_control());
            if plain && !there.contains(format!("{tag} {name}").as_str()) {
                orders.push_str(&format!("update refs/tags/{name} {tag}\n"));
            }
        }
        let update = PATIENCE.into_iter().chain(["update-ref", "--stdin"]);
        match self.git().program(update).input(orders).finish().await? {
            done if done.ok() => Ok(Vec::new()),
            failed => Ok(vec![format!("tags were not set: {}", failed.error_text())]),
        }
    }

    /// Makes commits in the environments carry the name of who works in the source.
    pub(crate) async fn set_identity(&self, offer: &Offer) -> Result<(), TravelError> {
        let Some(identity) = offer.identity.as_ref().filter(|who| who.is_plain()) else {
            return Ok(());
        };
        for (name, value) in [("user.name", &identity.name), ("user.email", &identity.email)] {
            let now = self.git().program(["config", "--local", "--get", name]).finish().await?;
            if now.text() != *value {
                self.git().run(["config", "--local", "--replace-all", name, value]).await?;
            }
        }
        Ok(())
    }

    /// Adds to the commits whose parents are not there. Those that are there are complete.
    pub(crate) async fn add_shallow(&self, offer: &Offer) -> Result<(), TravelError> {
        let file = self.path().join("shallow");
        let mut text = fs::read_to_string(&file).unwrap_or_default();
        let before = text.len();
        for commit in &offer.shallow {
            let known = text.lines().any(|line| line == commit.as_str());
            if !known && self.git().commit(commit.as_str()).await?.is_none() {
                text.push_str(&format!("{commit}\n"));
            }
        }
        if text.len() == before {
            return Ok(());
        }
        let new = self.path().join("shallow.dwell");
        let written = fs::write(&new, text).and_then(|()| fs::rename(&new, &file));
        written.map_err(|error| TravelError::io(&file, error))
    }

    /// Forgets an environment: its refs go. Safe to repeat.
    ///
    /// # Errors
    /// When git fails.
    pub async fn forget(&self, environment: &EnvironmentName) -> Result<(), TravelError> {
        let pattern = format!("refs/dwell/{environment}");
        let listed =
            self.git().line(["for-each-ref", "--format=%(refname:lstrip=3)", &pattern]).await?;
        let refs: Vec<(&str, &str)> = listed.lines().map(|what| (what, "")).collect();
        if refs.is_empty() { Ok(()) } else { self.set(environment, &refs).await }
    }
}

/// One of an environment's refs.
pub(crate) fn reference(environment: &EnvironmentName, what: &str) -> String {
    format!("refs/dwell/{environment}/{what}")
}

/// Makes the repository in a hidden sibling and moves it to its name.
async fn make(path: &Path, format: ObjectFormat) -> Result<(), TravelError> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let parent = parent.unwrap_or(Path::new("."));
    private_directory(parent)?;
    let growing = growing(path)?;
    private_directory(&growing)?;
    let object_format = format!("--object-format={format}");
    let init = ["init", "--quiet", "--bare", "--template=", "--initial-branch=main"];
    let made = Git::at(&growing).run(init.into_iter().chain([object_format.as_str()])).await;
    let placed = made.map_err(TravelError::from).and_then(|_| {
        match fs::rename(&growing, path) {
            // Somebody else was faster.
            Err(_) if path.exists() => Ok(()),
            other => other.map_err(|error| TravelError::io(path, error)),
        }
    });
    let _ = fs::remove_dir_all(&growing);
    placed
}

fn growing(path: &Path) -> Result<PathBuf, TravelError> {
    let mut random = [0; 8];
    let filled = getrandom::fill(&mut random);
    filled.map_err(|error| TravelError::io(path, std::io::Error::other(error)))?;
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(format!(".{:016x}", u64::from_le_bytes(random)));
    Ok(path.with_file_name(name))
}

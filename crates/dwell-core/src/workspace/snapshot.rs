//! What a workspace was: its snapshots, and what it goes back to where replacing its container
//! fails. Each container begins as an image: the workspace's own, or one that was made of another
//! container. Each home is a volume.

use serde::{Deserialize, Serialize};

use super::{Desired, ImageRef, Workspace};
use crate::{Generation, SnapshotName};

/// A copy of a workspace's file system and home.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Its name, unique in its workspace.
    pub name: SnapshotName,
    /// Its number, which is never given twice.
    pub number: u32,
    /// Whether it is being made. That is undone after a crash.
    pub making: bool,
    /// The image that the workspace was made of then.
    pub image: ImageRef,
    /// What the file system takes besides that image, in bytes.
    pub root_bytes: u64,
    /// What the home takes, in bytes.
    pub home_bytes: u64,
    /// When it was made, in microseconds since the Unix epoch.
    pub created: i64,
}

/// A command that makes a file system what is wanted, run again where it begins anew.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema), schema(as = SetupStep))]
pub struct SetupStep {
    /// The command and its arguments.
    pub command: Vec<String>,
    /// Who runs it.
    pub user: String,
}

impl std::fmt::Display for SetupStep {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.command.join(" "))
    }
}

/// What a workspace was before its container was replaced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Before {
    generation: Generation,
    image: ImageRef,
    root: Option<ImageRef>,
    homes: u32,
    desired: Desired,
    slept: bool,
}

impl Workspace {
    /// The repository of images that are made of its containers.
    pub fn images(&self) -> String {
        format!("dwell-ws-{}", self.id)
    }

    /// The image of a snapshot.
    pub fn snapshot_image(&self, number: u32) -> String {
        format!("{}:snapshot-{number}", self.images())
    }

    /// The volume with the home of a snapshot.
    pub fn snapshot_home(&self, number: u32) -> String {
        format!("{}-snapshot-{number}", self.images())
    }

    /// The image that its present container begins as, where that is made of another one's.
    pub fn root_image(&self) -> String {
        format!("{}:root-{}", self.images(), self.generation)
    }

    /// The image that its container begins as.
    pub fn begins_as(&self) -> &ImageRef {
        self.root.as_ref().unwrap_or(&self.image)
    }

    /// A snapshot by its name.
    pub fn snapshot(&self, name: &SnapshotName) -> Option<&Snapshot> {
        self.snapshots.iter().find(|it| it.name == *name && !it.making)
    }

    /// The number of its next snapshot.
    pub fn next_snapshot(&self) -> u32 {
        let last = self.snapshots.iter().map(|it| it.number).max().unwrap_or_default();
        last.max(self.snapshots_made).saturating_add(1)
    }

    /// Begins to replace its container by one of an image; `from` says that it is made of another
    /// container's file system and home, for which both get names of their own.
    pub fn replace(&mut self, image: ImageRef, from: bool) {
        self.before = Some(Before {
            generation: self.generation,
            image: std::mem::replace(&mut self.image, image),
            root: self.root.take(),
            homes: self.homes,
            desired: self.desired,
            slept: self.slept,
        });
        self.generation = self.generation.next();
        self.want(Desired::Running);
        if from {
            self.root = self.root_image().parse().ok();
            self.homes = self.homes.saturating_add(1);
        }
    }

    /// Goes back to what it was. Gives whether there was anything to go back to.
    pub fn go_back(&mut self) -> bool {
        let Some(before) = self.before.take() else { return false };
        self.generation = before.generation;
        self.image = before.image;
        self.root = before.root;
        self.homes = before.homes;
        (self.desired, self.slept) = (before.desired, before.slept);
        true
    }

    /// The containers' names in Docker before and after a replacement, the old one first.
    pub fn old_container(&self) -> Option<String> {
        let before = self.before.as_ref()?;
        Some(Self { generation: before.generation, ..self.clone() }.container())
    }

    /// Whether a volume of it is still of use.
    pub fn uses_volume(&self, volume: &str) -> bool {
        let before = self.before.as_ref().map(|before| before.homes);
        let homes = before.into_iter().chain([self.homes]);
        let mut all = homes.map(|homes| self.home_of(homes)).chain(self.docker_data()).chain(
            self.snapshots.iter().filter(|it| !it.making).map(|it| self.snapshot_home(it.number)),
        );
        all.any(|used| used == volume)
    }

    /// Whether an image that was made of its containers is still of use.
    pub fn uses_image(&self, tag: &str) -> bool {
        let before = self.before.as_ref().and_then(|before| before.root.as_ref());
        let roots = before.into_iter().chain(&self.root);
        roots.into_iter().any(|root| root.as_str() == tag)
            || self.snapshots.iter().any(|it| !it.making && self.snapshot_image(it.number) == tag)
    }
}

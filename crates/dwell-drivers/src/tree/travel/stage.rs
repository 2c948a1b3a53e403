//! The stages of a large first transfer: commits that hold the files of a tree up to some path,
//! each on top of the one before. Equal trees have equal stages.

use std::path::PathBuf;

use super::error::TravelError;
use super::seen;
use super::source::{Source, object};
use super::wire::Offer;
use crate::git::{Git, ObjectName};
use crate::tree::Scratch;

/// A stage ends with the file that brings it to this many files or bytes.
const FILES: usize = 8192;
const BYTES: u64 = 32 * 1024 * 1024;

/// The stages of one tree, made one after the other.
#[derive(Debug)]
pub(crate) struct Stages {
    git: Git,
    index: PathBuf,
    scratch: Scratch,
    /// The files, as git lists them.
    listing: Vec<u8>,
    /// Where the stages begin and end in the listing.
    cuts: Vec<usize>,
    next: usize,
    last: Option<ObjectName>,
}

impl Stages {
    /// Divides the tree of an offer; a small one has no stages.
    pub(crate) async fn plan(source: &Source, offer: &Offer) -> Result<Self, TravelError> {
        let git = source.private_git();
        let list = ["ls-tree", "-r", "-z", "--full-tree", offer.tree.as_str()];
        let listing = git.run(list).await?.stdout;
        let cuts = cuts(&listing, &seen::sizes(source));
        let scratch = Scratch::new(&source.state)?;
        let index = scratch.path().join("stage");
        let git = git.index(&index).timeless();
        Ok(Self { git, index, scratch, listing, cuts, next: 0, last: None })
    }

    /// Goes to the stage after one that the other side has. Where none of ours is that one, all
    /// are still to come.
    pub(crate) async fn resume(&mut self, begun: &[ObjectName]) -> Result<(), TravelError> {
        if begun.is_empty() {
            return Ok(());
        }
        while let Some(commit) = self.next().await? {
            if begun.contains(&commit) {
                return Ok(());
            }
        }
        self.index = self.scratch.path().join("stage-again");
        self.git = self.git.clone().index(&self.index);
        (self.next, self.last) = (0, None);
        Ok(())
    }

    /// Makes the next stage.
    pub(crate) async fn next(&mut self) -> Result<Option<ObjectName>, TravelError> {
        let Some(&end) = self.cuts.get(self.next) else { return Ok(None) };
        let start = self.next.checked_sub(1).and_then(|last| self.cuts.get(last)).copied();
        let files = self.listing.get(start.unwrap_or(0)..end).unwrap_or_default().to_vec();
        self.git.program(["update-index", "-z", "--index-info"]).input(files).run().await?;
        let tree = self.git.line(["write-tree", "--missing-ok"]).await?;
        let mut arguments = vec!["commit-tree", &tree, "-m", "stage"];
        if let Some(last) = &self.last {
            arguments.extend(["-p", last.as_str()]);
        }
        let commit = object(&self.git.line(arguments).await?)?;
        self.next += 1;
        self.last = Some(commit.clone());
        Ok(Some(commit))
    }
}

/// Where stages end in a listing of files of these sizes; sizes that are not known count nothing.
/// What comes after the last one belongs to the end of the transfer. Pure.
fn cuts(listing: &[u8], sizes: &[u64]) -> Vec<usize> {
    let ends = listing.iter().enumerate().filter(|(_, byte)| **byte == 0).map(|(at, _)| at + 1);
    let (mut files, mut bytes) = (0, 0);
    let mut cuts = Vec::new();
    for (number, end) in ends.enumerate() {
        files += 1;
        bytes += sizes.get(number).copied().unwrap_or(0);
        if files >= FILES || bytes >= BYTES {
            cuts.push(end);
            (files, bytes) = (0, 0);
        }
    }
    if cuts.last() == Some(&listing.len()) {
        cuts.pop();
    }
    cuts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stage_ends_by_number_or_by_size() {
        assert!(cuts(b"", &[]).is_empty());
        assert!(cuts(b"a\0b\0c\0", &[1, 2, 3]).is_empty());
        assert_eq!(cuts(b"a\0b\0c\0", &[1, BYTES, 3]), [4]);
        assert!(cuts(b"a\0b\0", &[1, BYTES]).is_empty());
        let many = b"x\0".repeat(2 * FILES + 1);
        assert_eq!(cuts(&many, &[]), [2 * FILES, 4 * FILES]);
    }
}

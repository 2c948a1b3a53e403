//! The sending side of a transfer: only objects that the other side lacks. A large first transfer
//! goes in stages, each a commit with some more of the files: the other side can write the files
//! of one while it gets the next, and does not get them again after an interruption.

use tokio::io::{AsyncWrite, AsyncWriteExt};

use super::error::TravelError;
use super::source::{Source, object};
use super::stage::Stages;
use super::wire::{Haves, Head, Offer, Outgoing, Part, VERSION};
use crate::git::{Git, ObjectName};

/// What was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sent {
    /// Bytes of packed objects.
    pub bytes: u64,
}

impl Source {
    /// Sends what is offered to a side that has these commits already.
    ///
    /// # Errors
    /// [`TravelError::Cut`] when the stream fails; sending again goes on where it stopped.
    pub async fn send<W: AsyncWrite + Unpin + Send>(
        &self,
        offer: &Offer,
        haves: &Haves,
        to: &mut W,
    ) -> Result<Sent, TravelError> {
        let git = self.private_git();
        let mut outgoing = Outgoing(to);
        let head = Head { version: VERSION, what: offer };
        outgoing.line(&head).await.map_err(TravelError::Cut)?;
        let mut sent = Sent::default();
        let mut known = known(&git, &haves.commits).await?;
        if known.is_empty() {
            let begun = self::known(&git, &haves.stages).await?;
            let mut stages = Stages::plan(self, offer).await?;
            stages.resume(&begun).await?;
            known.clone_from(&begun);
            while let Some(commit) = stages.next().await? {
                let revisions = revisions(std::slice::from_ref(&commit), &known);
                sent.bytes += part(&git, &commit, false, &STAGE, revisions, &mut outgoing).await?;
                known.clone_from(&begun);
                known.push(commit);
            }
        }
        let mut wanted = vec![offer.snapshot.clone()];
        wanted.extend(offer.tags.values().cloned());
        wanted.extend(offer.own.iter().map(|own| own.content.clone()));
        let revisions = revisions(&wanted, &known);
        sent.bytes += part(&git, &offer.snapshot, true, &LAST, revisions, &mut outgoing).await?;
        outgoing.0.flush().await.map_err(TravelError::Cut)?;
        Ok(sent)
    }
}

/// How objects are packed. `--shallow` makes git leave out what is in any of the known commits,
/// not only in those next to the wanted ones.
const PACK: [&str; 8] = [
    "-c",
    "pack.compression=1",
    "pack-objects",
    "--revs",
    "--stdout",
    "--thin",
    "--shallow",
    "--delta-base-offset",
];
/// Files of one tree are rarely alike: looking for likeness would take longer than sending them.
const STAGE: [&str; 2] = ["-q", "--window=0"];
const LAST: [&str; 1] = ["-q"];

/// Sends one part.
pub(crate) async fn part<W: AsyncWrite + Unpin + Send>(
    git: &Git,
    commit: &ObjectName,
    last: bool,
    how: &[&str],
    revisions: Vec<u8>,
    outgoing: &mut Outgoing<'_, W>,
) -> Result<u64, TravelError> {
    let line = Part { commit: commit.clone(), last };
    outgoing.line(&line).await.map_err(TravelError::Cut)?;
    let arguments = PACK.iter().chain(how);
    let bytes = git.pour(arguments, revisions, outgoing).await.map_err(TravelError::giving)?;
    outgoing.end().await.map_err(TravelError::Cut)?;
    Ok(bytes)
}

/// What git takes as wanted and known commits.
pub(crate) fn revisions(wanted: &[ObjectName], known: &[ObjectName]) -> Vec<u8> {
    let mut text = String::new();
    for commit in wanted {
        text.push_str(&format!("{commit}\n"));
    }
    text.push_str("--not\n");
    for commit in known {
        text.push_str(&format!("{commit}\n"));
    }
    text.into_bytes()
}

/// Those of the other side's commits that are here too.
pub(crate) async fn known(
    git: &Git,
    commits: &[ObjectName],
) -> Result<Vec<ObjectName>, TravelError> {
    if commits.is_empty() {
        return Ok(Vec::new());
    }
    let input: String = commits.iter().map(|commit| format!("{commit}\n")).collect();
    let check = ["cat-file", "--batch-check=%(objecttype) %(objectname)"];
    let text = git.program(check).input(input).run().await?.text();
    text.lines().filter_map(|line| line.strip_prefix("commit ")).map(object).collect()
}

//! The receiving side of a transfer: parts come in, are checked and kept; a tree may grow from
//! them meanwhile.

use std::path::Path;

use dwell_core::EnvironmentName;
use tokio::io::AsyncRead;
use tokio::sync::mpsc;

use super::error::TravelError;
use super::grow::grow;
use super::quarantine::Quarantine;
use super::store::{OWN, Store};
use super::wire::{Incoming, Offer};

/// What was received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// What was offered, and is there now.
    pub offer: Offer,
    /// What a person should know.
    pub notes: Vec<String>,
}

impl Store {
    /// Receives what [`Source::send`](super::Source::send) sends, up to the end of the transfer.
    /// Until it has come whole and git found nothing wrong with it, nothing is there; of a large
    /// one that is cut off, the parts that came whole stay and are not sent again. With `growing`
    /// the files of a tree that is going to be made at that path are written meanwhile.
    ///
    /// # Errors
    /// [`TravelError::Cut`] when the stream ends early, [`TravelError::Rejected`] when what came
    /// is damaged, incomplete or dangerous, [`TravelError::Full`] when the disk is full.
    pub async fn receive<R: AsyncRead + Unpin + Send>(
        &self,
        environment: &EnvironmentName,
        from: R,
        growing: Option<&Path>,
    ) -> Result<Received, TravelError> {
        let mut incoming = Incoming::new(from);
        let offer: Offer = incoming.head().await?;
        if offer.format != self.format {
            let (path, has) = (self.path().to_owned(), self.format);
            return Err(TravelError::Format { path, has, sent: offer.format });
        }
        let begun = self.commit_of(environment, "stage").await?;
        let (stages, come) = mpsc::unbounded_channel();
        let parts = self.parts(environment, &mut incoming, &offer, stages);
        let (notes, ()) = tokio::try_join!(parts, grow(self, growing, begun, come))?;
        Ok(Received { offer, notes })
    }

    /// Takes in part after part. Dropping `stages` tells that no more follow.
    async fn parts<R: AsyncRead + Unpin + Send>(
        &self,
        environment: &EnvironmentName,
        incoming: &mut Incoming<R>,
        offer: &Offer,
        stages: mpsc::UnboundedSender<String>,
    ) -> Result<Vec<String>, TravelError> {
        loop {
            let part = incoming.part().await?;
            if part.last {
                self.add_shallow(offer).await?;
            }
            let quarantine = Quarantine::new(&self.repository)?;
            quarantine.take(incoming).await?;
            incoming.skip().await.map_err(TravelError::Cut)?;
            if part.last {
                drop(stages);
                return self.complete(environment, offer, quarantine).await;
            }
            let commit = part.commit.as_str();
            quarantine.check(&[commit]).await?;
            quarantine.admit()?;
            self.set(environment, &[("stage", commit)]).await?;
            // Where nothing grows, nobody listens.
            let _ = stages.send(commit.to_owned());
        }
    }

    /// Believes the last part if what was offered is what is there now.
    async fn complete(
        &self,
        environment: &EnvironmentName,
        offer: &Offer,
        quarantine: Quarantine<'_>,
    ) -> Result<Vec<String>, TravelError> {
        let snapshot = offer.snapshot.as_str();
        let mut tips = vec![snapshot];
        tips.extend(offer.tags.values().map(crate::git::ObjectName::as_str));
        let own = offer.own.as_ref().map(|own| own.content.as_str());
        tips.extend(own);
        quarantine.check(&tips).await?;
        let found = self.read_snapshot(&quarantine.git(), snapshot).await?;
        let head = offer.head.as_ref().map(crate::git::ObjectName::as_str);
        if found.tree != offer.tree.as_str() || found.head.as_deref() != head {
            let why = format!("commit {snapshot} is not the snapshot that was offered");
            return Err(TravelError::Rejected { why });
        }
        if let Some(own) = &offer.own {
            own.verify(&quarantine.git()).await?;
        }
        quarantine.admit()?;
        let mut refs = vec![("incoming", snapshot)];
        refs.extend(own.map(|content| (OWN, content)));
        if self.commit_of(environment, "stage").await?.is_some() {
            refs.push(("stage", ""));
        }
        self.set(environment, &refs).await?;
        self.set_identity(offer).await?;
        self.set_tags(offer).await
    }
}

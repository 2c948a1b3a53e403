//! How sources travel to another node, and how work comes back. All functions are one side's;
//! whoever calls them connects the two by a byte stream.
//!
//! The side with the user's directory is a [`Source`]: it makes an [`Offer`] and sends the objects
//! that the other side lacks. The side with the environment has a [`Store`] for each project, a
//! bare repository that receives them; the environment's tree is a worktree of it.

mod apply;
mod beneath;
mod carry;
mod create;
mod error;
mod extra;
mod give;
mod grow;
mod leave;
pub(super) mod plain;
mod quarantine;
mod receive;
pub(super) mod record;
mod remark;
mod rsync;
mod secret;
mod seen;
mod send;
mod settle;
mod source;
mod stage;
mod store;
mod take;
mod wire;

use std::path::Path;

pub use apply::{Applied, Changed, apply, changed, is_current};
pub use carry::{
    ExtraPlace, ReceivedExtra, check_extra, has_extra, missing_extra, receive_extra, send_extra,
};
pub use create::{CreateReceived, create};
pub use error::TravelError;
pub use extra::{Chosen, Extra, ExtraFile, ExtraRules, choose};
pub use give::{Work, give, given};
pub use leave::{format_of, pass};
pub use plain::{
    Needed, PlainOffer, PlainPlace, adopt_plain, create_plain, finish_plain, is_current_plain,
    list_plain, need, offer_plain, waiting_plain,
};
pub use receive::Received;
pub use rsync::{Direction, RemoteShell, fetch, push, serve};
pub use secret::{Secrets, looks_secret};
pub use send::Sent;
pub use settle::{Settle, settle};
pub use source::{Offered, Source};
pub use store::Store;
pub use take::{TakeWork, TakenWork, source_haves, take};
pub use wire::{Haves, Identity, Offer, Own};

use crate::git::index::Stamp;

/// The stamp of a file; `None` where there is none.
fn stamp_of(path: &Path) -> Option<Stamp> {
    rustix::fs::lstat(path).ok().map(|stat| super::copy::stamp(&stat))
}

/// Runs work on files away from the async threads.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, TravelError> + Send + 'static,
) -> Result<T, TravelError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(TravelError::io(Path::new(""), std::io::Error::other(error))),
    }
}

//! Following a session's output as it comes, until its command has ended.

use std::path::PathBuf;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::{Exit, Part, SessionError, SessionState, Sessions, exit, file_error, transcript};
use crate::tmux::TmuxName;

/// How often new output is looked for.
const STEP: Duration = Duration::from_millis(10);

/// How often it is checked that the session is still there.
const LOOK: Duration = Duration::from_secs(1);

/// What happens in a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Output; it begins later than the last one ended where the follower was so slow that the
    /// transcript's limit dropped what was between.
    Output(Part),
    /// The command ended and every byte of its output was given before.
    Ended(Exit),
    /// The session is gone without a word about how it ended.
    Lost,
}

/// A follower of one session.
#[derive(Debug)]
pub struct Follow {
    sessions: Sessions,
    directory: PathBuf,
    name: TmuxName,
    limit: u64,
    at: u64,
    look: Instant,
    over: bool,
}

impl Follow {
    pub(super) fn new(
        sessions: Sessions,
        directory: PathBuf,
        name: TmuxName,
        limit: u64,
        from: u64,
    ) -> Self {
        let look = Instant::now() + LOOK;
        Self { sessions, directory, name, limit, at: from, look, over: false }
    }

    /// Waits for the next event; `None` after [`Event::Ended`] or [`Event::Lost`]. Nothing is lost
    /// when the returned future is dropped.
    pub async fn next(&mut self) -> Result<Option<Event>, SessionError> {
        if self.over {
            return Ok(None);
        }
        let mut lost = false;
        loop {
            // In this order: what is there when the end is on record is all there is.
            let ended = exit(&self.directory)?;
            let part = transcript::read(&self.directory, self.limit, self.at)
                .map_err(|source| file_error(&self.directory, "reading its transcript", source))?;
            if !part.bytes.is_empty() {
                self.at = part.next();
                return Ok(Some(Event::Output(part)));
            }
            if ended.is_some() || lost {
                self.over = true;
                return Ok(Some(ended.map_or(Event::Lost, Event::Ended)));
            }
            if Instant::now() > self.look {
                let state = self.sessions.state(&self.directory, &self.name).await?;
                lost = state == SessionState::Lost;
                self.look = Instant::now() + LOOK;
            } else {
                sleep(STEP).await;
            }
        }
    }
}

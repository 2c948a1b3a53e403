//! What is seen of a workspace's use in passing: commands that run, terminals that are attached,
//! bytes that a person or a client sends.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use dwell_core::WorkspaceId;
use dwell_core::idle::{Phase, Source};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::note;
use crate::node::Node;
use crate::workspace;

/// Bytes are counted together for this long.
const WINDOW: Duration = Duration::from_secs(60);
/// What an ssh connection sends in that time by itself, or for an editor that nobody uses.
const QUIET_SSH: usize = 4096;
/// What any other connection sends in that time to stay open.
const QUIET: usize = 64;
/// The port of a workspace's ssh server.
const SSH: u16 = 22;

/// A command that runs in a workspace, or a terminal that is attached to it, until it is dropped.
pub(crate) struct Busy {
    node: Arc<Node>,
    id: WorkspaceId,
    is_terminal: bool,
}

impl Busy {
    /// One more.
    pub(crate) fn new(node: Arc<Node>, id: WorkspaceId, is_terminal: bool) -> Self {
        let it = Self { node, id, is_terminal };
        it.count(|count| count.saturating_add(1));
        it
    }

    fn count(&self, with: impl FnOnce(usize) -> usize) {
        let source = if self.is_terminal { Source::Attached } else { Source::Task };
        note(&self.node, &self.id, source);
        self.node.track(&self.id, |track| {
            let count = if self.is_terminal { &mut track.attached } else { &mut track.tasks };
            *count = with(*count);
        });
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.count(|count| count.saturating_sub(1));
    }
}

/// Counts what comes from a person or a client.
pub(crate) struct Meter {
    node: Arc<Node>,
    id: WorkspaceId,
    source: Source,
    /// More than this in one window is use.
    quiet: usize,
    volume: usize,
    since: Instant,
}

impl Meter {
    /// Of a terminal, in which each byte is typed.
    pub(crate) fn terminal(node: Arc<Node>, id: WorkspaceId) -> Self {
        Self::new(node, id, Source::Typing, 0)
    }

    /// Of a connection to a port.
    pub(crate) fn port(node: Arc<Node>, id: WorkspaceId, port: u16) -> Self {
        let quiet = if port == SSH { QUIET_SSH } else { QUIET };
        Self::new(node, id, Source::Request, quiet)
    }

    fn new(node: Arc<Node>, id: WorkspaceId, source: Source, quiet: usize) -> Self {
        Self { node, id, source, quiet, volume: 0, since: Instant::now() }
    }

    fn count(&mut self, bytes: usize) {
        if self.since.elapsed() > WINDOW {
            (self.volume, self.since) = (0, Instant::now());
        }
        self.volume = self.volume.saturating_add(bytes);
        if self.volume > self.quiet {
            self.volume = 0;
            note(&self.node, &self.id, self.source);
            self.wake();
        }
    }

    /// What is sent to one that stands still is not to wait until somebody else wakes it.
    fn wake(&self) {
        let phase = self.node.track(&self.id, |track| track.ledger.phase());
        if !matches!(phase, Phase::Frozen | Phase::Held) {
            return;
        }
        let (node, id, source) = (self.node.clone(), self.id.clone(), self.source);
        tokio::spawn(async move {
            let woken = async {
                let it = workspace::find(&node, id.as_str()).await?;
                workspace::awake(&node, it, source).await
            };
            if let Err(problem) = woken.await {
                tracing::warn!(%problem, workspace = %id, "it was not woken by what is sent to it");
            }
        });
    }
}

/// A stream of which what is read from it, or written to it, is counted.
pub(crate) struct Metered<S> {
    pub(crate) stream: S,
    pub(crate) meter: Meter,
}

impl<S: AsyncRead + Unpin> AsyncRead for Metered<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        let bytes = buffer.filled().len() - before;
        if bytes > 0 {
            self.meter.count(bytes);
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Metered<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

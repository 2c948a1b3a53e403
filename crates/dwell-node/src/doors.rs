//! The ways in to the node API: its socket, and the streams that other nodes dial.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::UnixListener;
use tokio::sync::mpsc;

/// A connection of either kind.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// The sender of dialled streams.
pub(crate) type Door = mpsc::Sender<Box<dyn Stream>>;

/// Everything that the API is served on.
pub(crate) struct Doors {
    socket: UnixListener,
    dialled: mpsc::Receiver<Box<dyn Stream>>,
}

impl Doors {
    pub(crate) fn new(socket: UnixListener, dialled: mpsc::Receiver<Box<dyn Stream>>) -> Self {
        Self { socket, dialled }
    }
}

impl axum::serve::Listener for Doors {
    type Io = Box<dyn Stream>;
    type Addr = ();

    async fn accept(&mut self) -> (Self::Io, ()) {
        loop {
            tokio::select! {
                accepted = self.socket.accept() => match accepted {
                    Ok((stream, _)) => return (Box::new(stream), ()),
                    Err(error) => {
                        tracing::warn!(%error, "the socket cannot accept");
                        tokio::time::sleep(Duration::from_millis(50)).await;
                    }
                },
                Some(stream) = self.dialled.recv() => return (stream, ()),
            }
        }
    }

    fn local_addr(&self) -> io::Result<()> {
        Ok(())
    }
}

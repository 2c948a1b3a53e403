//! A port of this machine whose connections are each passed on to what is dialled for them.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// How many connections one port carries at once; more wait in the kernel's queue.
const CONNECTIONS: usize = 4096;
/// The pause after a connection could not be taken.
const PAUSE: Duration = Duration::from_millis(50);

/// Begins to listen; a port that is taken is an error.
///
/// # Errors
/// What the system says.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = std::net::TcpListener::bind(address)?;
    socket.set_nonblocking(true)?;
    TcpListener::from_std(socket)
}

/// Passes connections on for as long as it is polled; they end with it. One for which nothing
/// could be dialled is reset.
pub async fn serve<D, F, S>(listener: TcpListener, dial: D)
where
    D: Fn() -> F,
    F: Future<Output = Option<S>> + Send + 'static,
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        while connections.try_join_next().is_some() {}
        match listener.accept().await {
            Ok((near, _)) => {
                let dialling = dial();
                connections.spawn(async move {
                    pass(near, dialling.await).await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a port cannot accept");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

async fn pass<S: AsyncRead + AsyncWrite + Unpin>(mut near: TcpStream, far: Option<S>) {
    // Without it small pieces are only later.
    let _ = near.set_nodelay(true);
    let passed = match far {
        Some(mut far) => copy_bidirectional(&mut near, &mut far).await.is_ok(),
        None => false,
    };
    if !passed {
        // So that a stream that broke is not taken for one that ended.
        let _ = near.set_zero_linger();
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

    use super::*;

    fn here() -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], 0))
    }

    #[tokio::test]
    async fn each_connection_is_dialled_for_and_ends_as_its_far_end_does() {
        let listener = bind(here()).unwrap();
        let address = listener.local_addr().unwrap();
        assert!(bind(address).is_err(), "a port that is taken");
        let serving = tokio::spawn(serve(listener, || async {
            let (near, mut far) = tokio::io::duplex(64);
            tokio::spawn(async move {
                let mut said = Vec::new();
                far.read_to_end(&mut said).await.unwrap();
                far.write_all(&said).await.unwrap();
            });
            Some(near)
        }));
        for text in ["one", "two"] {
            let mut client = TcpStream::connect(address).await.unwrap();
            client.write_all(text.as_bytes()).await.unwrap();
            client.shutdown().await.unwrap();
            let mut answer = String::new();
            client.read_to_string(&mut answer).await.unwrap();
            assert_eq!(answer, text);
        }
        serving.abort();
    }

    #[tokio::test]
    async fn a_connection_that_leads_nowhere_is_reset() {
        let listener = bind(here()).unwrap();
        let address = listener.local_addr().unwrap();
        let serving = tokio::spawn(serve(listener, || async { None::<DuplexStream> }));
        let mut client = TcpStream::connect(address).await.unwrap();
        let error = client.read_u8().await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
        serving.abort();
    }
}

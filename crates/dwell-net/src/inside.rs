//! The loopback of a container: a process of ours in it connects there for those outside, who ask
//! it by streams over its standard input and output.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

use crate::mux::{self, Arrival, Mux, Reading, Refusal, Settings, Side, Stream, Writing};

/// How long a program inside may take to accept a connection.
const LIMIT: Duration = Duration::from_secs(5);
/// How long the process inside may take to say whether one was.
const ANSWER: Duration = Duration::from_secs(12);

/// Connects for those outside, until they are gone.
pub async fn serve(read: impl Reading, write: impl Writing) {
    let (_mux, mut arrivals) = mux::start(read, write, Side::Answering, Settings::default());
    while let Some(arrival) = arrivals.next().await {
        tokio::spawn(answer(arrival));
    }
}

async fn answer(arrival: Arrival) {
    let head = String::from_utf8_lossy(arrival.head()).into_owned();
    if head.starts_with('/') {
        return match UnixStream::connect(head).await {
            Ok(near) => drop(mux::pump(arrival.accept(), near).await),
            Err(error) => arrival.refuse(Bytes::from(error.to_string())),
        };
    }
    let Ok(port) = head.parse() else {
        return arrival.refuse(Bytes::from_static(b"no such port"));
    };
    match connect(port).await {
        Ok(near) => drop(mux::pump(arrival.accept(), near).await),
        Err(error) => arrival.refuse(Bytes::from(error.to_string())),
    }
}

/// Programs listen on either loopback address, and some on one only.
async fn connect(port: u16) -> io::Result<TcpStream> {
    let one = |address: SocketAddr| async move {
        let late = || io::Error::from(io::ErrorKind::TimedOut);
        timeout(LIMIT, TcpStream::connect(address)).await.unwrap_or_else(|_| Err(late()))
    };
    match one(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).await {
        Ok(stream) => Ok(stream),
        Err(first) => one(SocketAddr::from((Ipv6Addr::LOCALHOST, port))).await.map_err(|_| first),
    }
}

/// The side of those outside of a link to the process inside.
pub fn link(read: impl Reading, write: impl Writing) -> Mux {
    mux::start(read, write, Side::Opening, Settings::default()).0
}

/// Why there is no stream to the inside.
#[derive(Debug, thiserror::Error)]
pub enum InsideError {
    /// The link is over; another may do better.
    #[error("the link to its inside is over")]
    Over,
    /// Nothing takes connections there.
    #[error("{0}")]
    Refused(String),
}

/// A stream to a port of the loopback inside, once it is connected.
///
/// # Errors
/// See [`InsideError`].
pub async fn dial(link: &Mux, port: u16) -> Result<Stream, InsideError> {
    open(link, port.to_string()).await
}

/// A stream to a unix socket inside that the user may use, once it is connected.
///
/// # Errors
/// See [`InsideError`].
pub async fn dial_socket(link: &Mux, path: &str) -> Result<Stream, InsideError> {
    open(link, path.to_owned()).await
}

async fn open(link: &Mux, head: String) -> Result<Stream, InsideError> {
    let stream = link.open(Bytes::from(head)).map_err(|_| InsideError::Over)?;
    match timeout(ANSWER, stream.accepted()).await {
        Ok(Ok(())) => Ok(stream),
        Ok(Err(Refusal::Refused { reason })) => {
            Err(InsideError::Refused(String::from_utf8_lossy(&reason).into_owned()))
        }
        Ok(Err(_)) => Err(InsideError::Over),
        Err(_) => Err(InsideError::Refused("no answer in time".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn either_loopback_is_reached_and_nothing_else() {
        let (near, far) = tokio::io::duplex(4096);
        let (read, write) = tokio::io::split(far);
        let inside = tokio::spawn(serve(read, write));
        let (read, write) = tokio::io::split(near);
        let link = link(read, write);
        for loopback in ["127.0.0.1:0", "[::1]:0"] {
            let listener = TcpListener::bind(loopback).await.unwrap();
            let port = listener.local_addr().unwrap().port();
            let echo = async {
                let (mut stream, _) = listener.accept().await.unwrap();
                let byte = stream.read_u8().await.unwrap();
                stream.write_u8(byte + 1).await.unwrap();
            };
            let client = async {
                let mut stream = dial(&link, port).await.unwrap();
                stream.write_u8(7).await.unwrap();
                assert_eq!(stream.read_u8().await.unwrap(), 8);
            };
            tokio::join!(echo, client);
            drop(listener);
            let refused = dial(&link, port).await.err().unwrap();
            assert!(matches!(&refused, InsideError::Refused(why) if why.contains("refused")));
        }
        drop(link);
        inside.await.unwrap();
    }
}

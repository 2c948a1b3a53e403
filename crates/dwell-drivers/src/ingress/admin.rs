//! Caddy's admin API on its unix socket: one request a connection.

use std::io;
use std::path::Path;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

/// How long Caddy may take for one request. Loading a configuration ends the one before it.
const LIMIT: Duration = Duration::from_secs(20);

/// The most that it may answer, in bytes.
const ANSWER_MAX: u64 = 16 * 1024 * 1024;

/// An answer of the API.
#[derive(Debug)]
pub(super) struct Answer {
    /// The HTTP status.
    pub(super) status: u16,
    /// The body.
    pub(super) body: Vec<u8>,
}

/// Asks, and waits for the whole answer.
pub(super) async fn ask(
    socket: &Path,
    method: &str,
    path: &str,
    body: &[u8],
) -> io::Result<Answer> {
    let asked = async {
        let mut stream = UnixStream::connect(socket).await?;
        // In HTTP/1.0 the answer ends with the connection.
        let head = format!(
            "{method} {path} HTTP/1.0\r\nHost: localhost\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).await?;
        stream.write_all(body).await?;
        let mut answer = Vec::new();
        stream.take(ANSWER_MAX).read_to_end(&mut answer).await?;
        parse(&answer).ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))
    };
    match tokio::time::timeout(LIMIT, asked).await {
        Ok(asked) => asked,
        Err(_) => Err(io::ErrorKind::TimedOut.into()),
    }
}

fn parse(answer: &[u8]) -> Option<Answer> {
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = std::str::from_utf8(answer.get(..end)?).ok()?;
    let status = head.strip_prefix("HTTP/1.")?.split(' ').nth(1)?.parse().ok()?;
    Some(Answer { status, body: answer.get(end + 4..)?.to_vec() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read() {
        let answer = parse(b"HTTP/1.0 400 Bad Request\r\nA: b\r\n\r\n{}").unwrap();
        assert_eq!((answer.status, answer.body.as_slice()), (400, &b"{}"[..]));
        for odd in ["", "HTTP/1.0 200 OK\r\n", "HTTP/2 200\r\n\r\n", "HTTP/1.0 x\r\n\r\n"] {
            assert!(parse(odd.as_bytes()).is_none(), "{odd}");
        }
    }
}

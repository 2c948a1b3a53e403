//! Caddy's administration: one request over its unix socket.

use std::io;
use std::path::Path;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

/// The longest answer that is read, in bytes.
const ANSWER_MAX: u64 = 64 * 1024;

/// Posts JSON, and gives the status and the body.
pub(super) async fn post(
    socket: &Path,
    path: &str,
    body: &[u8],
    limit: Duration,
) -> io::Result<(u16, String)> {
    match tokio::time::timeout(limit, exchange(socket, path, body)).await {
        Ok(answer) => answer,
        Err(_) => Err(io::ErrorKind::TimedOut.into()),
    }
}

async fn exchange(socket: &Path, path: &str, body: &[u8]) -> io::Result<(u16, String)> {
    let mut stream = UnixStream::connect(socket).await?;
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
         content-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body).await?;
    let mut answer = Vec::new();
    stream.take(ANSWER_MAX).read_to_end(&mut answer).await?;
    parse(&String::from_utf8_lossy(&answer)).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// The status of an answer and its body.
fn parse(answer: &str) -> Option<(u16, String)> {
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.split_ascii_whitespace().nth(1)?.parse().ok()?;
    Some((status, body.trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_a_status_and_a_body() {
        let answer = "HTTP/1.1 400 Bad Request\r\ncontent-length: 4\r\n\r\nno!\n";
        assert_eq!(parse(answer), Some((400, "no!".to_owned())));
        assert_eq!(parse("HTTP/1.1 200 OK\r\n\r\n"), Some((200, String::new())));
        for odd in ["", "HTTP/1.1\r\n\r\n", "HTTP/1.1 x\r\n\r\n", "no"] {
            assert_eq!(parse(odd), None, "{odd}");
        }
    }
}

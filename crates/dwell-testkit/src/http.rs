//! HTTP spoken by hand over any stream, so that a client's kindness hides nothing.

use std::io::{Read, Write};

/// Sends one request (`headers` without the last empty line) and reads until the far end closes.
/// Gives the status and the whole response.
#[track_caller]
pub fn http(mut stream: impl Read + Write, head: &str, body: &str) -> (u16, String) {
    let length = body.len();
    let request = format!(
        "{}\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}",
        head.replace('\n', "\r\n")
    );
    stream.write_all(request.as_bytes()).expect("the request can be sent");
    let mut response = Vec::new();
    stream.read_to_end(&mut response).expect("the response can be read");
    let text = String::from_utf8_lossy(&response).into_owned();
    let status = text.split(' ').nth(1).and_then(|status| status.parse().ok());
    (status.unwrap_or_default(), text)
}

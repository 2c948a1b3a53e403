//! One request a connection, each in a thread of its own.

use std::io::{BufRead, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};

use super::{Part, chat, gemini, messages, orders, responses};

/// What stands last among what was asked once the server is to end.
pub(super) const END: &str = "\0";
const LIMIT: Duration = Duration::from_secs(60);

/// Answers until it is to end.
pub(super) fn serve(listener: &TcpListener, asked: &Arc<Mutex<Vec<String>>>) {
    while let Ok((stream, _)) = listener.accept() {
        let log = asked.lock().unwrap_or_else(PoisonError::into_inner);
        if log.last().is_some_and(|last| last == END) {
            return;
        }
        drop(log);
        let asked = asked.clone();
        std::thread::spawn(move || answer(&stream, &asked));
    }
}

/// An answer: its type and its body.
pub(super) struct Answer {
    pub(super) kind: &'static str,
    pub(super) body: String,
}

impl Answer {
    pub(super) fn json(value: &Value) -> Self {
        Self { kind: "application/json", body: value.to_string() }
    }

    /// Events with their names before them.
    pub(super) fn events(events: &[Value]) -> Self {
        let line = |event: &Value| {
            let name = event["type"].as_str().unwrap_or_default();
            format!("event: {name}\ndata: {event}\n\n")
        };
        Self { kind: "text/event-stream", body: events.iter().map(line).collect() }
    }
}

type Read = fn(&Value) -> Vec<Part>;
type Speak = fn(&Value, &[Part]) -> Answer;

fn answer(stream: &TcpStream, asked: &Mutex<Vec<String>>) -> Option<()> {
    stream.set_read_timeout(Some(LIMIT)).ok()?;
    let (path, body) = request(stream)?;
    let path = path.split('?').next()?;
    let (read, speak): (Read, Speak) = match path {
        "/v1/messages" => (messages::read, messages::answer),
        "/v1/chat/completions" => (chat::read, chat::answer),
        "/v1/responses" => (responses::read, responses::answer),
        path if path.ends_with(":generateContent") => {
            (gemini::read, |body, parts| gemini::answer(body, parts, false))
        }
        path if path.ends_with(":streamGenerateContent") => {
            (gemini::read, |body, parts| gemini::answer(body, parts, true))
        }
        _ => (|_| Vec::new(), |_, _| Answer::json(&json!({ "data": [], "input_tokens": 1 }))),
    };
    let conversation = read(&body);
    let last = orders(&conversation).pop();
    asked.lock().unwrap_or_else(PoisonError::into_inner).extend(last);
    let Answer { kind, body } = speak(&body, &conversation);
    let length = body.len();
    let mut out = stream;
    write!(
        out,
        "HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\n\
         connection: close\r\n\r\n{body}"
    )
    .ok()
}

/// The path and the body of a request.
fn request(stream: &TcpStream) -> Option<(String, Value)> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let path = line.split(' ').nth(1)?.to_owned();
    let mut length = 0;
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).ok()?;
        let header = header.trim().to_ascii_lowercase();
        if header.is_empty() {
            break;
        }
        if let Some(value) = header.strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some((path, serde_json::from_slice(&body).unwrap_or(Value::Null)))
}

//! A model server that real coding agents talk to: it does what the prompt says, word by word. It
//! speaks what Anthropic's, OpenAI's and Google's servers speak, as far as Claude Code, Codex,
//! OpenCode, Aider and Gemini CLI need it.
//!
//! A line `MODEL write <file> <text>` of a prompt has the agent write the file with its own tools,
//! `MODEL tool <name> <json>` has it call a tool and say what came back, `MODEL recall` has it say which such lines the conversation has had before.
#![allow(clippy::indexing_slicing, reason = "what is not in a JSON value is null")]

mod chat;
mod gemini;
mod messages;
mod responses;
mod serve;

use std::net::{IpAddr, SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;

/// What begins a line that the model follows.
const MARK: &str = "MODEL ";

/// The server, until it is dropped.
pub struct ModelServer {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
}

impl ModelServer {
    /// Listens at an address of this machine, at a port of the system's choice.
    pub fn at(address: IpAddr) -> Self {
        let listener = TcpListener::bind((address, 0)).expect("the model server listens");
        let address = listener.local_addr().expect("it has an address");
        let asked = Arc::default();
        let server = Self { address, asked };
        let asked = server.asked.clone();
        std::thread::spawn(move || serve::serve(&listener, &asked));
        server
    }

    /// Its base URL, without a path.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The lines that it was told to follow, in order, as often as it was asked.
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for ModelServer {
    fn drop(&mut self) {
        // The thread sees that it is to end.
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).push(serve::END.to_owned());
        let _ = std::net::TcpStream::connect(self.address);
    }
}

/// What the model does next.
#[derive(Debug, PartialEq, Eq)]
enum Turn {
    /// It writes a file.
    Write { file: String, text: String },
    /// It calls a tool.
    Call { name: String, input: Value },
    /// It says something, and its turn is over.
    Say(String),
}

/// What happened in a conversation, as far as the model looks at it.
#[derive(Debug, PartialEq, Eq)]
enum Part {
    /// The person said this.
    Said(String),
    /// A tool did what the model asked for, and said this.
    Done(String),
}

/// The lines that the model follows, in a conversation's order. OpenCode quotes its prompt.
fn orders(conversation: &[Part]) -> Vec<String> {
    let said = conversation.iter().filter_map(|part| match part {
        Part::Said(text) => Some(text),
        Part::Done(_) => None,
    });
    said.flat_map(|text| text.lines())
        .filter_map(|line| line.trim().trim_matches('"').strip_prefix(MARK).map(str::to_owned))
        .collect()
}

/// The next turn in a conversation.
fn next(conversation: &[Part]) -> Turn {
    let orders = orders(conversation);
    let Some((order, before)) = orders.split_last() else { return Turn::Say("hello".to_owned()) };
    let since = conversation
        .iter()
        .rev()
        .take_while(|part| !matches!(part, Part::Said(text) if text.contains(MARK)));
    let done = since.filter_map(|part| match part {
        Part::Done(said) => Some(said),
        Part::Said(_) => None,
    });
    let done = done.last();
    let is_done = done.is_some();
    match order.splitn(3, ' ').collect::<Vec<_>>().as_slice() {
        ["write", file, text] if !is_done => {
            Turn::Write { file: (*file).to_owned(), text: (*text).to_owned() }
        }
        ["tool", name, input] => match done {
            Some(said) => Turn::Say(format!("said: {said}")),
            None => Turn::Call {
                name: (*name).to_owned(),
                input: serde_json::from_str(input).expect("the input of a tool is JSON"),
            },
        },
        ["write", file, _] => Turn::Say(format!("wrote {file}")),
        ["recall", ..] => Turn::Say(format!("before: {}", before.join("; "))),
        _ => Turn::Say(format!("not understood: {order}")),
    }
}

/// The texts in a message's content, which is a text or a list of pieces.
fn texts(content: &Value) -> Vec<String> {
    match content {
        Value::String(text) => vec![text.clone()],
        Value::Array(pieces) => {
            pieces.iter().filter_map(|piece| piece["text"].as_str().map(str::to_owned)).collect()
        }
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(text: &str) -> Part {
        Part::Said(text.to_owned())
    }

    #[test]
    fn it_writes_once_and_recalls_what_was_before() {
        let write = said("Please:\nMODEL write notes.txt two words");
        let turn = Turn::Write { file: "notes.txt".to_owned(), text: "two words".to_owned() };
        assert_eq!(next(std::slice::from_ref(&write)), turn);
        let after = vec![write, Part::Done("ok".to_owned())];
        assert_eq!(next(&after), Turn::Say("wrote notes.txt".to_owned()));
        let recalled: Vec<Part> = after.into_iter().chain([said("MODEL recall")]).collect();
        assert_eq!(next(&recalled), Turn::Say("before: write notes.txt two words".to_owned()));
        let call = said(r#"MODEL tool add {"a": "b c"}"#);
        let turn = Turn::Call { name: "add".to_owned(), input: serde_json::json!({ "a": "b c" }) };
        assert_eq!(next(std::slice::from_ref(&call)), turn);
        let after = [call, Part::Done("3".to_owned())];
        assert_eq!(next(&after), Turn::Say("said: 3".to_owned()));
        assert_eq!(next(&[said("a title, please")]), Turn::Say("hello".to_owned()));
    }
}

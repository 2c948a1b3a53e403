//! A node of one test: a unix socket, answers by path, and a record of what was asked.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tempfile::TempDir;

/// One request as it came.
#[derive(Debug, Clone)]
pub struct Request {
    pub method: String,
    pub path: String,
    pub query: String,
    pub key: Option<String>,
    pub body: Value,
}

/// What the node answers.
pub enum Reply {
    /// A status and a JSON body.
    Json(u16, Value),
    /// Lines of JSON, then the end.
    Lines(Vec<Value>),
    /// Raw bytes as a body, then the end.
    Bytes(Vec<u8>),
    /// A conversation on the connection itself.
    Talk(Box<dyn FnOnce(&mut UnixStream) + Send>),
}

impl Reply {
    /// An answer that went well.
    pub fn ok(value: Value) -> Self {
        Self::Json(200, value)
    }

    /// A problem.
    pub fn problem(status: u16, code: &str, message: &str) -> Self {
        Self::Json(status, json!({ "error": { "code": code, "message": message } }))
    }
}

type Answers = dyn Fn(&Request) -> Reply + Send + Sync;

/// The node and the directories that lead the binary to it.
pub struct Node {
    home: TempDir,
    requests: Arc<Mutex<Vec<Request>>>,
}

impl Node {
    /// A home without a node.
    pub fn absent() -> Self {
        let home = TempDir::with_prefix("dw").unwrap();
        std::fs::create_dir_all(home.path().join("work")).unwrap();
        Self { home, requests: Arc::default() }
    }

    /// A node that answers so.
    pub fn new(answers: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        let node = Self::absent();
        node.listen(answers);
        node
    }

    /// Begins to answer.
    pub fn listen(&self, answers: impl Fn(&Request) -> Reply + Send + Sync + 'static) {
        std::fs::create_dir_all(self.home.path().join("run")).unwrap();
        let listener = UnixListener::bind(self.home.path().join("run/node.sock")).unwrap();
        let (requests, answers): (_, Arc<Answers>) = (self.requests.clone(), Arc::new(answers));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (requests, answers) = (requests.clone(), answers.clone());
                std::thread::spawn(move || serve(stream.unwrap(), &requests, &*answers));
            }
        });
    }

    /// The directory that holds everything of the test.
    pub fn home(&self) -> PathBuf {
        self.home.path().canonicalize().unwrap()
    }

    /// The directory that commands run in.
    pub fn work(&self) -> PathBuf {
        self.home().join("work")
    }

    /// Everything that was asked so far.
    pub fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }

    /// What was asked of a path that ends so.
    pub fn asked(&self, end: &str) -> Vec<Request> {
        self.requests().into_iter().filter(|request| request.path.ends_with(end)).collect()
    }

    /// The binary with these words, in a clean environment.
    pub fn command(&self, words: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dwell"));
        command.args(words.split_whitespace()).env_clear();
        command.env("PATH", std::env::var_os("PATH").unwrap());
        command.env("HOME", self.home()).env("DWELL_HOME", self.home());
        command.current_dir(self.work()).stdin(Stdio::null());
        command
    }

    /// Runs the binary to its end.
    pub fn run(&self, words: &str) -> Ran {
        Ran::from(self.command(words).output().unwrap())
    }
}

/// What a run of the binary left.
#[derive(Debug)]
pub struct Ran {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

fn serve(mut stream: UnixStream, requests: &Mutex<Vec<Request>>, answers: &Answers) {
    while let Some(request) = read(&mut stream) {
        requests.lock().unwrap().push(request.clone());
        match answers(&request) {
            Reply::Json(status, value) => {
                let body = value.to_string();
                let head = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\n\r\n", body.len());
                send(&mut stream, &(head + &body));
            }
            Reply::Lines(lines) => {
                let body: String = lines.iter().map(|line| format!("{line}\n")).collect();
                stream_body(&mut stream, body.as_bytes());
            }
            Reply::Bytes(bytes) => stream_body(&mut stream, &bytes),
            Reply::Talk(talk) => return talk(&mut stream),
        }
    }
}

fn stream_body(stream: &mut UnixStream, body: &[u8]) {
    send(stream, "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n");
    if !body.is_empty() {
        chunk(stream, body);
    }
    send(stream, "0\r\n\r\n");
}

/// Sends one chunk of a body.
pub fn chunk(stream: &mut UnixStream, bytes: &[u8]) {
    send(stream, &format!("{:x}\r\n", bytes.len()));
    // The binary may have left already, which the test sees by itself.
    let _ = stream.write_all(bytes);
    send(stream, "\r\n");
}

/// Sends text as it is.
pub fn send(stream: &mut UnixStream, text: &str) {
    let _ = stream.write_all(text.as_bytes());
}

fn read(stream: &mut UnixStream) -> Option<Request> {
    // Byte by byte, so that nothing after the request is taken from what follows it.
    let mut head = BufReader::with_capacity(1, stream);
    let mut first = String::new();
    head.read_line(&mut first).ok().filter(|count| *count > 0)?;
    let mut words = first.split_whitespace();
    let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
    let (mut length, mut key) = (0, None);
    loop {
        let mut line = String::new();
        head.read_line(&mut line).ok()?;
        match line.trim_end().split_once(": ") {
            Some(("content-length", value)) => length = value.parse().ok()?,
            Some(("idempotency-key", value)) => key = Some(value.to_owned()),
            Some(_) => {}
            None => break,
        }
    }
    let mut body = vec![0; length];
    head.read_exact(&mut body).ok()?;
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    Some(Request {
        method,
        path: path.to_owned(),
        query: query.to_owned(),
        key,
        body: serde_json::from_slice(&body).unwrap_or(Value::Null),
    })
}

/// An environment as the node would answer it.
pub fn environment(name: &str, project: &str, work: &std::path::Path) -> Value {
    json!({
        "id": "aaaaaaaaaa", "name": name, "project": project, "source": work,
        "tree": work.join(format!(".trees/{name}")), "directory": work, "tree_kind": "worktree",
        "branch": format!("dwell/{name}"), "suffix": "test", "generation": 1,
        "desired": "running", "status": "running", "sessions": 0, "created": 0,
        "subnets": ["10.224.0.0/28"], "url": format!("http://{project}.{name}.test"),
        "services": [{
            "name": "web", "role": "isolated", "state": "running", "replicas": [1, 1],
            "addresses": ["10.224.0.2"], "ports": ["80/tcp"],
            "names": [format!("web.{name}.test")], "url": format!("http://web.{name}.test"),
            "ingress": true
        }]
    })
}

/// A session as the node would answer it.
pub fn session(name: &str, status: &str, exit_code: Option<i32>, attach: &[&str]) -> Value {
    json!({
        "name": name, "environment": "aaaaaaaaaa", "environment_name": "a1", "project": "shop",
        "command": [name], "directory": "/", "status": status, "exit_code": exit_code,
        "attached": 0, "started": 0, "attach": attach
    })
}

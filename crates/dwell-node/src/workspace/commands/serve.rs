//! The side inside: a process of ours, as root, that starts a command for every connection of the
//! node. Nobody inside is answered: what a command may do follows from who connects.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::os::fd::AsFd;
use std::os::unix::net::UnixListener as Listener;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use dwell_api::exec::Frame;
use dwell_api::{Code, Problem};
use dwell_drivers::command::{self, MISSING, Spec};
use dwell_drivers::identity::Identity;
use dwell_drivers::process::ProcessError;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use super::{GREETING, REQUEST_MAX, Request};

/// The most commands at a time; others wait for one to end.
const COMMANDS: u32 = 4096;
/// How long the node may take to say what it wants.
const PATIENCE: Duration = Duration::from_secs(5);
/// The pause after no connection could be taken.
const PAUSE: Duration = Duration::from_millis(20);
/// How long commands may take to be told as ended, once all are to end.
const FAREWELL: Duration = Duration::from_secs(1);
/// What a terminal is taken for where nobody says.
const TERM: &str = "xterm";
/// Exit codes as shells and engines have them.
const NOT_FOUND: i32 = 127;
const NOT_STARTED: i32 = 126;

/// Starts commands for who connects to the socket on standard input, until it is told to end.
///
/// # Errors
/// When there is no such socket, or signals cannot be had.
pub async fn serve() -> Result<(), Problem> {
    let failed = |e: io::Error| Problem::new(Code::State, format!("commands are not started: {e}"));
    let listener = io::stdin().as_fd().try_clone_to_owned().map_err(failed)?;
    let listener = UnixListener::from_std(Listener::from(listener)).map_err(failed)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let mut hangup = signal(SignalKind::hangup()).map_err(failed)?;
    let places = Arc::new(Semaphore::new(COMMANDS as usize));
    let around =
        Arc::new(Around::new(std::env::vars_os().filter_map(|(name, value)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        })));
    loop {
        let next = async {
            let place = places.clone().acquire_owned().await;
            (place, listener.accept().await)
        };
        tokio::select! {
            (place, accepted) = next => match accepted {
                Ok((stream, _)) => {
                    let around = around.clone();
                    tokio::spawn(async move {
                        // What goes wrong is for the other end to see.
                        let _ = answer(stream, &around).await;
                        drop(place);
                    });
                }
                Err(_) => sleep(PAUSE).await,
            },
            _ = hangup.recv() => {}
            _ = terminate.recv() => break,
        }
    }
    let _ = timeout(FAREWELL, places.acquire_many(COMMANDS)).await;
    Ok(())
}

async fn answer(mut stream: UnixStream, around: &Around) -> io::Result<()> {
    // The node is outside of our space of processes, where it has no number.
    if stream.peer_cred()?.pid() != Some(0) {
        return Ok(());
    }
    stream.write_all(GREETING).await?;
    let request = timeout(PATIENCE, read(&mut stream)).await;
    let request = request.unwrap_or_else(|_| Err(ErrorKind::TimedOut.into()))?;
    match start(request, around) {
        Ok((running, spec)) => crate::command::talk(stream, running, true, &spec.directory).await,
        Err(refused) => {
            let mut wire = BytesMut::new();
            Frame::Stderr(Bytes::from(format!("{}\n", refused.why))).encode(&mut wire);
            Frame::Exit(refused.code).encode(&mut wire);
            stream.write_all(&wire).await?;
        }
    }
    Ok(())
}

async fn read(stream: &mut UnixStream) -> io::Result<Request> {
    let length = stream.read_u32().await?;
    if length > REQUEST_MAX {
        return Err(ErrorKind::InvalidData.into());
    }
    let mut body = Vec::new();
    stream.take(u64::from(length)).read_to_end(&mut body).await?;
    Ok(serde_json::from_slice(&body)?)
}

/// Why a command was not started.
struct Refused {
    code: i32,
    why: String,
}

fn start(request: Request, around: &Around) -> Result<(command::Running, Spec), Refused> {
    let refused = |code, why: String| Refused { code, why };
    let user = request.user.as_deref().unwrap_or_default();
    let identity =
        Identity::find(user).map_err(|error| refused(NOT_STARTED, format!("dwell: {error}")))?;
    let spec = around.spec(request, identity);
    match command::start(&spec) {
        Ok(running) => Ok((running, spec)),
        Err(ProcessError::Missing { program }) => {
            Err(refused(NOT_FOUND, format!("{MISSING}{program}`")))
        }
        Err(ProcessError::Io { source, .. }) if !spec.directory.is_dir() => {
            let directory = spec.directory.display();
            Err(refused(NOT_STARTED, format!("dwell: no directory `{directory}`: {source}")))
        }
        Err(error) => Err(refused(NOT_STARTED, format!("dwell: {error}"))),
    }
}

/// What the first process has around it, as the engine gave it.
struct Around(BTreeMap<String, String>);

impl Around {
    /// The engine sets `HOME` to what the accounts tell, where the image does not say.
    fn new(variables: impl Iterator<Item = (String, String)>) -> Self {
        let mut all: BTreeMap<_, _> = variables.collect();
        let of_root = Identity::find("0").map(|root| root.home().to_owned());
        if all.get("HOME") == of_root.as_ref().ok() {
            all.remove("HOME");
        }
        Self(all)
    }

    fn spec(&self, request: Request, identity: Identity) -> Spec {
        let mut variables = self.0.clone();
        if request.terminal.is_some() {
            variables.entry("TERM".to_owned()).or_insert_with(|| TERM.to_owned());
        }
        variables.entry("HOME".to_owned()).or_insert_with(|| identity.home().to_owned());
        let given = request.variables.iter().filter_map(|variable| variable.split_once('='));
        variables.extend(given.map(|(name, value)| (name.to_owned(), value.to_owned())));
        Spec {
            argv: request.command,
            directory: PathBuf::from(request.directory.unwrap_or_else(|| "/".to_owned())),
            variables: variables.into_iter().collect(),
            terminal: request.terminal,
            identity: Some(identity),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_comes_before_what_is_around() {
        let pairs = |all: &[(&str, &str)]| {
            all.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect::<Vec<_>>()
        };
        let root = Identity::find("0").unwrap();
        let around = [("HOME", root.home()), ("PATH", "/bin"), ("A", "1")];
        let around = Around::new(pairs(&around).into_iter());
        let request = |terminal| Request {
            command: vec!["env".to_owned()],
            terminal,
            variables: vec!["A=2=3".to_owned(), "none".to_owned()],
            user: None,
            directory: None,
        };
        let spec = around.spec(request(None), Identity::find("4444:4444").unwrap());
        assert_eq!(spec.variables, pairs(&[("A", "2=3"), ("HOME", "/"), ("PATH", "/bin")]));
        assert_eq!(spec.directory, PathBuf::from("/"));
        let spec = around.spec(request(Some((80, 24))), root);
        assert!(spec.variables.contains(&("TERM".to_owned(), "xterm".to_owned())));
        let kept = Around::new(pairs(&[("HOME", "/srv")]).into_iter());
        assert_eq!(kept.0.get("HOME").map(String::as_str), Some("/srv"));
    }
}

//! The node's side: a connection for every command.

use std::io::{self, Error, ErrorKind};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use dwell_api::exec::Frame;
use dwell_core::workspace::COMMANDS_SOCKET;
use dwell_drivers::docker::{EngineError, ExecSpec};
use futures_util::stream::{self, StreamExt};
use rustix::fs::{FileType, Mode, OFlags, fstat, open, openat};
use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream};
use tokio::net::UnixStream;
use tokio::net::unix::OwnedReadHalf;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::{GREETING, REQUEST_MAX, Request, SIZE};
use crate::running::{Control, Piece, Running};

/// How long the process inside may take to take a command.
const LIMIT: Duration = Duration::from_secs(5);
/// How soon it is tried again where very many are waiting.
const AGAIN: Duration = Duration::from_millis(5);
const CHUNK: usize = 32 * 1024;

/// Starts a command. Where this fails it was not and will not be started.
pub(super) async fn start(
    directory: &Path,
    spec: &ExecSpec,
    size: Option<(u16, u16)>,
) -> io::Result<Running> {
    let request = request(spec, size)?;
    let asked = timeout(LIMIT, ask(directory, &request)).await;
    let stream = asked.unwrap_or_else(|_| Err(ErrorKind::TimedOut.into()))?;
    let (read, write) = stream.into_split();
    let (input, typed) = tokio::io::duplex(CHUNK);
    let (size, sizes) = watch::channel(size.unwrap_or(SIZE));
    let code = Arc::new(OnceLock::new());
    let typed = spec.stdin.then_some(typed);
    let sending = tokio::spawn(async move {
        // The command has ended where nobody reads it, which its output tells.
        let _ = send(write, typed, sizes).await;
    });
    let output = stream::unfold(
        Reading { read, buffer: BytesMut::new(), code: code.clone(), is_over: false },
        |mut reading| async move { Some((reading.next().await?, reading)) },
    );
    let control = Arc::new(Control::Inside { size, code, sending });
    Ok(Running { output: output.boxed(), input: Box::pin(input), control })
}

fn request(spec: &ExecSpec, size: Option<(u16, u16)>) -> io::Result<Vec<u8>> {
    let body = serde_json::to_vec(&Request {
        command: spec.command.clone(),
        terminal: spec.tty.then(|| size.unwrap_or(SIZE)),
        variables: spec.variables.clone(),
        user: spec.user.clone(),
        directory: spec.directory.clone(),
    })?;
    let length = u32::try_from(body.len()).ok().filter(|length| *length <= REQUEST_MAX);
    let length = length.ok_or_else(|| Error::other("a command is too long"))?;
    Ok([&length.to_be_bytes()[..], &body[..]].concat())
}

async fn ask(directory: &Path, request: &[u8]) -> io::Result<UnixStream> {
    let socket = find(directory)?;
    // What was found is connected to, not what has its name by now.
    let path = format!("/proc/self/fd/{}", socket.as_raw_fd());
    let mut stream = loop {
        match UnixStream::connect(&path).await {
            Err(error) if error.kind() == ErrorKind::WouldBlock => sleep(AGAIN).await,
            connected => break connected?,
        }
    };
    let listens = stream.peer_cred()?.pid().unwrap_or_default();
    if !is_first(listens) {
        return Err(Error::other("another process than the first one listens"));
    }
    let mut greeting = [0; GREETING.len()];
    stream.read_exact(&mut greeting).await?;
    if greeting != GREETING {
        return Err(Error::other("what listens is of another version"));
    }
    stream.write_all(request).await?;
    Ok(stream)
}

/// The socket, and not what a link in its place leads to.
fn find(directory: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let directory = open(directory, flags | OFlags::DIRECTORY, Mode::empty())?;
    let socket = openat(&directory, COMMANDS_SOCKET, flags, Mode::empty())?;
    if FileType::from_raw_mode(fstat(&socket)?.st_mode) != FileType::Socket {
        return Err(Error::other("it is no socket"));
    }
    Ok(socket)
}

/// Whether a process is the first one of a container: of a space of processes just below ours. No
/// other process inside can seem so.
fn is_first(pid: i32) -> bool {
    let status = |pid: &str| std::fs::read_to_string(format!("/proc/{pid}/status"));
    let (Ok(ours), Ok(its)) = (status("self"), status(&pid.to_string())) else { return false };
    is_first_below(&numbers(&ours), &numbers(&its))
}

fn is_first_below(ours: &[&str], its: &[&str]) -> bool {
    !ours.is_empty() && its.len() == ours.len() + 1 && its.last() == Some(&"1")
}

/// A process's numbers, in our space of processes and in those below (proc(5)).
fn numbers(status: &str) -> Vec<&str> {
    let line = status.lines().find_map(|line| line.strip_prefix("NSpid:"));
    line.unwrap_or_default().split_whitespace().collect()
}

/// Sends input and sizes for as long as the command is wanted.
async fn send(
    mut write: impl AsyncWrite + Unpin,
    mut typed: Option<DuplexStream>,
    mut sizes: watch::Receiver<(u16, u16)>,
) -> io::Result<()> {
    let mut wire = BytesMut::new();
    let mut buffer = vec![0; CHUNK];
    if typed.is_none() {
        Frame::Stdin(Bytes::new()).encode(&mut wire);
    }
    loop {
        write.write_all(&wire).await?;
        wire.clear();
        tokio::select! {
            count = read(typed.as_mut(), &mut buffer) => {
                let piece = Bytes::copy_from_slice(buffer.get(..count?).unwrap_or_default());
                if piece.is_empty() {
                    typed = None;
                }
                Frame::Stdin(piece).encode(&mut wire);
            }
            changed = sizes.changed() => {
                let (columns, rows) = *sizes.borrow_and_update();
                changed.map_err(|_| ErrorKind::BrokenPipe)?;
                Frame::Resize(columns, rows).encode(&mut wire);
            }
        }
    }
}

/// What is typed; nothing ever where its end was sent.
async fn read(typed: Option<&mut DuplexStream>, buffer: &mut [u8]) -> io::Result<usize> {
    match typed {
        Some(typed) => typed.read(buffer).await,
        None => std::future::pending().await,
    }
}

struct Reading {
    read: OwnedReadHalf,
    buffer: BytesMut,
    code: Arc<OnceLock<i32>>,
    is_over: bool,
}

impl Reading {
    /// The next piece of output; `None` after the exit code, or where the connection ends without.
    async fn next(&mut self) -> Option<Piece> {
        while !self.is_over {
            match Frame::decode(&mut self.buffer) {
                Ok(Some(Frame::Stdout(bytes))) => return Some(Ok((false, bytes))),
                Ok(Some(Frame::Stderr(bytes))) => return Some(Ok((true, bytes))),
                Ok(Some(Frame::Exit(code))) => {
                    let _ = self.code.set(code);
                    return None;
                }
                Ok(None) => {
                    let more = self.read.read_buf(&mut self.buffer).await;
                    self.is_over = !matches!(more, Ok(1..));
                }
                Ok(Some(_)) | Err(_) => {
                    self.is_over = true;
                    let why = "what starts commands inside is not understood".to_owned();
                    return Some(Err(EngineError::Other(why)));
                }
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_first_process_of_a_container_is_taken_for_it() {
        let host = "Name:\tdwell\nNSpid:\t812\nVmRSS: 1 kB\n";
        let of = |its: &str| is_first_below(&numbers(host), &numbers(its));
        assert!(of("NSpid:\t4711\t1\n"));
        assert!(!of("NSpid:\t4711\t12\n"), "another one there");
        assert!(!of("NSpid:\t4711\t12\t1\n"), "the first one of a space that it made itself");
        assert!(!of("NSpid:\t1\n") && !of("Name:\tsh\n"));
        assert!(!is_first_below(&[], &["1"]));
    }

    #[test]
    fn a_link_in_the_place_of_the_socket_leads_nowhere() {
        let folder = tempfile::tempdir().unwrap();
        let other = folder.path().join("other");
        let _listener = std::os::unix::net::UnixListener::bind(&other).unwrap();
        let place = folder.path().join(COMMANDS_SOCKET);
        std::os::unix::fs::symlink(&other, &place).unwrap();
        assert!(find(folder.path()).is_err());
        std::fs::remove_file(&place).unwrap();
        std::fs::write(&place, "").unwrap();
        assert!(find(folder.path()).is_err());
        std::fs::remove_file(&place).unwrap();
        std::fs::rename(&other, &place).unwrap();
        assert!(find(folder.path()).is_ok());
    }
}

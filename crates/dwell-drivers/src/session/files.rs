//! The files of a session: what it shall run, that it started, how it ended. They are the whole
//! contract between the node, which may come and go, and the shim, which stays.
//!
//! | file | by | what |
//! |---|---|---|
//! | `spec.json` | node | the command, where, how |
//! | `environment` | node | the variables, `NAME=value` separated by NUL; the shim deletes it |
//! | `lock` | shim | held while the shim lives |
//! | `started.json` | shim | the processes, once the command runs |
//! | `transcript.<n>` | shim | the output, see [`super::transcript`] |
//! | `error` | shim | why there is no session, where it could not even try |
//! | `agent.json` | an agent's hooks | what it says that it is doing, see [`super::agent`] |
//! | `attached.<pid>` | terminal | held while a terminal in a workspace shows the session |
//! | `windows` | tmux | how many windows the session has, in a workspace |
//! | `exit.json` | shim | how the command ended, after the last byte of the transcript |
//!
//! All of them are readable by the user alone; those of a session in a workspace by whoever gets to
//! the directory, which on this machine is the node alone. What is in a workspace may write there
//! whatever it likes, so nobody here follows a link or opens anything but a plain file.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::fs::{FlockOperation, Mode, OFlags, flock, openat};
use rustix::io::Errno;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

pub(super) const SPEC: &str = "spec.json";
pub(super) const ENVIRONMENT: &str = "environment";
pub(super) const STARTED: &str = "started.json";
pub(super) const EXIT: &str = "exit.json";
pub(super) const ERROR: &str = "error";
pub(super) const LOCK: &str = "lock";
pub(super) const ATTACHED: &str = "attached.";
const WINDOWS: &str = "windows";

/// The largest of the small files, in bytes; more is not ours.
const SMALL: u64 = 16 << 20;

/// What a session runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spec {
    /// The program and its arguments.
    pub argv: Vec<String>,
    /// The directory in which it runs.
    pub directory: PathBuf,
    /// Whether it gets a terminal. Without one its input is empty and its output goes through
    /// pipes, so programs neither colour it nor ask; standard output and standard error are one
    /// stream in the transcript either way.
    pub pty: bool,
    /// The most bytes that the transcript may take on disk.
    pub transcript_limit: u64,
    /// Whether the command is started by a login shell, with the variables over those that the
    /// shim has, instead of with the variables alone.
    #[serde(default)]
    pub login: bool,
}

/// That a session's command runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Started {
    /// The command's process, leader of its own process group and process session.
    pub pid: i32,
    /// The shim's process, which is the process of the tmux pane.
    pub shim: i32,
    /// The machine's boot in which these process ids mean something; empty where the system does
    /// not tell.
    pub boot: String,
}

/// How a session's command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// It ended with this exit code.
    Code(i32),
    /// This signal ended it.
    Signal(i32),
}

impl Ending {
    /// The exit code by which shells tell it: 128 and the signal's number for a signal.
    pub fn exit_code(self) -> i32 {
        match self {
            Self::Code(code) => code,
            Self::Signal(signal) => 128 + signal,
        }
    }
}

/// The content of `exit.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exit {
    /// How the command ended.
    #[serde(flatten)]
    pub ending: Ending,
    /// When it ended, in microseconds since 1970.
    pub ended: i64,
    /// Why output is missing from the transcript, where some is (a full disk).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incomplete: Option<String>,
    /// Whether everything around it was being ended, as when its workspace is stopped.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub interrupted: bool,
}

/// Microseconds since 1970.
pub(super) fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

/// The identity of this boot of the machine.
pub(super) fn boot() -> String {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    text.trim().to_owned()
}

/// Makes a directory, which must not exist: for the user alone, or where it is shared, for
/// everybody who gets to it.
pub(super) fn new_directory(path: &Path, shared: bool) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(parent)?;
    }
    std::fs::DirBuilder::new().mode(0o700).create(path)?;
    if shared {
        rustix::fs::fchmod(folder(path)?, Mode::from_raw_mode(0o777))?;
    }
    Ok(())
}

/// A directory, not followed where it is a link.
fn folder(path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(rustix::fs::open(path, flags, Mode::empty())?)
}

/// Opens a file in a directory: neither may be a link, and the file is a plain one.
pub(super) fn open_plain(path: &Path) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = File::from(open_in(path, flags | OFlags::CLOEXEC, Mode::empty())?);
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is not a plain file"));
    }
    Ok(file)
}

fn open_in(path: &Path, flags: OFlags, mode: Mode) -> io::Result<OwnedFd> {
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    Ok(openat(folder(path.parent().unwrap_or(Path::new(".")))?, name, flags, mode)?)
}

/// The mode of a session's files: those in a directory that others see are for them too.
pub(super) fn mode(directory: &Path) -> u32 {
    let shared = std::fs::metadata(directory).is_ok_and(|it| it.permissions().mode() & 0o004 != 0);
    if shared { 0o644 } else { 0o600 }
}

fn new_file(path: &Path) -> io::Result<File> {
    let mode = Mode::from_raw_mode(mode(path.parent().unwrap_or(Path::new("."))));
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(open_in(path, flags, mode)?.into())
}

/// Writes a new file for the user alone, or for those who see its directory.
pub(super) fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    new_file(path)?.write_all(bytes)
}

/// Takes the lock of a file, which is held as long as the process lives and the result is kept.
pub(super) fn hold(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    let mode = mode(path.parent().unwrap_or(Path::new(".")));
    let file = options.write(true).create(true).truncate(false).mode(mode).open(path)?;
    // Whoever looks whether it is held has it for a moment.
    flock(&file, FlockOperation::LockExclusive)?;
    Ok(file)
}

/// Whether a file's lock is held; `None` where there is no such file.
pub(super) fn is_held(path: &Path) -> io::Result<Option<bool>> {
    let file = match open_plain(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other?,
    };
    match flock(&file, FlockOperation::NonBlockingLockShared) {
        Ok(()) => Ok(Some(false)),
        Err(Errno::WOULDBLOCK) => Ok(Some(true)),
        Err(error) => Err(error.into()),
    }
}

/// How many terminals in a workspace show the session.
pub(super) fn attached(directory: &Path) -> u32 {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let held = entries.filter(|entry| {
        let ours = entry.file_name().to_str().is_some_and(|name| name.starts_with(ATTACHED));
        ours && matches!(is_held(&entry.path()), Ok(Some(true)))
    });
    u32::try_from(held.count()).unwrap_or(u32::MAX)
}

/// How many windows a session in a workspace has, where its server told.
pub(super) fn windows(directory: &Path) -> Option<u32> {
    let text = read_small(&directory.join(WINDOWS)).ok()??;
    std::str::from_utf8(&text).ok()?.trim().parse().ok()
}

/// Writes a file so that readers see the old content or the new one. Its directory is made if it
/// is missing.
pub(crate) fn write_atomically(path: &Path, bytes: &[u8]) -> io::Result<()> {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let directory = path.parent().unwrap_or(Path::new("."));
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}-{count}.new", std::process::id()));
    let draft = directory.join(name);
    match std::fs::remove_file(&draft) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let written = write_new(&draft, bytes);
    let renamed = written.and_then(|()| std::fs::rename(&draft, path));
    if renamed.is_err() {
        let _ = std::fs::remove_file(&draft);
    }
    renamed
}

/// Room on the disk for `exit.json`, taken when the session starts, so that the end of a session
/// is known even when the disk is full by then.
#[derive(Debug)]
pub(super) struct ExitSlot {
    file: File,
    draft: PathBuf,
    path: PathBuf,
}

impl ExitSlot {
    const SIZE: usize = 512;

    /// Takes the room.
    pub(super) fn reserve(directory: &Path) -> io::Result<Self> {
        let draft = directory.join("exit.json.new");
        let mut file = new_file(&draft)?;
        file.write_all(&[b' '; Self::SIZE])?;
        Ok(Self { file, draft, path: directory.join(EXIT) })
    }

    /// Records the end, which is on the disk and whole when this returns.
    pub(super) fn record(mut self, exit: &Exit) -> io::Result<()> {
        let mut text = serde_json::to_vec(exit)?;
        text.resize(text.len().max(Self::SIZE), b' ');
        self.file.rewind()?;
        self.file.write_all(&text)?;
        self.file.sync_all()?;
        std::fs::rename(&self.draft, &self.path)
    }
}

/// Reads a small file; `None` when it is not there.
pub(super) fn read_small(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let file = match open_plain(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other?,
    };
    let mut bytes = Vec::new();
    file.take(SMALL).read_to_end(&mut bytes)?;
    Ok(Some(bytes))
}

/// Reads one of the JSON files; `None` when it is not there, or as empty as a power cut leaves a
/// file that was just written.
pub(super) fn read_json<T: DeserializeOwned>(path: &Path) -> io::Result<Option<T>> {
    match read_small(path)? {
        None => Ok(None),
        Some(bytes) if bytes.iter().all(|byte| *byte == 0) => Ok(None),
        Some(bytes) => Ok(Some(serde_json::from_slice(&bytes)?)),
    }
}

/// Variables as the bytes of the `environment` file. A variable that no process can have (a NUL
/// in it, no name, `=` in the name) is left out.
pub(super) fn encode_environment(variables: &[(OsString, OsString)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, value) in variables {
        let (name, value) = (name.as_bytes(), value.as_bytes());
        let bad = name.is_empty() || name.contains(&b'=') || name.contains(&0);
        if !bad && !value.contains(&0) {
            for part in [name, b"=", value, b"\0"] {
                bytes.extend_from_slice(part);
            }
        }
    }
    bytes
}

/// The variables in the bytes of an `environment` file.
pub(super) fn decode_environment(bytes: &[u8]) -> Vec<(OsString, OsString)> {
    bytes
        .split(|byte| *byte == 0)
        .filter_map(|entry| {
            let at = entry.iter().position(|byte| *byte == b'=').filter(|at| *at > 0)?;
            let (name, value) = entry.split_at(at);
            let os = |bytes: &[u8]| OsString::from_vec(bytes.to_vec());
            Some((os(name), os(value.get(1..)?)))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_survive_whatever_bytes_they_have() {
        let pair = |n: &str, v: &[u8]| (OsString::from(n), OsString::from_vec(v.to_vec()));
        let good = vec![
            pair("A", b"1"),
            pair("EMPTY", b""),
            pair("LINES", b"a\nb=c\r\n"),
            pair("BYTES", b"\xff\xfe"),
        ];
        let mut given = good.clone();
        given.extend([pair("", b"x"), pair("A=B", b"x"), pair("NUL", b"a\0b")]);
        assert_eq!(decode_environment(&encode_environment(&given)), good);
        assert!(decode_environment(b"").is_empty());
    }

    #[test]
    fn an_exit_is_one_flat_object() {
        let exit =
            Exit { ending: Ending::Signal(9), ended: 7, incomplete: None, interrupted: false };
        assert_eq!(serde_json::to_string(&exit).unwrap(), r#"{"signal":9,"ended":7}"#);
        let back: Exit = serde_json::from_str(r#"{"code":3,"ended":8}"#).unwrap();
        assert_eq!(back.ending.exit_code(), 3);
        assert_eq!(exit.ending.exit_code(), 137);
    }

    #[test]
    fn a_file_is_replaced_whole_and_private() {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("deep/file");
        write_atomically(&path, b"old").unwrap();
        write_atomically(&path, b"new").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"new");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn links_and_pipes_are_not_read() {
        let root = tempfile::tempdir().unwrap();
        let (session, elsewhere) = (root.path().join("s"), root.path().join("secret"));
        new_directory(&session, true).unwrap();
        std::fs::write(&elsewhere, "{}").unwrap();
        write_new(&session.join("file"), b"{}").unwrap();
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&session), mode(&session.join("file"))), (0o777, 0o644));
        std::os::unix::fs::symlink(&elsewhere, session.join("link")).unwrap();
        std::os::unix::fs::symlink(&session, root.path().join("other")).unwrap();
        assert!(read_small(&session.join("file")).unwrap().is_some());
        assert!(read_small(&session.join("link")).is_err());
        assert!(read_small(&root.path().join("other/file")).is_err());
        assert!(write_new(&root.path().join("other/new"), b"").is_err());
        let pipe = session.join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status().unwrap();
        assert!(made.success() && read_small(&pipe).is_err(), "and it does not wait for a writer");
    }

    #[test]
    fn a_lock_tells_whether_its_holder_lives() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("attached.7");
        assert_eq!(is_held(&path).unwrap(), None);
        let held = hold(&path).unwrap();
        assert_eq!((is_held(&path).unwrap(), attached(root.path())), (Some(true), 1));
        drop(held);
        assert_eq!((is_held(&path).unwrap(), attached(root.path())), (Some(false), 0));
    }
}

//! The ssh agent of a workspace: one socket whose path stays, behind which the agent of the newest
//! connection that answers does. Each ssh connection that forwards an agent has a socket of its
//! own, which ends with it; shells that outlive it know this one.

use std::fs::{self, Metadata, Permissions};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use dwell_core::workspace::{AGENT_SOCKET, HOME, UID};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// How long an agent may take to say which keys it has; one whose connection is cut never does.
const LIMIT: Duration = Duration::from_secs(2);
/// The question which keys there are, and the answers that an agent gives to it (OpenSSH's
/// PROTOCOL.agent): the keys, or that it is locked.
const ASK: [u8; 5] = [0, 0, 0, 1, 11];
const ANSWERS: [u8; 2] = [12, 5];
/// That there are no keys, and that something is not done.
const NO_KEYS: [u8; 9] = [0, 0, 0, 5, 12, 0, 0, 0, 0];
const FAILURE: [u8; 5] = [0, 0, 0, 1, 5];
/// The longest message, in bytes.
const LONGEST: u32 = 256 * 1024;
/// The pause after a connection could not be taken.
const PAUSE: Duration = Duration::from_millis(100);

/// The socket, while agents may be forwarded.
#[derive(Default)]
pub(super) struct Agent {
    serving: Option<JoinHandle<()>>,
}

impl Agent {
    /// Begins to listen, or ends it.
    pub(super) fn allow(&mut self, is_allowed: bool) {
        match (&self.serving, is_allowed) {
            (Some(serving), false) => {
                serving.abort();
                self.serving = None;
                // Without it nothing is told by mistake.
                let _ = fs::remove_file(AGENT_SOCKET);
            }
            (None, true) => match listen(Path::new(AGENT_SOCKET), Some(UID)) {
                Ok(listener) => self.serving = Some(tokio::spawn(serve(listener, places()))),
                Err(error) => super::say(&format!("dwell: {AGENT_SOCKET}: {error}")),
            },
            _ => {}
        }
    }
}

/// Where ssh servers put the sockets of connections: directories, and what their names begin with.
fn places() -> Vec<(PathBuf, &'static str)> {
    vec![(PathBuf::from("/tmp"), "ssh-"), (PathBuf::from(HOME).join(".ssh"), "agent")]
}

fn listen(path: &Path, owner: Option<u32>) -> io::Result<UnixListener> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(path)?;
    fs::set_permissions(path, Permissions::from_mode(0o600))?;
    chown(path, owner, owner)?;
    Ok(listener)
}

async fn serve(listener: UnixListener, places: Vec<(PathBuf, &'static str)>) {
    loop {
        match listener.accept().await {
            Ok((near, _)) => drop(tokio::spawn(pass(near, places.clone()))),
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}

/// Where no agent answers there is one without keys: clients go on without.
async fn pass(mut near: UnixStream, places: Vec<(PathBuf, &'static str)>) {
    for path in sockets(&places) {
        if let Ok(Ok(mut far)) = timeout(LIMIT, live(&path)).await {
            // What goes wrong is for both ends to see.
            let _ = copy_bidirectional(&mut near, &mut far).await;
            return;
        }
    }
    // It ends when the client does.
    let _ = without_keys(near).await;
}

async fn without_keys(mut near: UnixStream) -> io::Result<()> {
    loop {
        let asked = message(&mut near).await?;
        let answer =
            if asked == ASK.get(4..).unwrap_or_default() { &NO_KEYS[..] } else { &FAILURE };
        near.write_all(answer).await?;
    }
}

/// One message of the protocol, without its length.
async fn message(stream: &mut UnixStream) -> io::Result<Vec<u8>> {
    let length = stream.read_u32().await?;
    if !(1..=LONGEST).contains(&length) {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut message = vec![0; usize::try_from(length).unwrap_or_default()];
    stream.read_exact(&mut message).await?;
    Ok(message)
}

/// Connects to an agent, if it answers.
async fn live(path: &Path) -> io::Result<UnixStream> {
    let mut far = UnixStream::connect(path).await?;
    far.write_all(&ASK).await?;
    let answer = message(&mut far).await?;
    let is_answer = answer.first().is_some_and(|kind| ANSWERS.contains(kind));
    if is_answer { Ok(far) } else { Err(io::ErrorKind::InvalidData.into()) }
}

/// The sockets of connections of the user, the newest first.
fn sockets(places: &[(PathBuf, &'static str)]) -> Vec<PathBuf> {
    let mut found: Vec<(SystemTime, PathBuf)> = Vec::new();
    for (directory, prefix) in places {
        for directory in entries(directory).filter(|(name, ..)| name.starts_with(prefix)) {
            let (_, path, metadata) = directory;
            if !metadata.is_dir() || !is_of_user(&metadata) {
                continue;
            }
            for (_, path, metadata) in entries(&path) {
                if metadata.file_type().is_socket() && is_of_user(&metadata) {
                    let since = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
                    found.push((since, path));
                }
            }
        }
    }
    found.sort();
    found.into_iter().rev().map(|(_, path)| path).collect()
}

/// Nobody else's socket is asked on the user's behalf; in tests the user is whoever runs them.
fn is_of_user(metadata: &Metadata) -> bool {
    let user = if cfg!(test) { rustix::process::getuid().as_raw() } else { UID };
    metadata.uid() == user
}

/// What is in a directory, links not followed.
fn entries(directory: &Path) -> impl Iterator<Item = (String, PathBuf, Metadata)> {
    fs::read_dir(directory).into_iter().flatten().flatten().filter_map(|entry| {
        let metadata = entry.metadata().ok()?;
        Some((entry.file_name().into_string().ok()?, entry.path(), metadata))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An agent that has so many keys.
    fn agent(directory: &Path, keys: u8) -> JoinHandle<()> {
        let place = directory.join(format!("ssh-{keys}"));
        fs::create_dir(&place).unwrap();
        let listener = UnixListener::bind(place.join("agent.1")).unwrap();
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                while let Ok(asked) = message(&mut stream).await {
                    assert_eq!(asked, [11]);
                    stream.write_all(&[0, 0, 0, 5, 12, 0, 0, 0, keys]).await.unwrap();
                }
            }
        })
    }

    /// How many keys there are.
    async fn ask(path: &Path) -> u8 {
        let mut stream = UnixStream::connect(path).await.unwrap();
        stream.write_all(&ASK).await.unwrap();
        message(&mut stream).await.unwrap()[4]
    }

    #[tokio::test]
    async fn the_newest_that_answers_does_and_older_ones_after_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("stable");
        let listener = listen(&path, None).unwrap();
        let places = vec![(folder.path().to_owned(), "ssh-")];
        let serving = tokio::spawn(serve(listener, places));
        assert_eq!(ask(&path).await, 0);
        let _first = agent(folder.path(), 1);
        tokio::time::sleep(Duration::from_millis(20)).await;
        let second = agent(folder.path(), 2);
        assert_eq!(ask(&path).await, 2);
        // One that takes connections and never answers, as where the line is cut.
        tokio::time::sleep(Duration::from_millis(20)).await;
        let mute = folder.path().join("ssh-3");
        fs::create_dir(&mute).unwrap();
        let _silent = UnixListener::bind(mute.join("agent.1")).unwrap();
        assert_eq!(ask(&path).await, 2);
        second.abort();
        let _ = second.await;
        assert_eq!(ask(&path).await, 1, "its socket is still there, and dead");
        serving.abort();
    }
}

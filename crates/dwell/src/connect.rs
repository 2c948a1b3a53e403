//! The way to the node's daemon: its socket, and starting it when nobody answers there.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use dwell_api::paths::Paths;
use dwell_api::{Client, ClientError, Code, Problem, endpoint, node::Node};
use dwell_drivers::own;
use tokio::net::UnixStream;

/// How long a daemon may take until it answers.
const START_LIMIT: Duration = Duration::from_secs(10);

/// Pauses before a daemon that gave no answer is asked anew, in milliseconds.
const AGAIN: [u64; 6] = [10, 20, 40, 80, 160, 320];

/// Pauses between two looks at the socket.
const PAUSE: Duration = Duration::from_millis(10);

/// Variables that a daemon takes over from the shell that happens to start it; the others,
/// among them keys and tokens, stay out of it.
const KEPT: &[&str] = &[
    "HOME",
    "LANG",
    "LOGNAME",
    "NO_PROXY",
    "PATH",
    "RUST_BACKTRACE",
    "RUST_LOG",
    "SHELL",
    "SSH_AUTH_SOCK",
    "SSL_CERT_DIR",
    "SSL_CERT_FILE",
    "TMPDIR",
    "USER",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
];
const KEPT_PREFIXES: &[&str] = &["BUILDKIT_", "DOCKER_", "DWELL_", "LC_", "XDG_"];
/// Variables of one session or one command line, which say nothing about the daemon.
const DROPPED: &[&str] = &[
    "DWELL_AGENT",
    "DWELL_BASE_URL",
    "DWELL_BRANCH",
    "DWELL_ENV",
    "DWELL_NO_INPUT",
    "DWELL_OUTPUT",
    "DWELL_PROJECT",
    "DWELL_SESSION",
    "DWELL_TIMEOUT",
    "DWELL_WORKSPACE",
];

/// Connects to the daemon, starting it when it does not run. A daemon that ends, or was killed,
/// may take one more connection and not answer: then the next one is asked.
pub(crate) async fn connect(paths: &Paths) -> Result<Client, Problem> {
    let client = once(paths).await?;
    let (paths, mut pauses) = (paths.clone(), AGAIN.iter());
    Ok(client.or_again(Box::new(move || {
        let (paths, pause) = (paths.clone(), pauses.next());
        Box::pin(async move {
            tokio::time::sleep(Duration::from_millis(*pause?)).await;
            Some(once(&paths).await)
        })
    })))
}

async fn once(paths: &Paths) -> Result<Client, Problem> {
    match running(paths).await? {
        Some(client) => Ok(client),
        None => start(paths).await,
    }
}

/// Connects to the daemon if it runs.
pub(crate) async fn running(paths: &Paths) -> Result<Option<Client>, Problem> {
    let socket = paths.socket();
    match UnixStream::connect(&socket).await {
        Ok(stream) => Ok(Some(Client::connect(stream).await.map_err(ClientError::into_problem)?)),
        Err(e) if absent(&e) => Ok(None),
        Err(e) => {
            let message = format!("the node's socket `{}` cannot be used: {e}", socket.display());
            Err(Problem::new(Code::NodeUnreachable, message))
        }
    }
}

/// Whether nobody listens; a daemon that is just ending resets who waits to be taken.
fn absent(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{ConnectionRefused, ConnectionReset, NotFound};
    matches!(error.kind(), NotFound | ConnectionRefused | ConnectionReset)
}

/// Starts the daemon. Of many that try at once, the one that holds the lock starts it and the
/// others wait for the socket.
async fn start(paths: &Paths) -> Result<Client, Problem> {
    let lock = start_lock(paths)?;
    let deadline = Instant::now() + START_LIMIT;
    let mut child: Option<Child> = None;
    let mut held = false;
    loop {
        if let Some(client) = running(paths).await? {
            return Ok(client);
        }
        if !held {
            held = match lock.try_lock() {
                Ok(()) => true,
                Err(TryLockError::WouldBlock) => false,
                Err(TryLockError::Error(e)) => return Err(not_started(&e.to_string(), paths)),
            };
            // Whoever held the lock before may have started it since we looked.
            if held {
                continue;
            }
        }
        if held {
            match &mut child {
                None => child = Some(spawn(paths)?),
                Some(child) => {
                    if let Ok(Some(status)) = child.try_wait() {
                        return Err(not_started(&format!("it ended with {status}"), paths));
                    }
                }
            }
        }
        if Instant::now() > deadline {
            let limit = START_LIMIT.as_secs();
            return Err(not_started(&format!("it did not answer within {limit} s"), paths));
        }
        tokio::time::sleep(PAUSE).await;
    }
}

fn start_lock(paths: &Paths) -> Result<File, Problem> {
    for directory in [&paths.runtime, &paths.state] {
        private_directory(directory)?;
    }
    let path = paths.runtime.join("start.lock");
    let file = OpenOptions::new().create(true).append(true).mode(0o600).open(&path);
    file.map_err(|e| unusable(&path, &e))
}

/// Makes a directory that only its owner can enter.
pub(crate) fn private_directory(path: &Path) -> Result<(), Problem> {
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(|e| unusable(path, &e))
}

fn unusable(path: &Path, error: &std::io::Error) -> Problem {
    Problem::new(Code::State, format!("`{}` cannot be used: {error}", path.display()))
        .hint("DWELL_HOME or the XDG_* variables say where dwell keeps its state")
}

/// Starts a daemon that outlives this process and its terminal.
fn spawn(paths: &Paths) -> Result<Child, Problem> {
    let failed = |e: std::io::Error| not_started(&e.to_string(), paths);
    let log = OpenOptions::new().create(true).append(true).mode(0o600).open(paths.log());
    let log = log.map_err(|e| unusable(&paths.log(), &e))?;
    let mut command = Command::new(own::path().map_err(failed)?);
    command.args(["node", "run", "--background"]).current_dir("/").env_clear();
    command.envs(std::env::vars_os().filter(|(name, _)| name.to_str().is_some_and(is_kept)));
    command.stdin(Stdio::null());
    command.stdout(log.try_clone().map_err(failed)?).stderr(log);
    command.spawn().map_err(failed)
}

fn is_kept(name: &str) -> bool {
    (KEPT.contains(&name) || KEPT_PREFIXES.iter().any(|prefix| name.starts_with(prefix)))
        && !DROPPED.contains(&name)
}

fn not_started(why: &str, paths: &Paths) -> Problem {
    let log = std::fs::read_to_string(paths.log()).unwrap_or_default();
    let lines: Vec<&str> = log.lines().collect();
    let last = lines.get(lines.len().saturating_sub(5)..).unwrap_or_default();
    Problem::new(Code::NodeUnreachable, format!("the dwell daemon could not be started: {why}"))
        .hint("`dwell node logs` shows its log; `dwell node run` starts it in the foreground")
        .details(last.iter().copied())
}

/// Adds to a problem that came from a misunderstanding that the daemon is of another version.
pub(crate) async fn explain(problem: Problem, paths: &Paths) -> Problem {
    if problem.code != Code::Internal {
        return problem;
    }
    let asked = async {
        let mut client = running(paths).await.ok()??;
        client.get::<Node>(endpoint::NODE).await.ok()
    };
    match tokio::time::timeout(Duration::from_secs(1), asked).await.ok().flatten() {
        Some(node) => match version_note(&node.version) {
            Some(note) => problem.hint(note),
            None => problem,
        },
        None => problem,
    }
}

/// What to say when the running daemon is not of this binary's version.
pub(crate) fn version_note(running: &str) -> Option<String> {
    let own = env!("CARGO_PKG_VERSION");
    (running != own).then(|| {
        format!(
            "the running daemon is dwell {running} and this is {own}: `dwell node stop`, and the \
             next command starts this one"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_daemon_does_not_take_over_secrets_or_a_session() {
        for name in ["PATH", "HOME", "DOCKER_HOST", "XDG_STATE_HOME", "DWELL_HOME", "LC_ALL"] {
            assert!(is_kept(name), "{name}");
        }
        for name in ["ANTHROPIC_API_KEY", "TMUX", "DWELL_ENV", "COMPOSE_FILE", "AWS_SECRET"] {
            assert!(!is_kept(name), "{name}");
        }
    }

    #[test]
    fn another_version_is_named() {
        assert_eq!(version_note(env!("CARGO_PKG_VERSION")), None);
        assert!(version_note("0.0.1").unwrap().contains("0.0.1"));
    }
}

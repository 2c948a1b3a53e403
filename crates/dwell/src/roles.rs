//! The roles that dwell starts itself in: the daemon, a session's shim, a relay, rsync's way to
//! another node, the first process of a workspace.

pub(crate) mod mcp;

use std::io::BufRead;
use std::net::SocketAddr;
use std::time::Duration;

use dwell_api::remote::{DIAL, Dial, Rsync, TRAVEL, Target as Far};
use dwell_api::{Client, ClientError, Code, Problem, endpoint};
use dwell_net::relay::{self, Forward, Protocol, RelayConfig, Target};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};

use crate::arguments::node::{
    AgentHook, EmptyDirectory, Relay, RsyncShell, SessionShim, SessionTerminal, WorkspaceHostname,
};
use crate::command::{Context, block_on};
use crate::failure::{Ended, Failure};

/// How long a relay's probe waits for the far end.
const PROBE_LIMIT: Duration = Duration::from_secs(2);

/// Is the daemon until it is told to stop.
pub(crate) fn daemon(context: &Context, background: bool) -> Ended {
    if background {
        // Fails only where we lead a session already, which is what is wanted.
        let _ = rustix::process::setsid();
    }
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(false)
        // On a full disk there is nowhere to say that the log cannot be written; trying ends the daemon.
        .log_internal_errors(false)
        .with_writer(std::io::stderr)
        .init();
    dwell_node::run(context.paths.clone())?;
    Ok(0)
}

/// Watches over the command of one session.
pub(crate) fn session_shim(shim: &SessionShim) -> Ended {
    let code = dwell_drivers::session::shim::main(&shim.directory);
    Ok(u8::try_from(code).unwrap_or(1))
}

/// Is the hook of an agent in a session.
pub(crate) fn agent_hook(it: &AgentHook) -> Ended {
    let told = dwell_drivers::session::agent::tell(&it.directory, it.told.as_deref());
    told.map_err(|e| Problem::new(Code::State, format!("what the agent does is not kept: {e}")))?;
    Ok(0)
}

/// Shows a session on a terminal that is elsewhere.
pub(crate) fn session_terminal(it: &SessionTerminal) -> Ended {
    let shown = dwell_node::show_session(&it.directory, &it.session, it.read_only, it.size);
    block_on(shown)??;
    Ok(0)
}

/// Is the first process of a workspace.
pub(crate) fn workspace_init() -> Ended {
    let ended = block_on(dwell_drivers::init::main())?;
    let code = ended.map_err(|e| Problem::new(Code::Internal, e.to_string()))?;
    Ok(u8::try_from(code).unwrap_or(1))
}

/// Starts commands in a workspace for its node.
pub(crate) fn workspace_commands() -> Ended {
    block_on(dwell_node::serve_commands())??;
    Ok(0)
}

/// Connects inside a workspace for those outside, who speak by standard input and output.
pub(crate) fn workspace_inside() -> Ended {
    block_on(dwell_net::inside::serve(tokio::io::stdin(), tokio::io::stdout()))?;
    Ok(0)
}

/// Tells what listens where this runs.
pub(crate) fn workspace_listening(context: &Context) -> Ended {
    let seen = match rustix::process::getuid().is_root() {
        true => dwell_drivers::listening::look_as_all(|| {
            let mut again = std::process::Command::new("/proc/self/exe");
            again.arg("workspace-listening");
            again
        }),
        false => dwell_drivers::listening::look(None),
    };
    let seen = seen.map_err(|e| Problem::new(Code::State, format!("/proc cannot be read: {e}")))?;
    context.output.json(&seen)?;
    Ok(0)
}

/// Puts settings in place that come on standard input, as whoever runs this; tells what became of
/// them on standard output.
pub(crate) fn workspace_settings() -> Ended {
    let failed = |message: String| Problem::new(Code::State, message);
    let home = std::env::home_dir().ok_or_else(|| failed("the home is not known".to_owned()))?;
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line)?;
    let push = serde_json::from_str(&line).map_err(|e| {
        failed(format!("settings are not understood at {}:{}", e.line(), e.column()))
    })?;
    let pushed = dwell_drivers::settings::apply(&home, &push).map_err(|e| failed(e.to_string()))?;
    serde_json::to_writer(std::io::stdout().lock(), &pushed).map_err(std::io::Error::from)?;
    Ok(0)
}

/// Tells what this workspace shows of its use.
pub(crate) fn workspace_signs(context: &Context) -> Ended {
    let seen = dwell_drivers::signs::look();
    let seen = seen.map_err(|e| Problem::new(Code::State, format!("/proc cannot be read: {e}")))?;
    context.output.json(&seen)?;
    Ok(0)
}

/// Calls the workspace that this runs in something else.
pub(crate) fn workspace_hostname(it: &WorkspaceHostname) -> Ended {
    let before: Vec<&str> = it.before.iter().map(String::as_str).collect();
    dwell_drivers::hostname::change_own(&before, it.name.as_str())
        .map_err(|e| Problem::new(Code::State, format!("the host name cannot be set: {e}")))?;
    Ok(0)
}

/// Keeps shared sign-ins in one place, in a workspace, for as long as it runs.
pub(crate) fn workspace_credentials() -> Ended {
    let failed = |message: String| Problem::new(Code::State, message);
    let home = std::env::home_dir().ok_or_else(|| failed("the home is not known".to_owned()))?;
    let place = std::path::Path::new(dwell_core::credentials::CREDENTIALS);
    dwell_drivers::credentials::keep(&home, place).map_err(|e| failed(e.to_string()))?;
    Ok(0)
}

/// Prints the files of noVNC that the image of a workspace has, by their paths.
pub(crate) fn workspace_viewer(context: &Context) -> Ended {
    let files = dwell_drivers::init::viewer::files();
    let files = files.map_err(|e| Problem::new(Code::State, format!("no noVNC: {e}")))?;
    context.output.json(&files)?;
    Ok(0)
}

/// How often a relay asks whether a job on another node is done.
const ASK_AGAIN: Duration = Duration::from_secs(1);

/// Stands in for a service until it is told to stop; with `--probe`, tells whether the far end
/// answers; with `--await`, ends once the far end is done; with `--completed`, has nothing to do.
pub(crate) fn relay(relay: &Relay) -> Ended {
    if relay.completed {
        return Ok(0);
    }
    if let Some(target) = &relay.probe {
        let target = parse_target(target)?;
        return block_on(async {
            match relay::probe(&target, PROBE_LIMIT).await {
                Ok(()) => Ok(0),
                Err(error) => Err(Problem::new(Code::NotRunning, error.to_string()).into()),
            }
        })?;
    }
    if let Some(target) = &relay.until {
        let target = parse_target(target)?;
        return block_on(async {
            let done = async {
                while relay::probe(&target, PROBE_LIMIT).await.is_err() {
                    tokio::time::sleep(ASK_AGAIN).await;
                }
            };
            tokio::select! {
                () = done => Ok(0),
                () = told_to_stop() => Err(Failure::Exit(143)),
            }
        })?;
    }
    let forwards = relay.forward.iter().map(|text| forward(text)).collect::<Result<_, _>>()?;
    block_on(async {
        match relay::run(RelayConfig::new(forwards), told_to_stop()).await {
            Ok(()) => Ok(0),
            Err(error) => Err(Problem::new(Code::PortTaken, error.to_string()).into()),
        }
    })?
}

async fn told_to_stop() {
    use tokio::signal::unix::{SignalKind, signal};
    match (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) {
        (Ok(mut terminate), Ok(mut interrupt)) => {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        }
        _ => std::future::pending().await,
    }
}

fn parse_target(text: &str) -> Result<Target, Problem> {
    text.parse::<Target>().map_err(|e| Problem::new(Code::Usage, e.to_string()))
}

/// `tcp:5432=db:5432`: listen at 5432, pass on to port 5432 of `db`.
fn forward(text: &str) -> Result<Forward, Problem> {
    let refused = || Problem::new(Code::Usage, format!("`{text}` is not PROTOCOL:PORT=HOST:PORT"));
    let (listen, target) = text.split_once('=').ok_or_else(refused)?;
    let (protocol, port) = listen.split_once(':').ok_or_else(refused)?;
    let protocol = match protocol {
        "tcp" => Protocol::Tcp,
        "udp" => Protocol::Udp,
        _ => return Err(refused()),
    };
    let port: u16 = port.parse().map_err(|_| refused())?;
    let listen = SocketAddr::from(([0, 0, 0, 0], port));
    Ok(Forward { protocol, listen, target: parse_target(target)? })
}

/// Joins standard input and output to rsync on another node, through the daemon's link to it.
pub(crate) fn rsync_shell(shell: &RsyncShell) -> Ended {
    block_on(async { join_standard_streams(dialled(shell).await?).await })?
}

/// Joins standard input and output to a stream. It ends when the other side's output does, whatever
/// still comes in.
async fn join_standard_streams(far: impl AsyncRead + AsyncWrite) -> Ended {
    let (mut read, mut write) = tokio::io::split(far);
    let up = async {
        let _ = tokio::io::copy(&mut tokio::io::stdin(), &mut write).await;
        let _ = write.shutdown().await;
        std::future::pending::<()>().await;
    };
    let mut output = tokio::io::stdout();
    tokio::select! {
        down = tokio::io::copy(&mut read, &mut output) => {
            down.map_err(|e| Problem::new(Code::NodeUnreachable, e.to_string()))?;
            output.flush().await?;
            Ok(0)
        }
        () = up => Ok(0),
    }
}

async fn dialled(shell: &RsyncShell) -> Result<impl AsyncRead + AsyncWrite + use<>, Problem> {
    let (offer, environment) = (shell.offer.clone(), shell.environment.clone());
    let arguments = shell.command.iter().skip(2).cloned().collect();
    let near = tokio::net::UnixStream::connect(&shell.socket).await.map_err(|e| {
        Problem::new(Code::NodeUnreachable, format!("the daemon does not answer: {e}"))
    })?;
    let dialling = async {
        let client = Client::connect(near).await?;
        let dial = endpoint::fill(endpoint::DIAL, &[shell.node.as_str()]);
        let far = client.upgrade(&dial, DIAL, &Dial { target: Far::Api }).await?;
        let client = Client::connect(far).await?;
        let path = endpoint::fill(endpoint::RSYNC, &[shell.project.as_str()]);
        client.upgrade(&path, TRAVEL, &Rsync { environment, offer, arguments }).await
    };
    dialling.await.map_err(ClientError::into_problem)
}

/// Removes everything in a directory, as whoever runs this. The node has a container do it where
/// containers left files of another user.
pub(crate) fn empty_directory(place: &EmptyDirectory) -> Ended {
    let failed = |e: std::io::Error| {
        let directory = place.directory.display();
        Problem::new(Code::State, format!("emptying {directory} failed: {e}"))
    };
    for entry in std::fs::read_dir(&place.directory).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let is_directory = entry.file_type().map_err(failed)?.is_dir();
        if is_directory {
            std::fs::remove_dir_all(entry.path()).map_err(failed)?;
        } else {
            std::fs::remove_file(entry.path()).map_err(failed)?;
        }
    }
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forwards_are_read() {
        let udp = forward("udp:53=dns:5353").unwrap();
        assert_eq!((udp.protocol, udp.listen.port()), (Protocol::Udp, 53));
        assert_eq!(udp.target.to_string(), "dns:5353");
        for bad in ["tcp:1", "sctp:1=a:1", "tcp:x=a:1", "tcp:1=a"] {
            assert!(forward(bad).is_err(), "{bad}");
        }
    }
}

//! Desktops of workspaces: an X server that speaks RFB on a unix socket, where the image has one.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use dwell_api::desktop::{ChangeDesktop, Desktop};
use dwell_api::{Code, Problem};
use dwell_core::idle::Source;
use dwell_core::workspace::{DESKTOP_SOCKET, GIVEN, HOME, USER, Workspace};
use dwell_drivers::docker::ExecSpec;
use tokio::time::{Instant, sleep};

use super::commands::Commands;
use super::exec::awake;
use super::{find, given, inside};
use crate::node::Node;
use crate::problem::OrProblem;

/// How long a desktop may take to begin or to end, and one command meanwhile.
const LIMIT: Duration = Duration::from_secs(15);
const AGAIN: Duration = Duration::from_millis(100);

/// Starts it, unless the image has none; it ends with the workspace or when it is told to. Its
/// number is kept, so that nothing else is ended in its place.
const START: &str = r#"
command -v dwell-desktop >/dev/null || exit 127
cd "$HOME" || exit 1
setsid sh -c 'echo $$ > "$0.pid"; exec dwell-desktop "$@"' "$1" "$@" \
    </dev/null >/tmp/dwell-desktop.log 2>&1 &
"#;
const STOP: &str = r#"
pid=$(cat "$1.pid" 2>/dev/null) && kill "$pid" 2>/dev/null
rm -f "$1.pid"
exit 0
"#;
const MISSING: i32 = 127;

/// Starts or ends the desktop of a workspace.
pub(crate) async fn desktop(
    node: &Arc<Node>,
    name: &str,
    request: ChangeDesktop,
) -> Result<Desktop, Problem> {
    let it = awake(node, find(node, name).await?, Source::Request).await?;
    let lock = node.workspaces.lock(it.id.as_str());
    let _held = lock.lock().await;
    let running = is_running(node, &it).await;
    let changed = running != request.run;
    if changed {
        let (script, size) = match request.run {
            true => (START, request.size.map(|(width, height)| format!("{width}x{height}"))),
            false => (STOP, None),
        };
        run(node, &it, script, size).await?;
        wait(node, &it, request.run).await?;
    }
    Ok(Desktop { running: request.run, changed })
}

async fn run(
    node: &Node,
    it: &Workspace,
    script: &str,
    size: Option<String>,
) -> Result<(), Problem> {
    let mut command = ["sh", "-c", script, "sh", DESKTOP_SOCKET].map(str::to_owned).to_vec();
    command.extend(size);
    let home = [("HOME".to_owned(), HOME.to_owned())];
    let variables = it.variables().into_iter().chain(home);
    let spec = ExecSpec {
        command,
        user: Some(USER.to_owned()),
        variables: variables.map(|(name, value)| format!("{name}={value}")).collect(),
        ..ExecSpec::default()
    };
    let ran = Commands::of(node, it).run(spec, None, LIMIT).await.or_problem()?;
    match ran.code {
        Some(0) => Ok(()),
        Some(MISSING) => {
            let message = format!("workspace `{}` has no desktop", it.name);
            Err(Problem::new(Code::ToolMissing, message)
                .hint("make one of the desktop variant, which `dwell image build desktop` builds"))
        }
        _ => Err(Problem::new(Code::ToolFailed, "the desktop could not be started")
            .details([String::from_utf8_lossy(&ran.stderr).trim().to_owned()])),
    }
}

async fn is_running(node: &Node, it: &Workspace) -> bool {
    inside::dial_socket(node, it, DESKTOP_SOCKET).await.is_ok()
}

async fn wait(node: &Node, it: &Workspace, until: bool) -> Result<(), Problem> {
    let deadline = Instant::now() + LIMIT;
    while is_running(node, it).await != until {
        if Instant::now() > deadline {
            let verb = if until { "begin" } else { "end" };
            let message = format!("the desktop of `{}` did not {verb} in time", it.name);
            let log = format!("`dwell ws exec {} cat /tmp/dwell-desktop.log` tells why", it.name);
            return Err(Problem::new(Code::Timeout, message).hint(log));
        }
        sleep(AGAIN).await;
    }
    Ok(())
}

/// The files of the viewer that the image has, by their paths.
pub(crate) async fn viewer(
    node: &Arc<Node>,
    name: &str,
) -> Result<BTreeMap<String, String>, Problem> {
    let it = awake(node, find(node, name).await?, Source::Request).await?;
    given::renew(node, &it).await?;
    let spec = ExecSpec {
        command: vec![format!("{GIVEN}/{}", given::BINARY), "workspace-viewer".to_owned()],
        user: Some(USER.to_owned()),
        ..ExecSpec::default()
    };
    let said = Commands::of(node, &it).run(spec, None, LIMIT).await.or_problem()?;
    serde_json::from_slice(&said.stdout).map_err(|_| {
        let message = format!("the image of `{}` has no noVNC", it.name);
        Problem::new(Code::ToolMissing, message)
            .hint("`dwell image build desktop` builds one that has it")
    })
}

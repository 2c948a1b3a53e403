//! `open` and `tunnel`: editors of this machine in a workspace.

use dwell_api::workspace::{Workspace as Shown, WorkspaceExec};
use dwell_api::{Code, Problem, endpoint};
use dwell_core::WorkspaceName;
use dwell_core::workspace::{HOME, USER};
use serde_json::json;

use super::Context;
use super::ssh::{configure, is_configured};
use super::url::open as open_link;
use super::workspace::{converse_in, of};
use crate::arguments::open::{Open, Tunnel, TunnelAction};
use crate::arguments::ssh::{ConfigSsh, SUFFIX};
use crate::failure::Ended;
use crate::terminal;

/// Runs the tunnel, or says with a code of its own that the command is missing.
const TUNNEL: &str = "command -v code >/dev/null || exit 127
exec code tunnel --accept-server-license-terms --name \"$1\"";
const MISSING: u8 = 127;

/// Opens a workspace in an editor, or prints the link that does.
pub(crate) async fn run(it: Open, context: &Context) -> Ended {
    let shown: Shown = context.connect().await?.get(&of(endpoint::WORKSPACE, &it.name)).await?;
    let host = format!("{}{SUFFIX}", shown.name);
    let directory = match it.directory {
        Some(path) if path.starts_with('/') => path,
        Some(path) => format!("{HOME}/{path}"),
        None => HOME.to_owned(),
    };
    let link = it.editor.editor().link(&host, USER, &directory);
    if it.print {
        context.output.result(&json!({ "url": link }), |_, _| link.clone())?;
        if !is_configured()? {
            context.output.note(&format!("ssh does not know {host} yet: `dwell config-ssh`"));
        }
        return Ok(0);
    }
    if !is_configured()? {
        let question = format!("Editors find {host} by ssh's configuration. Write it now?");
        if !context.output.can_ask() || !context.output.confirm(&question, "--print")? {
            let message = format!("ssh does not know {host}, and so no editor does");
            return Err(Problem::new(Code::InvalidConfig, message)
                .hint("`dwell config-ssh` has it know all workspaces")
                .into());
        }
        configure(&ConfigSsh { dry_run: false, undo: false }, context)?;
    }
    open_link(&link)?;
    context.output.note(&link);
    Ok(0)
}

/// Runs a tunnel in a workspace.
pub(crate) async fn tunnel(it: Tunnel, context: &Context) -> Ended {
    let TunnelAction::Code { name } = it.action;
    let tty = terminal::is_interactive();
    let words = ["sh", "-c", TUNNEL, "sh", name.as_str()];
    let body = WorkspaceExec {
        command: words.map(str::to_owned).into(),
        tty,
        stdin: tty,
        size: if tty { terminal::size() } else { None },
        variables: Vec::new(),
        user: None,
        directory: None,
    };
    match converse_in(&name, &body, context).await? {
        MISSING => Err(missing(&name).into()),
        code => Ok(code),
    }
}

fn missing(name: &WorkspaceName) -> Problem {
    let message = format!("workspace `{name}` has no `code` command");
    Problem::new(Code::ToolMissing, message).hint(
        "put the command-line program of Visual Studio Code, from \
         https://code.visualstudio.com/download, into ~/.local/bin there",
    )
}

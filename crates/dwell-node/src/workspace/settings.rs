//! A person's settings on their way into a workspace. The binary puts them in place from inside,
//! as the workspace's user, so nothing in there can lead a write elsewhere. Where the workspace
//! does not run they wait.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use dwell_api::{Code, Problem};
use dwell_core::idle::Source;
use dwell_core::observed::State;
use dwell_core::settings::{PushSettings, PushedSettings};
use dwell_core::workspace::{GIVEN, HOME, USER, Workspace};
use dwell_drivers::docker::ExecSpec;

use super::commands::Commands;
use super::{awake, find, given, held, refuse_unfinished, state};
use crate::facts::write;
use crate::node::Node;
use crate::problem::{OrProblem, file};

/// How long putting them in place may take.
const LIMIT: Duration = Duration::from_secs(60);
/// Those that wait.
const WAITING: &str = "settings.json";

/// Puts settings into a workspace.
pub(crate) async fn push(
    node: &Arc<Node>,
    name: &str,
    request: PushSettings,
) -> Result<PushedSettings, Problem> {
    let has_keys = request.settings.files.iter().any(|file| file.private_key);
    if has_keys && !request.dry_run {
        // They are not kept for later, so what sleeps is woken for them.
        let it = find(node, name).await?;
        awake(node, it, Source::Request).await.map_err(|problem| without(problem, name))?;
    }
    let (_held, it) = held(node, name).await?;
    refuse_unfinished(&it)?;
    if state(node, &it).await? == Some(State::Running) {
        let pushed = put(node, &it, &request).await?;
        if !request.dry_run {
            forget_waiting(node, &it)?;
        }
        return Ok(pushed);
    }
    if !request.dry_run {
        if has_keys {
            return Err(without(Problem::new(Code::NotRunning, "it does not run"), name));
        }
        let text = serde_json::to_vec(&request).map_err(unreadable)?;
        write(&waiting(node, &it), &text)?;
    }
    Ok(PushedSettings { waiting: true, ..PushedSettings::default() })
}

/// Keys do not wait for a workspace that does not run.
fn without(problem: Problem, name: &str) -> Problem {
    if problem.code != Code::NotRunning {
        return problem;
    }
    let message = format!("workspace `{name}` does not run, and keys are not kept for it");
    Problem::new(Code::NotRunning, message).hint(format!("`dwell ws start {name}` starts it"))
}

/// Puts settings that waited into a workspace that runs now; gives what there is to know.
pub(super) async fn catch_up(node: &Node, it: &Workspace) -> Option<String> {
    let text = std::fs::read(waiting(node, it)).ok()?;
    let caught_up = async {
        let request: PushSettings = serde_json::from_slice(&text).map_err(unreadable)?;
        let pushed = put(node, it, &request).await?;
        forget_waiting(node, it)?;
        Ok::<_, Problem>(pushed.files.iter().filter(|file| file.fate.is_change()).count())
    };
    match caught_up.await {
        Ok(changed) => Some(format!("your settings followed: {changed} files are new there")),
        Err(problem) => {
            tracing::warn!(%problem, workspace = %it.name, "settings did not follow");
            Some(format!(
                "your settings did not follow: {problem}; `dwell config push` tries again"
            ))
        }
    }
}

/// Puts settings into a workspace that runs.
pub(super) async fn put(
    node: &Node,
    it: &Workspace,
    request: &PushSettings,
) -> Result<PushedSettings, Problem> {
    // It may have been started by an older binary.
    given::renew(node, it).await?;
    let mut input = serde_json::to_vec(request).map_err(unreadable)?;
    input.push(b'\n');
    let spec = ExecSpec {
        command: vec![format!("{GIVEN}/{}", given::BINARY), "workspace-settings".to_owned()],
        variables: vec![format!("HOME={HOME}")],
        user: Some(USER.to_owned()),
        directory: Some(HOME.to_owned()),
        ..ExecSpec::default()
    };
    let ended = Commands::of(node, it).run(spec, Some(&input), LIMIT).await.or_problem()?;
    if ended.code == Some(0) {
        return serde_json::from_slice(&ended.stdout).map_err(unreadable);
    }
    let said =
        String::from_utf8_lossy(&ended.stderr).trim().trim_start_matches("error: ").to_owned();
    let message = format!("settings could not be put into workspace `{}`: {said}", it.name);
    Err(Problem::new(Code::ToolFailed, message))
}

fn waiting(node: &Node, it: &Workspace) -> PathBuf {
    node.paths.workspace(&it.id).join(WAITING)
}

fn forget_waiting(node: &Node, it: &Workspace) -> Result<(), Problem> {
    let path = waiting(node, it);
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(file("removing", &path, &error))
        }
        _ => Ok(()),
    }
}

/// What is in settings is told to nobody.
fn unreadable(error: serde_json::Error) -> Problem {
    let (line, column) = (error.line(), error.column());
    Problem::new(Code::Internal, format!("settings are not understood at {line}:{column}"))
}

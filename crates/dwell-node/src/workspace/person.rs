//! What follows a person into a workspace that was just made: settings, then dotfiles. What goes
//! wrong with them leaves the workspace as it is, and is told.

use std::time::Duration;

use dwell_api::{Event, Problem, StepState};
use dwell_core::settings::{DOTFILES_SCRIPT, DotfilesRef, PushSettings, Settings};
use dwell_core::workspace::{HOME, USER, Workspace};
use dwell_drivers::docker::ExecSpec;
use futures_util::StreamExt;

use super::commands::Commands;
use super::settings;
use crate::node::Node;
use crate::operation::Operation;
use crate::problem::OrProblem;

/// How long dotfiles may take.
const LIMIT: Duration = Duration::from_secs(15 * 60);
/// How much of a line is told, in bytes.
const LINE: usize = 4096;

/// Brings what is to follow.
pub(super) async fn follow(
    node: &Node,
    operation: &Operation,
    it: &Workspace,
    settings: Option<Settings>,
    dotfiles: Option<&DotfilesRef>,
) {
    let told = |step: &str, state| operation.tell(Event::Step { step: step.to_owned(), state });
    if let Some(settings) = settings {
        told("bringing your settings", StepState::Started);
        let push = PushSettings { settings, ..PushSettings::default() };
        match settings::put(node, it, &push).await {
            Ok(_) => told("bringing your settings", StepState::Done),
            Err(problem) => operation.note(format!(
                "your settings did not follow: {problem}; `dwell config push` tries again"
            )),
        }
    }
    let Some(repository) = dotfiles else { return };
    told("installing your dotfiles", StepState::Started);
    let installed = tokio::select! {
        installed = install(node, operation, it, repository) => installed,
        () = operation.cancelled() => Ok(Some("they were cancelled".to_owned())),
        () = tokio::time::sleep(LIMIT) => Ok(Some("they took more than 15 minutes".to_owned())),
    };
    match installed {
        Ok(None) => told("installing your dotfiles", StepState::Done),
        Ok(Some(why)) => operation.note(format!(
            "your dotfiles are not installed: {why}; the workspace runs without them"
        )),
        Err(problem) => operation.note(format!(
            "your dotfiles are not installed: {problem}; the workspace runs without them"
        )),
    }
}

/// Runs the script inside and tells what it says; gives why it failed.
async fn install(
    node: &Node,
    operation: &Operation,
    it: &Workspace,
    repository: &DotfilesRef,
) -> Result<Option<String>, Problem> {
    let own = [
        ("GIT_TERMINAL_PROMPT", "0"),
        ("GIT_SSH_COMMAND", "ssh -o BatchMode=yes"),
        ("DOTFILES", "true"),
        ("HOME", HOME),
        ("USER", USER),
    ];
    let own = own.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let variables = it.variables().into_iter().chain(own);
    let spec = ExecSpec {
        command: ["sh", "-c", DOTFILES_SCRIPT, "sh", repository.as_str()].map(str::to_owned).into(),
        variables: variables.map(|(name, value)| format!("{name}={value}")).collect(),
        user: Some(USER.to_owned()),
        directory: Some(HOME.to_owned()),
        ..ExecSpec::default()
    };
    let mut running = Commands::of(node, it).start(spec, None).await.or_problem()?;
    let (mut rest, mut last) = (Vec::new(), String::new());
    while let Some(piece) = running.output.next().await {
        rest.extend_from_slice(&piece.or_problem()?.1);
        while let Some(end) = rest
            .iter()
            .position(|byte| *byte == b'\n')
            .or_else(|| (rest.len() > LINE).then_some(LINE))
        {
            let line: Vec<u8> = rest.drain(..=end).collect();
            say(operation, &line, &mut last);
        }
    }
    if !rest.is_empty() {
        say(operation, &rest, &mut last);
    }
    let code = running.control.code().await.or_problem()?;
    let said = if last.is_empty() { String::new() } else { format!(" ({last})") };
    Ok((code != 0).then(|| format!("it ended with exit code {code}{said}")))
}

fn say(operation: &Operation, line: &[u8], last: &mut String) {
    let line = String::from_utf8_lossy(line);
    let line: String = line.trim_end().chars().filter(|c| !c.is_control() || *c == '\t').collect();
    if !line.is_empty() {
        last.clone_from(&line);
    }
    operation.tell(Event::Output { line });
}

//! `run --in`: an agent or a command in a workspace, in a session that stays.

use std::ffi::OsString;

use dwell_api::session::StartSession;
use dwell_api::workspace::{EnvironmentRef, Workspace};
use dwell_api::{Code, Problem, endpoint};
use dwell_core::{EnvironmentName, SessionName};

use super::begin;
use crate::arguments::session::Run;
use crate::command::{Context, far, given_variables};
use crate::failure::{Ended, usage};
use crate::target::{self, Place};
use crate::terminal;

/// What runs where no command is given.
const SHELL: &str = "bash";

/// Runs a command in the workspace that was named.
pub(super) async fn run(mut it: Run, context: &Context) -> Ended {
    let Some(workspace) = &it.workspace else { return Err(usage("--in takes a workspace").into()) };
    let raw: Vec<OsString> = std::env::args_os().collect();
    let (environment, mut command) = split(it.command.take(), &it.words, &raw)?;
    if command.is_empty() {
        command.push(SHELL.to_owned());
    }
    let mut client = context.connect().await?;
    let path = endpoint::fill(endpoint::WORKSPACE, &[workspace.as_str()]);
    let there: Workspace = client.get(&path).await?;
    let mut body = start(it.name.take(), command, given_variables(it.env), it.detach);
    if let Some(name) = environment {
        let project = it.project.project.as_ref();
        let found = target::resolve(&mut client, Some(&name), project).await?;
        let id = found.id.as_str().parse();
        let name = id.map_err(|e| Problem::new(Code::Internal, format!("{e}")))?;
        body.environment = Some(EnvironmentRef { name, project: None });
    }
    let place = Place::Workspace(Box::new(there));
    begin(&mut client, &place, &body, it.detach, context).await
}

/// A session to start in a workspace: this machine's paths and keys are none of its.
pub(in crate::command) fn start(
    name: Option<SessionName>,
    command: Vec<String>,
    given: Vec<(String, String)>,
    detached: bool,
) -> StartSession {
    StartSession {
        name,
        command,
        variables: far::variables(given),
        directory: None,
        size: terminal::size(),
        pipes: !detached && !terminal::is_interactive(),
        resume: false,
        login: true,
        environment: None,
    }
}

/// The environment and the command among the words, which the parser took `--` from: a single word
/// before it is the environment.
fn split(
    first: Option<String>,
    rest: &[OsString],
    raw: &[OsString],
) -> Result<(Option<EnvironmentName>, Vec<String>), Problem> {
    let mut all: Vec<String> = first.into_iter().collect();
    for word in rest {
        let text = word.to_str().ok_or_else(|| usage("an argument is not UTF-8"))?;
        all.push(text.to_owned());
    }
    let after = raw.iter().position(|word| word == "--").map(|at| raw.len() - at - 1);
    if !all.is_empty() && after == Some(all.len() - 1) {
        let name = all.remove(0);
        let name = name.parse().map_err(|e| Problem::new(Code::InvalidName, format!("{e}")))?;
        return Ok((Some(name), all));
    }
    Ok((None, all))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arguments::{Arguments, Command};
    use clap::Parser;

    fn read(line: &str) -> (Option<String>, String) {
        let raw: Vec<OsString> = line.split(' ').map(OsString::from).collect();
        let Command::Run(mut it) = Arguments::try_parse_from(&raw).unwrap().command else {
            panic!("it is `run`")
        };
        let (environment, command) = split(it.command.take(), &it.words, &raw).unwrap();
        (environment.map(|name| name.to_string()), command.join(" "))
    }

    #[test]
    fn one_word_before_the_dashes_is_the_environment() {
        let red = || Some("red".to_owned());
        for (line, environment, command) in [
            ("dwell run --in box", None, ""),
            ("dwell run --in box red --", red(), ""),
            ("dwell run --in box red -- make -j 4", red(), "make -j 4"),
            ("dwell run --in box -- make -j 4", None, "make -j 4"),
            ("dwell run --in box make -j 4", None, "make -j 4"),
            ("dwell run --in box make test -- x", None, "make test -- x"),
            ("dwell run --detach --in box red -- sh -c -- x", red(), "sh -c -- x"),
        ] {
            assert_eq!(read(line), (environment, command.to_owned()), "{line}");
        }
    }
}

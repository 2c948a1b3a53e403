//! `compose`: becomes docker compose, on an environment.

use std::os::unix::process::CommandExt;
use std::process::Command;

use dwell_api::environment::ComposeCommand;
use dwell_api::exec::CommandKind;
use dwell_api::{Code, Problem, endpoint};

use super::Context;
use super::environment::of;
use crate::arguments::EnvironmentAndRest;
use crate::arguments::work::Compose;
use crate::failure::Ended;
use crate::target;

/// Runs docker compose.
pub(crate) async fn run(it: Compose, context: &Context) -> Ended {
    let words = EnvironmentAndRest::new(&it.words)?;
    let mut client = context.connect().await?;
    let project = it.project.project.as_ref();
    let environment = target::resolve(&mut client, Some(&words.environment), project).await?;
    let rest = if words.rest.is_empty() { vec!["ps".to_owned()] } else { words.rest };
    if environment.node.is_some() {
        let what = CommandKind::Compose { arguments: rest };
        return super::far::run(&environment, what, Vec::new(), context).await;
    }
    let compose: ComposeCommand = client.get(&of(endpoint::COMPOSE, &environment)).await?;
    let Some((program, leading)) = compose.arguments.split_first() else {
        return Err(Problem::new(Code::Internal, "the node named no compose command").into());
    };
    let error =
        Command::new(program).args(leading).args(rest).current_dir(&compose.directory).exec();
    let message = format!("`{program}` could not be run: {error}");
    Err(Problem::new(Code::ToolMissing, message).into())
}

//! A repository's own commands, run in the environment's tree: only what the user trusted, word
//! for word, and bounded in time.

use std::time::Duration;

use dwell_api::{Code, Event, Problem};
use dwell_core::config::ProjectConfig;
use dwell_drivers::process::Program;
use tokio::io::{AsyncBufReadExt, BufReader};

use crate::operation::Context;
use crate::problem::OrProblem;
use crate::project;

/// How long a hook may run.
const LIMIT: Duration = Duration::from_secs(30 * 60);

/// Runs the setup hook of a new environment.
pub(super) async fn setup(context: &mut Context) -> Result<(), Problem> {
    let config = project::load(context.environment.directory()).await?;
    for command in &config.hooks.setup {
        run(context, "setup", &config, command).await?;
    }
    trust_what_was_made(context, &config).await
}

/// Files that the commands name may have been made by the setup, and nobody else was in the tree
/// yet: with them, the commands are as trusted as they were.
async fn trust_what_was_made(context: &Context, config: &ProjectConfig) -> Result<(), Problem> {
    let environment = &context.environment;
    let subject = project::trust_subject(environment.directory(), config).await;
    let Some(subject) = subject.filter(|_| !config.hooks.setup.is_empty()) else { return Ok(()) };
    let source = environment.source.to_string_lossy();
    context.node.store.trust(&source, &subject.hash, context.node.now()).await.or_problem()
}

/// Runs the run hook, before the services start.
pub(super) async fn run_before_start(context: &mut Context) -> Result<(), Problem> {
    let config = project::load(context.environment.directory()).await?;
    for command in &config.hooks.run {
        run(context, "run", &config, command).await?;
    }
    Ok(())
}

/// Runs the archive hook of an environment that is about to go. Its failure is told and does not
/// keep the environment.
pub(super) async fn archive(context: &mut Context) -> Result<(), Problem> {
    if context.request.destroy.moved || !context.environment.directory().is_dir() {
        return Ok(());
    }
    let Ok(config) = project::load(context.environment.directory()).await else { return Ok(()) };
    for command in &config.hooks.archive {
        if let Err(problem) = run(context, "archive", &config, command).await {
            context.operation.note(format!("the archive hook did not run well: {problem}"));
        }
    }
    Ok(())
}

async fn run(
    context: &Context,
    hook: &str,
    config: &ProjectConfig,
    command: &str,
) -> Result<(), Problem> {
    let environment = &context.environment;
    let (source, directory) = (&environment.source, environment.directory());
    let node = &context.node;
    project::require_trust_in(node, source, directory, config).await?;
    context.operation.note(format!("running the {hook} hook: {command}"));
    let result = execute(context, hook, command).await;
    project::keep_trust(node, source, directory, config).await?;
    result
}

async fn execute(context: &Context, hook: &str, command: &str) -> Result<(), Problem> {
    let environment = &context.environment;
    let mut program = Program::new("sh")
        .args(["-c", &format!("exec 2>&1\n{command}")])
        .directory(environment.directory());
    for (name, value) in &context.variables {
        program = program.env(name, value);
    }
    for (name, value) in context.node.variables(environment, None).await {
        program = program.env(name, value);
    }
    let mut child = program.spawn().or_problem()?;
    let (Some(output), _) = child.pipes() else { return Ok(()) };
    let mut lines = BufReader::new(output).lines();
    let failed = |why: String| {
        Problem::new(Code::ToolFailed, format!("the {hook} hook `{command}` {why}"))
            .hint("its output is above; the hook is in the project's dwell.toml")
    };
    let follow = async {
        while let Ok(Some(line)) = lines.next_line().await {
            context.operation.tell(Event::Output { line });
        }
        child.wait().await
    };
    let status = tokio::time::timeout(LIMIT, follow)
        .await
        .map_err(|_| failed(format!("did not end within {} minutes", LIMIT.as_secs() / 60)))?
        .map_err(|e| failed(format!("could not be awaited: {e}")))?;
    if status.success() { Ok(()) } else { Err(failed(format!("ended with {status}"))) }
}

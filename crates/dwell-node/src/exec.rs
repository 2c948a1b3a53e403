//! Commands in containers: from the upgraded connection's frames to the engine's streams.

use std::sync::Arc;

use axum::extract::Request;
use axum::response::Response;
use dwell_api::exec::{Exec, PROTOCOL};
use dwell_api::{ClientError, Code, Problem, endpoint};
use dwell_core::NodeName;
use dwell_core::environment::Environment;
use dwell_drivers::docker::ExecSpec;
use futures_util::{FutureExt, StreamExt};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::api::{Refusal, switching, upgrade_of};
use crate::carry::{Far, carry};
use crate::idle::{Busy, Meter, Metered};
use crate::node::Node;
use crate::problem::OrProblem;
use crate::running::Running;

/// That a workspace is used by a command in it.
pub(crate) struct Used {
    /// While it runs.
    pub(crate) busy: Busy,
    /// What is typed, where there is a terminal.
    pub(crate) meter: Option<Meter>,
}

/// Starts the command and answers the upgrade.
pub(crate) async fn serve(
    node: Arc<Node>,
    environment: &str,
    request: Request,
) -> Result<Response, Refusal> {
    let (upgrade, exec): (_, Exec) = upgrade_of(request).await?;
    let environment = node.find(environment, exec.project.as_ref()).await?;
    if let Some(there) = environment.elsewhere(&exec.service) {
        let mut far = elsewhere(&node, &environment, there, exec).await?;
        tokio::spawn(async move {
            if let Ok(near) = upgrade.await {
                // What goes wrong is for both ends to see.
                let _ = tokio::io::copy_bidirectional(&mut TokioIo::new(near), &mut far).await;
            }
        });
        return Ok(switching(PROTOCOL));
    }
    let container = find(&node, &environment, &exec).await?;
    let size = exec.size;
    let running = Running::by_engine(&node.engine, &container, spec(exec), size).await;
    Ok(answer(running.or_problem()?, upgrade, None))
}

/// Talks about a command once the connection is upgraded.
pub(crate) fn answer(
    running: Running,
    upgrade: hyper::upgrade::OnUpgrade,
    used: Option<Used>,
) -> Response {
    tokio::spawn(async move {
        let (busy, meter) = used.map_or((None, None), |used| (Some(used.busy), used.meter));
        match (upgrade.await, meter) {
            (Ok(upgraded), Some(meter)) => {
                talk(Metered { stream: TokioIo::new(upgraded), meter }, running).await;
            }
            (Ok(upgraded), None) => talk(TokioIo::new(upgraded), running).await,
            (Err(error), _) => tracing::debug!(%error, "an exec connection was not upgraded"),
        }
        drop(busy);
    });
    switching(PROTOCOL)
}

fn spec(exec: Exec) -> ExecSpec {
    ExecSpec {
        command: exec.command,
        tty: exec.tty,
        stdin: exec.stdin,
        variables: exec
            .variables
            .into_iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect(),
        user: exec.user,
        directory: exec.directory,
    }
}

/// Starts the command on the node that the service runs on.
async fn elsewhere(
    node: &Node,
    environment: &Environment,
    there: &NodeName,
    exec: Exec,
) -> Result<impl AsyncRead + AsyncWrite + Unpin + use<>, Problem> {
    let part = environment.parts.get(there).ok_or_else(|| {
        let label = environment.label();
        Problem::new(Code::NotRunning, format!("`{label}` does not run on node `{there}`"))
            .hint("`dwell up` starts it")
    })?;
    let path = endpoint::fill(endpoint::EXEC, &[part.as_str()]);
    let exec = Exec { project: None, ..exec };
    let client = node.remotes.client(there).await?;
    client.upgrade(&path, PROTOCOL, &exec).await.map_err(ClientError::into_problem)
}

async fn find(node: &Node, environment: &Environment, exec: &Exec) -> Result<String, Problem> {
    let label = environment.label();
    let service = &exec.service;
    let containers = node.world.containers(&environment.id);
    let mut own = containers.iter().filter(|c| c.service.as_ref() == Some(service)).peekable();
    if own.peek().is_none() {
        let known: Vec<String> = node
            .facts
            .get(&environment.id)
            .map(|facts| facts.services.keys().map(ToString::to_string).collect())
            .unwrap_or_default();
        if known.iter().any(|known| known == service.as_str()) {
            return Err(Problem::new(
                Code::NotRunning,
                format!("service `{service}` of `{label}` does not run"),
            )
            .hint("`dwell up` starts it"));
        }
        return Err(Problem::new(Code::NotFound, format!("`{label}` has no service `{service}`"))
            .details(known));
    }
    let found = own.find(|container| container.runs() && container.index == exec.index);
    found.map(|container| container.id.clone()).ok_or_else(|| {
        let index = exec.index;
        Problem::new(
            Code::NotRunning,
            format!("container {index} of service `{service}` of `{label}` does not run"),
        )
        .hint("`dwell status` shows what runs")
    })
}

async fn talk<S: AsyncRead + AsyncWrite + Unpin>(stream: S, running: Running) {
    let Running { output, input, control } = running;
    let output = output.map(|piece| piece.or_problem());
    let resize = |columns, rows| {
        let control = control.clone();
        async move { control.resize(columns, rows).await }.boxed()
    };
    let code = async { control.code().await.or_problem() };
    let hangs_up = control.hangs_up();
    carry(stream, Far { output: Box::pin(output), input, hangs_up }, resize, code).await;
}

//! Logs of an environment's containers, as lines with their source.

use dwell_api::environment::{LogLine, LogsQuery};
use dwell_api::{ClientError, Code, Problem, endpoint};
use dwell_core::environment::Environment;
use dwell_core::observed::{Container, Role};
use dwell_core::{EnvironmentId, NodeName};
use dwell_drivers::docker::{LogChunk, LogOptions};
use futures_util::{Stream, StreamExt, stream};

use crate::node::Node;

/// The log lines of an environment's containers, or of one service's, each container's in order.
pub(crate) async fn lines(
    node: &Node,
    environment: &Environment,
    query: &LogsQuery,
) -> Result<impl Stream<Item = LogLine> + Send + use<>, Problem> {
    let mut containers = node.world.containers(&environment.id);
    if let Some(service) = &query.service {
        let known = node.facts.get(&environment.id);
        let exists = known.is_none_or(|facts| facts.services.contains_key(service));
        if !exists {
            let label = environment.label();
            return Err(Problem::new(
                Code::NotFound,
                format!("`{label}` has no service `{service}`"),
            ));
        }
        containers.retain(|container| container.service.as_ref() == Some(service));
    }
    // What stands in for a service has nothing to say.
    containers.retain(|container| container.role != Role::Relay);
    containers.sort_by(|a, b| (&a.service, a.index).cmp(&(&b.service, b.index)));
    let options =
        LogOptions { follow: query.follow, tail: query.tail, timestamps: query.timestamps };
    let mut each: Vec<_> = containers
        .iter()
        .map(|container| split(source(container), node.engine.logs(&container.id, options)).boxed())
        .collect();
    for (there, part) in &environment.parts {
        let place = query.service.as_ref().map(|service| environment.elsewhere(service));
        if place.is_none_or(|place| place == Some(there)) {
            match elsewhere(node, there, part, query).await {
                Ok(lines) => each.push(lines.boxed()),
                Err(problem) if query.service.is_some() => return Err(problem),
                // The others can be shown.
                Err(problem) => each.push(stream::iter([unreadable(there, &problem)]).boxed()),
            }
        }
    }
    Ok(if query.follow {
        stream::select_all(each).boxed()
    } else {
        stream::iter(each).flatten().boxed()
    })
}

/// The log lines of what runs on another node.
async fn elsewhere(
    node: &Node,
    there: &NodeName,
    part: &EnvironmentId,
    query: &LogsQuery,
) -> Result<impl Stream<Item = LogLine> + Send + use<>, Problem> {
    let query = LogsQuery { project: None, ..query.clone() };
    let path = endpoint::query(&endpoint::fill(endpoint::LOGS, &[part.as_str()]), &query);
    let mut client = node.remotes.client(there).await?;
    let lines = client.lines(&path).await.map_err(ClientError::into_problem)?;
    let there = there.clone();
    Ok(stream::unfold(Some((client, lines, there)), |open| async move {
        let (client, mut lines, there) = open?;
        match lines.next::<LogLine>().await {
            Ok(Some(line)) => Some((line, Some((client, lines, there)))),
            Ok(None) => None,
            Err(error) => Some((unreadable(&there, &error), None)),
        }
    }))
}

fn unreadable(there: &NodeName, error: &impl std::fmt::Display) -> LogLine {
    let line = format!("the logs there cannot be read: {error}");
    LogLine { source: there.to_string(), stderr: true, line }
}

fn source(container: &Container) -> String {
    let service = container.service.as_ref().map(ToString::to_string).unwrap_or_default();
    format!("{service}-{}", container.index)
}

/// Cuts the pieces of a log into lines; the two outputs are cut apart.
fn split(
    source: String,
    pieces: impl Stream<Item = Result<LogChunk, dwell_drivers::docker::EngineError>>,
) -> impl Stream<Item = LogLine> {
    let ends = pieces.map(Some).chain(stream::once(async { None }));
    let lines = ends.scan([Vec::new(), Vec::new()], move |rest, piece| {
        let mut lines = Vec::new();
        let mut line = |stderr: bool, bytes: &[u8]| {
            let text = String::from_utf8_lossy(bytes);
            let line = text.trim_end_matches('\r').to_owned();
            lines.push(LogLine { source: source.clone(), stderr, line });
        };
        match piece {
            Some(Ok(piece)) => {
                if let Some(buffer) = rest.get_mut(usize::from(piece.stderr)) {
                    buffer.extend_from_slice(&piece.bytes);
                    while let Some(end) = buffer.iter().position(|byte| *byte == b'\n') {
                        let rest = buffer.split_off(end + 1);
                        let whole = std::mem::replace(buffer, rest);
                        line(piece.stderr, whole.strip_suffix(b"\n").unwrap_or(&whole));
                    }
                }
            }
            Some(Err(error)) => line(true, format!("the log cannot be read: {error}").as_bytes()),
            None => {
                for (stderr, buffer) in [false, true].into_iter().zip(rest.iter()) {
                    if !buffer.is_empty() {
                        line(stderr, buffer);
                    }
                }
            }
        }
        std::future::ready(Some(stream::iter(lines)))
    });
    lines.flatten()
}

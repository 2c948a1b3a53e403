//! Logs of an environment's containers, as lines with their source.

use dwell_api::environment::{LogLine, LogsQuery};
use dwell_api::{ClientError, Code, Problem, endpoint};
use dwell_core::environment::Environment;
use dwell_core::observed::Container;
use dwell_core::{NodeName, ServiceName};
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
    containers.sort_by(|a, b| (&a.service, a.index).cmp(&(&b.service, b.index)));
    let options =
        LogOptions { follow: query.follow, tail: query.tail, timestamps: query.timestamps };
    // Of a service elsewhere there is only a stand-in here, which has nothing to say.
    let is_here = |container: &&Container| {
        container.service.as_ref().is_none_or(|service| environment.elsewhere(service).is_none())
    };
    let mut each: Vec<_> = containers
        .iter()
        .filter(is_here)
        .map(|container| split(source(container), node.engine.logs(&container.id, options)).boxed())
        .collect();
    for (service, there) in away(environment, query) {
        each.push(elsewhere(node, environment, service, there, query).await.boxed());
    }
    Ok(if query.follow {
        stream::select_all(each).boxed()
    } else {
        stream::iter(each).flatten().boxed()
    })
}

/// The services that run on other nodes and whose logs are asked for.
fn away<'a>(
    environment: &'a Environment,
    query: &LogsQuery,
) -> Vec<(&'a ServiceName, &'a NodeName)> {
    let all = environment.placement.iter().flat_map(|placement| &placement.services);
    let wanted = all.filter(|(service, there)| {
        !there.is_local() && query.service.as_ref().is_none_or(|only| only == *service)
    });
    wanted.collect()
}

/// The log lines of a service on another node.
async fn elsewhere(
    node: &Node,
    environment: &Environment,
    service: &ServiceName,
    there: &NodeName,
    query: &LogsQuery,
) -> impl Stream<Item = LogLine> + Send + use<> {
    let source = service.to_string();
    let opened = async {
        let missing = || Problem::new(Code::NotRunning, "it does not run there");
        let part = environment.parts.get(there).ok_or_else(missing)?;
        let query = LogsQuery { project: None, service: Some(service.clone()), ..query.clone() };
        let path = endpoint::query(&endpoint::fill(endpoint::LOGS, &[part.as_str()]), &query);
        let mut client = node.remotes.client(there).await?;
        client.lines(&path).await.map_err(ClientError::into_problem)
    };
    stream::unfold(Some(opened.await), move |state| {
        let source = source.clone();
        async move {
            let told = |problem: &Problem| {
                let line = format!("the log cannot be read: {problem}");
                Some((LogLine { source, stderr: true, line }, None))
            };
            match state? {
                Ok(mut lines) => match lines.next().await {
                    Ok(line) => line.map(|line: LogLine| (line, Some(Ok(lines)))),
                    Err(error) => told(&error.into_problem()),
                },
                Err(problem) => told(&problem),
            }
        }
    })
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

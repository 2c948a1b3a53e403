//! Containers: listing, watching, stopping, removing, and their logs.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use bollard::models::{
    ContainerSummary, ContainerSummaryStateEnum, EventMessage, PortSummary, PortSummaryTypeEnum,
};
use bollard::query_parameters::{
    EventsOptionsBuilder, InspectContainerOptions, ListContainersOptionsBuilder,
    LogsOptionsBuilder, RemoveContainerOptionsBuilder, StartContainerOptions, StopContainerOptions,
};
use bytes::Bytes;
use dwell_core::Generation;
use dwell_core::compose::{Port, Protocol};
use dwell_core::observed::{Container, Health, Role, State, label};
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};

use super::{Engine, EngineError, QUICK};

/// Something that happened to a container or its networks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The container's id.
    pub container: String,
    /// What happened: `start`, `die`, `destroy`, `health_status: healthy`, ...
    pub action: String,
}

/// Which part of a log to read.
#[derive(Debug, Clone, Copy, Default)]
pub struct LogOptions {
    /// Goes on with what comes.
    pub follow: bool,
    /// The last lines; all when absent.
    pub tail: Option<u32>,
    /// With timestamps.
    pub timestamps: bool,
}

/// A piece of a log.
#[derive(Debug, Clone)]
pub struct LogChunk {
    /// Whether it was written to stderr.
    pub stderr: bool,
    /// The bytes.
    pub bytes: Bytes,
}

impl Engine {
    /// All containers with a label (`name=value`), running or not.
    pub async fn containers(&self, labelled: &str) -> Result<Vec<Container>, EngineError> {
        self.list(HashMap::from([("label".to_owned(), vec![labelled.to_owned()])])).await
    }

    /// Those of these containers that exist.
    pub async fn containers_by_id(&self, ids: &[String]) -> Result<Vec<Container>, EngineError> {
        self.list(HashMap::from([("id".to_owned(), ids.to_vec())])).await
    }

    async fn list(
        &self,
        filters: HashMap<String, Vec<String>>,
    ) -> Result<Vec<Container>, EngineError> {
        let options = ListContainersOptionsBuilder::new().all(true).filters(&filters).build();
        let found = self
            .call("list containers", QUICK, self.docker()?.list_containers(Some(options)))
            .await?;
        Ok(found.into_iter().map(container).collect())
    }

    /// What happens to containers with a label from an instant on (seconds since the Unix
    /// epoch). Ends when the engine goes away.
    pub fn changes(
        &self,
        labelled: &str,
        since: i64,
    ) -> BoxStream<'static, Result<Change, EngineError>> {
        let filters = HashMap::from([
            ("type".to_owned(), vec!["container".to_owned()]),
            ("label".to_owned(), vec![labelled.to_owned()]),
        ]);
        let options =
            EventsOptionsBuilder::new().since(&since.to_string()).filters(&filters).build();
        let engine = self.clone();
        let docker = match self.docker() {
            Ok(docker) => docker,
            Err(error) => return failed(error),
        };
        let changes = docker.events(Some(options)).filter_map(move |event| {
            let change = match event {
                Ok(event) => change(event).map(Ok),
                Err(error) => Some(Err(engine.error(error))),
            };
            std::future::ready(change)
        });
        changes.boxed()
    }

    /// Stops a container, giving it the time that it was made with.
    pub async fn stop(&self, id: &str) -> Result<(), EngineError> {
        let options = StopContainerOptions { signal: None, t: None };
        let limit = Duration::from_secs(300);
        match self
            .call("stop container", limit, self.docker()?.stop_container(id, Some(options)))
            .await
        {
            Err(e) if e.is_not_found() => Ok(()),
            other => other,
        }
    }

    /// Starts a container that was stopped; one that runs goes on.
    pub async fn start(&self, id: &str) -> Result<(), EngineError> {
        let start = self.docker()?.start_container(id, None::<StartContainerOptions>);
        self.call("start container", Duration::from_secs(60), start).await
    }

    /// Removes a container with its anonymous volumes, killing it if it runs.
    pub async fn remove(&self, id: &str) -> Result<(), EngineError> {
        let options = RemoveContainerOptionsBuilder::new().force(true).v(true).build();
        let limit = Duration::from_secs(60);
        match self
            .call("remove container", limit, self.docker()?.remove_container(id, Some(options)))
            .await
        {
            Err(e) if e.is_not_found() => Ok(()),
            // Somebody else is removing it already.
            Err(EngineError::Conflict(message)) if message.contains("already in progress") => {
                Ok(())
            }
            other => other,
        }
    }

    /// The ports that a container's image says, as `5432/tcp`.
    pub async fn exposed_ports(&self, id: &str) -> Result<Vec<String>, EngineError> {
        let inspect = self.docker()?.inspect_container(id, None::<InspectContainerOptions>);
        let seen = self.call("inspect container", QUICK, inspect).await?;
        Ok(seen.config.and_then(|config| config.exposed_ports).unwrap_or_default())
    }

    /// A container's log.
    pub fn logs(
        &self,
        id: &str,
        options: LogOptions,
    ) -> BoxStream<'static, Result<LogChunk, EngineError>> {
        let tail = options.tail.map_or_else(|| "all".to_owned(), |lines| lines.to_string());
        let query = LogsOptionsBuilder::new()
            .stdout(true)
            .stderr(true)
            .follow(options.follow)
            .timestamps(options.timestamps)
            .tail(&tail)
            .build();
        let engine = self.clone();
        let docker = match self.docker() {
            Ok(docker) => docker,
            Err(error) => return failed(error),
        };
        let pieces = docker.logs(id, Some(query)).map(move |piece| match piece {
            Ok(piece) => {
                let stderr = matches!(piece, bollard::container::LogOutput::StdErr { .. });
                Ok(LogChunk { stderr, bytes: piece.into_bytes() })
            }
            Err(error) => Err(engine.error(error)),
        });
        pieces.boxed()
    }
}

/// A stream of nothing but a failure.
fn failed<T: Send + 'static>(error: EngineError) -> BoxStream<'static, Result<T, EngineError>> {
    stream::once(std::future::ready(Err(error))).boxed()
}

fn change(event: EventMessage) -> Option<Change> {
    let action = event.action?;
    // Execs and their ends say nothing about the container.
    if action.starts_with("exec_") || action.starts_with("top") {
        return None;
    }
    Some(Change { container: event.actor?.id?, action })
}

fn container(summary: ContainerSummary) -> Container {
    let labels: BTreeMap<String, String> = summary.labels.unwrap_or_default().into_iter().collect();
    let text = |name: &str| labels.get(name).map(String::as_str);
    let status = summary.status.as_deref().unwrap_or_default();
    let addresses = summary
        .network_settings
        .and_then(|settings| settings.networks)
        .unwrap_or_default()
        .into_iter()
        .filter_map(|(name, endpoint)| Some((name, endpoint.ip_address?.parse().ok()?)))
        .collect();
    let mut ports: Vec<Port> = summary.ports.unwrap_or_default().iter().filter_map(port).collect();
    // One that is published is listed once for each address of this machine.
    ports.sort_unstable();
    ports.dedup();
    Container {
        id: summary.id.unwrap_or_default(),
        name: summary
            .names
            .and_then(|names| names.into_iter().next())
            .map(|name| name.trim_start_matches('/').to_owned())
            .unwrap_or_default(),
        environment: text(label::ENVIRONMENT).and_then(|id| id.parse().ok()),
        shared: text(label::SHARED).and_then(|id| id.parse().ok()),
        workspace: text(label::WORKSPACE).and_then(|id| id.parse().ok()),
        generation: Generation(
            text(label::GENERATION).and_then(|n| n.parse().ok()).unwrap_or(Generation::FIRST.0),
        ),
        service: text(label::SERVICE).and_then(|name| name.parse().ok()),
        index: text("com.docker.compose.container-number")
            .and_then(|n| n.parse().ok())
            .unwrap_or(1),
        one_off: text("com.docker.compose.oneoff").is_some_and(|v| v.eq_ignore_ascii_case("true")),
        role: match text(label::ROLE) {
            Some("relay") => Role::Relay,
            Some("shared") => Role::Shared,
            Some("workspace") => Role::Workspace,
            _ => Role::Service,
        },
        state: state(summary.state, status),
        health: health(status),
        addresses,
        ports,
        image: summary.image.unwrap_or_default(),
        image_id: summary.image_id.unwrap_or_default(),
        labels,
    }
}

fn port(seen: &PortSummary) -> Option<Port> {
    let protocol = match seen.typ? {
        PortSummaryTypeEnum::TCP => Protocol::Tcp,
        PortSummaryTypeEnum::UDP => Protocol::Udp,
        PortSummaryTypeEnum::SCTP => Protocol::Sctp,
        PortSummaryTypeEnum::EMPTY => return None,
    };
    Some(Port { number: seen.private_port, protocol })
}

fn state(state: Option<ContainerSummaryStateEnum>, status: &str) -> State {
    use ContainerSummaryStateEnum as Seen;
    match state {
        Some(Seen::RUNNING | Seen::STOPPING) => State::Running,
        Some(Seen::PAUSED) => State::Paused,
        Some(Seen::RESTARTING) => State::Restarting,
        Some(Seen::EXITED) => State::Exited(exit_code(status)),
        Some(Seen::CREATED) => State::Created,
        Some(Seen::REMOVING | Seen::DEAD | Seen::EMPTY) | None => State::Gone,
    }
}

/// `Exited (137) 3 seconds ago` holds the exit code; the list has it nowhere else.
fn exit_code(status: &str) -> i32 {
    status
        .split_once('(')
        .and_then(|(_, rest)| rest.split_once(')'))
        .and_then(|(code, _)| code.parse().ok())
        .unwrap_or(-1)
}

/// `Up 3 seconds (healthy)` holds the health; older engines have it nowhere else in the list.
fn health(status: &str) -> Option<Health> {
    if status.contains("(healthy)") {
        Some(Health::Healthy)
    } else if status.contains("(unhealthy)") {
        Some(Health::Unhealthy)
    } else if status.contains("(health: starting)") {
        Some(Health::Starting)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_lines_are_read() {
        assert_eq!(exit_code("Exited (137) 3 seconds ago"), 137);
        assert_eq!(health("Up 3 seconds (healthy)"), Some(Health::Healthy));
        assert_eq!(health("Up 1 second (health: starting)"), Some(Health::Starting));
        assert_eq!(health("Up 2 minutes"), None);
    }
}

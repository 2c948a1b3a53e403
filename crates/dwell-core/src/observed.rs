//! What was seen: containers as the engine reports them, and the status that follows.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use crate::compose::Port;
use crate::{EnvironmentId, Generation, ServiceName, SharedId, WorkspaceId};

/// Names of the labels on everything that is made outside the store.
pub mod label {
    /// The node that made it.
    pub const NODE: &str = "dwell.node";
    /// The environment it belongs to.
    pub const ENVIRONMENT: &str = "dwell.env";
    /// The shared instance it belongs to.
    pub const SHARED: &str = "dwell.shared";
    /// The workspace it belongs to.
    pub const WORKSPACE: &str = "dwell.workspace";
    /// The generation of the environment or workspace.
    pub const GENERATION: &str = "dwell.generation";
    /// The project's name.
    pub const PROJECT: &str = "dwell.project";
    /// The environment's name.
    pub const NAME: &str = "dwell.name";
    /// The service's name in the compose file.
    pub const SERVICE: &str = "dwell.service";
    /// The Unix user that the environment belongs to.
    pub const USER: &str = "dwell.user";
    /// `service`, `relay`, `shared` or `workspace`.
    pub const ROLE: &str = "dwell.role";
}

/// What a container is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// A service of an environment.
    Service,
    /// A stand-in for a service that runs elsewhere.
    Relay,
    /// A shared instance.
    Shared,
    /// A workspace.
    Workspace,
}

/// What a container does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Made and not started.
    Created,
    /// Running.
    Running,
    /// Frozen.
    Paused,
    /// Between two runs.
    Restarting,
    /// Ended with this exit code.
    Exited(i32),
    /// Being removed, or broken.
    Gone,
}

/// What a container's healthcheck says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// Not known yet.
    Starting,
    /// Well.
    Healthy,
    /// Not well.
    Unhealthy,
}

/// One container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Container {
    /// The engine's id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// The environment it belongs to.
    pub environment: Option<EnvironmentId>,
    /// The shared instance it belongs to.
    pub shared: Option<SharedId>,
    /// The workspace that it is.
    pub workspace: Option<WorkspaceId>,
    /// The generation it was made in.
    pub generation: Generation,
    /// The service it runs or stands in for.
    pub service: Option<ServiceName>,
    /// Its number within the service, from 1.
    pub index: u32,
    /// Whether it is a one-off run beside the service.
    pub one_off: bool,
    /// What it is for.
    pub role: Role,
    /// What it does.
    pub state: State,
    /// What its healthcheck says; `None` without one.
    pub health: Option<Health>,
    /// Its addresses by network name.
    pub addresses: BTreeMap<String, Ipv4Addr>,
    /// The ports that its project and its image say, while it runs in a network of its own.
    pub ports: Vec<Port>,
    /// The name of the image it was made from.
    pub image: String,
    /// The engine's id of that image.
    pub image_id: String,
    /// Everything it is labelled with.
    pub labels: BTreeMap<String, String>,
}

impl Container {
    /// Whether it can be reached.
    pub fn runs(&self) -> bool {
        self.state == State::Running
    }
}

impl State {
    /// The word shown to people.
    pub fn text(self) -> String {
        match self {
            Self::Created => "created".to_owned(),
            Self::Running => "running".to_owned(),
            Self::Paused => "paused".to_owned(),
            Self::Restarting => "restarting".to_owned(),
            Self::Exited(code) => format!("exited ({code})"),
            Self::Gone => "removing".to_owned(),
        }
    }
}

impl Health {
    /// The word shown to people.
    pub fn text(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Healthy => "healthy",
            Self::Unhealthy => "unhealthy",
        }
    }
}

/// What a service's containers add up to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// All that should run do, or have ended well.
    Well,
    /// Some run, or are not well.
    Partly,
    /// None runs.
    Down,
}

/// Judges one service: `wanted` replicas against its containers. A container that ended with
/// exit code 0 has done its job.
pub fn condition(containers: &[&Container], wanted: u32) -> Condition {
    let counted = |test: &dyn Fn(&Container) -> bool| {
        u32::try_from(containers.iter().filter(|c| test(c)).count()).unwrap_or(u32::MAX)
    };
    let well = counted(&|c| {
        (c.runs() && c.health != Some(Health::Unhealthy)) || c.state == State::Exited(0)
    });
    let alive = counted(&|c| matches!(c.state, State::Running | State::Restarting | State::Paused));
    if well >= wanted {
        Condition::Well
    } else if alive > 0 {
        Condition::Partly
    } else {
        Condition::Down
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn container(state: State, health: Option<Health>) -> Container {
        Container {
            id: "c".to_owned(),
            name: "c".to_owned(),
            environment: None,
            shared: None,
            workspace: None,
            generation: Generation::FIRST,
            service: None,
            index: 1,
            one_off: false,
            role: Role::Service,
            state,
            health,
            addresses: BTreeMap::new(),
            ports: Vec::new(),
            image: String::new(),
            image_id: String::new(),
            labels: BTreeMap::new(),
        }
    }

    #[test]
    fn a_finished_job_is_well_and_a_failed_one_is_not() {
        let (done, failed) = (container(State::Exited(0), None), container(State::Exited(1), None));
        assert_eq!(condition(&[&done], 1), Condition::Well);
        assert_eq!(condition(&[&failed], 1), Condition::Down);
    }

    #[test]
    fn fewer_replicas_than_wanted_are_partly_up() {
        let up = container(State::Running, None);
        assert_eq!(condition(&[&up, &up], 2), Condition::Well);
        assert_eq!(condition(&[&up], 2), Condition::Partly);
        let sick = container(State::Running, Some(Health::Unhealthy));
        assert_eq!(condition(&[&sick], 1), Condition::Partly);
        assert_eq!(condition(&[], 1), Condition::Down);
        assert_eq!(condition(&[], 0), Condition::Well);
    }
}

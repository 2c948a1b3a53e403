//! Arguments that say where services and agents run.

use clap::Args;
use dwell_api::environment::{AgentPlace, Assignment, Flags};
use dwell_core::{NodeName, ServiceName};

/// Where services and the agent run.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Where it runs")]
pub(crate) struct Placing {
    /// Run everything on this node: services, tree and agent
    #[arg(long, value_name = "NODE")]
    pub(crate) remote: Option<NodeName>,
    /// Run only these services on the node that --remote-host or --remote names
    #[arg(long, value_name = "SERVICES", value_delimiter = ',')]
    pub(crate) remote_services: Vec<ServiceName>,
    /// The node for --remote-services
    #[arg(long, value_name = "NODE")]
    pub(crate) remote_host: Option<NodeName>,
    /// Run these services here, whatever labels and configuration say
    #[arg(long, value_name = "SERVICES", value_delimiter = ',')]
    pub(crate) local_services: Vec<ServiceName>,
    /// Run one service on one node; may be repeated
    #[arg(long, value_name = "SERVICE=NODE")]
    pub(crate) place: Vec<Assignment>,
    /// Let services on other nodes call these services here
    #[arg(long, value_name = "SERVICES", value_delimiter = ',')]
    pub(crate) reverse: Vec<ServiceName>,
    /// Where the agent works when all services are remote: with them, or here
    #[arg(long, value_name = "local|remote")]
    pub(crate) agent: Option<AgentPlace>,
    /// Refuse a node that has not enough left, instead of warning
    #[arg(long)]
    pub(crate) strict: bool,
}

impl Placing {
    /// The flags about placement.
    pub(crate) fn flags(&self) -> Flags {
        Flags {
            remote: self.remote.clone(),
            remote_services: self.remote_services.clone(),
            remote_host: self.remote_host.clone(),
            local_services: self.local_services.clone(),
            place: self.place.clone(),
            reverse: self.reverse.clone(),
            agent: self.agent,
        }
    }
}

//! The node itself on the wire.

use dwell_core::NodeId;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A part of the node and whether it works.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Part {
    /// What part: `engine`, `dns`, `proxy`, ...
    pub name: String,
    /// Whether it works.
    pub ok: bool,
    /// Its address or what is wrong.
    pub detail: String,
    /// What to do when it does not work.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
}

/// The node's daemon.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Node {
    /// The node's identity.
    #[schema(value_type = String)]
    pub id: NodeId,
    /// The version of its binary.
    pub version: String,
    /// The daemon's process id.
    pub pid: u32,
    /// When it started, in microseconds since the Unix epoch.
    pub started: i64,
    /// Environments it has.
    pub environments: u32,
    /// Its parts.
    pub parts: Vec<Part>,
    /// Address of its DNS server, when it listens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dns: Option<String>,
    /// Address of its HTTP proxy, when it listens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy: Option<String>,
    /// DNS suffixes it answers for.
    pub suffixes: Vec<String>,
}

/// One thing that `doctor` looked at.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Finding {
    /// What was looked at.
    pub what: String,
    /// Whether it is well.
    pub ok: bool,
    /// What was seen.
    pub detail: String,
    /// What to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
}

/// Everything that `doctor` found.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Findings {
    /// In the order to show.
    pub findings: Vec<Finding>,
}

/// What `doctor` repaired.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Repairs {
    /// What was done or tried, for people.
    pub done: Vec<String>,
}

//! Sign-ins of coding agents that workspaces of a node share. What is in them is never told.

use std::fmt;

use dwell_core::WorkspaceName;
use dwell_core::credentials::SignIn;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A sign-in, without what is in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Credentials {
    /// The agent.
    #[schema(inline)]
    pub agent: SignIn,
    /// Whether somebody has signed in.
    pub present: bool,
    /// When it was renewed last, in microseconds since the Unix epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renewed: Option<i64>,
    /// The workspaces that share it.
    #[schema(value_type = Vec<String>)]
    pub workspaces: Vec<WorkspaceName>,
}

/// Takes over a sign-in.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub struct ImportCredentials {
    /// The name of the agent's file.
    pub name: String,
    /// What is in it.
    pub content: String,
}

impl fmt::Debug for ImportCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ImportCredentials").field("name", &self.name).finish_non_exhaustive()
    }
}

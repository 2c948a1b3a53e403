//! What holds workspaces awake, on the wire.

use dwell_core::WorkspaceName;
use dwell_core::idle::{Policy, Settings, Span, Tier};
use dwell_core::workspace::Status;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What holds a workspace awake, and when it is put to sleep.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Idle {
    /// Its name.
    #[schema(value_type = String)]
    pub workspace: WorkspaceName,
    /// What it was seen to be.
    #[schema(inline)]
    pub status: Status,
    /// Whether dwell put it to sleep.
    pub slept: bool,
    /// What holds for it.
    #[schema(inline)]
    pub policy: Policy,
    /// What of that is its own; the rest is the node's.
    #[schema(inline)]
    pub settings: Settings,
    /// What was seen of its use, what holds it longest first.
    pub held: Vec<HeldBy>,
    /// What is due next unless something happens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<Next>,
    /// All that in a sentence.
    pub words: String,
    /// Why it cannot be looked at from inside, where that is so; then it is not put to sleep.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blind: Option<String>,
}

/// One thing that was seen of a workspace's use. Times are in microseconds since the Unix epoch.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct HeldBy {
    /// The word for its kind: `typing`, `request`, `task`, `agent`, `output`, `processor`,
    /// `attached`, `job`, `needs_input` or `keep`.
    pub kind: String,
    /// What it is, for people.
    pub words: String,
    /// Since when.
    pub since: i64,
    /// When it was seen last.
    pub last: i64,
    /// Until when it holds by itself.
    pub until: i64,
}

/// What is due next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Next {
    /// What.
    #[schema(value_type = String)]
    pub tier: Tier,
    /// When, in microseconds since the Unix epoch.
    pub at: i64,
}

/// Changes when a workspace is put to sleep.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
pub struct SetIdle {
    /// What to set.
    #[serde(default)]
    #[schema(inline)]
    pub settings: Settings,
    /// Forgets its own settings first, so that the node's hold.
    #[serde(default)]
    pub reset: bool,
}

/// Keeps a workspace awake for a time, or takes that back.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Keep {
    /// How long, as `2h`; absent to take it back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub time: Option<Span>,
    /// Why, for those who ask what holds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

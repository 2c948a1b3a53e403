//! How long a workspace may be idle: the node's defaults, and what a workspace has besides.

use serde::{Deserialize, Serialize};

use super::{After, Span};

/// What holds for a workspace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema), schema(as = IdlePolicy))]
#[serde(deny_unknown_fields, default)]
pub struct Policy {
    /// How long nothing happens before it is frozen: `6h`, or `off`.
    #[cfg_attr(feature = "schema", schema(value_type = String))]
    pub freeze_after: After,
    /// How long it is frozen before it is stopped; how long nothing happens where freezing is off.
    #[cfg_attr(feature = "schema", schema(value_type = String))]
    pub stop_after: After,
    /// How long an agent that waits for a person, or a silent program, counts as use.
    #[cfg_attr(feature = "schema", schema(value_type = String))]
    pub needs_input: Span,
    /// How long a silent terminal counts as use.
    #[cfg_attr(feature = "schema", schema(value_type = String))]
    pub attached: Span,
    /// The longest that it runs from start to stop, whatever it does.
    #[cfg_attr(feature = "schema", schema(value_type = String))]
    pub lifetime: After,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            freeze_after: After(Some(Span::hours(6))),
            stop_after: After(Some(Span::hours(72))),
            needs_input: Span::hours(2),
            attached: Span::hours(1),
            lifetime: After::OFF,
        }
    }
}

/// What a workspace has of its own; what is absent is as the node has it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema), schema(as = IdleSettings))]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// As in the policy.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schema(value_type = Option<String>))]
    pub freeze_after: Option<After>,
    /// As in the policy.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schema(value_type = Option<String>))]
    pub stop_after: Option<After>,
    /// As in the policy.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schema(value_type = Option<String>))]
    pub needs_input: Option<Span>,
    /// As in the policy.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schema(value_type = Option<String>))]
    pub attached: Option<Span>,
    /// As in the policy.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schema(value_type = Option<String>))]
    pub lifetime: Option<After>,
}

impl Settings {
    /// These over others.
    #[must_use]
    pub fn over(self, others: Self) -> Self {
        Self {
            freeze_after: self.freeze_after.or(others.freeze_after),
            stop_after: self.stop_after.or(others.stop_after),
            needs_input: self.needs_input.or(others.needs_input),
            attached: self.attached.or(others.attached),
            lifetime: self.lifetime.or(others.lifetime),
        }
    }

    /// The policy that follows.
    pub fn on(self, node: Policy) -> Policy {
        Policy {
            freeze_after: self.freeze_after.unwrap_or(node.freeze_after),
            stop_after: self.stop_after.unwrap_or(node.stop_after),
            needs_input: self.needs_input.unwrap_or(node.needs_input),
            attached: self.attached.unwrap_or(node.attached),
            lifetime: self.lifetime.unwrap_or(node.lifetime),
        }
    }
}

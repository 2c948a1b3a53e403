//! The event stream of a long operation: one JSON object a line, ended by `done` or `failed`.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::environment::Environment;
use crate::image::BuiltImage;
use crate::problem::Problem;
use crate::workspace::Workspace;

/// Where a step of an operation stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum StepState {
    /// It began.
    Started,
    /// It ended well.
    Done,
    /// It is being undone.
    Undoing,
}

/// One line of the stream.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// The operation was recorded; always the first event.
    Accepted {
        /// The operation's id, for cancelling it or asking after it.
        operation: String,
    },
    /// A step changed its state.
    Step {
        /// The step's name, a short present participle such as `creating the tree`.
        step: String,
        /// Its state.
        state: StepState,
    },
    /// A line of a tool's output.
    Output {
        /// The line, without its end.
        line: String,
    },
    /// Something that the user should know.
    Note {
        /// One sentence.
        text: String,
    },
    /// The operation ended well; the last event.
    Done {
        /// What it left.
        result: Outcome,
    },
    /// The operation failed and what it had done was undone; the last event.
    Failed {
        /// Why.
        problem: Problem,
    },
}

/// What an operation left.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
pub struct Outcome {
    /// The environment as it is now; `None` after it was destroyed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<Box<Environment>>,
    /// The workspace as it is now, where the operation was on one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workspace: Option<Box<Workspace>>,
    /// The image that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<BuiltImage>,
    /// Whether anything had to be done.
    pub changed: bool,
    /// One sentence for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub summary: String,
}

//! Desktops of workspaces on the wire.

use dwell_core::WorkspaceId;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Starts the desktop of a workspace, or ends it.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ChangeDesktop {
    /// Whether it is to run.
    pub run: bool,
    /// Its width and height in pixels, where it is started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<(u16, u16)>,
}

/// How the desktop of a workspace is.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Desktop {
    /// Whether it runs.
    pub running: bool,
    /// Whether that is news.
    pub changed: bool,
}

/// Starts the Android emulator of a workspace on its desktop, or ends it.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ChangeAndroid {
    /// Whether it is to run.
    pub run: bool,
}

/// Asks for a way to see the desktop of a workspace in a browser of the node's machine.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct OpenViewer {
    /// The workspace, on whatever node it is.
    #[schema(value_type = String)]
    pub workspace: WorkspaceId,
}

/// A way to see a desktop.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Viewer {
    /// Its address, good for one browser within a minute.
    pub url: String,
}

//! Snapshots, copies and upgrades of workspaces, on the wire.

use dwell_core::packages::Difference;
use dwell_core::workspace::{ImageRef, SetupStep};
use dwell_core::{SnapshotName, WorkspaceName};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// A copy of a workspace's file system and home.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Snapshot {
    /// Its name, unique in its workspace.
    #[schema(value_type = String)]
    pub name: SnapshotName,
    /// The image that the workspace was made of then.
    #[schema(value_type = String)]
    pub image: ImageRef,
    /// What the file system takes besides that image, in bytes.
    pub root_bytes: u64,
    /// What the home takes, in bytes.
    pub home_bytes: u64,
    /// When it was made, in microseconds since the Unix epoch.
    pub created: i64,
}

/// Makes a snapshot.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
pub struct CreateSnapshot {
    /// Its name; `s` and a number when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub name: Option<SnapshotName>,
}

/// Makes a workspace that begins as a copy of another one.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ForkWorkspace {
    /// Its name.
    #[schema(value_type = String)]
    pub name: WorkspaceName,
    /// The snapshot that it begins as; the workspace as it is when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub from: Option<SnapshotName>,
    /// It joins none of the environments that the other one has joined.
    #[serde(default)]
    pub alone: bool,
}

/// Changes what is run again where a workspace's file system begins anew.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(tag = "setup", rename_all = "snake_case")]
pub enum ChangeSetup {
    /// Runs a command, and keeps it once it ended well.
    Add {
        /// Which.
        #[schema(inline)]
        step: SetupStep,
        /// Only keeps it.
        #[serde(default)]
        only_keep: bool,
    },
    /// Forgets a command.
    Remove {
        /// Its number in the list, from 1.
        number: usize,
    },
}

/// Which image a workspace is to be made of.
#[derive(Debug, Clone, Default, Serialize, Deserialize, IntoParams, ToSchema)]
pub struct Upgrade {
    /// The image; what its present one is called now when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(value_type = Option<String>)]
    #[schema(value_type = Option<String>)]
    pub image: Option<ImageRef>,
}

/// What an upgrade does.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct UpgradePlan {
    /// The image it is made of.
    #[schema(value_type = String)]
    pub old_image: ImageRef,
    /// The engine's id of that.
    pub old_id: String,
    /// The image that it is to be made of.
    #[schema(value_type = String)]
    pub new_image: ImageRef,
    /// The engine's id of that.
    pub new_id: String,
    /// Whether there is anything to do: its container began as another image.
    pub changes: bool,
    /// What is run again.
    #[schema(inline)]
    pub steps: Vec<SetupStep>,
    /// What differs between the packages of the container and of the image, before that is run.
    #[schema(inline)]
    pub packages: Difference,
    /// Why packages could not be compared, where that is so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unknown: Option<String>,
}

//! The pure heart of dwell: names and typed ids, compose isolation, address plans, published
//! names and the project's configuration. No I/O, no async, no clock, no randomness.

pub mod address;
pub mod admission;
pub mod agent;
pub mod compose;
pub mod config;
pub mod credentials;
pub mod editor;
pub mod environment;
pub mod forward;
pub mod id;
pub mod idle;
pub mod image;
pub mod ingress;
pub mod listening;
pub mod mesh;
pub mod moving;
pub mod name;
pub mod observed;
pub mod operation;
pub mod packages;
pub mod placement;
pub mod ports;
pub mod prepare;
pub mod published;
pub mod remote;
pub mod resolver;
pub mod settings;
mod text;
pub mod tree;
pub mod trust;
pub mod volume;
pub mod workspace;

pub use id::{EnvironmentId, Generation, NodeId, OperationId, SharedId, WorkspaceId};
pub use name::{
    EnvironmentName, NameError, NodeName, ProjectName, ServiceName, SessionName, SnapshotName,
    Suffix, WorkspaceName,
};
pub use volume::VolumeName;

//! The pure heart of dwell: names and typed ids, compose isolation, address plans, published
//! names and the project's configuration. No I/O, no async, no clock, no randomness.

pub mod id;
pub mod name;
pub mod resolver;

pub use id::{EnvironmentId, Generation, NodeId, OperationId, SharedId};
pub use name::{EnvironmentName, NameError, ProjectName, ServiceName, SessionName, Suffix};

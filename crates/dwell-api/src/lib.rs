//! The wire between the CLI and a node: request and answer types, problems with their stable
//! codes, the event stream of long operations, and a typed client over any byte stream.

pub mod client;
pub mod credentials;
pub mod desktop;
pub mod endpoint;
pub mod environment;
pub mod event;
pub mod exec;
pub mod forward;
pub mod idle;
pub mod image;
pub mod moving;
pub mod node;
pub mod paths;
pub mod pool;
pub mod problem;
pub mod remote;
pub mod session;
pub mod snapshot;
pub mod workspace;

pub use client::{Client, ClientError};
pub use event::{Event, StepState};
pub use problem::{Code, Problem};

/// The header that makes a mutating call safe to repeat; a repeat with the same key joins or
/// replays the first call instead of acting again.
pub const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// The version of the node API, the first path segment.
pub const VERSION: &str = "v1";

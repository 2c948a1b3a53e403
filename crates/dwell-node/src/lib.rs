//! The daemon of a node: it owns the environments, sessions and names of one machine and user,
//! and serves the node API on a unix socket.

mod api;
mod carry;
mod cleanup;
mod command;
mod doctor;
mod doors;
mod elsewhere;
mod environment;
mod exec;
mod facts;
mod forward;
mod idle;
mod image;
mod ingress;
mod leftover;
mod listeners;
mod login;
mod logs;
mod machine;
mod mesh;
mod names;
mod node;
mod operation;
mod problem;
mod project;
mod rebuild;
mod reconcile;
mod relay;
mod remote;
mod reserve;
mod resolver;
mod running;
mod session;
mod start;
mod travel;
mod variables;
mod view;
mod viewer;
mod volumes;
mod watch;
mod workspace;
mod world;

use dwell_api::Problem;
use dwell_api::paths::Paths;

/// The OpenAPI document of the node API.
pub use api::openapi;
pub use command::show_session;
pub use workspace::serve_commands;

/// Runs the daemon until it is told to stop or gets SIGTERM or SIGINT.
///
/// # Errors
/// When another daemon runs, or the state, the socket or the configuration cannot be used.
pub fn run(paths: Paths) -> Result<(), Problem> {
    start::run(paths)
}

//! The roles that dwell starts itself in: the daemon, a session's shim, a relay.

use dwell_api::{Code, Problem};

use crate::arguments::node::{Relay, SessionShim};
use crate::command::Context;
use crate::failure::Ended;

/// Is the daemon until it is told to stop.
pub(crate) fn daemon(context: &Context, background: bool) -> Ended {
    if background {
        // Fails only where we lead a session already, which is what is wanted.
        let _ = rustix::process::setsid();
    }
    let _ = &context.paths;
    Err(Problem::new(Code::Internal, "the daemon is not part of this build").into())
}

/// Watches over the command of one session.
pub(crate) fn session_shim(shim: &SessionShim) -> Ended {
    let _ = &shim.directory;
    Err(Problem::new(Code::Internal, "the session shim is not part of this build").into())
}

/// Stands in for a service until it is told to stop.
pub(crate) fn relay(relay: &Relay) -> Ended {
    let _ = &relay.arguments;
    Err(Problem::new(Code::Internal, "the relay is not part of this build").into())
}

//! Hands on the outside: processes, Docker, compose, git and source trees, tmux, ssh. Each driver is
//! thin, says what failed on which object, and bounds every call in time.

pub mod compose;
pub mod docker;
pub mod git;
pub mod process;
pub mod session;
pub mod ssh;
pub mod tmux;
pub mod tree;

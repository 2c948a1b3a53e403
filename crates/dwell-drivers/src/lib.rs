//! Hands on the outside: processes, Docker, compose, git and source trees, tmux, ssh. Each driver is
//! thin, says what failed on which object, and bounds every call in time.

pub mod acl;
pub mod cgroup;
pub mod command;
pub mod compose;
pub mod credentials;
pub mod deploy;
pub mod docker;
pub mod firewall;
pub mod git;
pub mod handover;
pub mod hostname;
pub mod identity;
pub mod image;
pub mod ingress;
pub mod init;
pub mod listening;
pub mod machine;
pub mod mcp;
pub mod mesh;
pub mod own;
pub mod process;
pub mod session;
pub mod settings;
pub mod signs;
pub mod ssh;
pub mod tmux;
pub mod tree;

//! A person's settings: gathering the files on the person's machine, and putting them in place in a
//! workspace, from inside.

mod apply;
mod collect;
pub(crate) mod home;

pub use apply::{ApplyError, apply};
pub use collect::{Collected, LeftOut, collect};

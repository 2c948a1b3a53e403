//! The screen of `connect`: workspaces, then the sessions of one. What is shown and what a key does
//! are pure; the terminal is an adapter.

mod model;
pub(crate) mod terminal;
#[cfg(test)]
mod tests;
mod update;
mod view;

pub(crate) use model::{Model, SessionRow, WorkspaceRow};
pub(crate) use update::{Effect, Input, Key, update};
pub(crate) use view::view;

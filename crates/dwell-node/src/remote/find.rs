//! Which environment of another node is meant, and which are not shown at all: those that are
//! still moving there, and those that are to be destroyed there.

use std::sync::PoisonError;

use dwell_core::{EnvironmentId, EnvironmentName, NodeName, ProjectName};

use super::Remotes;

impl Remotes {
    /// Shows an environment of another node no more.
    pub(crate) fn hide(&self, id: &EnvironmentId) {
        self.hidden.write().unwrap_or_else(PoisonError::into_inner).insert(id.clone());
    }

    /// Shows an environment of another node again.
    pub(crate) fn unhide(&self, id: &EnvironmentId) {
        self.hidden.write().unwrap_or_else(PoisonError::into_inner).remove(id);
    }

    /// Whether an environment of another node is shown.
    pub(super) fn shows(&self, id: &EnvironmentId) -> bool {
        !self.hidden.read().unwrap_or_else(PoisonError::into_inner).contains(id)
    }

    /// The environment of this name that a node was last seen to have, also one that is only a
    /// part; not one that is to be destroyed there.
    pub(crate) fn named(
        &self,
        there: &NodeName,
        project: &ProjectName,
        name: &EnvironmentName,
    ) -> Option<EnvironmentId> {
        let last = self.peer(there).ok()?.mirror.last()?;
        let mut all = last.seen.environments.into_iter().map(|seen| seen.environment);
        all.find(|e| e.project == *project && e.name == *name && self.shows(&e.id)).map(|e| e.id)
    }

    /// The environment of another node that a name or identity means, where it is the only one.
    pub(crate) fn find(
        &self,
        name: &str,
        project: Option<&ProjectName>,
    ) -> Option<(NodeName, EnvironmentId)> {
        let mut found = Vec::new();
        for peer in self.all() {
            for seen in peer.mirror.last().into_iter().flat_map(|last| last.seen.environments) {
                let environment = &seen.environment;
                if !self.shows(&environment.id) {
                    continue;
                }
                if environment.id.as_str() == name {
                    return Some((peer.remote.name.clone(), environment.id.clone()));
                }
                let (of, word) = match name.split_once('/') {
                    Some((of, word)) => (Some(of), word),
                    None => (project.map(ProjectName::as_str), name),
                };
                let fits = environment.name.as_str() == word
                    && of.is_none_or(|of| environment.project.as_str() == of)
                    && seen.origin.as_ref().is_none_or(|origin| origin.part_of.is_none());
                if fits {
                    found.push((peer.remote.name.clone(), environment.id.clone()));
                }
            }
        }
        if found.len() == 1 { found.pop() } else { None }
    }
}

//! Which environment or workspace of another node is meant, and which are not shown at all: those that are
//! still moving there, and those that are to be destroyed there.

use std::sync::PoisonError;

use dwell_api::workspace::Workspace;
use dwell_api::{Code, Problem};
use dwell_core::{EnvironmentId, EnvironmentName, NodeName, ProjectName};

use super::{Remotes, mirror};

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

    /// The workspaces of other nodes as they were seen last, also those whose homes are kept.
    pub(crate) fn workspaces_seen(&self) -> Vec<Workspace> {
        let mut all = Vec::new();
        for peer in self.all() {
            let Some(last) = peer.mirror.last() else { continue };
            let unreachable = peer.down().is_some().then_some(last.at);
            let name = &peer.remote.name;
            let seen = last.seen.workspaces.into_iter();
            all.extend(seen.map(|it| mirror::shown_workspace(it, name, unreachable)));
        }
        all
    }

    /// The node with the workspace that a name or identity means: one that is there, or the last
    /// whose home is kept.
    ///
    /// # Errors
    /// When several nodes have one of that name.
    pub(crate) fn workspace(&self, name: &str, is_kept: bool) -> Result<Option<NodeName>, Problem> {
        let mut found = self.workspaces_seen();
        found.retain(|it| {
            it.kept_until.is_some() == is_kept
                && (it.name.as_str() == name || it.id.as_str() == name)
        });
        if is_kept {
            found.sort_by_key(|it| it.kept_until);
            found.drain(..found.len().saturating_sub(1));
        }
        if found.len() > 1 {
            let message = format!("{} nodes have a workspace `{name}`", found.len());
            return Err(Problem::new(Code::Ambiguous, message)
                .hint("use its id instead of its name")
                .details(
                    found
                        .iter()
                        .filter_map(|it| Some(format!("{} on {}", it.id, it.node.as_ref()?))),
                ));
        }
        Ok(found.pop().and_then(|it| it.node))
    }
}

//! Placement: which node each service of an environment runs on. Flags win over `dwell.toml`,
//! that wins over labels, and what nothing is said of runs here. What contradicts itself is
//! refused.

mod error;
mod flags;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

pub use error::{PlacementError, Source};
pub use flags::{AgentPlace, Assignment, AssignmentError, Choices, Flags};

use crate::compose::{Bond, Note, NoteKind, Service};
use crate::name::{NodeName, ServiceName};

/// Everything that says where services should run.
#[derive(Debug, Clone, Copy)]
pub struct Wishes<'a> {
    /// The project's services.
    pub services: &'a BTreeMap<ServiceName, Service>,
    /// What has to be together.
    pub bonds: &'a [Bond],
    /// `[place]` in `dwell.toml`.
    pub project: &'a BTreeMap<ServiceName, NodeName>,
    /// `reverse` in `dwell.toml`.
    pub reverse: &'a [ServiceName],
    /// What earlier commands chose.
    pub recorded: &'a Choices,
    /// The flags of this command.
    pub flags: &'a Flags,
    /// The nodes that are known, besides this one.
    pub nodes: &'a BTreeSet<NodeName>,
}

/// The node of every service of an environment. Names of nodes are those of the machine that the
/// environment was asked for on, and `local` is that machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placement {
    /// The node that has the environment's tree, record and sessions.
    pub home: NodeName,
    /// The node of each service.
    pub services: BTreeMap<ServiceName, NodeName>,
    /// The services here that those on other nodes may reach.
    pub reverse: BTreeSet<ServiceName>,
}

/// A placement, and what is to be kept and told of how it came about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed {
    /// The placement.
    pub placement: Placement,
    /// What to keep with the environment.
    pub choices: Choices,
    /// What has no effect.
    pub notes: Vec<Note>,
}

/// Decides where every service runs.
///
/// # Errors
/// When flags contradict each other or name what does not exist, when a node is not known, or
/// when services that have to be together are not.
pub fn place(wishes: &Wishes<'_>) -> Result<Placed, PlacementError> {
    let Wishes { services, flags, recorded, project, .. } = *wishes;
    known_services(flags, services)?;
    let before = |name: &ServiceName| {
        let (node, _) = node_of(name, services.get(name)?, recorded, project);
        Some(node).filter(|node| !node.is_local())
    };
    let choices = recorded.clone().changed(flags, flags.assigned(before)?);
    let mut found = BTreeMap::new();
    for (name, service) in services {
        let (node, origin) = node_of(name, service, &choices, project);
        if !node.is_local() && !wishes.nodes.contains(&node) {
            let known = wishes.nodes.iter();
            let suggestion = nearest(node.as_str(), known.map(|n| (n.as_str(), n))).cloned();
            let service = name.clone();
            return Err(PlacementError::UnknownNode { service, node, origin, suggestion });
        }
        found.insert(name.clone(), node);
    }
    together(&found, wishes.bonds)?;
    let home = home(&found, &choices);
    let mut notes = Vec::new();
    for name in project.keys().chain(wishes.reverse).filter(|name| !services.contains_key(*name)) {
        notes.push(note(name, "dwell.toml names it, but it is not among the active services"));
    }
    let reverse = reverse(wishes, &choices, &found, &mut notes);
    Ok(Placed { placement: Placement { home, services: found, reverse }, choices, notes })
}

fn note(name: &ServiceName, text: &str) -> Note {
    let object = format!("service `{name}`");
    Note { kind: NoteKind::Choice, object, text: text.to_owned() }
}

/// Refuses flags that name services which are not there.
fn known_services(
    flags: &Flags,
    services: &BTreeMap<ServiceName, Service>,
) -> Result<(), PlacementError> {
    let Some((flag, name)) = flags.named().find(|(_, name)| !services.contains_key(*name)) else {
        return Ok(());
    };
    let suggestion = nearest(name.as_str(), services.keys().map(|n| (n.as_str(), n))).cloned();
    Err(PlacementError::UnknownService { flag, service: name.clone(), suggestion })
}

/// The one that was probably meant, if one is near.
fn nearest<'a, T>(given: &str, known: impl Iterator<Item = (&'a str, T)>) -> Option<T> {
    known
        .map(|(name, value)| (strsim::damerau_levenshtein(given, name), name.len(), value))
        .filter(|(distance, length, _)| *distance <= (length / 2).clamp(1, 3))
        .min_by_key(|(distance, ..)| *distance)
        .map(|(.., value)| value)
}

/// The node of one service, and who says so.
fn node_of(
    name: &ServiceName,
    service: &Service,
    choices: &Choices,
    project: &BTreeMap<ServiceName, NodeName>,
) -> (NodeName, Source) {
    let chosen = choices.services.get(name).or(choices.every.as_ref());
    let all = [
        (chosen, Source::Flag),
        (project.get(name), Source::Project),
        (service.place.as_ref(), Source::Label),
    ];
    let first = all.into_iter().find_map(|(node, source)| Some((node?.clone(), source)));
    first.unwrap_or_else(|| (NodeName::local(), Source::Default))
}

fn together(
    placed: &BTreeMap<ServiceName, NodeName>,
    bonds: &[Bond],
) -> Result<(), PlacementError> {
    for Bond { first, second, setting } in bonds {
        let (Some(one), Some(other)) = (placed.get(first), placed.get(second)) else { continue };
        if one != other {
            return Err(PlacementError::Apart {
                first: first.clone(),
                first_node: one.clone(),
                second: second.clone(),
                second_node: other.clone(),
                setting: setting.clone(),
            });
        }
    }
    Ok(())
}

/// The node asked for by `--remote` is the home when it has all services, and the agent is not to
/// stay here.
fn home(placed: &BTreeMap<ServiceName, NodeName>, choices: &Choices) -> NodeName {
    let asked = choices.every.as_ref().filter(|_| choices.agent != Some(AgentPlace::Local));
    let whole = asked.filter(|node| placed.values().all(|other| other == *node));
    whole.cloned().unwrap_or_else(NodeName::local)
}

fn reverse(
    wishes: &Wishes<'_>,
    choices: &Choices,
    placed: &BTreeMap<ServiceName, NodeName>,
    notes: &mut Vec<Note>,
) -> BTreeSet<ServiceName> {
    let labelled = wishes.services.values().filter(|service| service.reverse);
    let wanted: BTreeSet<&ServiceName> = labelled
        .map(|service| &service.name)
        .chain(wishes.reverse)
        .chain(&choices.reverse)
        .filter(|name| placed.contains_key(*name))
        .collect();
    let (here, away): (Vec<_>, Vec<_>) =
        wanted.into_iter().partition(|name| placed.get(*name).is_some_and(NodeName::is_local));
    let asked = |name: &&&ServiceName| wishes.flags.reverse.contains(**name);
    for name in away.iter().filter(asked) {
        notes.push(note(name, "it runs on another node, which all nodes reach without --reverse"));
    }
    here.into_iter().cloned().collect()
}

impl Placement {
    /// Everything here.
    pub fn local(services: impl IntoIterator<Item = ServiceName>) -> Self {
        let services = services.into_iter().map(|name| (name, NodeName::local())).collect();
        Self { home: NodeName::local(), services, reverse: BTreeSet::new() }
    }

    /// Whether everything runs on the home.
    pub fn is_whole(&self) -> bool {
        self.services.values().all(|node| *node == self.home)
    }

    /// The node of a service; `None` where there is no such service.
    pub fn node_of(&self, service: &ServiceName) -> Option<&NodeName> {
        self.services.get(service)
    }

    /// The nodes other than the home that services run on.
    pub fn others(&self) -> BTreeSet<&NodeName> {
        self.services.values().filter(|node| **node != self.home).collect()
    }

    /// The services that run on a node.
    pub fn on<'a>(&'a self, node: &'a NodeName) -> impl Iterator<Item = &'a ServiceName> {
        self.services.iter().filter(move |(_, other)| *other == node).map(|(name, _)| name)
    }

    /// Whether services on `node` reach `service`, which runs elsewhere: from the home all, from
    /// other nodes those on other nodes, and those at home only if they are opened to them.
    pub fn reaches(&self, node: &NodeName, service: &ServiceName) -> bool {
        match self.services.get(service) {
            Some(place) if place == node => false,
            Some(place) => {
                *node == self.home || *place != self.home || self.reverse.contains(service)
            }
            None => false,
        }
    }
}

impl fmt::Display for Placement {
    /// `api, web: local; db, search: staging`, the home first.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut nodes: Vec<&NodeName> = self.services.values().collect();
        nodes.sort_by_key(|node| (**node != self.home, node.as_str()));
        nodes.dedup();
        for (count, node) in nodes.into_iter().enumerate() {
            let names: Vec<&str> = self.on(node).map(ServiceName::as_str).collect();
            let separator = if count > 0 { "; " } else { "" };
            write!(f, "{separator}{}: {node}", names.join(", "))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;

//! What a move would do: what it is about, which data is concerned, what it would end.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use dwell_api::environment::Environment as Shown;
use dwell_api::moving::{Move, MovePlan, MovedVolume, Volume, VolumeFate};
use dwell_api::remote::SeenEnvironment;
use dwell_api::{Code, Problem};
use dwell_core::compose::{self, mounted};
use dwell_core::environment::{Desired, Environment};
use dwell_core::placement::Placement;
use dwell_core::{NodeName, ProjectName, ServiceName, VolumeName};

use super::super::up;
use super::place::Place;
use crate::node::Node;
use crate::problem::OrProblem;
use crate::volumes;

/// Files that are named before the rest is only counted.
const NAMED: usize = 20;

/// What is meant to move.
pub(crate) enum Subject {
    /// An environment of this node.
    Here(Box<Environment>),
    /// An environment of another node.
    There(NodeName, Box<SeenEnvironment>),
}

impl Subject {
    /// The environment of a name, wherever it is.
    pub(crate) async fn find(
        node: &Arc<Node>,
        name: &str,
        project: Option<&ProjectName>,
    ) -> Result<Self, Problem> {
        let here = match node.find(name, project).await {
            Err(problem) if problem.code == Code::NotFound => problem,
            found => return Ok(Self::Here(Box::new(found?))),
        };
        let (there, id) = node.remotes.find(name, project).ok_or(here)?;
        // As it is now; a node that is away cannot be left.
        node.remotes.peer(&there)?.ping().await?;
        node.remotes.look(node, &there).await?;
        let gone = || Problem::new(Code::NotFound, format!("there is no environment `{name}`"));
        let seen = node.remotes.seen(&there, &id).ok_or_else(gone)?;
        Ok(Self::There(there, Box::new(seen)))
    }

    /// `project/name`.
    pub(crate) fn label(&self) -> String {
        match self {
            Self::Here(environment) => environment.label(),
            Self::There(_, seen) => label(&seen.environment),
        }
    }

    /// Where it is.
    pub(crate) fn place(&self) -> Place {
        match self {
            Self::Here(environment) => Place::new(&NodeName::local(), &environment.id),
            Self::There(there, seen) => Place::new(there, &seen.environment.id),
        }
    }
}

fn label(environment: &Shown) -> String {
    format!("{}/{}", environment.project, environment.name)
}

/// What a move would do.
pub(crate) async fn plan(
    node: &Arc<Node>,
    subject: &Subject,
    wanted: &Move,
) -> Result<MovePlan, Problem> {
    if !wanted.to.is_local() {
        node.remotes.peer(&wanted.to)?.ping().await?;
    }
    if wanted.services.is_empty() {
        whole(node, subject, wanted).await
    } else {
        services(node, subject, wanted).await
    }
}

/// The plan of a move that changes nothing.
fn nothing(wanted: &Move) -> MovePlan {
    MovePlan {
        nothing_to_do: true,
        services: BTreeMap::new(),
        to: wanted.to.clone(),
        volumes: Vec::new(),
        sessions: Vec::new(),
        losses: Vec::new(),
    }
}

async fn whole(node: &Arc<Node>, subject: &Subject, wanted: &Move) -> Result<MovePlan, Problem> {
    let place = subject.place();
    let (services, parts) = match subject {
        Subject::Here(environment) => {
            let facts = node.facts.get(&environment.id);
            let names = facts.iter().flat_map(|facts| facts.services.keys().cloned());
            let node_of = |name: &ServiceName| {
                environment.elsewhere(name).cloned().unwrap_or_else(NodeName::local)
            };
            let services = names.map(|name| (name.clone(), node_of(&name))).collect();
            (services, environment.parts.clone())
        }
        Subject::There(there, seen) => {
            let all = seen.environment.services.iter();
            (all.map(|s| (s.name.clone(), there.clone())).collect(), BTreeMap::new())
        }
    };
    if place.node == wanted.to && parts.is_empty() {
        return Ok(nothing(wanted));
    }
    if place.node == wanted.to {
        let away: Vec<&str> = parts.keys().map(NodeName::as_str).collect();
        let (label, away) = (subject.label(), away.join(", "));
        let message = format!("`{label}` has its home here already; services of it run on {away}");
        return Err(
            Problem::new(Code::InvalidArgument, message).hint("name the services that are to move")
        );
    }
    if let Some(part) = parts.get(&wanted.to) {
        let label = subject.label();
        let there = &wanted.to;
        let message = format!("services of `{label}` run on `{there}` already ({part})");
        return Err(Problem::new(Code::Conflict, message)
            .hint("move those here first, then the whole environment"));
    }
    for there in parts.keys() {
        node.remotes.peer(there)?.ping().await?;
    }
    let mut concerned = Vec::new();
    let mut losses = Vec::new();
    let mut places = vec![place.clone()];
    places.extend(parts.iter().map(|(there, id)| Place::new(there, id)));
    for place in places {
        let found = place.volumes(node).await?;
        concerned.extend(found.iter().map(|volume| {
            let fate = match (volumes::moves(volume), wanted.with_volumes) {
                (false, _) => VolumeFate::Elsewhere,
                (true, true) => VolumeFate::Moves,
                (true, false) => VolumeFate::Lost,
            };
            MovedVolume { name: volume.name.clone(), node: place.node.clone(), fate }
        }));
        if place.node != subject.place().node {
            losses.extend(changed_in(node, &place).await?);
        }
    }
    let place = subject.place();
    let submodules = place.losses(node).await?.submodules.into_iter();
    losses.extend(submodules.map(|path| format!("work in submodule {path}, which is not sent")));
    let sessions = place.sessions(node).await?;
    Ok(MovePlan {
        nothing_to_do: false,
        services,
        to: wanted.to.clone(),
        volumes: concerned,
        sessions: sessions.into_iter().map(|session| session.name.to_string()).collect(),
        losses,
    })
}

/// The files that services changed in the tree of a part, which goes with it.
async fn changed_in(node: &Node, part: &Place) -> Result<Vec<String>, Problem> {
    let changed = part.losses(node).await?.uncommitted;
    let there = &part.node;
    let mut told: Vec<String> = changed
        .iter()
        .take(NAMED)
        .map(|path| format!("{path}, which was changed on `{there}` and is not that way here"))
        .collect();
    if let Some(more) = changed.len().checked_sub(NAMED).filter(|more| *more > 0) {
        told.push(format!("{more} more files that were changed on `{there}`"));
    }
    Ok(told)
}

/// Where the services of an environment run now.
pub(crate) fn placement(node: &Node, environment: &Environment) -> Placement {
    let facts = node.facts.get(&environment.id);
    let all = facts.iter().flat_map(|facts| facts.services.keys().cloned());
    environment.placement.clone().unwrap_or_else(|| Placement::local(all))
}

async fn services(node: &Arc<Node>, subject: &Subject, wanted: &Move) -> Result<MovePlan, Problem> {
    let environment = match subject {
        Subject::Here(environment) if environment.origin.is_none() => environment,
        _ => {
            let (label, home) = (subject.label(), subject.place().node);
            let message = format!("`{label}` has its home on `{home}`, and so have its services");
            return Err(Problem::new(Code::InvalidArgument, message)
                .hint("move the whole environment, or its services where its home is"));
        }
    };
    let label = environment.label();
    if environment.desired != Desired::Running {
        return Err(Problem::new(Code::NotRunning, format!("`{label}` does not run")).hint(
            format!("`dwell up {label} --place <service>={}` brings it up there", wanted.to),
        ));
    }
    let now = placement(node, environment);
    let mut moving = BTreeMap::new();
    for service in &wanted.services {
        let from = now.node_of(service).ok_or_else(|| {
            let known = now.services.keys().map(ToString::to_string);
            Problem::new(Code::NotFound, format!("`{label}` has no service `{service}`"))
                .details(known.collect::<Vec<_>>())
        })?;
        if *from != wanted.to {
            moving.insert(service.clone(), from.clone());
        }
    }
    if moving.is_empty() {
        return Ok(nothing(wanted));
    }
    for from in moving.values().filter(|from| !from.is_local()) {
        node.remotes.peer(from)?.ping().await?;
    }
    let (concerned, losses) = concerns(node, environment, wanted, &moving).await?;
    Ok(MovePlan {
        nothing_to_do: false,
        services: moving,
        to: wanted.to.clone(),
        volumes: concerned,
        sessions: Vec::new(),
        losses,
    })
}

/// An environment of this node on a node; `None` where it has nothing there.
pub(crate) fn place_on(environment: &Environment, there: &NodeName) -> Option<Place> {
    if there.is_local() {
        return Some(Place::new(there, &environment.id));
    }
    environment.parts.get(there).map(|id| Place::new(there, id))
}

/// The volumes that services mount, as their project was read last.
pub(crate) fn mounts(
    node: &Node,
    environment: &Environment,
) -> Result<BTreeMap<ServiceName, BTreeSet<VolumeName>>, Problem> {
    match up::last_model(node, &environment.id) {
        Some(model) => mounted(&model).or_problem(),
        None => Ok(BTreeMap::new()),
    }
}

async fn concerns(
    node: &Arc<Node>,
    environment: &Environment,
    wanted: &Move,
    moving: &BTreeMap<ServiceName, NodeName>,
) -> Result<(Vec<MovedVolume>, Vec<String>), Problem> {
    let mounts = mounts(node, environment)?;
    let there: Vec<Volume> = match place_on(environment, &wanted.to) {
        Some(place) => place.volumes(node).await?,
        None => Vec::new(),
    };
    let (mut concerned, mut losses) = (Vec::new(), Vec::new());
    let left: BTreeSet<&NodeName> = moving.values().collect();
    for from in left {
        let Some(place) = place_on(environment, from) else { continue };
        let going = moving.iter().filter(|(_, node)| *node == from).map(|(name, _)| name);
        let own: BTreeSet<&VolumeName> =
            going.filter_map(|name| mounts.get(name)).flatten().collect();
        for volume in place.volumes(node).await?.iter().filter(|v| own.contains(&v.name)) {
            let is_there = there.iter().any(|other| other.name == volume.name);
            let fate = match (volumes::moves(volume), wanted.with_volumes, is_there) {
                (false, ..) => VolumeFate::Elsewhere,
                (true, true, true) => VolumeFate::Replaces,
                (true, true, false) => VolumeFate::Moves,
                (true, false, _) => VolumeFate::Stays,
            };
            concerned.push(MovedVolume { name: volume.name.clone(), node: from.clone(), fate });
        }
        if !from.is_local() && !keeps_a_service(node, environment, from, moving) {
            losses.extend(changed_in(node, &place).await?);
        }
    }
    concerned.sort_by(|one, other| one.name.cmp(&other.name));
    Ok((concerned, losses))
}

fn keeps_a_service(
    node: &Node,
    environment: &Environment,
    there: &NodeName,
    moving: &BTreeMap<ServiceName, NodeName>,
) -> bool {
    placement(node, environment).on(there).any(|service| !moving.contains_key(service))
}

/// The services of a model, all of them.
pub(crate) fn all_services(model: &serde_json::Value) -> Result<BTreeSet<ServiceName>, Problem> {
    Ok(compose::services(model).or_problem()?.into_keys().collect())
}

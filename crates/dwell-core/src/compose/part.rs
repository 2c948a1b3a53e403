//! One node's part of a project whose services run on several: which of them run there, what
//! stands in for the others, and which are not there at all.

mod away;
mod error;
mod stub;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

pub use away::{Away, DIAL_DIRECTORY, DONE_SOCKET, HEALTH_SOCKET, port_socket};
pub use error::PartError;

use super::bond::needed;
use super::error::IsolationError;
use super::hostname::Hostname;
use super::image::full_reference;
use super::model::{Model, Object, head, text, texts};
use super::note::{Note, NoteKind, Notes};
use super::port::{Port, Protocol, known, silent_image};
use super::service::{Condition, Service, choose_ingress, services, settle, unique_labels};
use crate::name::{NodeName, ProjectName, ServiceName};
use crate::placement::Placement;

/// A project, and the node whose part of it is asked for.
#[derive(Debug, Clone, Copy)]
pub struct Division<'a> {
    /// The canonical model of the whole project.
    pub model: &'a Value,
    /// The project.
    pub project: &'a ProjectName,
    /// Where every service runs.
    pub placement: &'a Placement,
    /// The node.
    pub node: &'a NodeName,
    /// The ports that services' images say, where that is known.
    pub exposed: &'a BTreeMap<ServiceName, Vec<Port>>,
    /// The configured ingress service.
    pub ingress: Option<&'a ServiceName>,
    /// The configured custom names of the ingress service.
    pub hostnames: &'a [Hostname],
}

/// What one node has of a project.
#[derive(Debug, Clone, PartialEq)]
pub struct Part {
    /// The canonical model of what is there, to be isolated with a relay for each of `away`. On
    /// another node than the home, configured names are labels in it, and services that run
    /// elsewhere have no more than their place in networks.
    pub model: Value,
    /// The services that run there.
    pub runs: BTreeSet<ServiceName>,
    /// The services that run elsewhere and can be reached from there.
    pub away: BTreeMap<ServiceName, Away>,
    /// The services that cannot be reached from there, and the nodes that they run on.
    pub dropped: BTreeMap<ServiceName, NodeName>,
    /// What could not be kept.
    pub notes: Vec<Note>,
}

/// Divides a project: the part that one node has of it.
///
/// # Errors
/// When the model is not one, when a service needs what cannot be had from another node, or when
/// no port is known of a service on which others there depend.
pub fn part(division: &Division<'_>) -> Result<Part, PartError> {
    let model = Model::parse(division.model)?;
    let labels = unique_labels(&model, &mut Notes::default());
    let mut facts = services(&model, &labels)?;
    let ingress = choose_ingress(&model, &facts, division.ingress, &mut Notes::default());
    settle(&mut facts, ingress.as_ref(), division.hostnames, &mut Notes::default());

    let mut cut = Cut { division, model: &model, facts: &facts, notes: Notes::default() };
    let (runs, reached, dropped) = cut.sides()?;
    if reached.is_empty() && dropped.is_empty() {
        let (away, notes) = (BTreeMap::new(), Vec::new());
        return Ok(Part { model: division.model.clone(), runs, away, dropped, notes });
    }
    for (name, body) in model.services().filter(|(name, _)| runs.contains(*name)) {
        cut.tied(name, body, &runs)?;
    }
    let away = cut.away(&runs, &reached)?;
    let compose = cut.model(&runs, &reached, &dropped)?;
    let left = Model::parse(&compose)?;
    let again = unique_labels(&left, &mut Notes::default());
    if let Some((name, _)) = again.iter().find(|(name, label)| labels.get(*name) != Some(*label)) {
        return Err(PartError::Names { service: name.clone() });
    }
    Ok(Part { model: compose, runs, away, dropped, notes: cut.notes.into_vec() })
}

/// The images of services whose ports the project does not tell, to be asked for them.
///
/// # Errors
/// When the model is not one.
pub fn silent_images(model: &Value) -> Result<BTreeMap<ServiceName, String>, IsolationError> {
    let model = Model::parse(model)?;
    let silent = |(name, body): (&ServiceName, &Object)| Some((name.clone(), silent_image(body)?));
    Ok(model.services().filter_map(silent).collect())
}

type Dropped = BTreeMap<ServiceName, NodeName>;

struct Cut<'a> {
    division: &'a Division<'a>,
    model: &'a Model<'a>,
    facts: &'a BTreeMap<ServiceName, Service>,
    notes: Notes,
}

impl Cut<'_> {
    fn is_home(&self) -> bool {
        *self.division.node == self.division.placement.home
    }

    /// The services that run on the node, those that it reaches elsewhere, and the others.
    fn sides(&self) -> Result<(BTreeSet<ServiceName>, BTreeSet<ServiceName>, Dropped), PartError> {
        let Division { placement, node, .. } = self.division;
        let (mut runs, mut reached, mut dropped) = Default::default();
        for name in self.facts.keys() {
            let place = placement.node_of(name);
            let place =
                place.ok_or_else(|| IsolationError::UnknownService { service: name.clone() })?;
            if place == *node {
                BTreeSet::insert(&mut runs, name.clone());
            } else if placement.reaches(node, name) {
                BTreeSet::insert(&mut reached, name.clone());
            } else {
                BTreeMap::insert(&mut dropped, name.clone(), place.clone());
            }
        }
        Ok((runs, reached, dropped))
    }

    /// Refuses a service that cannot do without another's container, which is elsewhere.
    fn tied(
        &self,
        name: &ServiceName,
        body: &Object,
        runs: &BTreeSet<ServiceName>,
    ) -> Result<(), PartError> {
        for (setting, owner) in needed(self.model, body) {
            let other = self.facts.keys().find(|other| other.as_str() == owner);
            if let Some(other) = other.filter(|other| !runs.contains(*other)) {
                return Err(PartError::Tied {
                    service: name.clone(),
                    other: other.clone(),
                    node: self.place(other),
                    setting,
                });
            }
        }
        Ok(())
    }

    fn place(&self, name: &ServiceName) -> NodeName {
        self.division.placement.node_of(name).cloned().unwrap_or_else(NodeName::local)
    }

    /// What relays need to know of the services that they stand in for.
    fn away(
        &mut self,
        runs: &BTreeSet<ServiceName>,
        reached: &BTreeSet<ServiceName>,
    ) -> Result<BTreeMap<ServiceName, Away>, PartError> {
        let mut found = BTreeMap::new();
        for name in reached {
            let (Some(body), Some(facts)) = (self.model.service(name), self.facts.get(name)) else {
                continue;
            };
            let exposed = self.division.exposed.get(name).map_or(&[][..], Vec::as_slice);
            let (ports, other): (Vec<Port>, Vec<Port>) =
                known(body, exposed).into_iter().partition(|port| port.protocol != Protocol::Sctp);
            if !other.is_empty() && !facts.completes {
                let text = "its SCTP ports cannot be reached from other nodes";
                self.notes.service(NoteKind::Changed, name, text);
            }
            if ports.is_empty() && other.is_empty() && !facts.completes {
                self.without_ports(name, runs)?;
            }
            let (node, completes) = (self.place(name), facts.completes);
            found.insert(name.clone(), Away { node, ports, completes });
        }
        Ok(found)
    }

    /// A service without ports does work of its own. That others wait for it shows that it does
    /// not.
    fn without_ports(
        &mut self,
        name: &ServiceName,
        runs: &BTreeSet<ServiceName>,
    ) -> Result<(), PartError> {
        let asks = |other: &&ServiceName| {
            let depends = self.facts.get(*other).is_some_and(|f| f.depends_on.contains_key(name));
            let links = self.model.service(other).map(|body| texts(body.get("links")));
            depends || links.unwrap_or_default().iter().any(|link| head(link) == name.as_str())
        };
        if let Some(other) = runs.iter().find(asks) {
            let (service, other) = (name.clone(), other.clone());
            return Err(PartError::NoPorts { service, node: self.place(name), other });
        }
        let text = "nothing tells its ports, so it cannot be reached from other nodes; \
                    `expose` in the compose file does";
        self.notes.service(NoteKind::Changed, name, text);
        Ok(())
    }

    /// The model of what is there.
    fn model(
        &mut self,
        runs: &BTreeSet<ServiceName>,
        reached: &BTreeSet<ServiceName>,
        dropped: &Dropped,
    ) -> Result<Value, PartError> {
        let mut bodies = Object::new();
        for (name, given) in self.model.services() {
            let body = if runs.contains(name) {
                let mut body = given.clone();
                self.borrow_build(&mut body, runs);
                self.let_go(name, &mut body, dropped)?;
                body
            } else if reached.contains(name) {
                let mut body = given.clone();
                stub::unshare(&mut body);
                if self.is_home() { body } else { stub::stub(self.model, &body, runs) }
            } else {
                continue;
            };
            bodies.insert(name.to_string(), Value::Object(body));
        }
        if !self.is_home() {
            let apex = self.apex_is_free(dropped);
            for (name, facts) in self.facts {
                if let Some(Value::Object(body)) = bodies.get_mut(name.as_str()) {
                    stub::pin(body, facts, facts.ingress && apex, runs.contains(name));
                }
            }
        }
        let mut compose = self.model.root().clone();
        compose.insert("services".to_owned(), Value::Object(bodies));
        stub::prune(&mut compose, self.model, runs, reached);
        Ok(Value::Object(compose))
    }

    /// Whether no service that is not there has the name of the project for its own: the ingress
    /// must not be found under it then.
    fn apex_is_free(&self, dropped: &Dropped) -> bool {
        let project = self.division.project.as_str();
        let mut gone = dropped.keys().filter_map(|name| self.facts.get(name));
        !gone.any(|service| {
            service.label == project
                || service.hostnames.iter().any(|name| name.as_str() == project)
        })
    }

    /// Gives a service the build of its image that another one has which is elsewhere.
    fn borrow_build(&self, body: &mut Object, runs: &BTreeSet<ServiceName>) {
        let built = |body: &Object| body.get("build").is_some_and(|build| !build.is_null());
        let Some(image) = body.get("image").and_then(text).filter(|_| !built(body)) else { return };
        let image = full_reference(&image);
        let same = |other: &Object| {
            built(other)
                && other.get("image").and_then(text).is_some_and(|i| full_reference(&i) == image)
        };
        let builders: Vec<_> = self.model.services().filter(|(_, other)| same(other)).collect();
        if builders.iter().any(|(name, _)| runs.contains(*name)) {
            return;
        }
        if let Some(build) = builders.first().and_then(|(_, other)| other.get("build")) {
            body.insert("build".to_owned(), build.clone());
        }
    }

    /// Removes every reference to services that are not there.
    fn let_go(
        &mut self,
        name: &ServiceName,
        body: &mut Object,
        dropped: &Dropped,
    ) -> Result<(), PartError> {
        let depends_on = self.facts.get(name).map(|facts| facts.depends_on.clone());
        for (other, dependency) in depends_on.into_iter().flatten() {
            let Some(place) = dropped.get(&other) else { continue };
            if dependency.condition == Condition::Completed && dependency.required {
                let (service, node) = (name.clone(), place.clone());
                return Err(PartError::Waits { service, other, node });
            }
            remove(body, "depends_on", |entry| entry == other.as_str());
            self.unreachable(name, "depends on", &other, place);
        }
        for (key, word) in [("links", "is linked to"), ("external_links", "is linked to")] {
            for entry in texts(body.get(key)) {
                let gone = dropped.iter().find(|(other, _)| {
                    let container = self.model.service_of_container(head(&entry));
                    other.as_str() == head(&entry) && key == "links" || container == Some(*other)
                });
                let Some((other, place)) = gone else { continue };
                remove(body, key, |link| link == entry);
                self.unreachable(name, word, other, place);
            }
        }
        Ok(())
    }

    fn unreachable(
        &mut self,
        name: &ServiceName,
        verb: &str,
        other: &ServiceName,
        place: &NodeName,
    ) {
        let here = self.division.node;
        let text = format!(
            "it {verb} `{other}`, which runs on `{place}` and cannot be reached from `{here}`; \
             `--reverse {other}` lets it"
        );
        self.notes.service(NoteKind::Changed, name, text);
    }
}

/// Removes the entries of a map or list for which `gone` holds, and the setting with the last.
fn remove(body: &mut Object, key: &str, gone: impl Fn(&str) -> bool) {
    let empty = match body.get_mut(key) {
        Some(Value::Object(map)) => {
            map.retain(|entry, _| !gone(entry));
            map.is_empty()
        }
        Some(list) => {
            let mut left = texts(Some(list));
            left.retain(|entry| !gone(entry));
            *list = json!(left);
            left.is_empty()
        }
        None => false,
    };
    if empty {
        body.shift_remove(key);
    }
}

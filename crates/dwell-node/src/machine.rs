//! What this machine has and what is left of it.

use std::collections::{BTreeMap, BTreeSet};

use dwell_api::Problem;
use dwell_api::remote::Machine;
use dwell_core::admission::Capacity;
use dwell_core::observed::label;
use dwell_drivers::machine;

use crate::environment::free_subnets;
use crate::node::Node;
use crate::problem::{OrProblem, file};

/// What the kernel alone tells of what the machine has.
pub(crate) fn glance(node: &Node) -> Result<Capacity, Problem> {
    capacity(node, &machine::look())
}

fn capacity(node: &Node, seen: &machine::Machine) -> Result<Capacity, Problem> {
    let disk = machine::disk(&node.paths.data);
    let disk = disk.map_err(|error| file("looking at", &node.paths.data, &error))?;
    Ok(Capacity {
        cpus: seen.cpus,
        load: seen.load,
        memory: seen.memory,
        disk: Some(disk),
        ..Capacity::default()
    })
}

/// Looks at the machine.
pub(crate) async fn look(node: &Node) -> Result<Machine, Problem> {
    let seen = machine::look();
    // Without its engine a machine is still one.
    let (environments, subnets, engine) =
        tokio::join!(environments(node), free_subnets(node), node.engine.info());
    let environments = environments.ok();
    let mut capacity = capacity(node, &seen)?;
    let of_engine = engine.ok().and_then(|engine| machine::disk(&engine.root?).ok());
    capacity.disk = capacity.disk.into_iter().chain(of_engine).min_by_key(|disk| disk.free);
    capacity.free_subnets = subnets.ok();
    capacity.environments = environments.as_ref().map(|environments| environments.values().sum());
    Ok(Machine {
        host: seen.host,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        capacity,
        environments: environments.unwrap_or_default().into_iter().collect(),
        clock: node.now(),
        boot: seen.boot,
    })
}

/// Environments with containers on the engine, of all users, by user.
async fn environments(node: &Node) -> Result<BTreeMap<String, u32>, Problem> {
    let found = node.engine.containers(label::ENVIRONMENT).await.or_problem()?;
    let mut by_user: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for container in found {
        let named = |name: &str| container.labels.get(name).cloned();
        let own = named(label::NODE).is_some_and(|id| id == node.id.as_str());
        let user = named(label::USER).or_else(|| own.then(|| node.user.clone()));
        let id = container.environment.as_ref().map(ToString::to_string).unwrap_or_default();
        by_user.entry(user.unwrap_or_else(|| "others".to_owned())).or_default().insert(id);
    }
    let count = |ids: BTreeSet<String>| u32::try_from(ids.len()).unwrap_or(u32::MAX);
    Ok(by_user.into_iter().map(|(user, ids)| (user, count(ids))).collect())
}

/// The name of the user that this process runs as; the number where it has none.
pub(crate) fn user() -> String {
    let id = rustix::process::getuid().as_raw();
    let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    name_of(&users, id).or_else(|| std::env::var("USER").ok()).unwrap_or_else(|| id.to_string())
}

fn name_of(users: &str, id: u32) -> Option<String> {
    users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse::<u32>().ok()? == id).then(|| name.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_found_by_their_number() {
        let users = "root:x:0:0:root:/root:/bin/bash\nbroken\nme:x:1000:1000::/home/me:/bin/sh\n";
        assert_eq!(name_of(users, 1000).unwrap(), "me");
        assert_eq!(name_of(users, 7), None);
    }
}

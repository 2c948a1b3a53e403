//! What this machine has and what is left of it.

use std::collections::BTreeMap;

use dwell_api::Problem;
use dwell_api::remote::Machine;

use crate::node::Node;

/// Looks at the machine.
pub(crate) async fn look(node: &Node) -> Result<Machine, Problem> {
    let environments: BTreeMap<String, u32> = BTreeMap::new();
    Ok(Machine {
        host: String::new(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        cpus: 0,
        load: 0.0,
        memory_total: 0,
        memory_available: 0,
        disk_total: 0,
        disk_available: 0,
        environments: environments.into_iter().collect(),
        free_subnets: 0,
        clock: node.now(),
        starts_at_boot: false,
    })
}

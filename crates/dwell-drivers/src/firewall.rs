//! Keeping workspaces' networks apart from all other networks of containers, where this process
//! may change the machine's packet filter. The engine does so too, but takes its rules away for a
//! moment whenever it makes a network (seen with Docker 20.10). What is here stands in a table
//! that the engine never touches.

use std::time::Duration;

use crate::process::{ProcessError, Program};

const CHAIN: &str = "DWELL-APART";
/// The names of all bridges of containers: workspaces', other networks', the engine's own.
const BRIDGES: [&str; 3] = ["dw-+", "br-+", "docker0"];
const LIMIT: Duration = Duration::from_secs(20);

/// Sees to it that no connection is made between a workspace's own network and any other network
/// of containers. Those of the machine itself, to it and beyond it are as they were. It takes root
/// and iptables; what is there already stays as it is.
///
/// # Errors
/// When iptables is missing or refuses.
pub async fn keep_apart() -> Result<(), ProcessError> {
    // Appending would leave a moment, and a second chain where two do it at once.
    let mut rules = format!("*mangle\n:{CHAIN} - [0:0]\n");
    for (from, to) in pairs() {
        rules += &format!("-A {CHAIN} -i {from} -o {to} -m conntrack --ctstate NEW -j DROP\n");
    }
    rules += "COMMIT\n";
    let restore = Program::new("iptables-restore").args(["--wait", "10", "--noflush"]);
    restore.input(rules.into_bytes()).limit(LIMIT).run().await?;
    let jump = ["FORWARD", "-j", CHAIN];
    let table = || Program::new("iptables").args(["--wait", "10", "-t", "mangle"]).limit(LIMIT);
    if table().arg("-C").args(jump).run().await.is_ok() {
        return Ok(());
    }
    table().arg("-I").args(jump).run().await.map(drop)
}

/// From a workspace to any other, and from any other to a workspace.
fn pairs() -> impl Iterator<Item = (&'static str, &'static str)> {
    let workspaces = BRIDGES[0];
    let out = BRIDGES.into_iter().map(move |to| (workspaces, to));
    let others = BRIDGES.into_iter().skip(1).map(move |from| (from, workspaces));
    out.chain(others)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_between_a_workspace_and_another_network_is_closed() {
        let all: Vec<_> = pairs().collect();
        assert_eq!(all.len(), 5);
        assert!(all.iter().all(|(from, to)| *from == "dw-+" || *to == "dw-+"));
        assert!(all.contains(&("dw-+", "dw-+")));
    }
}

//! Subnets: one block a private network, out of the node's pool and clear of everything known.

use std::collections::BTreeMap;

use dwell_api::{Code, Problem};
use dwell_core::address::{Need, Pool, allocate};
use dwell_core::compose::needs;
use dwell_core::observed::label;
use ipnet::Ipv4Net;

use crate::node::Node;
use crate::operation::Context;
use crate::problem::OrProblem;

/// Gives every private network of the environment a subnet, keeping those that it has and that
/// are large enough.
pub(super) async fn allot(context: &mut Context) -> Result<(), Problem> {
    let Some(reading) = &context.reading else { return Ok(()) };
    let shared =
        reading.services.values().filter(|s| is_shared(context, s)).map(|s| s.name.clone());
    let relayed = shared.chain(reading.relays.keys().cloned()).collect();
    let wanted = needs(&reading.model, &relayed).or_problem()?;
    let wanted: Vec<(String, Need)> =
        wanted.into_iter().map(|need| (need.key, need.need)).collect();
    let subnets = subnets(&context.node, context.environment.id.as_str(), &wanted).await?;
    if let Some(reading) = &mut context.reading {
        reading.subnets = subnets;
    }
    Ok(())
}

/// Chooses others for the subnets that somebody else's networks have taken; says whether there
/// were any.
pub(super) async fn give_way(context: &mut Context) -> Result<bool, Problem> {
    let (node, owner) = (context.node.clone(), context.environment.id.clone());
    let foreign = |labels: &std::collections::HashMap<String, String>| {
        labels.get(label::ENVIRONMENT).is_none_or(|id| id != owner.as_str())
    };
    let all = node.engine.networks(None).await.or_problem()?;
    let others = all.into_iter().filter(|network| foreign(&network.labels));
    let others: Vec<Ipv4Net> = others.flat_map(|network| network.subnets).collect();
    let mut gave_way = false;
    for (key, network) in node.store.subnets_of(owner.as_str()).await.or_problem()? {
        let taken = network.parse().is_ok_and(|own: Ipv4Net| {
            others.iter().any(|net| net.contains(&own) || own.contains(net))
        });
        if taken {
            node.store.release_subnet(owner.as_str(), &key).await.or_problem()?;
            gave_way = true;
        }
    }
    if gave_way {
        allot(context).await?;
    }
    Ok(gave_way)
}

fn is_shared(context: &Context, service: &dwell_core::compose::Service) -> bool {
    super::shared::is_shared(&context.environment, service)
}

/// An owner's subnets for these networks: kept where they fit, newly allotted where not.
pub(crate) async fn subnets(
    node: &Node,
    owner: &str,
    wanted: &[(String, Need)],
) -> Result<BTreeMap<String, Ipv4Net>, Problem> {
    let _one_at_a_time = node.allocation.lock().await;
    let mut kept: BTreeMap<String, Ipv4Net> = BTreeMap::new();
    for (key, network) in node.store.subnets_of(owner).await.or_problem()? {
        let network: Option<Ipv4Net> = network.parse().ok();
        let fits = wanted.iter().any(|(name, need)| {
            *name == key && network.is_some_and(|net| net.prefix_len() <= need.prefix())
        });
        match network.filter(|_| fits) {
            Some(network) => {
                kept.insert(key, network);
            }
            None => node.store.release_subnet(owner, &key).await.or_problem()?,
        }
    }
    let missing: Vec<&(String, Need)> =
        wanted.iter().filter(|(key, _)| !kept.contains_key(key)).collect();
    if missing.is_empty() {
        return Ok(kept);
    }
    let pool = Pool::new(node.config.network.pool)
        .map_err(|e| Problem::new(Code::InvalidConfig, e.to_string()))?;
    let taken = taken(node, pool).await?;
    let needs: Vec<Need> = missing.iter().map(|(_, need)| *need).collect();
    let found = allocate(pool, &taken, &needs).map_err(|exhausted| {
        Problem::new(Code::PoolExhausted, exhausted.to_string())
            .hint("destroy environments that are not needed, or set a larger `[network] pool` in the node's config.toml")
    })?;
    for ((key, _), network) in missing.into_iter().zip(found) {
        node.store.add_subnet(&network.to_string(), owner, key).await.or_problem()?;
        kept.insert(key.clone(), network);
    }
    Ok(kept)
}

/// How many networks of the smallest size can still be allotted.
pub(crate) async fn free(node: &Node) -> Result<u32, Problem> {
    let pool = Pool::new(node.config.network.pool)
        .map_err(|e| Problem::new(Code::InvalidConfig, e.to_string()))?;
    let taken = taken(node, pool).await?;
    let size = |net: &Ipv4Net| 1_u64 << (32 - u32::from(net.prefix_len()));
    let inside = |net: &&Ipv4Net| pool.net().contains(*net);
    let mut own: Vec<Ipv4Net> = taken.iter().filter(inside).copied().collect();
    own = Ipv4Net::aggregate(&own);
    let left = size(&pool.net()).saturating_sub(own.iter().map(size).sum());
    Ok(u32::try_from(left / SMALLEST).unwrap_or(u32::MAX))
}

/// Addresses in the smallest network that is allotted.
const SMALLEST: u64 = 16;

/// What must not be allotted: own blocks, every Docker network, every route of the host.
async fn taken(node: &Node, pool: Pool) -> Result<Vec<Ipv4Net>, Problem> {
    let own = node.store.subnets().await.or_problem()?;
    let mut taken: Vec<Ipv4Net> =
        own.iter().filter_map(|(_, network)| network.parse().ok()).collect();
    for network in node.engine.networks(None).await.or_problem()? {
        taken.extend(network.subnets);
    }
    let routes = pool.routes(host_routes());
    if let Some(covering) = routes.covering.first() {
        tracing::debug!(%covering, "a route covers the whole pool; blocks are chosen inside it");
    }
    taken.extend(routes.taken);
    Ok(taken)
}

/// The host's IPv4 routes; none where the system does not tell them in this form.
fn host_routes() -> Vec<Ipv4Net> {
    let table = std::fs::read_to_string("/proc/net/route").unwrap_or_default();
    table.lines().skip(1).filter_map(route).collect()
}

/// A line of `/proc/net/route`: destination and mask in hexadecimal, least byte first.
fn route(line: &str) -> Option<Ipv4Net> {
    let mut fields = line.split_whitespace();
    let number = |text: &str| u32::from_str_radix(text, 16).ok().map(u32::swap_bytes);
    let destination = number(fields.nth(1)?)?;
    let mask = number(fields.nth(5)?)?;
    let prefix = u8::try_from(mask.leading_ones()).ok()?;
    Ipv4Net::new(destination.into(), prefix).ok()
}

/// Releases the environment's subnets.
pub(super) async fn release(context: &mut Context) -> Result<(), Problem> {
    context.node.store.release_subnets(context.environment.id.as_str()).await.or_problem()
}

/// Gives the environment the subnets back that it had, and releases the others.
pub(super) async fn undo(context: &mut Context) -> Result<(), Problem> {
    let owner = context.environment.id.as_str();
    let store = &context.node.store;
    let had = &context.request.before.subnets;
    let has = store.subnets_of(owner).await.or_problem()?;
    for (key, _) in has.iter().filter(|subnet| !had.contains(subnet)) {
        store.release_subnet(owner, key).await.or_problem()?;
    }
    for (key, network) in had.iter().filter(|subnet| !has.contains(subnet)) {
        match store.add_subnet(network, owner, key).await {
            // Somebody else has it by now; the next start chooses another.
            Ok(()) | Err(dwell_store::StoreError::Exists) => {}
            Err(error) => return Err(error).or_problem(),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_are_read_from_the_kernels_table() {
        let line = "eth0\t0000E00A\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0";
        assert_eq!(route(line).unwrap().to_string(), "10.224.0.0/16");
        assert!(route("short line").is_none());
    }
}

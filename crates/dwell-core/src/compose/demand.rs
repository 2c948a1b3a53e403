//! What a project asks of the machine that it runs on.

use std::collections::BTreeSet;

use serde_json::Value;

use super::error::IsolationError;
use super::model::{Model, Object, is_external, replicas, text};
use crate::admission::Demand;
use crate::name::ServiceName;

/// Sums up what services ask for, each as often as it has containers. Where a service is limited
/// to less than it reserves, the reservation counts.
///
/// # Errors
/// When the model is not one, or a service's name cannot be used.
pub fn demand(model: &Value, services: &BTreeSet<ServiceName>) -> Result<Demand, IsolationError> {
    let model = Model::parse(model)?;
    let mut all = Demand::default();
    let mut networks = BTreeSet::new();
    for (_, body) in model.services().filter(|(name, _)| services.contains(*name)) {
        networks.extend(model.networking(body).keys());
        let count = u64::from(replicas(body));
        let memory = |kind, key| {
            let deployed = resource(body, kind, "memory").or_else(|| body.get(key));
            deployed.and_then(text).and_then(|size| bytes(&size)).unwrap_or_default()
        };
        let reserved = memory("reservations", "mem_reservation");
        let limit = memory("limits", "mem_limit").max(reserved);
        let cpus = resource(body, "reservations", "cpus").and_then(text);
        let cpus = cpus.and_then(|count| count.parse::<f64>().ok()).unwrap_or_default();
        all.services = all.services.saturating_add(replicas(body));
        all.memory_reserved = all.memory_reserved.saturating_add(reserved.saturating_mul(count));
        all.memory_limit = all.memory_limit.saturating_add(limit.saturating_mul(count));
        all.cpus += cpus.clamp(0.0, 1e6) * f64::from(replicas(body));
    }
    let external: BTreeSet<&String> =
        model.section("networks").filter(|(_, n)| is_external(n)).map(|(key, _)| key).collect();
    let own = networks.iter().filter(|key| !external.contains(key)).count();
    all.networks = u32::try_from(own).unwrap_or(u32::MAX);
    Ok(all)
}

fn resource<'a>(body: &'a Object, kind: &str, what: &str) -> Option<&'a Value> {
    body.get("deploy")?.get("resources")?.get(kind)?.get(what)
}

/// A size as compose takes it: `512m`, `1.5gb`, `1073741824`.
fn bytes(size: &str) -> Option<u64> {
    let size = size.trim().to_ascii_lowercase();
    let end = size.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(size.len());
    let (number, unit) = size.split_at_checked(end)?;
    let shift = match unit.trim() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        "t" | "tb" | "tib" => 40,
        _ => return None,
    };
    if let Ok(whole) = number.parse::<u64>() {
        return whole.checked_mul(1 << shift);
    }
    let number: f64 = number.parse().ok()?;
    // What is out of range saturates, and is still too much for any machine.
    Some((number * f64::from(1_u32 << 10).powi(shift / 10)) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn sizes_are_read_as_compose_reads_them() {
        for (text, want) in [
            ("1073741824", Some(1 << 30)),
            ("512m", Some(512 << 20)),
            ("1.5GB", Some(3 << 29)),
            ("1 k", Some(1024)),
            ("7b", Some(7)),
            ("-1", None),
            ("1x", None),
            ("", None),
            ("99999999999999999999t", Some(u64::MAX)),
        ] {
            assert_eq!(bytes(text), want, "{text}");
        }
    }

    #[test]
    fn what_services_ask_for_is_summed_by_container() {
        let model = json!({"services": {
            "a": {"mem_limit": "1g", "mem_reservation": "256m", "scale": 2, "networks": {"x": null, "out": null}},
            "b": {"deploy": {"resources": {
                "limits": {"memory": "1048576"}, "reservations": {"memory": "2097152", "cpus": "1.5"}}}},
            "c": {"deploy": {"resources": {"reservations": {"cpus": 0.5}}}, "network_mode": "none"},
            "away": {"mem_limit": "64g"},
        }, "networks": {"out": {"external": true}}});
        let services = ["a", "b", "c"].map(|name| name.parse().unwrap()).into();
        let demand = demand(&model, &services).unwrap();
        assert_eq!(
            demand,
            Demand {
                services: 4,
                networks: 2,
                memory_reserved: (512 << 20) + (2 << 20),
                memory_limit: (2 << 30) + (2 << 20),
                cpus: 2.0,
            }
        );
    }
}

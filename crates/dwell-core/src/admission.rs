//! Whether a node has room for what is about to be made on it.

use std::fmt;

use serde::{Deserialize, Serialize};

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// Less free memory than this is short whatever is asked for.
const MEMORY_LEAST: u64 = 256 * MIB;
/// Less free disk than this is short: images and builds need more.
const DISK_LEAST: u64 = GIB;
/// Less free disk than this is tight.
const DISK_TIGHT: u64 = 5 * GIB;

/// Something of which a node has so much.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Amount {
    /// All of it, in bytes.
    pub total: u64,
    /// What can still be had, in bytes.
    pub free: u64,
}

/// What a node has. What could not be found out is missing.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(default)]
pub struct Capacity {
    /// Processors.
    pub cpus: Option<u32>,
    /// How many tasks wanted to run in the last minute.
    pub load: Option<f64>,
    /// Memory.
    pub memory: Option<Amount>,
    /// Disk: the fuller of those that hold source trees and the engine's images and volumes.
    pub disk: Option<Amount>,
    /// Subnets that can still be allotted.
    pub free_subnets: Option<u32>,
    /// Environments that run, of all users.
    pub environments: Option<u32>,
}

/// What a project asks for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Demand {
    /// Containers.
    pub services: u32,
    /// Networks that need a subnet.
    pub networks: u32,
    /// Memory that its services reserve, in bytes.
    pub memory_reserved: u64,
    /// Memory that its services may use, in bytes, as far as they are limited.
    pub memory_limit: u64,
    /// Processors that its services reserve.
    pub cpus: f64,
}

/// How much a concern weighs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// It will be slow or close.
    Tight,
    /// It will probably not work: to be refused where somebody is strict.
    Short,
}

/// One thing of which a node may have too little.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Concern {
    /// How much it weighs.
    pub severity: Severity,
    /// What is so, for people.
    pub text: String,
}

impl fmt::Display for Concern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// What speaks against making this on that node, the weightiest first; empty where nothing does.
pub fn concerns(capacity: &Capacity, demand: &Demand) -> Vec<Concern> {
    let all = [
        capacity.memory.and_then(|memory| memory_concern(memory, demand)),
        processor_concern(capacity, demand),
        capacity.disk.and_then(disk_concern),
        capacity.free_subnets.and_then(|free| subnet_concern(free, demand.networks)),
    ];
    let mut found: Vec<Concern> = all.into_iter().flatten().collect();
    found.sort_by_key(|concern| std::cmp::Reverse(concern.severity));
    found
}

fn concern(severity: Severity, text: String) -> Option<Concern> {
    Some(Concern { severity, text })
}

fn memory_concern(memory: Amount, demand: &Demand) -> Option<Concern> {
    let free = size(memory.free);
    if demand.memory_reserved > memory.free {
        let wanted = size(demand.memory_reserved);
        let text = format!("memory: {free} available, the project reserves {wanted}");
        return concern(Severity::Short, text);
    }
    if memory.free < MEMORY_LEAST {
        let text = format!("memory: {free} of {} available", size(memory.total));
        return concern(Severity::Short, text);
    }
    if demand.memory_limit > memory.free {
        let wanted = size(demand.memory_limit);
        let text = format!("memory: {free} available, the project may use up to {wanted}");
        return concern(Severity::Tight, text);
    }
    let left = memory.free.saturating_sub(demand.memory_reserved);
    if left < memory.total / 20 {
        let text = format!("memory: {free} of {} available", size(memory.total));
        return concern(Severity::Tight, text);
    }
    None
}

fn processor_concern(capacity: &Capacity, demand: &Demand) -> Option<Concern> {
    let cpus = capacity.cpus?;
    if demand.cpus > f64::from(cpus) {
        let text = format!("cpu: {cpus} there, the project reserves {:.1}", demand.cpus);
        return concern(Severity::Short, text);
    }
    let load = capacity.load.filter(|load| *load > 2.0 * f64::from(cpus))?;
    concern(Severity::Tight, format!("cpu: load {load:.1} on {cpus}"))
}

fn disk_concern(disk: Amount) -> Option<Concern> {
    let text = format!("disk: {} of {} free", size(disk.free), size(disk.total));
    if disk.free < DISK_LEAST {
        concern(Severity::Short, text)
    } else if disk.free < DISK_TIGHT {
        concern(Severity::Tight, text)
    } else {
        None
    }
}

fn subnet_concern(free: u32, wanted: u32) -> Option<Concern> {
    if free < wanted {
        let text = format!("subnets: {free} free, the project needs {wanted}");
        return concern(Severity::Short, text);
    }
    let left = free.saturating_sub(wanted);
    if left < 4 {
        return concern(Severity::Tight, format!("subnets: {left} would be left"));
    }
    None
}

/// A number of bytes for people: `512 MiB`, `1.2 GiB`.
pub fn size(bytes: u64) -> String {
    let units = ["KiB", "MiB", "GiB", "TiB"];
    let mut unit = "B";
    let mut whole = bytes;
    let mut rest = 0;
    for larger in units {
        if whole < 1024 {
            break;
        }
        (whole, rest, unit) = (whole / 1024, whole % 1024, larger);
    }
    let tenths = rest * 10 / 1024;
    if whole < 10 && tenths > 0 {
        format!("{whole}.{tenths} {unit}")
    } else {
        format!("{whole} {unit}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn roomy() -> Capacity {
        Capacity {
            cpus: Some(16),
            load: Some(3.0),
            memory: Some(Amount { total: 64 * GIB, free: 40 * GIB }),
            disk: Some(Amount { total: 500 * GIB, free: 200 * GIB }),
            free_subnets: Some(4000),
            environments: Some(8),
        }
    }

    fn project() -> Demand {
        Demand {
            services: 5,
            networks: 2,
            memory_reserved: 4 * GIB,
            memory_limit: 8 * GIB,
            cpus: 2.0,
        }
    }

    fn shown(capacity: &Capacity, demand: &Demand) -> Vec<String> {
        let all = concerns(capacity, demand);
        all.iter().map(|concern| format!("{:?}: {concern}", concern.severity)).collect()
    }

    #[test]
    fn room_is_no_concern_and_neither_is_what_is_not_known() {
        assert_eq!(shown(&roomy(), &project()), Vec::<String>::new());
        assert_eq!(shown(&Capacity::default(), &project()), Vec::<String>::new());
    }

    #[test]
    fn every_concern_has_its_words() {
        let amount = |total, free| Some(Amount { total, free });
        let mib = |count: u64| count * MIB;
        let cases = [
            Capacity { memory: amount(64 * GIB, mib(1229)), ..roomy() },
            Capacity { memory: amount(64 * GIB, 5 * GIB), ..roomy() },
            Capacity { memory: amount(200 * GIB, 12 * GIB), ..roomy() },
            Capacity { cpus: Some(1), ..roomy() },
            Capacity { load: Some(33.04), ..roomy() },
            Capacity { disk: amount(100 * GIB, mib(300)), ..roomy() },
            Capacity { disk: amount(100 * GIB, mib(3200)), ..roomy() },
            Capacity { free_subnets: Some(1), ..roomy() },
            Capacity { free_subnets: Some(4), ..roomy() },
            Capacity { load: Some(99.0), free_subnets: Some(0), ..roomy() },
        ];
        let lines: Vec<_> =
            cases.iter().map(|capacity| shown(capacity, &project()).join(" + ")).collect();
        insta::assert_snapshot!(lines.join("\n"), @r"
    Short: memory: 1.2 GiB available, the project reserves 4 GiB
    Tight: memory: 5 GiB available, the project may use up to 8 GiB
    Tight: memory: 12 GiB of 200 GiB available
    Short: cpu: 1 there, the project reserves 2.0
    Tight: cpu: load 33.0 on 16
    Short: disk: 300 MiB of 100 GiB free
    Tight: disk: 3.1 GiB of 100 GiB free
    Short: subnets: 1 free, the project needs 2
    Tight: subnets: 2 would be left
    Short: subnets: 0 free, the project needs 2 + Tight: cpu: load 99.0 on 16
    ");
        let nothing = Capacity { memory: amount(GIB, mib(100)), ..roomy() };
        assert_eq!(
            shown(&nothing, &Demand::default()),
            ["Short: memory: 100 MiB of 1 GiB available"]
        );
    }

    #[test]
    fn sizes_are_short() {
        let shown: Vec<_> =
            [0, 1023, 1024, 1536, 12 * MIB + 1, GIB * 6 / 5, 64 * GIB, u64::MAX].map(size).into();
        assert_eq!(
            shown.join(", "),
            "0 B, 1023 B, 1 KiB, 1.5 KiB, 12 MiB, 1.1 GiB, 64 GiB, 16777215 TiB"
        );
    }

    proptest! {
        #[test]
        fn more_room_is_never_more_of_a_concern(free in any::<u64>(), more in any::<u64>(), reserved in any::<u64>()) {
            let at = |free| Capacity { memory: Some(Amount { total: 64 * GIB, free }), ..Capacity::default() };
            let demand = Demand { memory_reserved: reserved, memory_limit: reserved, ..Demand::default() };
            let worst = |free| concerns(&at(free), &demand).first().map(|concern| concern.severity);
            prop_assert!(worst(free.saturating_add(more)) <= worst(free));
        }
    }
}

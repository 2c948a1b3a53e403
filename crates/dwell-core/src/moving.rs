//! What moves: an environment, or some of its services, from one node to another.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::operation::Kind;
use crate::placement::{Assignment, Flags};
use crate::{EnvironmentId, NodeName, ServiceName, VolumeName};

/// A move, decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moving {
    /// The node that it goes to.
    pub to: NodeName,
    /// Whether the data in named volumes goes along.
    pub with_volumes: bool,
    /// Volumes of the environment that are there already.
    #[serde(default)]
    pub there: BTreeSet<VolumeName>,
    /// What goes.
    pub what: What,
}

/// What moves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// Services, and the node that each leaves. The environment has its home here.
    Services(BTreeMap<ServiceName, NodeName>),
    /// All of it.
    Whole(Whole),
}

/// A whole environment that moves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Whole {
    /// The node that it leaves.
    pub from: NodeName,
    /// Its identity there.
    pub old: EnvironmentId,
    /// Its identity where it goes.
    pub new: EnvironmentId,
    /// Whether it is to run where it goes: whether it ran before.
    pub runs: bool,
    /// Whether all of its services were well before, so that they have to be so there.
    pub well: bool,
}

impl Moving {
    /// The operation that does it.
    pub fn kind(&self) -> Kind {
        match &self.what {
            What::Services(_) => Kind::MoveServices,
            What::Whole(whole) if whole.from.is_local() => Kind::MoveOut,
            What::Whole(_) if self.to.is_local() => Kind::MoveIn,
            What::Whole(_) => Kind::MoveOn,
        }
    }

    /// The whole environment that moves; `None` where services do.
    pub fn whole(&self) -> Option<&Whole> {
        match &self.what {
            What::Services(_) => None,
            What::Whole(whole) => Some(whole),
        }
    }

    /// The services that move, each with the node that it leaves; none where all do.
    pub fn services(&self) -> impl Iterator<Item = (&ServiceName, &NodeName)> {
        match &self.what {
            What::Services(services) => Some(services.iter()),
            What::Whole(_) => None,
        }
        .into_iter()
        .flatten()
    }

    /// The nodes that services leave.
    pub fn left(&self) -> BTreeSet<&NodeName> {
        self.services().map(|(_, from)| from).collect()
    }

    /// The flags that say the same on a command line.
    pub fn flags(&self) -> Flags {
        match &self.what {
            What::Services(services) => {
                let to = |service: &ServiceName| Assignment {
                    service: service.clone(),
                    node: self.to.clone(),
                };
                Flags { place: services.keys().map(to).collect(), ..Flags::default() }
            }
            What::Whole(_) => Flags { remote: Some(self.to.clone()), ..Flags::default() },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(from: &str, to: &str) -> Moving {
        let (old, new) = (EnvironmentId::from_random([1; 8]), EnvironmentId::from_random([2; 8]));
        let from = from.parse().unwrap();
        let what = What::Whole(Whole { from, old, new, runs: true, well: true });
        Moving { to: to.parse().unwrap(), with_volumes: false, there: BTreeSet::new(), what }
    }

    #[test]
    fn which_way_it_goes_decides_what_is_done() {
        assert_eq!(whole("local", "one").kind(), Kind::MoveOut);
        assert_eq!(whole("one", "local").kind(), Kind::MoveIn);
        assert_eq!(whole("one", "two").kind(), Kind::MoveOn);
    }

    #[test]
    fn services_are_placed_as_by_flags() {
        let services = ["db", "search"].map(|name| (name.parse().unwrap(), NodeName::local()));
        let what = What::Services(services.into());
        let to = "one".parse().unwrap();
        let moving = Moving { to, with_volumes: true, there: BTreeSet::new(), what };
        assert_eq!(moving.kind(), Kind::MoveServices);
        let places: Vec<String> = moving.flags().place.iter().map(ToString::to_string).collect();
        assert_eq!(places, ["db=one", "search=one"]);
        assert_eq!(moving.left(), BTreeSet::from([&NodeName::local()]));
        assert_eq!(whole("one", "local").flags().remote, Some(NodeName::local()));
    }
}

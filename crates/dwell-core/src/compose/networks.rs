//! The project's networks: how large each must be, and its private form.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use serde_json::{Map, Value, json};

use super::error::IsolationError;
use super::model::{Model, Object, is_external, replicas, text};
use super::note::{NoteKind, Notes};
use super::scope::Scope;
use crate::address::{BLOCK_MAX, Need};
use crate::name::ServiceName;

/// What one network of a project needs before it can be made private.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkNeed {
    /// Its key in the project; the default network is `default`.
    pub key: String,
    /// How many addresses, and how large a block the pinned ones ask for.
    pub need: Need,
    /// The IPv4 subnet that the user pinned. Only host parts are kept of it.
    pub wanted: Option<Ipv4Net>,
}

/// The networks of a project that will be made private, in a stable order, and what each needs.
/// `relayed` names the services that will run elsewhere: a relay always has an address.
///
/// # Errors
/// When the model is not one, or a service's name cannot be used.
pub fn needs(
    model: &Value,
    relayed: &BTreeSet<ServiceName>,
) -> Result<Vec<NetworkNeed>, IsolationError> {
    let model = Model::parse(model)?;
    let networks = Networks::read(&model, |name| relayed.contains(name));
    Ok(networks
        .private
        .iter()
        .filter(|(_, network)| network.bridged)
        .map(|(key, network)| NetworkNeed {
            key: key.clone(),
            need: Need { addresses: network.addresses, span: network.span() },
            wanted: network.wanted,
        })
        .collect())
}

/// One network that is made private.
#[derive(Debug, Default)]
struct Network {
    body: Object,
    /// Whether its driver is the one whose subnets are ours to choose.
    bridged: bool,
    addresses: u32,
    wanted: Option<Ipv4Net>,
    pinned: BTreeSet<Ipv4Addr>,
    /// Pinned addresses and the new ones, filled by [`Networks::place`].
    moved: BTreeMap<Ipv4Addr, Ipv4Addr>,
    block: Option<Ipv4Net>,
}

/// All networks of a project.
pub(super) struct Networks {
    private: BTreeMap<String, Network>,
    external: BTreeMap<String, Object>,
}

impl Networks {
    pub(super) fn read(model: &Model<'_>, relayed: impl Fn(&ServiceName) -> bool) -> Self {
        let mut private = BTreeMap::new();
        let mut external = BTreeMap::new();
        for (key, body) in model.section("networks") {
            if is_external(&body) {
                external.insert(key.clone(), body);
            } else {
                private.insert(key.clone(), Network::read(body));
            }
        }
        for (name, service) in model.services() {
            let networking = model.networking(service);
            let (keys, count) = if relayed(name) {
                (networking.relay_keys(), 1)
            } else {
                (networking.keys(), replicas(service).max(1))
            };
            for key in keys {
                if external.contains_key(&key) {
                    continue;
                }
                let network =
                    private.entry(key.clone()).or_insert_with(|| Network::read(Map::new()));
                network.addresses = network.addresses.saturating_add(count);
                network.pinned.extend(pinned_address(service, &key));
            }
        }
        Self { private, external }
    }

    /// Whether a network is private to the environment.
    pub(super) fn is_private(&self, key: &str) -> bool {
        self.private.contains_key(key)
    }

    /// Gives every private network its subnet, and every pinned address its new one.
    pub(super) fn place(
        &mut self,
        subnets: &BTreeMap<String, Ipv4Net>,
        notes: &mut Notes,
    ) -> Result<(), IsolationError> {
        for (key, network) in self.private.iter_mut().filter(|(_, network)| network.bridged) {
            let block = subnets.get(key).copied();
            let block = block.ok_or_else(|| IsolationError::NoSubnet { network: key.clone() })?;
            network.place(key, block, notes)?;
        }
        Ok(())
    }

    /// The new address for one that a service pinned in a network; none where there is no
    /// subnet of ours, and the address is to be kept.
    pub(super) fn moved(&self, key: &str, address: Ipv4Addr) -> Option<Ipv4Addr> {
        self.private.get(key)?.moved.get(&address).copied()
    }

    /// Whether IPv6 addresses pinned in this network have lost their subnet.
    pub(super) fn loses_ipv6(&self, key: &str) -> bool {
        self.private.get(key).is_some_and(|network| network.has_ipv6_subnet())
    }

    /// The `networks` of the environment's model.
    pub(super) fn into_section(self, scope: &Scope, notes: &mut Notes) -> Object {
        let mut section = Map::new();
        for (key, body) in self.external {
            let name = body.get("name").and_then(text).unwrap_or_else(|| key.clone());
            notes.network(
                NoteKind::Shared,
                &key,
                format!(
                    "it is the external network `{name}`: services of other environments on it \
                     answer to the same short names, but not to full ones"
                ),
            );
            section.insert(key, Value::Object(body));
        }
        for (key, network) in self.private {
            let body = network.into_body(&key, scope, notes);
            section.insert(key, Value::Object(body));
        }
        section.sort_keys();
        section
    }
}

impl Network {
    fn read(body: Object) -> Self {
        let driver = body.get("driver").and_then(text).unwrap_or_default();
        let bridged = matches!(driver.as_str(), "" | "bridge");
        let wanted = ipam_configs(&body).find_map(|config| subnet_of(&config));
        Self { body, bridged, wanted, ..Self::default() }
    }

    fn has_ipv6_subnet(&self) -> bool {
        self.bridged && ipam_configs(&self.body).any(|config| is_ipv6(&config))
    }

    /// The settings of the user's IPv4 subnet.
    fn ipam(&self) -> Option<Object> {
        ipam_configs(&self.body).find(|config| subnet_of(config).is_some())
    }

    fn offset(&self, address: Ipv4Addr) -> Option<u32> {
        let wanted = self.wanted?;
        wanted
            .contains(&address)
            .then(|| u32::from(address).saturating_sub(u32::from(wanted.network())))
    }

    /// How many addresses a block must have to keep the host part of all that is pinned.
    fn span(&self) -> u32 {
        let ipam = self.ipam().unwrap_or_default();
        let gateway = ipam.get("gateway").and_then(address);
        let range = ipam.get("ip_range").and_then(text).and_then(|r| r.parse::<Ipv4Net>().ok());
        let last = range.map(|range| range.broadcast());
        let fixed = self.pinned.iter().copied().chain(gateway).chain(last);
        let highest = fixed.filter_map(|address| self.offset(address)).max();
        highest.map_or(0, |offset| offset.saturating_add(2)).min(BLOCK_MAX)
    }

    fn translate(&self, block: Ipv4Net, address: Ipv4Addr) -> Option<Ipv4Addr> {
        let offset = self.offset(address).filter(|offset| *offset > 0)?;
        let moved = Ipv4Addr::from(u32::from(block.network()).checked_add(offset)?);
        (block.contains(&moved) && moved != block.broadcast()).then_some(moved)
    }

    fn gateway(&self, block: Ipv4Net) -> Option<Ipv4Addr> {
        let pinned = self.ipam().and_then(|ipam| ipam.get("gateway").and_then(address));
        pinned.and_then(|gateway| self.translate(block, gateway))
    }

    fn place(
        &mut self,
        key: &str,
        block: Ipv4Net,
        notes: &mut Notes,
    ) -> Result<(), IsolationError> {
        let block = block.trunc();
        self.block = Some(block);
        let first = u32::from(block.network()).saturating_add(1);
        let gateway = self.gateway(block).unwrap_or(Ipv4Addr::from(first));
        let kept: BTreeMap<_, _> = self
            .pinned
            .iter()
            .filter_map(|old| Some((*old, self.translate(block, *old)?)))
            .collect();
        let mut used: BTreeSet<Ipv4Addr> = kept.values().copied().chain([gateway]).collect();
        self.moved = kept;
        for old in self
            .pinned
            .iter()
            .filter(|old| !self.moved.contains_key(old))
            .copied()
            .collect::<Vec<_>>()
        {
            let mut free = (first..u32::from(block.broadcast())).rev().map(Ipv4Addr::from);
            let new = free.find(|address| !used.contains(address)).ok_or_else(|| {
                IsolationError::SubnetTooSmall { network: key.to_owned(), subnet: block }
            })?;
            used.insert(new);
            self.moved.insert(old, new);
            notes.network(
                NoteKind::Changed,
                key,
                format!("the pinned address {old} is {new} here; its host part does not fit into {block}"),
            );
        }
        Ok(())
    }

    fn into_body(self, key: &str, scope: &Scope, notes: &mut Notes) -> Object {
        let mut body = self.body.clone();
        body.insert("name".to_owned(), Value::String(scope.private_name(key)));
        scope.label(&mut body);
        let Some(block) = self.block else {
            let driver = body.get("driver").and_then(text).unwrap_or_default();
            notes.network(
                NoteKind::Shared,
                key,
                format!("its driver is `{driver}`, so its addresses are kept as they are"),
            );
            return body;
        };
        if let Some(Value::Object(options)) = body.get_mut("driver_opts")
            && options.shift_remove("com.docker.network.bridge.name").is_some()
        {
            notes.network(NoteKind::Changed, key, "the fixed name of its bridge is dropped");
        }
        if self.has_ipv6_subnet() {
            body.shift_remove("enable_ipv6");
            notes.network(
                NoteKind::Changed,
                key,
                "its pinned IPv6 subnet is dropped, and IPv6 addresses in it with it",
            );
        }
        let mut ipam = body.get("ipam").and_then(Value::as_object).cloned().unwrap_or_default();
        ipam.insert("config".to_owned(), json!([self.ipam_config(block)]));
        body.insert("ipam".to_owned(), Value::Object(ipam));
        body
    }

    fn ipam_config(&self, block: Ipv4Net) -> Object {
        let mut config = Map::new();
        config.insert("subnet".to_owned(), Value::String(block.to_string()));
        if let Some(gateway) = self.gateway(block) {
            config.insert("gateway".to_owned(), Value::String(gateway.to_string()));
        }
        let user = self.ipam().unwrap_or_default();
        if let Some(range) = user.get("ip_range").and_then(text).and_then(|r| r.parse().ok())
            && let Some(range) = self.range(block, range)
        {
            config.insert("ip_range".to_owned(), Value::String(range.to_string()));
        }
        if let Some(Value::Object(taken)) = user.get("aux_addresses") {
            let moved = taken.iter().filter_map(|(name, old)| {
                let new = self.translate(block, address(old)?)?;
                Some((name.clone(), Value::String(new.to_string())))
            });
            let moved: Object = moved.collect();
            config.insert("aux_addresses".to_owned(), Value::Object(moved));
        }
        config
    }

    /// The user's range of dynamic addresses at the same place in the new block, if it fits.
    fn range(&self, block: Ipv4Net, range: Ipv4Net) -> Option<Ipv4Net> {
        let offset = self.offset(range.network())?;
        let first = Ipv4Addr::from(u32::from(block.network()).checked_add(offset)?);
        let moved = Ipv4Net::new(first, range.prefix_len()).ok()?;
        (moved.trunc() == moved && block.contains(&moved)).then_some(moved)
    }
}

fn ipam_configs(body: &Object) -> impl Iterator<Item = Object> {
    let configs = body.get("ipam").and_then(|ipam| ipam.get("config")).and_then(Value::as_array);
    let configs = configs.cloned().unwrap_or_default();
    configs.into_iter().filter_map(|config| config.as_object().cloned())
}

fn subnet_of(config: &Object) -> Option<Ipv4Net> {
    config.get("subnet").and_then(text)?.parse::<Ipv4Net>().ok().map(|net| net.trunc())
}

fn is_ipv6(config: &Object) -> bool {
    config.get("subnet").and_then(text).is_some_and(|subnet| subnet.contains(':'))
}

fn address(value: &Value) -> Option<Ipv4Addr> {
    text(value)?.parse().ok()
}

/// The address that a service pins in one of its networks.
fn pinned_address(service: &Object, key: &str) -> Option<Ipv4Addr> {
    service.get("networks")?.get(key)?.get("ipv4_address").and_then(address)
}

/// Gives a service its place in the private networks: pinned addresses moved, names added to its
/// own aliases.
pub(super) fn attach(
    networks: &Networks,
    keys: &[String],
    given: Option<&Value>,
    aliases: &[String],
) -> Object {
    let mut attached = Map::new();
    for key in keys {
        let entry = given.and_then(|given| given.get(key));
        let mut entry = entry.and_then(Value::as_object).cloned().unwrap_or_default();
        if networks.is_private(key) {
            if let Some(new) =
                entry.get("ipv4_address").and_then(address).and_then(|old| networks.moved(key, old))
            {
                entry.insert("ipv4_address".to_owned(), Value::String(new.to_string()));
            }
            if networks.loses_ipv6(key) {
                entry.shift_remove("ipv6_address");
            }
            let mut all = super::model::texts(entry.get("aliases"));
            all.extend(aliases.iter().cloned());
            let mut seen = BTreeSet::new();
            all.retain(|alias| seen.insert(alias.clone()));
            if !all.is_empty() {
                entry.insert("aliases".to_owned(), json!(all));
            }
        }
        let entry = if entry.is_empty() { Value::Null } else { Value::Object(entry) };
        attached.insert(key.clone(), entry);
    }
    attached
}

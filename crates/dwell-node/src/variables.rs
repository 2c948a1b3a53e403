//! The variables that lead programs to an environment's services.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use dwell_api::environment::{Environment as Shown, Variables};
use dwell_core::SessionName;
use dwell_core::agent::{ServiceFacts, SessionFacts, variables};
use dwell_core::environment::Environment;
use dwell_core::published::address_holder;

use crate::node::Node;
use crate::session::agent_name;
use crate::{resolver, world};

/// How the system was last seen to resolve our names, by top-level label.
#[derive(Default)]
pub(crate) struct Resolving(Mutex<HashMap<String, (Instant, bool)>>);

impl Node {
    /// The variables that lead a program to an environment's services: names where the system
    /// resolves them, addresses where it does not.
    pub(crate) async fn variables(
        &self,
        environment: &Environment,
        session: Option<(&SessionName, &[String])>,
    ) -> Vec<(String, String)> {
        let containers = self.world.containers(&environment.id);
        let observed = world::addresses(&containers);
        let facts = self.facts.get(&environment.id);
        let shown = self.see_services(environment);
        let mut services = Vec::new();
        let mut base_url = None;
        for service in facts.iter().flat_map(|facts| facts.services.values()) {
            let all = facts.as_ref().map(|facts| &facts.services);
            let holder = all.map_or(&service.name, |all| address_holder(service, all));
            let Some(address) = observed.get(holder).and_then(|a| a.first()) else { continue };
            let address = IpAddr::V4(*address);
            let seen = shown.iter().find(|seen| seen.name == service.name);
            let name = seen.and_then(|seen| seen.names.first().cloned());
            let named = match &name {
                Some(name) => self.system_resolves(name, address).await,
                None => false,
            };
            let host = name.filter(|_| named).unwrap_or_else(|| address.to_string());
            if service.ingress {
                base_url = self.base_url(environment, seen.and_then(|s| s.url.clone()), named);
            }
            let port = service.http_port.or_else(|| service.ports.first().map(|port| port.number));
            let http = service.http_port.is_some();
            services.push(ServiceFacts { name: service.name.clone(), host, port, http });
        }
        let all = variables(&SessionFacts {
            environment: environment.name.to_string(),
            environment_id: environment.id.to_string(),
            project: environment.project.to_string(),
            tree: environment.root.display().to_string(),
            base_url,
            suffix: environment.suffix.to_string(),
            branch: environment.branch().map(str::to_owned),
            session: session.map(|(name, _)| name.to_string()).unwrap_or_default(),
            agent: session.and_then(|(_, command)| agent_name(command)),
            services,
        });
        for collision in &all.collisions {
            tracing::debug!(?collision, "two services share a variable's name");
        }
        all.set
    }

    /// The URL of the environment's ingress: by name where the system resolves it, else through
    /// the proxy.
    fn base_url(
        &self,
        environment: &Environment,
        url: Option<String>,
        named: bool,
    ) -> Option<String> {
        let url = url?;
        if named {
            return Some(url);
        }
        let proxy = self.listeners.proxy()?;
        Some(format!(
            "http://{}.{}.localhost:{}",
            environment.project,
            environment.name,
            proxy.port()
        ))
    }

    /// Whether the system's resolver finds a name at an address; asked at most every 5 s a
    /// suffix.
    async fn system_resolves(&self, name: &str, address: IpAddr) -> bool {
        let suffix = name.rsplit('.').next().unwrap_or_default().to_owned();
        let lock = || self.resolving.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((asked, answer)) = lock().get(&suffix)
            && asked.elapsed() < Duration::from_secs(5)
        {
            return *answer;
        }
        let answer = resolver::resolves(name, &[address]).await;
        lock().insert(suffix, (Instant::now(), answer));
        answer
    }

    fn see_services(&self, environment: &Environment) -> Vec<dwell_api::environment::Service> {
        let containers = self.world.containers(&environment.id);
        crate::view::environment(self, environment, &containers, 0).services
    }

    /// The variables that lead a program here to the services of an environment on another node.
    pub(crate) async fn variables_of(&self, environment: &Shown) -> Variables {
        let mut services = Vec::new();
        for service in &environment.services {
            let Some(text) = service.addresses.first() else { continue };
            let Ok(address) = text.parse::<IpAddr>() else { continue };
            let named = match service.names.first() {
                Some(name) => self.system_resolves(name, address).await,
                None => false,
            };
            let name = service.names.first().filter(|_| named);
            services.push(ServiceFacts {
                name: service.name.clone(),
                host: name.cloned().unwrap_or_else(|| text.clone()),
                port: service.ports.iter().find_map(|port| port.split('/').next()?.parse().ok()),
                http: service.url.is_some(),
            });
        }
        let all = variables(&SessionFacts {
            environment: environment.name.to_string(),
            environment_id: environment.id.to_string(),
            project: environment.project.to_string(),
            tree: environment.tree.display().to_string(),
            base_url: environment.url.clone(),
            suffix: environment.suffix.clone(),
            branch: environment.branch.clone(),
            session: String::new(),
            agent: None,
            services,
        });
        Variables(all.set)
    }

    /// The variables as the API answers them.
    pub(crate) async fn variables_answer(&self, environment: &Environment) -> Variables {
        Variables(self.variables(environment, None).await)
    }
}

//! HTTP services of environments for other machines of a mesh: a proxy at this machine's mesh
//! address follows what runs of the environments that ask for it. Without one nothing listens.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use dwell_api::node::Part;
use dwell_api::{Code, Problem};
use dwell_core::environment::Environment;
use dwell_core::ingress::{CaddyFiles, Listen, Route, caddy, idle_caddy, nginx, routes};
use dwell_core::observed::Container;
use dwell_core::ports::PRIVILEGED;
use dwell_core::prepare::{Program, Version};
use dwell_core::published::Place;
use dwell_drivers::ingress::{Caddy, IngressError, reload_nginx};
use dwell_drivers::mesh::is_ours;
use dwell_drivers::process::ProcessError;
use dwell_net::forward;
use serde_json::Value;
use tokio::sync::Notify;

use crate::facts::make_directory;
use crate::names;
use crate::node::Node;
use crate::problem::{IntoProblem, OrProblem};
use crate::remote::RAISED;

/// Changes this close together are taken over as one.
const TOGETHER: Duration = Duration::from_millis(40);
/// How often everything is looked at although nothing asked for it.
const PASS: Duration = Duration::from_secs(30);
/// The pause after the proxy ended by itself.
const AGAIN: Duration = Duration::from_secs(1);
/// What an nginx includes while no environment asks for anything.
const NOTHING: &str = "# Written by dwell; changes are lost. No environment is to be reached.\n";

/// What is served.
#[derive(Debug, Clone, Default)]
enum State {
    /// Nothing, as nothing asks for it.
    #[default]
    Off,
    /// Routes at an address.
    At(SocketAddr),
    /// Nothing, although something asks for it.
    Failed(Problem),
}

/// The proxy for other machines, as others see it.
#[derive(Default)]
pub(crate) struct Ingress {
    changed: Notify,
    state: Mutex<State>,
}

impl Ingress {
    /// Something that it follows may have changed.
    pub(crate) fn touch(&self) {
        self.changed.notify_one();
    }

    fn state(&self) -> State {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, state: State) {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = state;
    }

    /// How it is, as a part of the node; `None` while nothing asks for it.
    pub(crate) fn part(&self) -> Option<Part> {
        let part = |ok, detail, fix| Some(Part { name: "ingress".to_owned(), ok, detail, fix });
        match self.state() {
            State::Off => None,
            State::At(at) => part(true, format!("serving at {at}"), None),
            State::Failed(problem) => part(false, problem.message, problem.hint),
        }
    }

    /// What people should know of an environment that asks for it.
    pub(crate) fn note(&self, environment: &Environment) -> Option<String> {
        match self.state() {
            _ if !environment.options.ingress => None,
            State::Off => None,
            State::At(at) => {
                Some(format!("its HTTP services are reached from the mesh by their names at {at}"))
            }
            State::Failed(problem) => Some(format!("it is not reached from the mesh: {problem}")),
        }
    }
}

/// Refuses where an environment could not be reached from a mesh, before it is asked for.
pub(crate) async fn require(node: &Node) -> Result<(), Problem> {
    listen(node).await?;
    if node.config.ingress.nginx.is_none() {
        version().await?;
    }
    Ok(())
}

/// Follows what runs, for ever.
pub(crate) async fn run(node: Arc<Node>) {
    let mut proxy = Proxy::default();
    Caddy::end_leftover(&admin(&node)).await;
    loop {
        let state = proxy.follow(&node).await;
        if let State::Failed(problem) = &state {
            tracing::warn!(%problem, "environments are not reached from the mesh");
        }
        node.ingress.set(state);
        tokio::select! {
            () = node.ingress.changed.notified() => tokio::time::sleep(TOGETHER).await,
            why = proxy.ended() => {
                tracing::warn!(%why, "the proxy for the mesh ended");
                proxy = Proxy::default();
                tokio::time::sleep(AGAIN).await;
            }
            () = tokio::time::sleep(PASS) => {}
        }
    }
}

fn admin(node: &Node) -> PathBuf {
    node.paths.runtime.join("ingress.sock")
}

/// What runs, and what it was told last.
#[derive(Default)]
struct Proxy {
    caddy: Option<Caddy>,
    told: Option<Value>,
    at: Option<Listen>,
}

impl Proxy {
    async fn follow(&mut self, node: &Node) -> State {
        match self.take_over(node).await {
            Ok(Some(at)) => State::At(at),
            Ok(None) => State::Off,
            Err(problem) => State::Failed(problem),
        }
    }

    async fn ended(&mut self) -> String {
        match &mut self.caddy {
            Some(caddy) => caddy.ended().await,
            None => std::future::pending().await,
        }
    }

    async fn take_over(&mut self, node: &Node) -> Result<Option<SocketAddr>, Problem> {
        let routes = wanted(node).await?;
        if let Some(file) = &node.config.ingress.nginx {
            return self.tell_nginx(node, file, &routes).await;
        }
        if routes.is_empty() {
            if let Some(caddy) = self.caddy.take() {
                caddy.stop().await;
            }
            *self = Self::default();
            return Ok(None);
        }
        let at = self.place(node).await?;
        let directory = node.paths.state.join("ingress");
        let (socket, log) = (admin(node), directory.join("caddy.log"));
        let (socket_text, log_text) = (socket.to_string_lossy(), log.to_string_lossy());
        let files = CaddyFiles { admin: &socket_text, log: &log_text };
        let config = caddy(&at, &files, version().await?, &routes);
        let running = match &mut self.caddy {
            Some(running) => running,
            none => {
                make_directory(&directory)?;
                self.told = None;
                let idle = idle_caddy(&files);
                none.insert(Caddy::start(&directory, &socket, &idle).await.or_problem()?)
            }
        };
        if self.told.as_ref() != Some(&config) {
            running.load(&config).await.or_problem()?;
            self.told = Some(config);
        }
        Ok(Some(address(&at)))
    }

    async fn tell_nginx(
        &mut self,
        node: &Node,
        file: &std::path::Path,
        routes: &[Route],
    ) -> Result<Option<SocketAddr>, Problem> {
        if routes.is_empty() {
            if file.exists() {
                reload_nginx(file, NOTHING).await.or_problem()?;
            }
            return Ok(None);
        }
        let at = self.place(node).await?;
        reload_nginx(file, &nginx(&at, routes)).await.or_problem()?;
        Ok(Some(address(&at)))
    }

    /// Where it listens: where it did, as long as that is an address of this machine.
    async fn place(&mut self, node: &Node) -> Result<Listen, Problem> {
        if let Some(at) = self.at
            && is_ours(at.address.get()).await
        {
            return Ok(at);
        }
        let at = listen(node).await?;
        self.at = Some(at);
        Ok(at)
    }
}

fn address(at: &Listen) -> SocketAddr {
    SocketAddr::new(at.address.get(), at.port.get())
}

/// Where the proxy is to listen: at this machine's own address in a mesh.
async fn listen(node: &Node) -> Result<Listen, Problem> {
    let config = &node.config.ingress;
    let hint = "set `[ingress] address` in config.toml to this machine's address in the mesh";
    let address = match config.address {
        Some(address) => address,
        None => node.mesh.own_address().await.map_err(|problem| {
            problem.hint(format!("bring Tailscale or WireGuard up, or {hint}"))
        })?,
    };
    if !is_ours(address.get()).await {
        let message = format!("{address} is not an address of this machine now");
        return Err(Problem::new(Code::InvalidConfig, message)
            .hint(format!("bring the mesh up, or {hint}")));
    }
    Ok(Listen { address, port: config.port })
}

async fn version() -> Result<Version, Problem> {
    let found = Caddy::version().await.or_problem()?;
    let oldest = Program::Caddy.oldest();
    if found < oldest {
        let message = format!("Caddy {found} is too old, {oldest} is needed");
        return Err(Problem::new(Code::ToolMissing, message));
    }
    Ok(found)
}

/// The routes of all environments that ask for it.
async fn wanted(node: &Node) -> Result<Vec<Route>, Problem> {
    let mut containers = node.world.by_environment();
    let mut all = Vec::new();
    for environment in node.store.environments().await.or_problem()? {
        if environment.options.ingress {
            let own = containers.remove(&environment.id).unwrap_or_default();
            all.extend(of(node, &environment, &own));
        }
    }
    Ok(all)
}

fn of(node: &Node, environment: &Environment, containers: &[Container]) -> Vec<Route> {
    let Some(facts) = node.facts.get(&environment.id) else { return Vec::new() };
    let place = Place {
        environment: &environment.name,
        project: &environment.project,
        suffix: &environment.suffix,
    };
    let (observed, _) = names::observed(node, environment, &facts, containers);
    let mut found = routes(&place, &facts.services, &observed);
    for route in &mut found {
        route.upstreams = route.upstreams.iter().map(|at| reachable(node, *at)).collect();
    }
    found
}

/// A port below 1024 of a service on another node may be found higher.
fn reachable(node: &Node, at: SocketAddr) -> SocketAddr {
    let listens = |at| node.remotes.forwards.listens(&forward::Listen::Tcp(at));
    let higher = SocketAddr::new(at.ip(), at.port().saturating_add(RAISED));
    if at.port() < PRIVILEGED && !listens(at) && listens(higher) { higher } else { at }
}

impl IntoProblem for IngressError {
    fn into_problem(self) -> Problem {
        let message = self.to_string();
        match self {
            Self::Process(ProcessError::Missing { .. }) => {
                Problem::new(Code::ToolMissing, message).hint(
                    "`dwell remote init NODE --ingress` installs Caddy on a node; here install the package `caddy`",
                )
            }
            Self::Process(error) => error.into_problem(),
            Self::File { .. } => Problem::new(Code::State, message),
            Self::Refused { .. } | Self::Gone { .. } => Problem::new(Code::ToolFailed, message),
        }
    }
}

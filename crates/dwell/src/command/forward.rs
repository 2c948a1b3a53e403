//! `forward` and `ports`: what listens in workspaces and environments, at ports of this machine.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use dwell_api::client::ByteStream;
use dwell_api::environment::Environment;
use dwell_api::forward::{self as api, Forward as Held, NewForward, StartForwards, StopForwards};
use dwell_api::workspace::{Ports as Seen, PortsQuery, Workspace as Shown};
use dwell_api::{Client, ClientError, Code, Problem, endpoint};
use dwell_core::forward::{ForwardError, Place, Wanted, Wish, of_environment, of_workspace};
use dwell_core::{ServiceName, WorkspaceName};
use dwell_net::port;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;

use super::workspace::of;
use super::{Context, idempotency_key};
use crate::arguments::forward::{Forward, ForwardAction, Ports};
use crate::connect;
use crate::failure::{Ended, Failure, usage};
use crate::output::forward as show;
use crate::target;

/// Forwards ports, in the foreground or by the daemon.
pub(crate) async fn run(it: Forward, context: &Context) -> Ended {
    match (&it.action, &it.of) {
        (Some(ForwardAction::Ls), _) => ls(context).await,
        (Some(ForwardAction::Stop { which, all }), _) => {
            stop(StopForwards { which: which.clone(), all: *all }, context).await
        }
        (None, Some(name)) => {
            let mut client = context.connect().await?;
            let wanted = wanted(&mut client, name, &it).await?;
            match it.detach {
                true => detach(client, wanted, context).await,
                false => hold(wanted, context).await,
            }
        }
        (None, None) => Err(usage("which workspace or environment?").into()),
    }
}

/// What is to be forwarded, by what there is of that name.
async fn wanted(
    client: &mut Client,
    name: &WorkspaceName,
    it: &Forward,
) -> Result<Vec<NewForward>, Failure> {
    if it.ports.iter().all(|wish| wish.service().is_none()) && it.project.project.is_none() {
        match client.get::<Shown>(&of(endpoint::WORKSPACE, name)).await {
            Ok(shown) => return Ok(in_workspace(&shown, &it.ports, it.bind)?),
            Err(ClientError::Problem(problem)) if problem.code == Code::NotFound => {}
            Err(error) => return Err(error.into()),
        }
    }
    let environment = name.as_str().parse().map_err(|_| nowhere(name))?;
    let project = it.project.project.as_ref();
    match target::resolve(client, Some(&environment), project).await {
        Ok(found) => Ok(in_environment(&found, &it.ports, it.bind)?),
        Err(Failure::Problem(problem)) if problem.code == Code::NotFound => {
            Err(nowhere(name).into())
        }
        Err(other) => Err(other),
    }
}

fn nowhere(name: &WorkspaceName) -> Problem {
    Problem::new(Code::NotFound, format!("there is no workspace and no environment `{name}`"))
        .hint("`dwell ws ls` and `dwell ls` list them")
}

fn in_workspace(shown: &Shown, wishes: &[Wish], bind: IpAddr) -> Result<Vec<NewForward>, Problem> {
    let place = Place::Workspace { id: shown.id.clone(), name: shown.name.clone() };
    let all = of_workspace(wishes).map_err(refused)?;
    Ok(all.into_iter().map(|wanted| new(bind, &wanted, place.clone())).collect())
}

fn in_environment(
    shown: &Environment,
    wishes: &[Wish],
    bind: IpAddr,
) -> Result<Vec<NewForward>, Problem> {
    let number = |port: &String| port.strip_suffix("/tcp").unwrap_or(port).parse().ok();
    let ports = |ports: &[String]| ports.iter().filter_map(number).collect();
    let services: Vec<(ServiceName, Vec<u16>)> =
        shown.services.iter().map(|it| (it.name.clone(), ports(&it.ports))).collect();
    let all = of_environment(wishes, &services).map_err(|error| {
        let known = services.iter().map(|(name, ports)| {
            let ports: Vec<String> = ports.iter().map(u16::to_string).collect();
            format!("{name} {}", ports.join(" ")).trim_end().to_owned()
        });
        refused(error).details(known.collect::<Vec<_>>())
    })?;
    let place = |service: ServiceName| Place::Service {
        id: shown.id.clone(),
        name: shown.name.clone(),
        project: shown.project.clone(),
        service,
    };
    let all = all.into_iter().filter_map(|wanted| {
        let service = wanted.service.clone()?;
        Some(new(bind, &wanted, place(service)))
    });
    Ok(all.collect())
}

fn refused(error: ForwardError) -> Problem {
    let code = match error {
        ForwardError::NoService(_) => Code::NotFound,
        ForwardError::WhichService { .. } => Code::Ambiguous,
        _ => Code::InvalidArgument,
    };
    Problem::new(code, error.to_string())
}

fn new(bind: IpAddr, wanted: &Wanted, place: Place) -> NewForward {
    NewForward { listen: SocketAddr::new(bind, wanted.local), place, port: wanted.port }
}

async fn detach(mut client: Client, forwards: Vec<NewForward>, context: &Context) -> Ended {
    let key = idempotency_key()?;
    let body = StartForwards { forwards };
    let held: Vec<Held> = client.post(endpoint::FORWARDS, &key, &body).await?;
    context.output.result(&held, |held, _| show::lines(held.iter().map(parts)))?;
    context.output.note("the daemon holds them: `dwell forward stop <port>` ends one");
    Ok(0)
}

/// Where a forward listens and where it leads.
fn parts(held: &Held) -> (SocketAddr, &Place, u16) {
    (held.listen, &held.place, held.port)
}

/// Listens until it is told to end.
async fn hold(forwards: Vec<NewForward>, context: &Context) -> Ended {
    let mut bound: Vec<(NewForward, TcpListener)> = Vec::new();
    for mut forward in forwards {
        let failed = |error: std::io::Error| taken(forward.listen, &error);
        let listener = port::bind(forward.listen).map_err(failed)?;
        forward.listen = listener.local_addr().map_err(failed)?;
        bound.push((forward, listener));
    }
    let all: Vec<&NewForward> = bound.iter().map(|(forward, _)| forward).collect();
    context
        .output
        .result(&all, |all, _| show::lines(all.iter().map(|it| (it.listen, &it.place, it.port))))?;
    let last = Arc::new(Mutex::new(String::new()));
    let mut serving = JoinSet::new();
    for (forward, listener) in bound {
        let (context, last) = (context.clone(), last.clone());
        serving.spawn(port::serve(listener, move || {
            dialled(context.clone(), forward.clone(), last.clone())
        }));
    }
    let mut terminated = signal(SignalKind::terminate())?;
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminated.recv() => {}
        _ = serving.join_next() => {}
    }
    Ok(0)
}

async fn dialled(
    context: Context,
    forward: NewForward,
    last: Arc<Mutex<String>>,
) -> Option<ByteStream> {
    let dialling = async {
        let client = connect::connect(&context.paths).await?;
        api::dial(client, &forward.place, forward.port).await.map_err(ClientError::into_problem)
    };
    let (said, stream) = match dialling.await {
        Ok(stream) => (String::new(), Some(stream)),
        Err(problem) => (problem.message, None),
    };
    let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
    // A browser asks many times in a row.
    if !said.is_empty() && *last != said {
        context.output.warn(&said);
    }
    *last = said;
    stream
}

fn taken(listen: SocketAddr, error: &std::io::Error) -> Problem {
    let port = listen.port();
    match error.kind() {
        std::io::ErrorKind::AddrInUse => {
            Problem::new(Code::PortTaken, format!("{listen} is taken already"))
                .hint(format!("name another port of this machine, as in {}:{port}", port ^ 1))
        }
        std::io::ErrorKind::PermissionDenied => {
            Problem::new(Code::InvalidArgument, format!("{listen} cannot be used: {error}"))
                .hint(format!("name a port above 1023, as in {}:{port}", 8000_u16 + port % 1024))
        }
        _ => Problem::new(Code::InvalidArgument, format!("{listen} cannot be used: {error}")),
    }
}

async fn ls(context: &Context) -> Ended {
    let held: Vec<Held> = context.connect().await?.get(endpoint::FORWARDS).await?;
    if context.output.is_quiet() {
        let ports: String = held.iter().map(|it| format!("{}\n", it.listen.port())).collect();
        context.output.text(&ports)?;
        return Ok(0);
    }
    context.output.result(&held, |held, style| show::list(held, super::now(), style))?;
    Ok(0)
}

async fn stop(which: StopForwards, context: &Context) -> Ended {
    let key = idempotency_key()?;
    let mut client = context.connect().await?;
    let stopped: Vec<Held> = client.post(endpoint::FORWARDS_STOP, &key, &which).await?;
    context.output.result(&stopped, |stopped, _| {
        let line = |it: &Held| format!("{} leads to {}:{} no more\n", it.listen, it.place, it.port);
        stopped.iter().map(line).collect()
    })?;
    Ok(0)
}

/// Lists what listens in a workspace.
pub(crate) async fn ports(it: Ports, context: &Context) -> Ended {
    let path =
        endpoint::query(&of(endpoint::WORKSPACE_PORTS, &it.name), &PortsQuery { wake: it.wake });
    let seen: Seen = context.connect().await?.get(&path).await?;
    if context.output.is_quiet() {
        let mut ports: Vec<u16> = seen.listening.iter().map(|it| it.port).collect();
        ports.dedup();
        context.output.text(&ports.iter().map(|port| format!("{port}\n")).collect::<String>())?;
        return Ok(0);
    }
    if seen.frozen {
        context.output.note(&format!("`{}` is frozen, and stays so", it.name));
    }
    context.output.result(&seen.listening, |all, style| show::ports(all, style))?;
    Ok(0)
}

//! Sources without git, on their way: what both sides have is compared, rsync brings the rest. It
//! reaches the other node through the hidden command `dwell rsync-shell`, which dials it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::extract::Request;
use axum::response::Response;
use dwell_api::environment::TextReport;
use dwell_api::remote::{Arrived, FilesFor, Rsync, SeenEnvironment, TRAVEL};
use dwell_api::{ClientError, Problem, endpoint};
use dwell_core::config::ProjectConfig;
use dwell_core::environment::Environment;
use dwell_core::tree::Tree;
use dwell_core::{EnvironmentName, NodeName, ProjectName};
use dwell_drivers::tree::MergeReport;
use dwell_drivers::tree::travel::{
    self, Direction, Needed, PlainPlace, RemoteShell, Secrets, TravelError,
};
use http_body_util::BodyExt;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::extra::staging;
use super::frame::{read_frame, write_frame};
use super::{exchange, explain_conflict, internal, state, tell, tree_of};
use crate::api::{Refusal, switching, upgrade_of};
use crate::facts::make_directory;
use crate::node::Node;
use crate::problem::{IntoProblem, OrProblem, file};
use crate::project;

/// The longest description of a directory, in bytes.
const MANIFEST_MAX: usize = 512 << 20;
/// The longest answer to one, in bytes, but for the list of files.
const WORD_MAX: usize = 1 << 20;
/// What a sender says when the files have been brought.
const BROUGHT: &[u8; 8] = b"brought\n";

/// What was sent.
pub(super) struct SentPlain {
    pub(super) offer: String,
    pub(super) secrets: Secrets,
    pub(super) notes: Vec<String>,
}

/// Brings a directory's files to another node. Their tree is made, or taken for what both have, by
/// the operation that the delivery is for.
pub(super) async fn send(
    node: &Arc<Node>,
    there: &NodeName,
    environment: &Environment,
    config: &ProjectConfig,
    force: bool,
) -> Result<SentPlain, Problem> {
    let directory = environment.directory();
    let exclude: Vec<String> = config.sync.exclude.iter().map(ToString::to_string).collect();
    let offered =
        travel::offer_plain(directory, &state(node, directory), &exclude).await.or_problem()?;
    let (project, name) = (&environment.project, &environment.name);
    let query = FilesFor { environment: name.clone(), force };
    let path = endpoint::query(&endpoint::fill(endpoint::PLAIN, &[project.as_str()]), &query);
    let client = node.remotes.client(there).await?;
    let stream = client.upgrade(&path, TRAVEL, &()).await.map_err(ClientError::into_problem)?;
    let (mut read, mut write) = tokio::io::split(stream);
    write_frame(&mut write, &offered.manifest).await.or_problem()?;
    let answer = read_frame(&mut read, WORD_MAX).await.or_problem()?;
    let offer: Result<String, Problem> =
        serde_json::from_slice(&answer).map_err(|e| internal(&e))?;
    let offer = offer?;
    let list = read_frame(&mut read, MANIFEST_MAX).await.or_problem()?;
    let shell = shell(node, there, &[project.as_str(), name.as_str(), "--offer", &offer])?;
    let sending = async {
        let pushed = travel::push(directory, &list, &shell).await;
        if pushed.is_ok() {
            write.write_all(BROUGHT).await.map_err(TravelError::Cut)?;
        }
        let closed = write.shutdown().await;
        pushed?;
        closed.map_err(TravelError::Cut)
    };
    let (done, told) = exchange(sending, read).await?;
    done.or_problem()?;
    let notes = offered.notes.into_iter().chain(told).collect();
    Ok(SentPlain { offer, secrets: offered.secrets, notes })
}

/// The command by which rsync reaches a node.
fn shell(node: &Node, there: &NodeName, words: &[&str]) -> Result<RemoteShell, Problem> {
    let binary = &node.binary;
    let socket = node.paths.socket();
    let first = [binary.as_os_str(), "rsync-shell".as_ref(), "--socket".as_ref()];
    let first = first.into_iter().chain([socket.as_os_str(), there.as_str().as_ref()]);
    let last = words.iter().map(std::ffi::OsStr::new).chain(["--".as_ref()]);
    Ok(RemoteShell::new(first.chain(last)))
}

/// Where an environment's files are or are going to be, and what is known of them.
struct Place {
    tree: PathBuf,
    state: PathBuf,
    environment: Option<Environment>,
}

impl Place {
    async fn of(
        node: &Node,
        project: &ProjectName,
        name: &EnvironmentName,
    ) -> Result<Self, Problem> {
        let found = node.store.environment_named(project, name).await.or_problem()?;
        if let Some((environment, tree)) = found.and_then(|e| e.tree.clone().map(|tree| (e, tree)))
        {
            let state = node.directory(&environment.id);
            return Ok(Self { tree: tree.root, state, environment: Some(environment) });
        }
        let state = staging(node, project, name);
        make_directory(&state)?;
        Ok(Self { tree: node.paths.tree(project, name), state, environment: None })
    }

    fn plain(&self) -> PlainPlace<'_> {
        PlainPlace { tree: &self.tree, state: &self.state }
    }
}

/// Takes an offer: after the upgrade it comes, what has to be brought goes back, and when that was
/// brought what became of it.
pub(crate) async fn receive(
    node: Arc<Node>,
    project: ProjectName,
    query: FilesFor,
    request: Request,
) -> Result<Response, Refusal> {
    let (upgrade, ()) = upgrade_of(request).await?;
    tokio::spawn(async move {
        let Ok(upgraded) = upgrade.await else { return };
        let (mut read, mut write) = tokio::io::split(TokioIo::new(upgraded));
        let taken = take(&node, (&project, &query), &mut read, &mut write).await;
        let arrived = match taken {
            Ok(notes) => Arrived::Whole(notes),
            Err(problem) => Arrived::Failed(problem),
        };
        tell(&mut write, &arrived).await;
    });
    Ok(switching(TRAVEL))
}

async fn take(
    node: &Node,
    (project, query): (&ProjectName, &FilesFor),
    read: &mut (impl AsyncRead + Unpin + Send),
    write: &mut (impl AsyncWrite + Unpin + Send),
) -> Result<Vec<String>, Problem> {
    let lock = node.operations.environment_lock(project, &query.environment);
    let _held = lock.lock().await;
    let manifest = read_frame(read, MANIFEST_MAX).await.or_problem()?;
    let place = Place::of(node, project, &query.environment).await?;
    let needed = travel::need(place.plain(), &manifest, query.force).await.or_problem();
    let needed = match (needed, &place.environment) {
        (Err(problem), Some(environment)) => Err(explain_conflict(environment, problem)),
        (needed, _) => needed,
    };
    let word = needed.as_ref().map(|needed| &needed.offer);
    let text = serde_json::to_vec(&word).map_err(|e| internal(&e))?;
    write_frame(write, &text).await.or_problem()?;
    let Needed { list, .. } = needed?;
    write_frame(write, &list).await.or_problem()?;
    let mut word = [0; BROUGHT.len()];
    if read.read_exact(&mut word).await.is_ok() && word == *BROUGHT {
        return Ok(Vec::new());
    }
    // It comes again, and what was rendered is to be there until then.
    if let Some(environment) = &place.environment {
        project::bring_files(node, environment).await?;
    }
    Err(TravelError::Cut(std::io::ErrorKind::UnexpectedEof.into()).into_problem())
}

/// Is rsync's other side: after the upgrade the connection is its standard streams.
pub(crate) async fn rsync(
    node: Arc<Node>,
    project: ProjectName,
    request: Request,
) -> Result<Response, Refusal> {
    let (upgrade, rsync): (_, Rsync) = upgrade_of(request).await?;
    let place = Place::of(&node, &project, &rsync.environment).await?;
    let (direction, root) = match &rsync.offer {
        Some(offer) => (Direction::In, travel::waiting_plain(place.plain(), offer).or_problem()?),
        None => (Direction::Out, place.tree),
    };
    tokio::spawn(async move {
        let Ok(upgraded) = upgrade.await else { return };
        let (mut read, mut write) = tokio::io::split(TokioIo::new(upgraded));
        let served = travel::serve(&rsync.arguments, direction, &root, &mut read, &mut write).await;
        // The side that asked tells its user.
        if let Err(error) = served {
            tracing::warn!(%error, "files did not go by rsync");
        }
        let _ = write.shutdown().await;
    });
    Ok(switching(TRAVEL))
}

/// Makes the tree of an environment from what was brought.
pub(super) async fn create(
    node: &Node,
    environment: &Environment,
    offer: &str,
) -> Result<Tree, Problem> {
    let state = node.directory(&environment.id);
    let waiting = staging(node, &environment.project, &environment.name);
    travel::adopt_plain(&waiting, &state).or_problem()?;
    let place = PlainPlace { tree: &environment.root, state: &state };
    travel::create_plain(place, offer).await.or_problem()
}

/// Takes what was brought into the tree of an environment for what both sides have.
pub(super) async fn apply(
    node: &Node,
    environment: &Environment,
    offer: &str,
) -> Result<MergeReport, Problem> {
    let state = node.directory(&environment.id);
    if travel::is_current_plain(&state, offer) {
        return Ok(MergeReport::default());
    }
    let place = PlainPlace { tree: &tree_of(environment)?.root, state: &state };
    Ok(travel::finish_plain(place, offer).await.or_problem()?.report)
}

/// The files that an environment changed or made, each with a NUL at its end.
pub(crate) async fn changed(node: &Node, environment: &Environment) -> Result<Vec<u8>, Problem> {
    let state = node.directory(&environment.id);
    let place = PlainPlace { tree: &tree_of(environment)?.root, state: &state };
    travel::list_plain(place, true).await.or_problem()
}

/// Brings the files that an environment on another node changed into a directory of dwell's own.
pub(super) async fn pull(
    node: &Arc<Node>,
    there: &NodeName,
    seen: &SeenEnvironment,
) -> Result<TextReport, Problem> {
    let environment = &seen.environment;
    let label = format!("{}/{}", environment.project, environment.name);
    let path = endpoint::fill(endpoint::CHANGED, &[environment.id.as_str()]);
    let mut client = node.remotes.client(there).await?;
    let body = client.bytes(&path).await.map_err(ClientError::into_problem)?;
    let broke = |e: hyper::Error| ClientError::from(e).into_problem();
    let list = body.collect().await.map_err(broke)?.to_bytes();
    if list.is_empty() {
        let text = format!("`{label}`: there is no work to bring");
        return Ok(TextReport { text, notes: Vec::new() });
    }
    let project = node.paths.data.join(".pulled").join(environment.project.as_str());
    let target = project.join(environment.name.as_str());
    let growing = project.join(format!(".{}.growing", environment.name));
    clear(&growing)?;
    make_directory(&growing)?;
    let words = [environment.project.as_str(), environment.name.as_str()];
    let fetched = travel::fetch(&growing, &list, &shell(node, there, &words)?).await.or_problem();
    if fetched.is_err() {
        clear(&growing)?;
    }
    fetched?;
    clear(&target)?;
    std::fs::rename(&growing, &target).map_err(|error| file("making", &target, &error))?;
    let count = list.iter().filter(|byte| **byte == 0).count();
    let (place, source) = (target.display(), environment.source.display());
    Ok(TextReport {
        text: format!("pulled {count} changed files of `{label}` into {place}"),
        notes: vec![
            format!("{source} is in no git repository and was left as it is; `diff -r` compares"),
            format!("files that were removed there are only in `dwell diff {label}`"),
        ],
    })
}

fn clear(directory: &Path) -> Result<(), Problem> {
    match std::fs::remove_dir_all(directory) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(file("removing", directory, &error))
        }
        _ => Ok(()),
    }
}

//! Sources on their way between nodes: the drivers of both sides, joined by a stream to the other
//! node's API.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::extract::Request;
use axum::response::Response;
use dwell_api::environment::TextReport;
use dwell_api::remote::{Arrived, Delivery, SeenEnvironment, Sent, SourcesFor, TRAVEL};
use dwell_api::{ClientError, Code, Problem, endpoint};
use dwell_core::environment::Environment;
use dwell_core::tree::{Tree, TreePath};
use dwell_core::{EnvironmentName, NodeName, ProjectName};
use dwell_drivers::process::Program;
use dwell_drivers::tree::MergeReport;
use dwell_drivers::tree::travel::{
    self, CreateReceived, Haves, Offer, Source, Store, TakeWork, TravelError,
};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::api::{Refusal, switching, upgrade_of};
use crate::node::Node;
use crate::problem::{IntoProblem, OrProblem};
use crate::{project, remote};

/// The longest answer about what was received, in bytes.
const ANSWER_MAX: u64 = 1 << 20;

/// Sources that were sent, and what people should know about it.
pub(crate) struct SentSources {
    pub(crate) sent: Sent,
    pub(crate) notes: Vec<String>,
}

/// The repository on this node that a project's sources are received into.
pub(crate) fn repository(node: &Node, project: &ProjectName) -> PathBuf {
    node.paths.data.join(".sources").join(project.as_str())
}

/// The root of the source tree that a project's directory is in.
pub(crate) async fn root(node: &Node, directory: &Path) -> Result<PathBuf, Problem> {
    let source = Source::open(directory, &state(node, directory), &[]).await.or_problem()?;
    Ok(source.map_or_else(|| directory.to_owned(), |source| source.root().to_owned()))
}

/// Where this node keeps what it knows of a directory that it sends.
fn state(node: &Node, directory: &Path) -> PathBuf {
    let name = blake3::hash(directory.as_os_str().as_encoded_bytes()).to_hex();
    node.paths.state.join("sent").join(name.get(..16).unwrap_or_default())
}

/// Sends the sources of an environment to another node.
pub(crate) async fn send(
    node: &Arc<Node>,
    there: &NodeName,
    environment: &Environment,
    extra: &[TreePath],
) -> Result<SentSources, Problem> {
    let directory = environment.directory();
    let config = project::load(directory).await?;
    let exclude: Vec<String> = config.sync.exclude.iter().map(ToString::to_string).collect();
    let opened = Source::open(directory, &state(node, directory), &exclude).await;
    let Some(source) = opened.or_problem()? else {
        return Err(without_git(directory));
    };
    require_sent(source.root(), extra).await?;
    let offered = source.offer().await.or_problem()?;
    let offer = offered.offer;
    let mut client = node.remotes.client(there).await?;
    let query =
        SourcesFor { environment: environment.name.clone(), format: offer.format.to_string() };
    let project = environment.project.as_str();
    let tips = endpoint::query(&endpoint::fill(endpoint::TIPS, &[project]), &query);
    let haves: Haves = client.get(&tips).await.map_err(ClientError::into_problem)?;
    let path = endpoint::query(&endpoint::fill(endpoint::OBJECTS, &[project]), &query);
    let stream = client.upgrade(&path, TRAVEL, &()).await.map_err(ClientError::into_problem)?;
    let mut notes = offered.notes;
    notes.extend(exchange(&source, &offer, &haves, stream).await?);
    let sent = serde_json::to_value(&offer).map_err(|e| internal(&e))?;
    Ok(SentSources { sent: Sent(sent), notes })
}

/// Refuses what services need and git does not send: what it ignores.
async fn require_sent(root: &Path, needed: &[TreePath]) -> Result<(), Problem> {
    let mut missing = Vec::new();
    for path in needed {
        let place = root.join(path.as_str());
        let is_something = match std::fs::read_dir(&place) {
            Ok(mut entries) => entries.next().is_some(),
            Err(_) => place.is_file(),
        };
        let list = ["ls-files", "-z", "--cached", "--others", "--exclude-standard", "--"];
        let git = Program::new("git").arg("-C").arg(root).args(list).arg(path.as_str());
        if is_something && git.run().await.or_problem()?.stdout.is_empty() {
            missing.push(path.to_string());
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    let message = "services that are to run on another node need files that git ignores";
    Err(Problem::new(Code::InvalidCompose, message)
        .hint("only what git does not ignore is sent: track them, or keep these services here")
        .details(missing))
}

fn internal(error: &serde_json::Error) -> Problem {
    Problem::new(Code::Internal, format!("sources cannot be described: {error}"))
}

/// Sends the objects and reads what became of them.
async fn exchange<S: AsyncRead + AsyncWrite + Unpin + Send>(
    source: &Source,
    offer: &Offer,
    haves: &Haves,
    stream: S,
) -> Result<Vec<String>, Problem> {
    let (read, mut write) = tokio::io::split(stream);
    let sending = async {
        source.send(offer, haves, &mut write).await?;
        write.shutdown().await.map_err(TravelError::Cut)
    };
    let answer = async {
        let mut text = Vec::new();
        read.take(ANSWER_MAX).read_to_end(&mut text).await.map_err(TravelError::Cut)?;
        Ok::<_, TravelError>(text)
    };
    let (sent, answer) = tokio::join!(sending, answer);
    // The other side's reason says more than that it hung up.
    match serde_json::from_slice::<Arrived>(&answer.or_problem()?) {
        Ok(Arrived::Whole(notes)) => sent.or_problem().map(|()| notes),
        Ok(Arrived::Failed(problem)) => Err(problem),
        Err(error) => {
            sent.or_problem()?;
            Err(Problem::new(Code::NodeUnreachable, format!("no word about the sources: {error}")))
        }
    }
}

async fn store(node: &Node, project: &ProjectName, format: &str) -> Result<Store, Problem> {
    let format = serde_json::from_value(format.into())
        .map_err(|e| Problem::new(Code::Usage, format!("an unknown object format: {e}")))?;
    Store::open(&repository(node, project), format).await.or_problem()
}

/// What this node has of a project's sources.
pub(crate) async fn haves(
    node: &Node,
    project: &ProjectName,
    query: &SourcesFor,
) -> Result<serde_json::Value, Problem> {
    let store = store(node, project, &query.format).await?;
    let haves = store.haves(&query.environment).await.or_problem()?;
    serde_json::to_value(haves).map_err(|e| internal(&e))
}

/// Receives sources: after the upgrade they come, and then what became of them goes back.
pub(crate) async fn receive(
    node: Arc<Node>,
    project: ProjectName,
    query: SourcesFor,
    request: Request,
) -> Result<Response, Refusal> {
    let store = store(&node, &project, &query.format).await?;
    let (upgrade, ()) = upgrade_of(request).await?;
    tokio::spawn(async move {
        let Ok(upgraded) = upgrade.await else { return };
        let (read, mut write) = tokio::io::split(TokioIo::new(upgraded));
        let growing = growing(&node, &project, &query.environment).await;
        let received = store.receive(&query.environment, read, growing.as_deref()).await;
        let arrived = match received {
            Ok(received) => Arrived::Whole(received.notes),
            Err(error) => Arrived::Failed(error.into_problem()),
        };
        let text = serde_json::to_vec(&arrived).unwrap_or_default();
        // A sender that has gone sends again.
        let _ = write.write_all(&text).await;
        let _ = write.shutdown().await;
    });
    Ok(switching(TRAVEL))
}

/// Where the tree is going to be of an environment that is not there yet.
async fn growing(
    node: &Node,
    project: &ProjectName,
    environment: &EnvironmentName,
) -> Option<PathBuf> {
    match node.store.environment_named(project, environment).await {
        Ok(None) => Some(node.paths.tree(project, environment)),
        _ => None,
    }
}

fn offer_of(delivery: &Delivery) -> Result<Offer, Problem> {
    let missing = || Problem::new(Code::Usage, "the delivery has no sources");
    let sent = delivery.sent.as_ref().ok_or_else(missing)?;
    serde_json::from_value(sent.0.clone())
        .map_err(|e| Problem::new(Code::Usage, format!("the sources are not understood: {e}")))
}

/// Makes the tree of an environment from what was received.
pub(crate) async fn create(
    node: &Node,
    environment: &Environment,
    delivery: &Delivery,
) -> Result<Tree, Problem> {
    let offer = offer_of(delivery)?;
    let store = store(node, &environment.project, &offer.format.to_string()).await?;
    travel::create(CreateReceived {
        store: &store,
        offer: &offer,
        tree: &environment.root,
        state: &node.directory(&environment.id),
        environment: &environment.name,
    })
    .await
    .or_problem()
}

/// Brings what was received into the tree of an environment.
pub(crate) async fn apply(
    node: &Node,
    environment: &Environment,
    delivery: &Delivery,
) -> Result<MergeReport, Problem> {
    let offer = offer_of(delivery)?;
    let store = store(node, &environment.project, &offer.format.to_string()).await?;
    let state = node.directory(&environment.id);
    let tree = tree_of(environment)?;
    let applied = travel::apply(tree, &state, &store, &offer, delivery.force).await;
    match applied.or_problem() {
        Ok(applied) => Ok(applied.report),
        Err(problem) if problem.code == Code::Conflict => {
            let label = environment.label();
            let hint = format!(
                "nothing was changed. See `dwell diff {label}`, bring it back with `dwell pull \
                 {label}`, or overwrite it there with `--force`"
            );
            Err(Problem { hint: Some(hint), ..problem })
        }
        Err(problem) => Err(problem),
    }
}

fn tree_of(environment: &Environment) -> Result<&Tree, Problem> {
    environment.tree.as_ref().ok_or_else(|| {
        Problem::new(Code::NotFound, format!("`{}` has no tree", environment.label()))
    })
}

/// Sends an environment's work: after the upgrade it goes, and then the word comes that it has
/// been taken.
pub(crate) async fn give(
    node: Arc<Node>,
    environment: Environment,
    request: Request,
) -> Result<Response, Refusal> {
    let (upgrade, haves): (_, Haves) = upgrade_of(request).await?;
    let tree = tree_of(&environment)?.clone();
    tokio::spawn(async move {
        let Ok(upgraded) = upgrade.await else { return };
        let (mut read, mut write) = tokio::io::split(TokioIo::new(upgraded));
        let state = node.directory(&environment.id);
        let given = travel::give(&tree, &state, &haves, &mut write).await;
        let _ = write.shutdown().await;
        let work = match given {
            Ok(work) => work,
            Err(error) => return tracing::warn!(%error, "work was not sent"),
        };
        let mut word = [0; TAKEN.len()];
        if read.read_exact(&mut word).await.is_ok()
            && word == *TAKEN
            && let Err(error) = travel::given(&tree, &state, &work).await
        {
            tracing::warn!(%error, "that work was taken is not remembered");
        }
    });
    Ok(switching(TRAVEL))
}

/// What the receiver of work says when it has it.
const TAKEN: &[u8; 6] = b"taken\n";

/// Brings the work of an environment on another node into a branch of its source here.
pub(crate) async fn pull(
    node: &Arc<Node>,
    there: &NodeName,
    seen: &SeenEnvironment,
    force: bool,
) -> Result<TextReport, Problem> {
    let environment = &seen.environment;
    let source = &remote::of_ours(node, seen)?.source;
    let haves = travel::source_haves(source).await.or_problem()?;
    let path = endpoint::fill(endpoint::WORK, &[environment.id.as_str()]);
    let client = node.remotes.client(there).await?;
    let stream = client.upgrade(&path, TRAVEL, &haves).await.map_err(ClientError::into_problem)?;
    let (read, mut write) = tokio::io::split(stream);
    let order = TakeWork { source, environment: &environment.name, force };
    let taken = travel::take(order, read).await.or_problem()?;
    // Without the word the other side takes its work for its own still, which is no loss.
    let _ = write.write_all(TAKEN).await;
    let _ = write.shutdown().await;
    let label = format!("{}/{}", environment.project, environment.name);
    let text = match &taken.branch {
        Some(branch) if taken.commits > 0 || !taken.files.is_empty() => format!(
            "pulled `{label}` into branch {branch}: {} commits, {} files",
            taken.commits,
            taken.files.len()
        ),
        Some(branch) => format!("`{label}`: branch {branch} has all of it"),
        None => format!("`{label}`: there is no work to bring"),
    };
    let mut notes = taken.notes;
    if taken.uncommitted > 0 {
        let count = taken.uncommitted;
        notes.push(format!("{count} uncommitted files are in the last commit of the branch"));
    }
    Ok(TextReport { text, notes })
}

fn without_git(directory: &Path) -> Problem {
    let place = directory.display();
    Problem::new(Code::InvalidArgument, format!("{place} is in no git repository"))
        .hint("`git init` and one commit are enough")
}

impl IntoProblem for TravelError {
    fn into_problem(self) -> Problem {
        let message = self.to_string();
        match self {
            Self::Tree(error) => error.into_problem(),
            Self::Cut(_) => Problem::new(Code::NodeUnreachable, message)
                .hint("run the command again: what has come is not sent twice"),
            Self::Full { .. } => Problem::new(Code::DiskFull, message)
                .hint("free some space there; `dwell remote status` shows it"),
            Self::Rejected { .. } => {
                Problem::new(Code::ToolFailed, message).hint("`git fsck` in the source tells more")
            }
            Self::InProgress { .. } => Problem::new(Code::Busy, message),
            Self::Diverged { .. } => Problem::new(Code::Conflict, message)
                .hint("merge or rename the branch, or use `--force`"),
            Self::CheckedOut { .. } => Problem::new(Code::Conflict, message)
                .hint("check out another branch there, and try again"),
            _ => Problem::new(Code::ToolFailed, message),
        }
    }
}

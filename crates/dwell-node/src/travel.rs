//! Sources on their way between nodes: the drivers of both sides, joined by a stream to the other
//! node's API.

mod extra;
mod frame;
mod plain;
mod whole;

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
use dwell_drivers::tree::MergeReport;
use dwell_drivers::tree::travel::{
    self, CreateReceived, Haves, Offer, Offered, Secrets, Source, Store, TakeWork, TravelError,
};
use extra::{Rules, SentExtra, Staged};
use hyper_util::rt::TokioIo;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::api::{Refusal, switching, upgrade_of};
use crate::node::Node;
use crate::problem::{IntoProblem, OrProblem};
use crate::{project, remote};

pub(crate) use extra::{forget_staged, give as give_extra, receive as receive_extra};
pub(crate) use plain::{changed, receive as receive_plain, rsync};
pub(crate) use whole::{come_home, give_tree, leave, pass_on};

/// Sources as a delivery tells of them.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Shipment {
    content: Content,
    /// How the list of the files is named that came besides; `None` for an empty one.
    extra: Option<String>,
}

/// What makes up the tree.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Content {
    /// Objects of git.
    Git(Box<Offer>),
    /// Files that rsync brought, as this offer said.
    Plain(String),
}

impl Shipment {
    fn of(sent: Option<&Sent>) -> Result<Self, Problem> {
        let missing = || Problem::new(Code::Usage, "the delivery has no sources");
        serde_json::from_value(sent.ok_or_else(missing)?.0.clone())
            .map_err(|e| Problem::new(Code::Usage, format!("the sources are not understood: {e}")))
    }

    fn sent(&self) -> Result<Sent, Problem> {
        serde_json::to_value(self).map(Sent).map_err(|e| internal(&e))
    }
}

/// The longest answer about what was received, in bytes.
const ANSWER_MAX: u64 = 1 << 20;

/// Paths that one note names.
const SHOWN: usize = 20;

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

/// Sends the sources of an environment to another node: what git keeps, or without git the
/// directory as it is, and the files that services need and rules name besides.
pub(crate) async fn send(
    node: &Arc<Node>,
    there: &NodeName,
    environment: &Environment,
    needed: &[TreePath],
    force: bool,
) -> Result<SentSources, Problem> {
    let directory = environment.directory();
    let config = project::load(directory).await?;
    let exclude: Vec<String> = config.sync.exclude.iter().map(ToString::to_string).collect();
    let opened = Source::open(directory, &state(node, directory), &exclude).await.or_problem()?;
    let Some(source) = opened else {
        let rules = Rules::new(directory, directory, &config, needed)?;
        let plain = plain::send(node, there, environment, &config, force).await?;
        let extra = extra::send(node, there, environment, &rules).await?;
        let content = Content::Plain(plain.offer);
        return sent(content, (Secrets::default(), plain.secrets), plain.notes, extra);
    };
    let rules = Rules::new(source.root(), directory, &config, needed)?;
    let offered = {
        // Many at once look at a source one after the other, and all but the first find it seen.
        let looking = node.remotes.looking_at(source.root());
        let _alone = looking.lock().await;
        source.offer().await.or_problem()?
    };
    send_all(node, there, environment, (source, offered), &rules).await
}

/// Sends what a source offers and the files besides, side by side.
async fn send_all(
    node: &Arc<Node>,
    there: &NodeName,
    environment: &Environment,
    (source, offered): (Source, Offered),
    rules: &Rules,
) -> Result<SentSources, Problem> {
    let Offered { offer, mut notes, secrets } = offered;
    let (told, extra) = tokio::try_join!(
        send_objects(node, there, environment, (&source, &offer)),
        extra::send(node, there, environment, rules),
    )?;
    notes.extend(told);
    let Secrets { sent: tracked, left_out } = secrets;
    let tracked = Secrets { sent: tracked, left_out: Vec::new() };
    let left_out = Secrets { sent: Vec::new(), left_out };
    sent(Content::Git(Box::new(offer)), (tracked, left_out), notes, extra)
}

/// What was sent, with what people should know of it.
fn sent(
    content: Content,
    (tracked, left_out): (Secrets, Secrets),
    mut notes: Vec<String>,
    extra: SentExtra,
) -> Result<SentSources, Problem> {
    let by_rule = extra.secrets.sent.clone();
    let all = left_out.and(extra.secrets).and(tracked.clone());
    notes.extend(extra.notes);
    notes.extend(listed("sent by rule: ", &by_rule, ""));
    notes.extend(listed("sent, as git tracks it though it looks secret: ", &tracked.sent, ""));
    let hint = " (it looks secret; `[sync] secrets` in dwell.toml names what is sent)";
    notes.extend(listed("left out: ", &all.left_out, hint));
    let sent = Shipment { content, extra: extra.digest }.sent()?;
    Ok(SentSources { sent, notes })
}

/// One note about paths; none about none.
fn listed(before: &str, paths: &[String], after: &str) -> Option<String> {
    let shown: Vec<&str> = paths.iter().take(SHOWN).map(String::as_str).collect();
    let more = paths.len().saturating_sub(SHOWN);
    let more = if more == 0 { String::new() } else { format!(" and {more} more") };
    (!paths.is_empty()).then(|| format!("{before}{}{more}{after}", shown.join(", ")))
}

/// Sends the objects of git.
async fn send_objects(
    node: &Arc<Node>,
    there: &NodeName,
    environment: &Environment,
    (source, offer): (&Source, &Offer),
) -> Result<Vec<String>, Problem> {
    let (haves, stream) = open(node, there, environment, &offer.format.to_string()).await?;
    let (read, mut write) = tokio::io::split(stream);
    let sending = async {
        let done = source.send(offer, &haves, &mut write).await;
        let closed = write.shutdown().await;
        done?;
        closed.map_err(TravelError::Cut)
    };
    let (_, told) = exchange(sending, read).await?;
    Ok(told)
}

/// What a node has of a project's sources, and a stream on which it takes more.
async fn open(
    node: &Arc<Node>,
    there: &NodeName,
    environment: &Environment,
    format: &str,
) -> Result<(Haves, impl AsyncRead + AsyncWrite + Unpin + Send + use<>), Problem> {
    let mut client = node.remotes.client(there).await?;
    let query = SourcesFor { environment: environment.name.clone(), format: format.to_owned() };
    let project = environment.project.as_str();
    let tips = endpoint::query(&endpoint::fill(endpoint::TIPS, &[project]), &query);
    let haves: Haves = client.get(&tips).await.map_err(ClientError::into_problem)?;
    let path = endpoint::query(&endpoint::fill(endpoint::OBJECTS, &[project]), &query);
    let stream = client.upgrade(&path, TRAVEL, &()).await.map_err(ClientError::into_problem)?;
    Ok((haves, stream))
}

fn internal(error: &serde_json::Error) -> Problem {
    Problem::new(Code::Internal, format!("sources cannot be described: {error}"))
}

/// Sends, and reads what became of it. Once all has arrived it is no matter who hung up first.
async fn exchange<T, R: AsyncRead + Unpin + Send>(
    sending: impl Future<Output = Result<T, TravelError>>,
    read: R,
) -> Result<(Result<T, TravelError>, Vec<String>), Problem> {
    let answer = async {
        let mut text = Vec::new();
        read.take(ANSWER_MAX).read_to_end(&mut text).await.map_err(TravelError::Cut)?;
        Ok::<_, TravelError>(text)
    };
    let (sent, answer) = tokio::join!(sending, answer);
    let sent = match sent {
        // What went wrong here is the reason for whatever is said there.
        Err(error) if !matches!(error, TravelError::Cut(_)) => return Err(error.into_problem()),
        sent => sent,
    };
    // The other side's word says more than that it hung up, as it may once it has everything.
    match serde_json::from_slice::<Arrived>(&answer.or_problem()?) {
        Ok(Arrived::Whole(notes)) => Ok((sent, notes)),
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
        tell(&mut write, &arrived).await;
    });
    Ok(switching(TRAVEL))
}

/// Says what became of what was received.
async fn tell(write: &mut (impl AsyncWrite + Unpin + Send), arrived: &Arrived) {
    let text = serde_json::to_vec(arrived).unwrap_or_default();
    // A sender that has gone sends again.
    let _ = write.write_all(&text).await;
    let _ = write.shutdown().await;
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

/// Makes the tree of an environment from what was received.
pub(crate) async fn create(
    node: &Node,
    environment: &Environment,
    delivery: &Delivery,
) -> Result<Tree, Problem> {
    match Shipment::of(delivery.sent.as_ref())?.content {
        Content::Plain(offer) => plain::create(node, environment, &offer).await,
        Content::Git(offer) => {
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
    }
}

/// Brings the files that came besides into the tree that was just made.
pub(crate) async fn complete(
    node: &Node,
    environment: &Environment,
    delivery: &Delivery,
) -> Result<Vec<String>, Problem> {
    let shipment = Shipment::of(delivery.sent.as_ref())?;
    let staged = Staged::find(node, environment, shipment.extra.as_deref(), None)?;
    let tree = tree_of(environment)?;
    let came = staged.bring(tree, &node.directory(&environment.id), true).await?;
    staged.forget().await;
    Ok(came.notes)
}

/// Brings what was received into the tree of an environment; `before` is what was received last.
pub(crate) async fn apply(
    node: &Node,
    environment: &Environment,
    delivery: &Delivery,
    before: Option<&Sent>,
) -> Result<MergeReport, Problem> {
    let shipment = Shipment::of(delivery.sent.as_ref())?;
    let before = before.and_then(|sent| Shipment::of(Some(sent)).ok()?.extra);
    let extra = shipment.extra.as_deref();
    let staged = Staged::find(node, environment, extra, before.as_deref())?;
    let explain = |problem| explain_conflict(environment, problem);
    let (tree, state) = (tree_of(environment)?, node.directory(&environment.id));
    if !delivery.force {
        staged.check(tree, &state).await.map_err(explain)?;
    }
    let mut report = match shipment.content {
        Content::Plain(offer) => plain::apply(node, environment, &offer).await,
        Content::Git(offer) => {
            let store = store(node, &environment.project, &offer.format.to_string()).await?;
            let applied = travel::apply(tree, &state, &store, &offer, delivery.force).await;
            applied.map(|applied| applied.report).or_problem()
        }
    }
    .map_err(explain)?;
    let came = staged.bring(tree, &state, delivery.force).await.map_err(explain)?;
    staged.forget().await;
    let paths = came.written.iter().chain(&came.removed);
    report.files.extend(paths.map(|path| PathBuf::from(path.as_str())));
    report.notes.extend(came.notes);
    Ok(report)
}

/// Says what to do where both sides changed the same.
fn explain_conflict(environment: &Environment, problem: Problem) -> Problem {
    if problem.code != Code::Conflict {
        return problem;
    }
    let label = environment.label();
    let hint = format!(
        "nothing was changed. See `dwell diff {label}`, bring it back with `dwell pull {label}`, or \
         overwrite it there with `--force`"
    );
    Problem { hint: Some(hint), ..problem }
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
    if Source::open(source, &state(node, source), &[]).await.or_problem()?.is_none() {
        return plain::pull(node, there, seen).await;
    }
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
            Self::Vanished { .. } => Problem::new(Code::UnsavedWork, message)
                .hint("is its disk there? `--force` removes them on the node as well"),
            Self::NotSent { .. } => Problem::new(Code::State, message).hint(
                "whether its source is in a git repository has changed: destroy it and make it anew",
            ),
            Self::InProgress { .. } => Problem::new(Code::Busy, message),
            Self::Diverged { .. } => Problem::new(Code::Conflict, message)
                .hint("merge or rename the branch, or use `--force`"),
            Self::CheckedOut { .. } => Problem::new(Code::Conflict, message)
                .hint("check out another branch there, and try again"),
            _ => Problem::new(Code::ToolFailed, message),
        }
    }
}

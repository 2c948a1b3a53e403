//! Files besides what git keeps, on their way: those that services need and those that rules name.
//! They are staged on the other node and brought into the tree by the operation that the delivery
//! is for, so that a transfer that breaks off changes nothing there.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::extract::Request;
use axum::response::Response;
use dwell_api::remote::{Arrived, FilesFor, TRAVEL};
use dwell_api::{ClientError, Code, Problem, endpoint};
use dwell_core::compose::{self, Journey};
use dwell_core::config::{CopyPattern, HostPath, ProjectConfig};
use dwell_core::environment::Environment;
use dwell_core::tree::{Tree, TreePath};
use dwell_core::{EnvironmentId, EnvironmentName, NodeName, ProjectName};
use dwell_drivers::tree::travel::{self, Chosen, Extra, ExtraPlace, ExtraRules, TravelError};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};

use super::frame::{read_frame, write_frame};
use super::{exchange, internal, tell, tree_of};
use crate::api::{Refusal, switching, upgrade_of};
use crate::facts::make_directory;
use crate::node::{Node, random};
use crate::problem::{OrProblem, file};
use crate::{environment, project};

/// The longest list of files, in bytes.
const LIST_MAX: usize = 15 << 20;

/// What is looked for in a source.
pub(super) struct Rules {
    root: PathBuf,
    directory: TreePath,
    needed: Vec<TreePath>,
    include: Vec<CopyPattern>,
    secrets: Vec<CopyPattern>,
    exclude: Vec<CopyPattern>,
}

impl Rules {
    /// The rules of a project in a source tree, and what its services need of it.
    pub(super) fn new(
        root: &Path,
        directory: &Path,
        config: &ProjectConfig,
        needed: &[TreePath],
    ) -> Result<Self, Problem> {
        let directory = std::fs::canonicalize(directory)
            .map_err(|error| file("looking at", directory, &error))?;
        let inside = TreePath::of(root, &directory).ok_or_else(|| {
            let message = format!("the path {} is not plain text", directory.display());
            Problem::new(Code::InvalidArgument, message)
        })?;
        Ok(Self {
            root: root.to_owned(),
            directory: inside,
            needed: needed.to_vec(),
            include: config.sync.include.clone(),
            secrets: config.sync.secrets.clone(),
            exclude: config.sync.exclude.clone(),
        })
    }

    async fn choose(&self) -> Result<Chosen, Problem> {
        let rules = ExtraRules {
            root: &self.root,
            directory: &self.directory,
            needed: &self.needed,
            include: &self.include,
            secrets: &self.secrets,
            exclude: &self.exclude,
        };
        travel::choose(rules).await.or_problem()
    }
}

/// What was sent.
pub(super) struct SentExtra {
    /// How the list of files is named; `None` for an empty one.
    pub(super) digest: Option<String>,
    pub(super) secrets: travel::Secrets,
    pub(super) notes: Vec<String>,
}

fn digest_of(list: &[u8]) -> String {
    blake3::hash(list).to_hex().to_string()
}

/// What an environment's services need of its tree, as they were read last.
fn needs_of(
    node: &Node,
    environment: &Environment,
    root: &Path,
    host: &[HostPath],
) -> Result<Vec<TreePath>, Problem> {
    let model = match environment::delivered(node, &environment.id) {
        Some(delivered) => Some(delivered.specification.model_in(root).or_problem()?),
        None => environment::last_model(node, &environment.id),
    };
    let Some(model) = model else { return Ok(Vec::new()) };
    let services = compose::services(&model).or_problem()?.into_keys().collect();
    let journey = Journey { model: &model, services: &services, root, host };
    let luggage = compose::travel(&journey).or_problem()?;
    Ok(luggage.needs.into_iter().map(|luggage| luggage.path).collect())
}

/// Sends the files that the other node lacks.
pub(super) async fn send(
    node: &Arc<Node>,
    there: &NodeName,
    environment: &Environment,
    rules: &Rules,
) -> Result<SentExtra, Problem> {
    let chosen = rules.choose().await?;
    let mut sent = SentExtra { digest: None, secrets: chosen.secrets, notes: chosen.notes };
    if chosen.extra.files.is_empty() {
        return Ok(sent);
    }
    let list = serde_json::to_vec(&chosen.extra).map_err(|e| internal(&e))?;
    if list.len() > LIST_MAX {
        let count = chosen.extra.files.len();
        let message = format!("{count} files that git does not keep are more than can be sent");
        return Err(Problem::new(Code::InvalidConfig, message)
            .hint("narrow `[sync] include`, or leave some out with `[sync] exclude`"));
    }
    let stream = open(node, there, (&environment.project, &environment.name)).await?;
    let (mut read, mut write) = tokio::io::split(stream);
    write_frame(&mut write, &list).await.or_problem()?;
    let missing: Result<Vec<TreePath>, Problem> = answer_of(&mut read).await?;
    let missing = missing?;
    let sending = async {
        let done = travel::send_extra(&rules.root, &chosen.extra, &missing, &mut write).await;
        let closed = write.shutdown().await;
        done?;
        closed.map_err(TravelError::Cut)
    };
    let (done, notes) = exchange(sending, read).await?;
    done.or_problem()?;
    sent.notes.extend(notes);
    sent.digest = Some(digest_of(&list));
    Ok(sent)
}

/// A stream on which a node takes files for an environment.
async fn open(
    node: &Arc<Node>,
    there: &NodeName,
    (project, name): (&ProjectName, &EnvironmentName),
) -> Result<impl AsyncRead + AsyncWrite + Unpin + Send + use<>, Problem> {
    let query = FilesFor { environment: name.clone(), force: false };
    let path = endpoint::query(&endpoint::fill(endpoint::EXTRA, &[project.as_str()]), &query);
    let client = node.remotes.client(there).await?;
    client.upgrade(&path, TRAVEL, &()).await.map_err(ClientError::into_problem)
}

async fn answer_of<T: serde::de::DeserializeOwned>(
    read: &mut (impl AsyncRead + Unpin + Send),
) -> Result<T, Problem> {
    let text = read_frame(read, LIST_MAX).await.or_problem()?;
    serde_json::from_slice(&text).map_err(|e| internal(&e))
}

/// Where files for an environment wait for the operation that brings them into its tree.
pub(super) fn staging(node: &Node, project: &ProjectName, name: &EnvironmentName) -> PathBuf {
    node.paths.state.join("staged").join(project.as_str()).join(name.as_str())
}

/// Receives files: after the upgrade they come, and then what became of them goes back.
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
        let staged = stage(&node, (&project, &query.environment), &mut read, &mut write).await;
        let arrived = match staged {
            Ok(()) => Arrived::Whole(Vec::new()),
            Err(problem) => Arrived::Failed(problem),
        };
        tell(&mut write, &arrived).await;
    });
    Ok(switching(TRAVEL))
}

/// Keeps what comes. It is checked when it is brought into the tree.
async fn stage(
    node: &Node,
    (project, name): (&ProjectName, &EnvironmentName),
    read: &mut (impl AsyncRead + Unpin + Send),
    write: &mut (impl AsyncWrite + Unpin + Send),
) -> Result<(), Problem> {
    let list = read_frame(read, LIST_MAX).await.or_problem()?;
    let missing = missing(node, (project, name), &list).await;
    let text = serde_json::to_vec(&missing).map_err(|e| internal(&e))?;
    write_frame(write, &text).await.or_problem()?;
    missing?;
    let directory = staging(node, project, name);
    make_directory(&directory)?;
    let place = directory.join(digest_of(&list));
    let suffix: String = random()?.iter().map(|byte| format!("{byte:02x}")).collect();
    let new = directory.join(format!("{suffix}.new"));
    let kept = keep(read, &new, &place).await;
    if kept.is_err() {
        let _ = tokio::fs::remove_file(&new).await;
    }
    kept.map_err(|error| file("writing", &place, &error))
}

async fn keep(
    read: &mut (impl AsyncRead + Unpin + Send),
    new: &Path,
    place: &Path,
) -> std::io::Result<()> {
    let mut options = tokio::fs::OpenOptions::new();
    let mut to = options.write(true).create_new(true).mode(0o600).open(new).await?;
    tokio::io::copy(read, &mut to).await?;
    to.flush().await?;
    tokio::fs::rename(new, place).await
}

async fn missing(
    node: &Node,
    (project, name): (&ProjectName, &EnvironmentName),
    list: &[u8],
) -> Result<Vec<TreePath>, Problem> {
    let extra: Extra = serde_json::from_slice(list).map_err(|e| internal(&e))?;
    let found = node.store.environment_named(project, name).await.or_problem()?;
    let Some((environment, tree)) = found.as_ref().and_then(|e| Some((e, e.tree.as_ref()?))) else {
        return Ok(extra.files.into_iter().map(|file| file.path).collect());
    };
    let state = node.directory(&environment.id);
    travel::missing_extra(place_of(tree, &state), &extra).or_problem()
}

fn place_of<'a>(tree: &'a Tree, state: &'a Path) -> ExtraPlace<'a> {
    ExtraPlace { root: &tree.root, project: &tree.project_dir, state }
}

/// Files that came for an environment, to be brought into its tree.
pub(super) struct Staged {
    directory: PathBuf,
    /// `None` for an empty list.
    file: Option<PathBuf>,
    /// Whether it was brought into the tree before.
    brought: bool,
}

impl Staged {
    /// What came for an environment under this name.
    pub(super) fn find(
        node: &Node,
        environment: &Environment,
        digest: Option<&str>,
        before: Option<&str>,
    ) -> Result<Self, Problem> {
        let directory = staging(node, &environment.project, &environment.name);
        let Some(digest) = digest else {
            let state = node.directory(&environment.id);
            let brought = !travel::has_extra(&state).or_problem()?;
            return Ok(Self { directory, file: None, brought });
        };
        let plain = digest.len() == 64 && digest.bytes().all(|byte| byte.is_ascii_hexdigit());
        let file = directory.join(digest);
        if plain && file.is_file() {
            return Ok(Self { directory, file: Some(file), brought: false });
        }
        if before == Some(digest) {
            return Ok(Self { directory, file: None, brought: true });
        }
        let message = "files that were sent are not there any more";
        Err(Problem::new(Code::State, message).hint("run the command again: they are sent anew"))
    }

    async fn open(&self) -> Result<Box<dyn AsyncRead + Unpin + Send>, Problem> {
        match &self.file {
            Some(path) => {
                let opened = tokio::fs::File::open(path).await;
                Ok(Box::new(opened.map_err(|error| file("reading", path, &error))?))
            }
            None => {
                let mut text = Vec::new();
                let nothing = Extra::default();
                travel::send_extra(&self.directory, &nothing, &[], &mut text).await.or_problem()?;
                Ok(Box::new(std::io::Cursor::new(text)))
            }
        }
    }

    /// Refuses to replace what the environment changed.
    pub(super) async fn check(&self, tree: &Tree, state: &Path) -> Result<(), Problem> {
        if self.file.is_none() {
            return Ok(());
        }
        travel::check_extra(place_of(tree, state), self.open().await?).await.or_problem()
    }

    /// Brings the files into the tree.
    pub(super) async fn bring(
        &self,
        tree: &Tree,
        state: &Path,
        force: bool,
    ) -> Result<travel::ReceivedExtra, Problem> {
        if self.brought {
            return Ok(travel::ReceivedExtra::default());
        }
        let from = self.open().await?;
        travel::receive_extra(place_of(tree, state), force, from).await.or_problem()
    }

    /// Removes what waited: it was brought.
    pub(super) async fn forget(&self) {
        let _ = tokio::fs::remove_dir_all(&self.directory).await;
    }
}

/// Removes what came for an environment and was not brought into its tree.
pub(crate) async fn forget_staged(node: &Node, environment: &Environment) {
    let directory = staging(node, &environment.project, &environment.name);
    let _ = tokio::fs::remove_dir_all(directory).await;
}

/// The rules for the whole tree of an environment of this node, which leaves it.
pub(super) async fn rules_of(node: &Node, environment: &Environment) -> Result<Rules, Problem> {
    let tree = tree_of(environment)?;
    let config = project::load(environment.directory()).await?;
    let needed = needs_of(node, environment, &tree.root, &config.sync.host)?;
    Rules::new(&tree.root, environment.directory(), &config, &needed)
}

/// Sends the files of an environment's tree to who asks for them.
pub(crate) async fn give(
    node: Arc<Node>,
    environment: Environment,
    request: Request,
) -> Result<Response, Refusal> {
    let (upgrade, ()) = upgrade_of(request).await?;
    let rules = rules_of(&node, &environment).await?;
    let chosen = rules.choose().await?;
    let list = serde_json::to_vec(&chosen.extra).map_err(|e| internal(&e))?;
    tokio::spawn(async move {
        let Ok(upgraded) = upgrade.await else { return };
        let (mut read, mut write) = tokio::io::split(TokioIo::new(upgraded));
        let given = async {
            write_frame(&mut write, &list).await?;
            if chosen.extra.files.is_empty() {
                return Ok(());
            }
            let missing = read_frame(&mut read, LIST_MAX).await?;
            let missing: Result<Vec<TreePath>, Problem> = serde_json::from_slice(&missing)
                .map_err(std::io::Error::other)
                .map_err(TravelError::Cut)?;
            let missing = missing.unwrap_or_default();
            travel::send_extra(&rules.root, &chosen.extra, &missing, &mut write).await.map(drop)
        };
        // What did not come whole is not taken there.
        if let Err(error) = given.await {
            tracing::warn!(%error, "files were not sent");
        }
        let _ = write.shutdown().await;
    });
    Ok(switching(TRAVEL))
}

/// A stream on which a node gives the files of an environment's tree, and their list.
async fn asked(
    node: &Arc<Node>,
    (there, id): (&NodeName, &EnvironmentId),
) -> Result<(impl AsyncRead + AsyncWrite + Unpin + Send + use<>, Vec<u8>, Extra), Problem> {
    let path = endpoint::fill(endpoint::OWN_EXTRA, &[id.as_str()]);
    let client = node.remotes.client(there).await?;
    let mut stream = client.upgrade(&path, TRAVEL, &()).await.map_err(ClientError::into_problem)?;
    let list = read_frame(&mut stream, LIST_MAX).await.or_problem()?;
    let extra = serde_json::from_slice(&list).map_err(|e| internal(&e))?;
    Ok((stream, list, extra))
}

/// Has the files of an environment's tree on one node sent on to another.
pub(super) async fn pass_on(
    node: &Arc<Node>,
    from: (&NodeName, &EnvironmentId),
    there: &NodeName,
    environment: &Environment,
) -> Result<Option<String>, Problem> {
    let (mut giving, list, extra) = asked(node, from).await?;
    if extra.files.is_empty() {
        return Ok(None);
    }
    let stream = open(node, there, (&environment.project, &environment.name)).await?;
    let (mut read, mut write) = tokio::io::split(stream);
    write_frame(&mut write, &list).await.or_problem()?;
    let missing = read_frame(&mut read, LIST_MAX).await.or_problem()?;
    write_frame(&mut giving, &missing).await.or_problem()?;
    let sending = async {
        tokio::io::copy(&mut giving, &mut write).await.map_err(TravelError::Cut)?;
        write.shutdown().await.map_err(TravelError::Cut)
    };
    let (done, _) = exchange(sending, read).await?;
    done.or_problem()?;
    Ok(Some(digest_of(&list)))
}

/// Brings the files of an environment's tree on another node into its new tree here.
pub(super) async fn come_home(
    node: &Arc<Node>,
    from: (&NodeName, &EnvironmentId),
    tree: &Tree,
    state: &Path,
) -> Result<(), Problem> {
    let (mut giving, _, extra) = asked(node, from).await?;
    if extra.files.is_empty() {
        return Ok(());
    }
    let all: Vec<&TreePath> = extra.files.iter().map(|file| &file.path).collect();
    let missing: Result<Vec<&TreePath>, Problem> = Ok(all);
    let text = serde_json::to_vec(&missing).map_err(|e| internal(&e))?;
    write_frame(&mut giving, &text).await.or_problem()?;
    travel::receive_extra(place_of(tree, state), true, giving).await.map(drop).or_problem()
}

//! Whole trees that move: from here to another node, from one node on to another, and home.

use std::sync::Arc;

use axum::extract::Request;
use axum::response::Response;
use dwell_api::remote::TRAVEL;
use dwell_api::{ClientError, Code, Problem, endpoint};
use dwell_core::environment::Environment;
use dwell_core::tree::TreeKind;
use dwell_core::{EnvironmentId, NodeName};
use dwell_drivers::tree::Tree;
use dwell_drivers::tree::travel::{self, Haves, Settle, Source, TravelError};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};

use super::{
    Content, SentSources, Shipment, exchange, extra, open, send, send_all, tree_of, without_git,
};
use crate::api::{Refusal, switching, upgrade_of};
use crate::node::Node;
use crate::problem::OrProblem;

/// Sends an environment's whole tree to another node.
pub(crate) async fn leave(
    node: &Arc<Node>,
    there: &NodeName,
    environment: &Environment,
) -> Result<SentSources, Problem> {
    let tree = tree_of(environment)?;
    match tree.kind {
        TreeKind::Worktree => {
            let state = node.directory(&environment.id);
            let leaving = Source::leaving(tree, &state).await.or_problem()?;
            let rules = extra::rules_of(node, environment).await?;
            send_all(node, there, environment, leaving, &rules).await
        }
        // It is the source itself, so nothing of it is its own.
        TreeKind::InPlace => send(node, there, environment, &[], false).await,
        TreeKind::Copy => Err(without_git(&tree.root)),
    }
}

/// A stream on which a node sends an environment's whole tree.
async fn coming(
    node: &Arc<Node>,
    (there, id): (&NodeName, &EnvironmentId),
    haves: &Haves,
) -> Result<impl AsyncRead + AsyncWrite + Unpin + Send + use<>, Problem> {
    let path = endpoint::fill(endpoint::TREE, &[id.as_str()]);
    let client = node.remotes.client(there).await?;
    client.upgrade(&path, TRAVEL, haves).await.map_err(ClientError::into_problem)
}

/// Has the whole tree of an environment on one node sent on to another.
pub(crate) async fn pass_on(
    node: &Arc<Node>,
    from: (&NodeName, &EnvironmentId),
    there: &NodeName,
    environment: &Environment,
) -> Result<SentSources, Problem> {
    let path = endpoint::fill(endpoint::TREE, &[from.1.as_str()]);
    let mut client = node.remotes.client(from.0).await?;
    let format: String = client.get(&path).await.map_err(ClientError::into_problem)?;
    let (haves, stream) = open(node, there, environment, &format).await?;
    let mut coming = coming(node, from, &haves).await?;
    let (read, mut write) = tokio::io::split(stream);
    let sending = async {
        let offer = travel::pass(&mut coming, &mut write).await?;
        write.shutdown().await.map_err(TravelError::Cut)?;
        Ok(offer)
    };
    let (offer, notes) = exchange(sending, read).await?;
    let content = Content::Git(Box::new(offer.or_problem()?));
    let extra = extra::pass_on(node, from, there, environment).await?;
    Ok(SentSources { sent: Shipment { content, extra }.sent()?, notes })
}

/// Makes the tree of an environment here of the whole tree of one on another node.
pub(crate) async fn come_home(
    node: &Arc<Node>,
    from: (&NodeName, &EnvironmentId),
    environment: &Environment,
) -> Result<Tree, Problem> {
    let source = &environment.source;
    let haves = travel::source_haves(source).await.or_problem()?;
    let coming = coming(node, from, &haves).await?;
    if let Some(parent) = environment.root.parent() {
        crate::facts::make_directory(parent)?;
    }
    let order = Settle {
        source,
        tree: &environment.root,
        state: &node.directory(&environment.id),
        environment: &environment.name,
    };
    let made = travel::settle(order, coming).await.or_problem()?;
    extra::come_home(node, from, &made, order.state).await?;
    Ok(made)
}

/// Sends an environment's whole tree to who asks for it.
pub(crate) async fn give_tree(
    node: Arc<Node>,
    environment: Environment,
    request: Request,
) -> Result<Response, Refusal> {
    let (upgrade, haves): (_, Haves) = upgrade_of(request).await?;
    let tree = tree_of(&environment)?;
    if tree.kind != TreeKind::Worktree {
        let label = environment.label();
        let message = format!("`{label}` has no work tree of git, and cannot leave its node");
        return Err(Problem::new(Code::InvalidArgument, message).into());
    }
    let state = node.directory(&environment.id);
    let (source, offered) = Source::leaving(tree, &state).await.or_problem()?;
    tokio::spawn(async move {
        let Ok(upgraded) = upgrade.await else { return };
        let mut to = TokioIo::new(upgraded);
        // What did not come whole is not taken there.
        if let Err(error) = source.send(&offered.offer, &haves, &mut to).await {
            tracing::warn!(%error, "a tree was not sent");
        }
        let _ = to.shutdown().await;
    });
    Ok(switching(TRAVEL))
}

//! Links that other nodes make to this one: `dwell node bridge` hands its standard streams over,
//! and the daemon speaks on them itself.

use std::sync::Arc;
use std::time::Duration;

use dwell_api::remote::Hello;
use dwell_core::NodeId;
use dwell_drivers::handover;
use dwell_net::carrier::{self, Link, LinkError};
use dwell_net::mux;
use tokio::net::{UnixListener, UnixStream};

use super::{answer, connect};
use crate::node::Node;

/// Takes over what is handed to the socket, for ever.
pub(crate) async fn listen(node: Arc<Node>, socket: UnixListener) {
    loop {
        match socket.accept().await {
            Ok((stream, _)) => {
                let node = node.clone();
                tokio::spawn(async move {
                    if let Err(error) = serve(&node, stream).await {
                        tracing::info!(%error, "a link to this node was not made");
                    }
                });
            }
            Err(error) => {
                tracing::warn!(%error, "links are not taken over");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

/// Serves one link to its end. The connection to the bridge stays until then: when it closes, the
/// bridge ends.
async fn serve(node: &Arc<Node>, stream: UnixStream) -> Result<(), LinkError> {
    let failed = |why: String| LinkError::Failed { why };
    let (read, write) = handover::receive(&stream).await.map_err(|e| failed(e.to_string()))?;
    // The mux is fastest with pipes, which is what sshd gives.
    let read: Box<dyn mux::Reading> = match read.into_pipe() {
        Ok(pipe) => Box::new(pipe),
        Err(socket) => Box::new(socket),
    };
    let write: Box<dyn mux::Writing> = match write.into_pipe() {
        Ok(pipe) => Box::new(pipe),
        Err(socket) => Box::new(socket),
    };
    let link = Link { read, write, guard: Box::new(()) };
    serve_link(node, link, None).await?;
    drop(stream);
    Ok(())
}

/// Serves a link to its end, if it is of the node that is expected.
pub(crate) async fn serve_link(
    node: &Arc<Node>,
    link: Link,
    expected: Option<NodeId>,
) -> Result<(), LinkError> {
    let failed = |why: String| LinkError::Failed { why };
    let answering = node.clone();
    let established = carrier::answer(
        link,
        &connect::hello(node),
        &connect::settings(),
        Arc::new(move |arrival| answer::answer(&answering, answer::Caller::User, arrival)),
    )
    .await?;
    let hello: Hello = serde_json::from_slice(&established.hello)
        .map_err(|e| failed(format!("its hello is not understood: {e}")))?;
    let of_mesh = expected.is_some();
    if expected.is_some_and(|expected| expected != hello.node) {
        return Err(failed(format!(
            "it says that it is `{}`, and shows another's certificate",
            hello.node
        )));
    }
    tracing::info!(node = %hello.node, user = hello.user, version = hello.version, "linked");
    node.remotes.linked(&hello.node, &established.mux);
    if of_mesh {
        node.mesh.linked(&hello.node, &established.mux);
    }
    let reason = established.mux.closed().await;
    drop(established);
    node.remotes.unlinked(&hello.node);
    tracing::info!(node = %hello.node, %reason, "the link ended");
    Ok(())
}

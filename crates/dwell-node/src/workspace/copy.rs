//! Copies of a workspace: its file system as an image, its home as a volume, both of one moment.

use std::future::Future;
use std::time::Duration;

use dwell_api::{Code, Problem};
use dwell_core::observed::{State, label};
use dwell_core::workspace::Workspace;
use dwell_drivers::process::Program;

use super::{disk, labels, state};
use crate::node::Node;
use crate::problem::OrProblem;

/// How long copying a home may take.
const LIMIT: Duration = Duration::from_secs(3600);

/// Runs in a container beside: copies, sharing blocks where the file system can, and tells what
/// it takes in KiB.
const SCRIPT: &str = "cp -a --reflink=auto /from/. /to/ && du -sk /to | cut -f1";

/// Does something while nothing in a workspace moves.
pub(super) async fn still<T>(
    node: &Node,
    it: &Workspace,
    work: impl Future<Output = Result<T, Problem>>,
) -> Result<T, Problem> {
    let runs = state(node, it).await? == Some(State::Running);
    if runs {
        node.engine.freeze(&it.container()).await.or_problem()?;
    }
    let done = work.await;
    if runs {
        node.engine.thaw(&it.container()).await.or_problem()?;
        state(node, it).await?;
    }
    done
}

/// Makes an image of its file system; gives what it takes besides the image that it began as, in
/// bytes.
pub(super) async fn root(node: &Node, it: &Workspace, image: &str) -> Result<u64, Problem> {
    if state(node, it).await?.is_none() {
        let message = format!("workspace `{}` has no container that could be copied", it.name);
        return Err(Problem::new(Code::NotRunning, message)
            .hint(format!("`dwell ws start {}` makes it anew", it.name)));
    }
    node.engine.commit_machine(&it.container(), image, labels(node, it)).await.or_problem()?;
    let size = |image| async move {
        let found = node.engine.image(image).await.or_problem()?;
        Ok::<_, Problem>(found.map(|image| image.size))
    };
    let whole = size(image).await?.unwrap_or_default();
    Ok(whole.saturating_sub(size(it.image.as_str()).await?.unwrap_or_default()))
}

/// Makes a volume for a workspace with the content of another one; gives what it takes, in bytes.
pub(super) async fn home(
    node: &Node,
    of: &Workspace,
    from: &str,
    to: &str,
) -> Result<u64, Problem> {
    let volume = disk::volume(node, of, to).await?;
    node.engine.create_volume(&volume).await.or_problem()?;
    let (ours, name) = (format!("{}={}", label::NODE, node.id), helper(to));
    let mounts = [
        format!("type=volume,source={from},target=/from,readonly"),
        format!("type=volume,source={to},target=/to,volume-nocopy"),
    ];
    let [source, target] = &mounts;
    let copy = Program::new("docker")
        .args(["run", "--rm", "--name", &name, "--network", "none", "--label", &ours])
        .args(["--user", "0:0", "--mount", source, "--mount", target])
        .args(["--entrypoint", "sh", of.image.as_str(), "-c", SCRIPT])
        .limit(LIMIT);
    let finished = copy.run().await.or_problem()?;
    let kibibytes: u64 = finished.text().parse().unwrap_or_default();
    Ok(kibibytes << 10)
}

/// What copies into a volume.
fn helper(to: &str) -> String {
    format!("{to}-copy")
}

/// Ends copying into a volume that was given up.
pub(super) async fn give_up(node: &Node, to: &str) -> Result<(), Problem> {
    node.engine.remove(&helper(to)).await.or_problem()
}

/// Removes containers, homes and images of a workspace that are of no use any more.
pub(super) async fn sweep(node: &Node, it: &Workspace) -> Result<(), Problem> {
    let labelled = format!("{}={}", label::WORKSPACE, it.id);
    let old = it.old_container();
    for container in node.engine.containers(&labelled).await.or_problem()? {
        if container.generation != it.generation && Some(&container.name) != old.as_ref() {
            node.engine.remove(&container.id).await.or_problem()?;
        }
    }
    for volume in node.engine.volumes_with(&labelled).await.or_problem()? {
        if !it.uses_volume(&volume.name) {
            give_up(node, &volume.name).await?;
            node.engine.remove_volume(&volume.name).await.or_problem()?;
        }
    }
    for tag in node.engine.image_tags(&it.images()).await.or_problem()? {
        if !it.uses_image(&tag) {
            node.engine.remove_image(&tag).await.or_problem()?;
        }
    }
    state(node, it).await?;
    Ok(())
}

//! Docker inside workspaces: what its container takes for that, and whether it works here, which
//! only trying can tell.

use std::path::Path;
use std::time::Duration;

use dwell_api::{Code, Problem};
use dwell_core::observed::label;
use dwell_core::workspace::{DOCKER_LOG, Docker, HOST_SOCKET, ImageRef, USER, Workspace};
use dwell_drivers::docker::{Directory, ExecSpec, Rights};
use dwell_drivers::process::Program;

use super::commands::Commands;
use crate::node::Node;
use crate::operation::Operation;
use crate::problem::OrProblem;

/// How long looking at an image may take.
const LOOK: Duration = Duration::from_secs(30);
/// How long an engine may take to answer, and how long a question to it.
const ENGINE: Duration = Duration::from_secs(45);
/// Devices that an engine without root uses; the second only on old kernels.
const TUNNEL: &str = "/dev/net/tun";
const FUSE: &str = "/dev/fuse";
/// Names the programs among its arguments that an image lacks.
const LACKS: &str = r#"for name; do command -v "$name" >/dev/null || [ -x "/usr/sbin/$name" ] || [ -x "/sbin/$name" ] || echo "$name"; done"#;
/// Asks an engine until it answers; then tells the end of what it said.
const ASK: &str = r#"
end=$(($(date +%s) + 40))
while [ "$(date +%s)" -lt "$end" ]; do
    docker version >/dev/null 2>&1 && exit 0
    sleep 0.2
done
grep -iE 'error|failed|fatal|denied|permitted' "$1" | tail -n 3
exit 1
"#;

/// Refuses what cannot work here, and tells what whoever asks has to know.
pub(super) async fn refuse(
    node: &Node,
    operation: &Operation,
    image: &ImageRef,
    docker: Docker,
) -> Result<(), Problem> {
    if docker.is_none() {
        return Ok(());
    }
    let refused = |why: &str| {
        Problem::new(Code::InvalidArgument, format!("`--docker {docker}` cannot work: {why}"))
    };
    if docker == Docker::Rootless && !Path::new(TUNNEL).exists() {
        return Err(refused("this machine has no /dev/net/tun, which its network takes")
            .hint("`modprobe tun` brings it"));
    }
    if docker == Docker::Socket && socket(node).is_none() {
        return Err(refused("this node's engine has no socket on this machine"));
    }
    let lacks = lacks(node, image, docker.programs()).await?;
    if !lacks.is_empty() {
        let lacks = lacks.join(", ");
        return Err(refused(&format!("the image `{image}` has no {lacks}")).hint(
            "`dwell image build docker` makes one that has, `--image dwell-workspace:docker` takes it",
        ));
    }
    if let Some(warning) = docker.warning() {
        operation.note(warning);
    }
    Ok(())
}

/// The programs that an image lacks.
pub(super) async fn lacks(
    node: &Node,
    image: &ImageRef,
    programs: &[&str],
) -> Result<Vec<String>, Problem> {
    let ours = format!("{}={}", label::NODE, node.id);
    let looked = Program::new("docker")
        .args(["run", "--rm", "--network", "none", "--label", &ours, "--entrypoint", "sh"])
        .args([image.as_str(), "-c", LACKS, "sh"])
        .args(programs)
        .limit(LOOK)
        .run()
        .await
        .or_problem()?;
    Ok(looked.text().split_whitespace().map(str::to_owned).collect())
}

/// The socket of this node's engine.
fn socket(node: &Node) -> Option<&Path> {
    node.engine.address().strip_prefix("unix://").map(Path::new).filter(|path| path.exists())
}

/// What its container may do for it.
pub(super) fn rights(it: &Workspace) -> Rights {
    match it.docker {
        Docker::None | Docker::Socket => Rights::default(),
        Docker::Rootless => Rights {
            capable: false,
            unconfined: true,
            devices: [TUNNEL, FUSE]
                .into_iter()
                .filter(|device| Path::new(device).exists())
                .map(str::to_owned)
                .collect(),
        },
        Docker::Dind => Rights { capable: true, unconfined: true, devices: Vec::new() },
    }
}

/// The socket, where it was let in.
pub(super) fn directories(node: &Node, it: &Workspace) -> Vec<Directory> {
    let wanted = socket(node).filter(|_| it.docker == Docker::Socket);
    let seen = wanted.map(|source| Directory {
        source: source.to_owned(),
        target: HOST_SOCKET.into(),
        writable: true,
    });
    seen.into_iter().collect()
}

/// Waits until the engine answers those inside.
pub(super) async fn ready(node: &Node, it: &Workspace) -> Result<(), Problem> {
    if it.docker.is_none() {
        return Ok(());
    }
    let variables = it.variables().into_iter();
    let spec = ExecSpec {
        command: ["sh", "-c", ASK, "sh", DOCKER_LOG].map(str::to_owned).into(),
        variables: variables.map(|(name, value)| format!("{name}={value}")).collect(),
        user: Some(USER.to_owned()),
        ..ExecSpec::default()
    };
    let asked = Commands::of(node, it).run(spec, None, ENGINE).await.or_problem()?;
    if asked.ok() {
        return Ok(());
    }
    let said = asked.text();
    let said = if said.is_empty() { "it said nothing of why".to_owned() } else { said };
    let message = format!("Docker does not work in `{}` with `--docker {}`", it.name, it.docker);
    Err(Problem::new(Code::ToolFailed, message)
        .hint("another `--docker` may work on this machine; `none` always does")
        .details(said.lines().map(str::to_owned)))
}

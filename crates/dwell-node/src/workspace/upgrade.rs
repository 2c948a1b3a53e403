//! A workspace of another image: the home stays, the file system is the image's, and the setup
//! steps are run again. A plan tells before what would differ.

use std::time::Duration;

use dwell_api::event::Outcome;
use dwell_api::snapshot::{Upgrade, UpgradePlan};
use dwell_api::{Code, Problem};
use dwell_core::observed::label;
use dwell_core::packages::{Difference, Packages, STATUS_FILE, difference, installed};
use dwell_core::workspace::{ImageRef, Workspace};
use dwell_drivers::process::Program;

use super::create::require_image;
use super::{current, find, held, outcome, refuse_unfinished, replace, save};
use crate::node::Node;
use crate::operation::Operation;
use crate::problem::OrProblem;
use crate::world::look_at_workspace;

/// How long reading a list of packages may take.
const LIMIT: Duration = Duration::from_secs(60);

/// What an upgrade would do. Wakes nothing.
pub(crate) async fn plan(node: &Node, name: &str, wanted: Upgrade) -> Result<UpgradePlan, Problem> {
    let it = find(node, name).await?;
    refuse_unfinished(&it)?;
    let new_image = wanted.image.unwrap_or_else(|| it.image.clone());
    require_image(node, &new_image).await?;
    let new_id = node.engine.image_id(new_image.as_str()).await.or_problem()?.unwrap_or_default();
    let found = look_at_workspace(node, &it.id).await.or_problem()?;
    let old_id = current(&it, found).map(|container| container.image_id).unwrap_or_default();
    let (packages, unknown) = match compare(node, &it, &new_image).await {
        Ok(found) => (found, None),
        Err(problem) => (Difference::default(), Some(problem.to_string())),
    };
    let changes = old_id != new_id;
    let (old_image, steps) = (it.image, it.setup);
    Ok(UpgradePlan { old_image, old_id, new_image, new_id, changes, steps, packages, unknown })
}

async fn compare(node: &Node, it: &Workspace, new: &ImageRef) -> Result<Difference, Problem> {
    Ok(difference(&of_container(node, it).await?, &of_image(node, new).await?))
}

/// The packages of a container, whether it runs or not.
async fn of_container(node: &Node, it: &Workspace) -> Result<Packages, Problem> {
    let id = dwell_core::OperationId::from_random(crate::node::random()?);
    let place = node.paths.workspace(&it.id).join(format!("packages-{id}"));
    let from = format!("{}:{STATUS_FILE}", it.container());
    let copy = Program::new("docker").args(["cp", &from]).arg(&place).limit(LIMIT);
    let copied = copy.run().await.or_problem();
    let text = std::fs::read_to_string(&place);
    let _ = std::fs::remove_file(&place);
    copied?;
    let text = text.map_err(|e| Problem::new(Code::State, format!("{STATUS_FILE}: {e}")))?;
    Ok(installed(&text))
}

/// The packages of an image.
async fn of_image(node: &Node, image: &ImageRef) -> Result<Packages, Problem> {
    let ours = format!("{}={}", label::NODE, node.id);
    let read = Program::new("docker")
        .args(["run", "--rm", "--network", "none", "--label", &ours, "--entrypoint", "cat"])
        .args([image.as_str(), STATUS_FILE])
        .limit(LIMIT);
    Ok(installed(&read.run().await.or_problem()?.text()))
}

/// Has a workspace begin anew as an image, with its home.
pub(crate) async fn upgrade(
    node: &Node,
    operation: &Operation,
    name: &str,
    wanted: Upgrade,
) -> Result<Outcome, Problem> {
    let (_held, mut it) = held(node, name).await?;
    let plan = plan(node, it.id.as_str(), wanted).await?;
    if !plan.changes {
        let summary = format!("`{}` is made of `{}` as it is now already", it.name, plan.new_image);
        return outcome(node, &it, false, summary).await;
    }
    let before = of_container(node, &it).await;
    let steps = it.setup.clone();
    it.replace(plan.new_image.clone(), false);
    save(node, &it).await?;
    replace::finish(node, operation, &mut it, Ok(()), &steps).await?;
    let mut summary = format!("`{}` is made of `{}` now, with its home", it.name, plan.new_image);
    if let (Ok(before), Ok(after)) = (before, of_container(node, &it).await) {
        let found = difference(&before, &after);
        summary = format!(
            "{summary}: {} packages are new, {} are other versions, {} are gone",
            found.gained.len(),
            found.changed.len(),
            found.lost.len()
        );
        for (package, version) in &found.lost {
            operation.note(format!("gone: {package} {version}"));
        }
    }
    outcome(node, &it, true, summary).await
}

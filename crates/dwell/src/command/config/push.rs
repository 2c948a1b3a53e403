//! `config push`: the person's settings are gathered here, made ready, and brought to workspaces.

use dwell_api::workspace::{ListWorkspaces, Workspace as Shown};
use dwell_api::{Client, Code, Problem, endpoint};
use dwell_core::settings::{
    Homes, PushSettings, PushedSettings, Report, Settings, prepare, windows_home,
};
use dwell_drivers::settings::{LeftOut, collect};
use serde::Serialize;

use crate::arguments::setup::Push;
use crate::command::{Context, idempotency_key};
use crate::failure::{Ended, Failure};
use crate::output::settings as show;

/// Settings that are ready, and what there is to know of them.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Gathered {
    #[serde(skip)]
    pub(crate) settings: Settings,
    /// What is to know of single files.
    pub(crate) reports: Vec<Report>,
    /// Files that are no part of it, and why.
    pub(crate) left_out: Vec<Left>,
}

/// A file that is no part of the settings.
#[derive(Debug, Serialize)]
pub(crate) struct Left {
    pub(crate) path: String,
    pub(crate) why: String,
}

/// What became of the settings in one workspace.
#[derive(Debug, Serialize)]
pub(crate) struct Place {
    pub(crate) workspace: String,
    #[serde(flatten)]
    pub(crate) pushed: PushedSettings,
    /// Why it did not get them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) problem: Option<Problem>,
}

/// All of it, as it is printed.
#[derive(Debug, Serialize)]
pub(crate) struct Told {
    pub(crate) dry_run: bool,
    #[serde(flatten)]
    pub(crate) gathered: Gathered,
    pub(crate) workspaces: Vec<Place>,
}

/// Gathers the settings and brings them to workspaces.
pub(crate) async fn run(it: Push, context: &Context) -> Ended {
    let gathered = gather(&it.home, it.include_keys)?;
    let mut client = context.connect().await?;
    let targets = targets(&mut client, &it.to).await?;
    if it.include_keys && !it.dry_run && !it.yes {
        ask(&gathered, &targets, context)?;
    }
    let body =
        PushSettings { settings: gathered.settings.clone(), force: it.force, dry_run: it.dry_run };
    let mut workspaces = Vec::with_capacity(targets.len());
    for target in targets {
        let path = endpoint::fill(endpoint::WORKSPACE_SETTINGS, &[target.id.as_str()]);
        let answer = client.post::<_, PushedSettings>(&path, &idempotency_key()?, &body).await;
        let (pushed, problem) = match answer.map_err(Failure::from) {
            Ok(pushed) => (pushed, None),
            // One that fails does not keep the others from theirs.
            Err(Failure::Problem(problem)) => (PushedSettings::default(), Some(*problem)),
            Err(failure) => return Err(failure),
        };
        workspaces.push(Place { workspace: target.name.to_string(), pushed, problem });
    }
    let told = Told { dry_run: it.dry_run, gathered, workspaces };
    context.output.result(&told, show::pushed)?;
    Ok(u8::from(told.workspaces.iter().any(|place| place.problem.is_some())))
}

/// Gathers the settings of whoever runs this. `homes` are further homes of theirs.
pub(crate) fn gather(homes: &[String], keys: bool) -> Result<Gathered, Problem> {
    let home = std::env::home_dir().ok_or_else(|| {
        Problem::new(Code::InvalidArgument, "the home directory is not known: HOME is not set")
    })?;
    let variable = |name: &str| std::env::var(name).ok();
    let text = home.display().to_string();
    let user = variable("USER").unwrap_or_default();
    let mut more = homes.to_vec();
    more.extend(windows_home(&variable("PATH").unwrap_or_default()));
    let homes = Homes::of(&text, &user, &more);
    let collected = collect(&home, &homes, variable, keys);
    let mut gathered = Gathered::default();
    gathered.settings.keys = keys;
    for raw in &collected.files {
        let prepared = prepare(raw, &homes, keys);
        gathered.settings.files.push(prepared.file);
        gathered.settings.programs.extend(prepared.programs);
        gathered.reports.push(prepared.report);
    }
    for LeftOut { path, why, unknown } in collected.left_out {
        if unknown {
            gathered.settings.unknown.push(path.clone());
        }
        gathered.left_out.push(Left { path, why });
    }
    Ok(gathered)
}

/// The workspaces that are meant.
async fn targets(client: &mut Client, to: &[String]) -> Result<Vec<Shown>, Failure> {
    let path = endpoint::query(endpoint::WORKSPACES, &ListWorkspaces { all: false });
    let all: Vec<Shown> = client.get(&path).await?;
    let mut targets: Vec<Shown> = Vec::new();
    for meant in to {
        let is_meant = |it: &Shown| {
            meant == "all"
                || it.name.as_str() == meant
                || it.id.as_str() == meant
                || it.node.as_ref().is_some_and(|node| node.as_str() == meant)
                || (meant == "local" && it.node.is_none())
        };
        let found: Vec<Shown> = all.iter().filter(|it| is_meant(it)).cloned().collect();
        if found.is_empty() && meant != "all" && meant != "local" {
            let message = format!("there is no workspace `{meant}`, and no node with workspaces");
            return Err(Problem::new(Code::NotFound, message)
                .hint("`dwell ws ls` lists them")
                .into());
        }
        targets.extend(found);
    }
    targets.sort_by(|a, b| (&a.name, &a.id).cmp(&(&b.name, &b.id)));
    targets.dedup_by(|a, b| a.id == b.id);
    Ok(targets)
}

/// Names the secrets that would travel, and asks.
fn ask(gathered: &Gathered, targets: &[Shown], context: &Context) -> Result<(), Failure> {
    let keys = gathered.settings.files.iter().filter(|file| file.private_key);
    for file in keys {
        context.output.note(&format!("private key: ~/{}", file.path));
    }
    context.output.note("settings keep the tokens and passwords that stand in them");
    let names: Vec<&str> = targets.iter().map(|it| it.name.as_str()).collect();
    let question = format!("Put these where everything in {} can read them?", names.join(", "));
    if context.output.confirm(&question, "--yes")? {
        return Ok(());
    }
    Err(Problem::new(Code::Cancelled, "nothing was brought").into())
}

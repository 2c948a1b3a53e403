//! Making an environment: its record, its tree, the files that come along.

use dwell_api::{Code, Problem};
use dwell_core::operation::Kind;
use dwell_drivers::tree::{self, CreateTree, Start};

use crate::facts::{make_directory, write};
use crate::operation::Context;
use crate::problem::OrProblem;

/// The file that tells what an environment is, should the database be lost.
pub(crate) const RECORD_FILE: &str = "environment.json";

/// Writes the environment's record to the store and, for the day the store is lost, beside its
/// files.
pub(super) async fn record(context: &mut Context) -> Result<(), Problem> {
    let environment = &context.environment;
    if environment.options.bare {
        context.operation.note(super::bare::explained(environment));
    }
    make_directory(&context.node.directory(&environment.id))?;
    match context.node.store.add_environment(environment).await {
        Ok(()) => {}
        // Recorded by this same step before it was repeated.
        Err(dwell_store::StoreError::Exists)
            if context.node.store.environment(&environment.id).await.or_problem()?.is_some() => {}
        Err(dwell_store::StoreError::Exists) => {
            let label = environment.label();
            return Err(Problem::new(
                Code::Exists,
                format!("environment `{label}` exists already"),
            )
            .hint("use `dwell up`, or another name"));
        }
        Err(error) => return Err(error).or_problem(),
    }
    keep_record(context).await
}

/// Writes the record as it is now.
pub(super) async fn keep_record(context: &Context) -> Result<(), Problem> {
    let environment = &context.environment;
    context.node.store.put_environment(environment).await.or_problem()?;
    let text = serde_json::to_vec_pretty(environment)
        .map_err(|e| Problem::new(Code::Internal, format!("a record cannot be written: {e}")))?;
    let directory = context.node.directory(&environment.id);
    if directory.is_dir() { write(&directory.join(RECORD_FILE), &text) } else { Ok(()) }
}

/// Makes the source tree.
pub(super) async fn tree(context: &mut Context) -> Result<(), Problem> {
    if context.environment.tree.is_some() {
        return Ok(());
    }
    if context.kind == Kind::MoveIn {
        return super::moving::tree(context).await;
    }
    if context.environment.origin.is_some() {
        super::delivery::tree(context).await?;
        return keep_record(context).await;
    }
    let Some(create) = &context.request.create else { return Ok(()) };
    let environment = &context.environment;
    let state = context.node.directory(&environment.id);
    if let Some(parent) = environment.root.parent().filter(|_| !create.in_place) {
        make_directory(parent)?;
    }
    let start = match (create.in_place, create.empty) {
        (true, _) => Start::InPlace,
        (false, true) => Start::Empty,
        (false, false) => Start::Source,
    };
    let made = tree::create(CreateTree {
        source: &environment.source,
        tree: &environment.root,
        state: &state,
        environment: &environment.name,
        start,
        copy_patterns: &environment.options.copy,
    })
    .await
    .or_problem()?;
    for note in &made.notes {
        context.operation.note(note.clone());
    }
    context.environment.notes.extend(made.notes.iter().cloned());
    context.environment.root = made.root.clone();
    context.environment.tree = Some(made);
    keep_record(context).await
}

/// Brings what another node sent, the configured ignored files, and renders the configured
/// templates.
pub(super) async fn files(context: &mut Context) -> Result<(), Problem> {
    if context.kind == Kind::Up && context.delivery.is_some() {
        super::delivery::sync(context).await?;
        keep_record(context).await?;
    }
    for note in crate::project::bring_files(&context.node, &context.environment).await? {
        context.operation.note(note);
    }
    Ok(())
}

/// Forgets the environment: its own directory, then its record. In this order, so that a
/// directory with a record in it always means an environment that is not gone.
pub(super) async fn forget(context: &mut Context) -> Result<(), Problem> {
    let id = context.environment.id.clone();
    let node = &context.node;
    let directory = node.directory(&id);
    match tokio::fs::remove_dir_all(&directory).await {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(crate::problem::file("removing", &directory, &error));
        }
        _ => {}
    }
    crate::travel::forget_staged(node, &context.environment).await;
    node.store.forget_sessions(id.as_str()).await.or_problem()?;
    crate::forward::let_go(node, id.as_str()).await?;
    node.store.forget_environment(&id).await.or_problem()?;
    node.facts.forget(&id);
    crate::remote::standin::forget(node, &id);
    node.names.remove(id.as_str());
    Ok(())
}

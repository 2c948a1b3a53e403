//! `node`: starting, stopping and looking at the daemon.

use std::io::{Read, Seek, SeekFrom};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use dwell_api::node::Node as Status;
use dwell_api::{Code, Problem, endpoint};
use dwell_drivers::handover;
use serde_json::{Value, json};
use tokio::net::UnixStream;

use super::{Context, idempotency_key, now};
use crate::arguments::node::{Node, NodeAction};
use crate::arguments::work::Tail;
use crate::connect;
use crate::failure::{Ended, Failure};
use crate::output::show;

const STOP_LIMIT: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(20);

/// Acts on the daemon.
pub(crate) async fn run(it: Node, context: &Context) -> Ended {
    match it.action {
        NodeAction::Start => start(context).await,
        NodeAction::Stop => stop(context).await,
        NodeAction::Status => status(context).await,
        NodeAction::Logs { follow, tail } => logs(follow, tail, context).await,
        NodeAction::Run { background } => crate::roles::daemon(context, background),
        NodeAction::Bridge => bridge(context).await,
        NodeAction::Openapi => {
            let document: Value = context.connect().await?.get(endpoint::OPENAPI).await?;
            let text = serde_json::to_string_pretty(&document).map_err(std::io::Error::from)?;
            context.output.text(&text)?;
            Ok(0)
        }
    }
}

/// Hands our standard streams over to the daemon and waits until it has done with them.
async fn bridge(context: &Context) -> Ended {
    drop(context.connect().await?);
    let path = context.paths.link_socket();
    let refused = |why: String| {
        let message = format!("the daemon does not take links at `{}`: {why}", path.display());
        Problem::new(Code::NodeUnreachable, message)
            .hint("it may be of an older version: `dwell node stop`, and try again")
    };
    let socket = UnixStream::connect(&path).await.map_err(|e| refused(e.to_string()))?;
    let (input, output) = (std::io::stdin(), std::io::stdout());
    handover::give(&socket, input.as_fd(), output.as_fd())
        .await
        .map_err(|e| refused(e.to_string()))?;
    handover::released(socket).await;
    Ok(0)
}

async fn start(context: &Context) -> Ended {
    let mut client = context.connect().await?;
    let node: Status = client.get(endpoint::NODE).await?;
    warn_of_version(&node, context);
    context
        .output
        .result(&node, |node, _| format!("dwell {} runs (process {})", node.version, node.pid))?;
    Ok(0)
}

async fn stop(context: &Context) -> Ended {
    let stopped = stop_and_wait(context).await?;
    let environments = "stopped; environments and sessions go on";
    context.output.note(if stopped { environments } else { "the daemon does not run" });
    Ok(0)
}

/// Stops the daemon and waits until it is gone; false where none ran.
pub(super) async fn stop_and_wait(context: &Context) -> Result<bool, Failure> {
    let Some(mut client) = connect::running(&context.paths).await? else {
        return Ok(false);
    };
    let _: Value = client.post(endpoint::NODE_STOP, &idempotency_key()?, &json!({})).await?;
    drop(client);
    let deadline = Instant::now() + STOP_LIMIT;
    while connect::running(&context.paths).await?.is_some() {
        if Instant::now() > deadline {
            let message = format!("the daemon still answers after {} s", STOP_LIMIT.as_secs());
            return Err(Problem::new(Code::Timeout, message).hint("`dwell node logs`").into());
        }
        tokio::time::sleep(PAUSE).await;
    }
    Ok(true)
}

async fn status(context: &Context) -> Ended {
    let Some(mut client) = connect::running(&context.paths).await? else {
        return Err(Problem::new(Code::NodeUnreachable, "the daemon does not run")
            .hint("`dwell node start`, or any other command, starts it")
            .into());
    };
    let node: Status = client.get(endpoint::NODE).await?;
    context.output.result(&node, |node, style| show::node(node, now(), style))?;
    warn_of_version(&node, context);
    Ok(0)
}

fn warn_of_version(node: &Status, context: &Context) {
    if let Some(note) = connect::version_note(&node.version) {
        context.output.warn(&note);
    }
}

async fn logs(follow: bool, tail: Tail, context: &Context) -> Ended {
    let path = context.paths.log();
    let unreadable = |e: std::io::Error| -> Failure {
        let message = format!("log `{}` cannot be read: {e}", path.display());
        Problem::new(Code::NotFound, message).hint("the daemon writes it when it starts").into()
    };
    let mut file = std::fs::File::open(&path).map_err(unreadable)?;
    let mut text = Vec::new();
    file.read_to_end(&mut text).map_err(unreadable)?;
    context.output.bytes(last_lines(&text, tail))?;
    if !follow {
        return Ok(0);
    }
    loop {
        tokio::time::sleep(Duration::from_millis(100)).await;
        text.clear();
        // A log that was cut short begins anew.
        let length = file.metadata().map_err(unreadable)?.len();
        if length < file.stream_position().map_err(unreadable)? {
            file.seek(SeekFrom::Start(0)).map_err(unreadable)?;
        }
        file.read_to_end(&mut text).map_err(unreadable)?;
        context.output.bytes(&text)?;
    }
}

/// The last lines of a text.
fn last_lines(text: &[u8], tail: Tail) -> &[u8] {
    let Some(wanted) = tail.0.and_then(|lines| usize::try_from(lines).ok()) else {
        return text;
    };
    let body = text.strip_suffix(b"\n").unwrap_or(text);
    let breaks = body.iter().enumerate().rev().filter(|(_, byte)| **byte == b'\n');
    match wanted.checked_sub(1).map(|skip| breaks.map(|(place, _)| place).nth(skip)) {
        None => &[],
        Some(None) => text,
        Some(Some(place)) => text.get(place + 1..).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_are_cut_at_line_ends() {
        let cut = |text: &'static str, lines| last_lines(text.as_bytes(), Tail(lines));
        assert_eq!(cut("a\nb\nc\n", Some(2)), b"b\nc\n");
        assert_eq!(cut("a\nb\nc", Some(1)), b"c");
        assert_eq!(cut("a\nb\n", Some(9)), b"a\nb\n");
        assert_eq!(cut("a\nb\n", Some(0)), b"");
        assert_eq!(cut("a\nb\n", None), b"a\nb\n");
    }
}

//! `logs`: lines of containers, or the transcript of a session.

use dwell_api::client::Lines;
use dwell_api::endpoint;
use dwell_api::environment::{LogLine, LogsQuery};
use http_body_util::BodyExt;

use super::Context;
use super::environment::of;
use super::session::{pick, transcript};
use crate::arguments::work::Logs;
use crate::failure::{Ended, Failure};
use crate::target;

/// Shows logs.
pub(crate) async fn run(it: Logs, context: &Context) -> Ended {
    let mut client = context.connect().await?;
    let project = it.project.project.as_ref();
    let (name, service) = (it.environment.as_ref(), it.service.as_ref());
    if let Some(session) = &it.session {
        let place = target::place(&mut client, name, project).await?;
        let session = pick(&mut client, &place, Some(session)).await?;
        let mut body = client.bytes(&transcript(&session, it.follow, true)).await?;
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(dwell_api::ClientError::from)?;
            if let Some(bytes) = frame.data_ref() {
                context.output.bytes(bytes)?;
            }
        }
        return Ok(0);
    }
    let (environment, service) =
        target::resolve_with_service(&mut client, name, service, project).await?;
    let query = LogsQuery {
        project: None,
        service,
        follow: it.follow,
        tail: it.tail.0,
        timestamps: it.timestamps,
    };
    let path = endpoint::query(&of(endpoint::LOGS, &environment), &query);
    print(client.lines(&path).await?, context).await?;
    Ok(0)
}

async fn print(mut lines: Lines, context: &Context) -> Result<(), Failure> {
    let style = context.output.style();
    while let Some(line) = lines.next::<LogLine>().await? {
        context.output.result(&line, |line, _| {
            format!("{} {}\n", style.dim(&format!("{} |", line.source)), line.line)
        })?;
    }
    Ok(())
}

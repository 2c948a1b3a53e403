//! Follows a long operation to its end: shows its steps, cancels it on Ctrl-C or when its time is
//! over, and finds it again when the connection breaks.

use std::time::{Duration, Instant};

use dwell_api::client::Lines;
use dwell_api::event::Outcome;
use dwell_api::{Client, ClientError, Code, Event, Problem, endpoint};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::{Context, idempotency_key};
use crate::connect;
use crate::failure::Failure;
use crate::output::Progress;

/// How often a broken connection is made anew.
const RECONNECTS: u32 = 3;
/// How long the node that an operation runs on may be away.
const AWAY_LIMIT: Duration = Duration::from_secs(60);
/// How often it is asked again meanwhile.
const AGAIN: Duration = Duration::from_secs(1);

/// A long operation under way.
struct Following<'a> {
    context: &'a Context,
    progress: Progress,
    interrupts: Signal,
    operation: Option<String>,
    /// Events seen, so that a second look at the stream does not show them again.
    seen: usize,
    /// Why we asked for it to be cancelled.
    cancelled: Option<Code>,
    /// Since when the node that it runs on is away.
    away: Option<Instant>,
}

/// Begins an operation and follows it; with a time limit it is cancelled when that is over.
pub(crate) async fn operate<B: Serialize>(
    context: &Context,
    client: &mut Client,
    path: &str,
    body: &B,
    limit: Option<Duration>,
) -> Result<Outcome, Failure> {
    let progress = context.output.progress();
    // Before the operation begins, so that no Ctrl-C falls between.
    let interrupts = signal(SignalKind::interrupt())
        .map_err(|e| Problem::new(Code::Internal, format!("no signals: {e}")))?;
    let (operation, cancelled, away) = (None, None, None);
    let mut following =
        Following { context, progress, interrupts, operation, seen: 0, cancelled, away };
    let key = idempotency_key()?;
    let outcome = async {
        let mut left = RECONNECTS;
        let mut stream = following.or_leave(client.operate(path, &key, body)).await?;
        loop {
            let lost = match stream {
                Ok(mut lines) => match following.follow(&mut lines, limit).await {
                    Err(Lost(why)) => why,
                    Ok(ended) => return ended,
                },
                Err(ClientError::Connection(why)) => why,
                Err(ClientError::Problem(problem)) if following.may_come_back(&problem) => {
                    tokio::time::sleep(AGAIN).await;
                    stream = following.again(client, path, &key, body).await?;
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            if left == 0 {
                return Err(ClientError::Connection(lost).into());
            }
            left -= 1;
            *client = connect::connect(&context.paths).await?;
            stream = following.again(client, path, &key, body).await?;
        }
    }
    .await;
    following.progress.finish();
    outcome
}

/// The connection broke before the operation ended.
struct Lost(String);

impl Following<'_> {
    /// Follows the operation anew, or begins it where that was not known.
    async fn again<B: Serialize>(
        &mut self,
        client: &mut Client,
        path: &str,
        key: &str,
        body: &B,
    ) -> Result<Result<Lines, ClientError>, Failure> {
        match self.operation.clone() {
            Some(id) => {
                let path = endpoint::fill(endpoint::OPERATION, &[&id]);
                self.or_leave(client.lines(&path)).await
            }
            None => self.or_leave(client.operate(path, key, body)).await,
        }
    }

    /// Whether an operation that was begun runs on a node that is only away for a while.
    fn may_come_back(&mut self, problem: &Problem) -> bool {
        if problem.code != Code::NodeUnreachable || self.operation.is_none() {
            return false;
        }
        if self.away.is_none() {
            self.context
                .output
                .note("the node is away; what was begun there goes on, and is followed");
        }
        self.away.get_or_insert_with(Instant::now).elapsed() < AWAY_LIMIT
    }

    /// Waits for an answer; a Ctrl-C meanwhile is acted on once the operation is known.
    async fn or_leave<T>(&mut self, answer: impl Future<Output = T>) -> Result<T, Failure> {
        tokio::pin!(answer);
        loop {
            tokio::select! {
                answer = &mut answer => return Ok(answer),
                _ = self.interrupts.recv() => self.cancel(Code::Interrupted).await?,
            }
        }
    }

    async fn follow(
        &mut self,
        lines: &mut Lines,
        limit: Option<Duration>,
    ) -> Result<Result<Outcome, Failure>, Lost> {
        let deadline = tokio::time::sleep(limit.unwrap_or(Duration::MAX));
        tokio::pin!(deadline);
        let mut place = 0;
        loop {
            let event = tokio::select! {
                event = lines.next::<Event>() => event,
                _ = self.interrupts.recv() => {
                    match self.cancel(Code::Interrupted).await {
                        Ok(()) => continue,
                        Err(failure) => return Ok(Err(failure)),
                    }
                }
                () = &mut deadline, if limit.is_some() && self.cancelled.is_none() => {
                    match self.cancel(Code::Timeout).await {
                        Ok(()) => continue,
                        Err(failure) => return Ok(Err(failure)),
                    }
                }
            };
            let event = match event {
                Ok(Some(event)) => event,
                Ok(None) => return Err(Lost("the stream ended too early".to_owned())),
                Err(ClientError::Connection(why)) => return Err(Lost(why)),
                Err(error) => return Ok(Err(error.into())),
            };
            self.away = None;
            place += 1;
            if place > self.seen {
                self.seen = place;
                self.progress.event(&event);
            }
            match event {
                Event::Accepted { operation } => {
                    self.operation = Some(operation);
                    if self.cancelled.is_some()
                        && let Err(failure) = self.send_cancel().await
                    {
                        return Ok(Err(failure));
                    }
                }
                Event::Done { result } => return Ok(Ok(result)),
                Event::Failed { problem } => return Ok(Err(self.failed(problem).into())),
                _ => {}
            }
        }
    }

    /// Asks for the operation to be undone; a second Ctrl-C leaves at once.
    async fn cancel(&mut self, why: Code) -> Result<(), Failure> {
        self.progress.finish();
        let output = &self.context.output;
        if self.cancelled.is_some() {
            output.warn("leaving; the daemon goes on undoing it");
            return Err(Failure::Exit(Code::Interrupted.exit_code()));
        }
        self.cancelled = Some(why);
        output.warn(match why {
            Code::Timeout => "the time is over: undoing what was done",
            _ => "interrupted: undoing what was done (Ctrl-C again to leave at once)",
        });
        self.send_cancel().await
    }

    /// Tells the node, as soon as the operation's id is known.
    async fn send_cancel(&self) -> Result<(), Failure> {
        let Some(operation) = &self.operation else { return Ok(()) };
        let path = endpoint::fill(endpoint::OPERATION_CANCEL, &[operation]);
        // The operation's own connection is busy with its events.
        if let Some(mut other) = connect::running(&self.context.paths).await? {
            let _: Value = other.post(&path, &idempotency_key()?, &json!({})).await?;
        }
        Ok(())
    }

    /// The problem that an operation ended with, as the user caused it.
    fn failed(&self, problem: Problem) -> Problem {
        match self.cancelled {
            Some(Code::Timeout) => Problem { code: Code::Timeout, ..problem },
            Some(code) if problem.code == Code::Cancelled => Problem { code, ..problem },
            _ => problem,
        }
    }
}

/// The last line of an operation's JSON output.
#[derive(Serialize)]
pub(crate) struct Success<'a> {
    outcome: &'static str,
    #[serde(flatten)]
    result: &'a Outcome,
}

impl<'a> Success<'a> {
    pub(crate) fn new(result: &'a Outcome) -> Self {
        Self { outcome: "success", result }
    }
}

/// Prints what an operation left: its summary, or JSON.
pub(crate) fn finished(
    context: &Context,
    result: &Outcome,
    otherwise: &str,
) -> Result<(), Failure> {
    if context.output.is_quiet() {
        return Ok(());
    }
    context.output.result(&Success::new(result), |_, _| {
        if result.summary.is_empty() { otherwise.to_owned() } else { result.summary.clone() }
    })
}

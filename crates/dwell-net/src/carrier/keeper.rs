//! The task behind a carrier: carries out the plan, and tells how it goes.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, sleep, timeout};

use super::plan::Plan;
use super::{
    Connector, Established, Failure, Guard, Handler, LinkError, Settings, Shared, State, establish,
    serve,
};
use crate::mux::{Incoming, Mux, Reason, Side};

/// How long a link may take to answer before it counts as lost, after a wake.
const PROBE: Duration = Duration::from_secs(3);

pub(crate) struct Keeper {
    shared: Arc<Shared>,
    connectors: Vec<Way>,
    hello: Bytes,
    handler: Handler,
    plan: Plan,
    began: Instant,
    attempts: JoinSet<Ended>,
    current: Option<Current>,
    /// Since when there is no link.
    down_since: Instant,
}

struct Way {
    connector: Arc<dyn Connector>,
    attempt: Option<AbortHandle>,
    /// What went wrong last, and how many failures of any way came before it.
    failure: Option<(u64, LinkError)>,
}

/// A connector's place, and how its attempt ended.
type Ended = (usize, Result<Made, LinkError>);

/// What an attempt makes.
struct Made {
    established: Established,
    latency: Duration,
    incoming: Incoming,
    guard: Box<dyn Guard>,
}

struct Current {
    index: usize,
    mux: Mux,
    since: Instant,
    latency: Duration,
    hello: Bytes,
}

enum Happened {
    Attempt(usize, Result<Made, LinkError>),
    Lost(Reason),
    Wake,
    Time,
}

impl Keeper {
    pub(crate) fn new(
        shared: Arc<Shared>,
        connectors: Vec<Arc<dyn Connector>>,
        hello: Bytes,
        handler: Handler,
    ) -> Self {
        let way = |connector| Way { connector, attempt: None, failure: None };
        let connectors: Vec<_> = connectors.into_iter().map(way).collect();
        Self {
            plan: Plan::new(shared.settings.retry.clone(), connectors.len()),
            shared,
            connectors,
            hello,
            handler,
            began: Instant::now(),
            attempts: JoinSet::new(),
            current: None,
            down_since: Instant::now(),
        }
    }

    pub(crate) async fn run(mut self) {
        loop {
            while let Some(index) = self.plan.due(self.began.elapsed()) {
                self.begin(index);
            }
            self.publish();
            match self.wait().await {
                Happened::Attempt(index, Ok(made)) => self.up(index, made),
                Happened::Attempt(index, Err(error)) => self.failed(index, error),
                Happened::Lost(reason) => self.lost(reason),
                Happened::Wake => self.wake(),
                Happened::Time => {}
            }
        }
    }

    async fn wait(&mut self) -> Happened {
        let next = self.plan.next();
        let time = async {
            match next {
                Some(next) => sleep(next.saturating_sub(self.began.elapsed())).await,
                None => std::future::pending().await,
            }
        };
        let lost = async {
            match &self.current {
                Some(current) => current.mux.closed().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            reason = lost => Happened::Lost(reason),
            (index, result) = finished(&mut self.attempts) => Happened::Attempt(index, result),
            () = self.shared.wake.notified() => Happened::Wake,
            () = time => Happened::Time,
        }
    }

    fn begin(&mut self, index: usize) {
        self.plan.began(index, self.began.elapsed());
        let Some(way) = self.connectors.get_mut(index) else { return };
        let connector = Arc::clone(&way.connector);
        let (hello, settings) = (self.hello.clone(), self.shared.settings.clone());
        way.attempt = Some(
            self.attempts
                .spawn(async move { (index, attempt(&*connector, &hello, &settings).await) }),
        );
    }

    fn up(&mut self, index: usize, made: Made) {
        let now = self.began.elapsed();
        let Some(way) = self.connectors.get(index) else { return };
        let via = way.connector.name();
        if !self.plan.up(index, now) {
            return;
        }
        let Made { established: Established { mux, hello }, latency, incoming, guard } = made;
        tracing::info!(via, ?latency, "the link is up");
        tokio::spawn(serve(incoming, guard, Arc::clone(&self.handler)));
        for way in self.connectors.iter_mut().skip(index) {
            way.failure = None;
            if let Some(attempt) = way.attempt.take() {
                attempt.abort();
            }
        }
        // The one that carried until now ends with its last stream.
        self.shared.set_current(Some(mux.clone()));
        self.current = Some(Current { index, mux, since: Instant::now(), latency, hello });
    }

    fn failed(&mut self, index: usize, error: LinkError) {
        self.plan.failed(index, self.began.elapsed(), error.may_heal(), chance());
        self.note(index, error);
    }

    fn lost(&mut self, reason: Reason) {
        let Some(current) = self.current.take() else { return };
        self.plan.lost(self.began.elapsed(), chance());
        self.down_since = Instant::now();
        self.note(current.index, reason.into());
    }

    fn note(&mut self, index: usize, error: LinkError) {
        let failures = self.connectors.iter().filter_map(|way| Some(way.failure.as_ref()?.0));
        let number = failures.max().unwrap_or(0) + 1;
        let Some(way) = self.connectors.get_mut(index) else { return };
        tracing::info!(via = way.connector.name(), %error, "there is no link");
        way.failure = Some((number, error));
    }

    fn wake(&mut self) {
        self.plan.wake(self.began.elapsed());
        if let Some(current) = &self.current {
            let mux = current.mux.clone();
            tokio::spawn(async move {
                if timeout(PROBE, mux.ping()).await.is_err() {
                    mux.give_up(PROBE);
                }
            });
        }
    }

    /// Says how the link is, where that is news.
    fn publish(&self) {
        if self.current.is_none() {
            self.shared.set_current(None);
        }
        let state =
            self.current.as_ref().map_or_else(|| self.down(), |current| self.is_up(current));
        self.shared.state.send_if_modified(|old| {
            let news = *old != state;
            if news {
                *old = state;
            }
            news
        });
    }

    fn is_up(&self, current: &Current) -> State {
        let via = self.connectors.get(current.index).map_or("", |way| way.connector.name());
        let Current { since, latency, ref hello, .. } = *current;
        State::Up { since, via, latency, hello: hello.clone(), better: self.failure(current.index) }
    }

    fn down(&self) -> State {
        let since = self.down_since;
        let Some(why) = self.failure(self.connectors.len()) else {
            return State::Connecting { since };
        };
        let next = self.plan.next().filter(|_| !self.plan.is_trying());
        State::Down { since, why, retry_at: next.map(|next| self.began + next) }
    }

    /// What went wrong last with one of the first `count` connectors; what does not heal by itself
    /// comes first, as people have to know it.
    fn failure(&self, count: usize) -> Option<Failure> {
        let failed = self.connectors.iter().take(count).filter_map(|way| {
            let (number, error) = way.failure.as_ref()?;
            Some(((!error.may_heal(), *number), way.connector.name(), error))
        });
        let (_, via, error) = failed.max_by_key(|(rank, ..)| *rank)?;
        Some(Failure { via, error: error.clone() })
    }
}

/// The next attempt that ends; those that were given up do not count.
async fn finished(attempts: &mut JoinSet<Ended>) -> Ended {
    loop {
        match attempts.join_next().await {
            Some(Ok(ended)) => return ended,
            Some(Err(_)) => {}
            None => std::future::pending().await,
        }
    }
}

/// Connects, says hello, and sees that the other side answers.
async fn attempt(
    connector: &dyn Connector,
    hello: &[u8],
    settings: &Settings,
) -> Result<Made, LinkError> {
    let limit = settings.connect;
    let link = timeout(limit, connector.connect()).await;
    let link = link.unwrap_or(Err(LinkError::TimedOut { limit }))?;
    let (established, incoming, guard) = establish(link, hello, settings, Side::Opening).await?;
    let limit = settings.greet;
    match timeout(limit, established.mux.ping()).await {
        Ok(latency) => Ok(Made { latency: latency?, established, incoming, guard }),
        Err(_) => Err(LinkError::Silent { limit }),
    }
}

/// A number from 0 to 1.
fn chance() -> f64 {
    // Without randomness everybody waits for the whole time, which is no more than a pity.
    f64::from(getrandom::u32().unwrap_or(0)) / f64::from(u32::MAX)
}

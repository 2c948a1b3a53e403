//! The UDP loop: a batch of queries in, a batch of answers out.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use super::Shared;
use super::answer::{Carrier, Verdict, View, answer, servfail};
use super::batch::{Batch, Slot};
use super::forward::Job;

/// How long a thread waits for a query before it looks whether it shall end.
pub(crate) const WAKE: Duration = Duration::from_secs(5);

/// Under load the thread pauses this long (and the timer's slack) between batches, which makes
/// them larger: a wake-up costs more than an answer.
const PAUSE: Duration = Duration::from_micros(80);
/// What counts as load: this many queries within the time below.
const MANY: usize = 20;
const WINDOW: Duration = Duration::from_millis(2);

/// Tells whether many queries come from clients that do not wait for each other; a single client
/// that asks one after the other is never made to wait.
struct Load {
    since: Instant,
    queries: usize,
    batches: usize,
    high: bool,
}

impl Load {
    fn count(&mut self, queries: usize) {
        self.queries += queries;
        self.batches += 1;
        let now = Instant::now();
        if now.duration_since(self.since) >= WINDOW {
            let recent = now.duration_since(self.since) < 2 * WINDOW;
            self.high = recent && self.queries >= MANY && self.batches * 4 <= self.queries * 3;
            (self.since, self.queries, self.batches) = (now, 0, 0);
        }
    }
}

/// Answers queries until the server stops.
pub(crate) fn serve(shared: &Shared, socket: &Arc<UdpSocket>, jobs: &mpsc::Sender<Job>) {
    let mut batch = Batch::new(socket);
    let mut load = Load { since: Instant::now(), queries: 0, batches: 0, high: false };
    while !shared.stop.load(Ordering::Acquire) {
        if load.high {
            std::thread::sleep(PAUSE);
        }
        load.count(batch.receive(socket));
        let zones = shared.zones.load();
        let forwards = shared.upstreams.load().is_some();
        let view = View { table: &shared.table, zones: &zones, forwards };
        batch.answer(|query, peer, out| reply(&view, query, peer, out, socket, jobs));
        batch.send(socket);
    }
}

fn reply(
    view: &View<'_>,
    query: &[u8],
    peer: SocketAddr,
    out: &mut Vec<u8>,
    socket: &Arc<UdpSocket>,
    jobs: &mpsc::Sender<Job>,
) -> Slot {
    if peer.port() == 0 {
        return Slot::Silent;
    }
    match answer(view, query, Carrier::Udp, out) {
        Verdict::Reply => Slot::Answered,
        Verdict::Drop => Slot::Silent,
        Verdict::Forward => {
            let job = Job { query: query.into(), peer, socket: Arc::clone(socket) };
            if jobs.try_send(job).is_ok() {
                return Slot::Silent;
            }
            servfail(query, Carrier::Udp, out);
            Slot::Answered
        }
    }
}

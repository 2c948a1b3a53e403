//! The UDP loop: a batch of queries in, a batch of answers out.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::mpsc;

use super::Shared;
use super::answer::{Carrier, Verdict, View, answer, servfail};
use super::batch::{Batch, Slot};
use super::forward::Job;

/// How long a thread waits for a query before it looks whether it shall end.
pub(crate) const WAKE: Duration = Duration::from_secs(1);

/// Answers queries until the server stops.
pub(crate) fn serve(shared: &Shared, socket: &Arc<UdpSocket>, jobs: &mpsc::Sender<Job>) {
    let mut batch = Batch::new(socket);
    while !shared.stop.load(Ordering::Acquire) {
        batch.receive(socket);
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

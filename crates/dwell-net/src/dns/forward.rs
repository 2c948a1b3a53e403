//! Names that are not ours, for machines without a resolver that can route by suffix: the query
//! goes to one upstream after the other under an id and from a port of its own, and the answer
//! goes back as it came. A truncated answer stays so: the client then asks by TCP, and so do we.

use std::net::{SocketAddr, UdpSocket as StdSocket};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout, timeout_at};

use super::Shared;
use super::answer::{Carrier, servfail};
use super::message::{HEADER, Question, put_u16, u16_at};

/// How many forwarded queries may wait; more are answered SERVFAIL at once.
pub(crate) const QUEUE: usize = 512;
/// How many are under way at once.
const UNDER_WAY: usize = 512;
/// All attempts together; the client hears SERVFAIL before it gives up by itself.
const LIMIT: Duration = Duration::from_millis(1700);
const ANSWER_MAX: usize = 4096;

/// A query by UDP that an upstream shall answer.
pub(crate) struct Job {
    pub(crate) query: Box<[u8]>,
    pub(crate) peer: SocketAddr,
    pub(crate) socket: Arc<StdSocket>,
}

/// Forwards what comes in `queue` until its senders are gone.
pub(crate) async fn run(shared: Arc<Shared>, mut queue: mpsc::Receiver<Job>) {
    let mut tasks = JoinSet::new();
    while let Some(job) = queue.recv().await {
        if tasks.len() >= UNDER_WAY {
            tasks.join_next().await;
        }
        while tasks.try_join_next().is_some() {}
        let shared = Arc::clone(&shared);
        tasks.spawn(async move {
            let reply = match over_udp(&shared, &job.query).await {
                Some(reply) => reply,
                None => {
                    let mut reply = Vec::new();
                    servfail(&job.query, Carrier::Udp, &mut reply);
                    reply
                }
            };
            // Sending to a loopback peer does not block for long; a lost answer is asked again.
            let _ = job.socket.send_to(&reply, job.peer);
        });
    }
}

async fn over_udp(shared: &Shared, query: &[u8]) -> Option<Vec<u8>> {
    attempt(shared, query, async |upstream, query| {
        let any: SocketAddr =
            if upstream.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0u16; 8], 0).into() };
        let socket = UdpSocket::bind(any).await.ok()?;
        socket.connect(upstream).await.ok()?;
        socket.send(query).await.ok()?;
        let mut reply = vec![0; ANSWER_MAX];
        loop {
            let length = socket.recv(&mut reply).await.ok()?;
            if answers(reply.get(..length)?, query) {
                reply.truncate(length);
                return Some(reply);
            }
        }
    })
    .await
}

/// Asks the upstreams by TCP, as the client did.
pub(crate) async fn over_tcp(shared: &Shared, query: &[u8]) -> Option<Vec<u8>> {
    attempt(shared, query, async |upstream, query| {
        let mut stream = TcpStream::connect(upstream).await.ok()?;
        let length = u16::try_from(query.len()).ok()?;
        let framed = [&length.to_be_bytes(), query].concat();
        stream.write_all(&framed).await.ok()?;
        let length = stream.read_u16().await.ok()?;
        let mut reply = vec![0; usize::from(length)];
        stream.read_exact(&mut reply).await.ok()?;
        answers(&reply, query).then_some(reply)
    })
    .await
}

/// Tries one upstream after the other; each has an equal share of the time.
async fn attempt(
    shared: &Shared,
    query: &[u8],
    ask: impl AsyncFn(SocketAddr, &[u8]) -> Option<Vec<u8>>,
) -> Option<Vec<u8>> {
    let upstreams = shared.upstreams.load_full();
    let upstreams = upstreams.as_deref().filter(|list| !list.is_empty())?;
    let deadline = Instant::now() + LIMIT;
    let share = LIMIT / u32::try_from(upstreams.len()).ok()?;
    let id = u16_at(query, 0);
    let mut fresh = query.to_vec();
    for upstream in upstreams {
        let mut random = [0; 2];
        getrandom::fill(&mut random).ok()?;
        put_u16(&mut fresh, 0, u16::from_be_bytes(random));
        let asked = timeout(share, ask(*upstream, &fresh));
        if let Ok(Ok(Some(mut reply))) = timeout_at(deadline, asked).await {
            put_u16(&mut reply, 0, id);
            return Some(reply);
        }
        tracing::debug!(%upstream, "no answer from the upstream DNS server");
    }
    None
}

/// Whether `reply` is an answer to `query`: the same id and the same question.
fn answers(reply: &[u8], query: &[u8]) -> bool {
    let Some(question) = Question::read(query) else { return false };
    let asked = query.get(HEADER..question.end);
    reply.get(2).is_some_and(|flags| flags & 0x80 != 0)
        && u16_at(reply, 0) == u16_at(query, 0)
        && u16_at(reply, 4) == 1
        && reply
            .get(HEADER..question.end)
            .zip(asked)
            .is_some_and(|(a, b)| a.eq_ignore_ascii_case(b))
}

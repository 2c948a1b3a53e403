//! One link: its streams by number, what its reader does with each frame, and how it ends.

use std::any::Any;
use std::collections::HashMap;
use std::io;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use bytes::{BufMut, Bytes, BytesMut};
use tokio::io::AsyncReadExt;
use tokio::sync::{mpsc, watch};
use tokio::time::{sleep, timeout};

use super::alive::{Alive, Need, need};
use super::error::{MuxError, ProtocolError, Reason, Refusal};
use super::frame::{Control, Decoder, Event, HEAD};
use super::output::Output;
use super::pipe::{BULK, PipeReader, SPLICES, widen};
use super::state::{Passed, Shared};
use super::stream::{Arrival, Stream};
use super::window::{Grant, Path};
use super::{Keep, Mux, Reading, Settings, Side, Writing};

/// How much is read at once, in bytes.
const CHUNK: usize = 128 * 1024;
/// A buffer with less space than this is not read into.
const LEAST: usize = 16 * 1024;

/// What all streams of a link share.
pub(crate) struct Link {
    side: Side,
    pub(crate) settings: Settings,
    pub(crate) output: Output,
    /// Whether what is read can be passed on to a socket.
    pub(crate) splices_in: bool,
    pub(crate) alive: Alive,
    streams: Mutex<Streams>,
    /// By how much windows may grow in all.
    spare: AtomicU32,
    life: watch::Sender<Life>,
}

/// Where a link is in its life.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Life {
    Used,
    /// Nobody has a use for it any more: it ends after what waits is written.
    Unused,
    Over(Reason),
}

struct Streams {
    open: HashMap<u32, Arc<Shared>>,
    next: u32,
    over: bool,
}

impl Link {
    pub(crate) fn new(
        read: &dyn Reading,
        write: Box<dyn Writing>,
        side: Side,
        settings: Settings,
    ) -> Self {
        let next = match side {
            Side::Opening => 1,
            Side::Answering => 2,
        };
        if let Some(pipe) = pipe(read) {
            widen(pipe);
        }
        Self {
            side,
            // Of each stream at most an opening, an answer, data, credit, an end and a reset wait.
            output: Output::new(write, 1024 + 6 * settings.streams),
            splices_in: SPLICES && pipe(read).is_some(),
            alive: Alive::new(),
            streams: Mutex::new(Streams { open: HashMap::new(), next, over: false }),
            spare: AtomicU32::new(settings.growth),
            life: watch::Sender::new(Life::Used),
            settings,
        }
    }

    fn streams(&self) -> MutexGuard<'_, Streams> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a stream of this side's and queues its opening.
    pub(crate) fn open(&self, head: Bytes) -> Result<Arc<Shared>, MuxError> {
        if head.len() > HEAD {
            return Err(MuxError::Head { length: head.len() });
        }
        let limit = self.settings.streams;
        let shared = {
            let mut streams = self.streams();
            if streams.over {
                return Err(self.reason().into());
            }
            if streams.open.len() >= limit {
                return Err(MuxError::TooMany { limit });
            }
            // Numbers come round again after 2^31 streams; those still in use are passed over.
            while streams.open.contains_key(&streams.next) {
                streams.next = self.side.after(streams.next);
            }
            let number = streams.next;
            streams.next = self.side.after(number);
            let shared = Arc::new(Shared::new(number, false));
            streams.open.insert(number, Arc::clone(&shared));
            shared
        };
        self.output.add(Control::Open { stream: shared.number(), head })?;
        Ok(shared)
    }

    /// A stream that is over in both directions is forgotten.
    pub(crate) fn forget(&self, number: u32) {
        self.streams().open.remove(&number);
    }

    /// Why it is over; `Closed` as long as that is not known.
    pub(crate) fn reason(&self) -> Reason {
        match &*self.life.borrow() {
            Life::Over(reason) => reason.clone(),
            Life::Used | Life::Unused => Reason::Closed,
        }
    }

    pub(crate) fn life(&self) -> watch::Receiver<Life> {
        self.life.subscribe()
    }

    /// What a stream's window may do now.
    pub(crate) fn path(&self) -> Path {
        let spare = self.spare.load(Ordering::Relaxed);
        Path { now: self.alive.now(), round_trip: self.alive.shortest(), spare }
    }

    /// Lets the other side send more.
    pub(crate) fn grant(&self, stream: u32, grant: &Grant) {
        self.grown(i64::from(grant.grown));
        self.sent(self.output.add(Control::Credit { stream, bytes: grant.credit }));
    }

    /// A window grew, or one that had grown is gone (negative).
    pub(crate) fn grown(&self, by: i64) {
        let change = |spare: u32| u32::try_from(i64::from(spare).saturating_sub(by).max(0)).ok();
        let _ = self.spare.fetch_update(Ordering::Relaxed, Ordering::Relaxed, change);
    }

    pub(crate) fn is_over(&self) -> bool {
        matches!(*self.life.borrow(), Life::Over(_))
    }

    /// Waits until nobody has a use for it any more, or it is over.
    pub(crate) async fn left(&self) {
        let _ = self.life().wait_for(|life| *life != Life::Used).await;
    }

    /// Nobody has a use for it any more.
    pub(crate) fn leave(&self) {
        self.life.send_if_modified(|life| {
            let used = *life == Life::Used;
            if used {
                *life = Life::Unused;
            }
            used
        });
    }

    /// Ends it: every stream fails with the reason, unless it had ended before.
    pub(crate) fn fail(&self, reason: &Reason) {
        let open = {
            let mut streams = self.streams();
            if std::mem::replace(&mut streams.over, true) {
                return;
            }
            std::mem::take(&mut streams.open)
        };
        self.life.send_replace(Life::Over(reason.clone()));
        for shared in open.into_values() {
            shared.fail(Refusal::Over(reason.clone()));
        }
        self.output.close();
    }

    /// What the output says; its failure is the link's.
    pub(crate) fn sent(&self, result: Result<(), Reason>) {
        match result {
            Ok(()) => self.alive.has_sent(),
            Err(reason) => self.fail(&reason),
        }
    }

    /// How many streams are open.
    pub(crate) fn count(&self) -> usize {
        self.streams().open.len()
    }

    fn find(&self, stream: u32) -> Option<Arc<Shared>> {
        self.streams().open.get(&stream).cloned()
    }
}

/// The part of a link that reads.
pub(crate) struct Reader {
    link: Arc<Link>,
    /// Gone when nobody uses the link.
    keep: Weak<Keep>,
    arrivals: mpsc::UnboundedSender<Arrival>,
    /// What came last was much data that might have been passed on inside the kernel.
    bulk: bool,
}

/// What a reader does next.
enum Next {
    /// It looks at what it has.
    More,
    /// It reads at most so much.
    Read(usize),
}

impl Reader {
    /// `keep` is for the streams that the other side opens, which go to `arrivals`.
    pub(crate) fn new(
        link: Arc<Link>,
        keep: Weak<Keep>,
        arrivals: mpsc::UnboundedSender<Arrival>,
    ) -> Self {
        Self { link, keep, arrivals, bulk: false }
    }

    /// Reads until the link ends, and ends it.
    pub(crate) async fn run(mut self, mut io: Box<dyn Reading>, mut buffer: BytesMut) {
        let link = Arc::clone(&self.link);
        let mut reading = std::pin::pin!(self.read(&mut *io, &mut buffer));
        // Reading comes first, so that a process that was stopped for a while sees what has come
        // before it takes the other side for dead.
        let reason = tokio::select! {
            biased;
            reason = &mut reading => reason,
            reason = watch_over(&link) => reason,
            () = link.left() => {
                if link.is_over() {
                    return;
                }
                // The other side still gets what was written: a socket that is closed with unread
                // data would throw it away.
                let _ = timeout(link.settings.dead, reading).await;
                Reason::Closed
            }
        };
        link.fail(&reason);
    }

    async fn read(&mut self, io: &mut dyn Reading, buffer: &mut BytesMut) -> Reason {
        let mut decoder = Decoder::default();
        loop {
            let result = match self.take(&mut decoder, buffer) {
                Ok(()) => self.pass(pipe(io), &mut decoder, buffer).await,
                Err(error) => Err(error.into()),
            };
            let most = match result {
                Ok(Next::More) => continue,
                Ok(Next::Read(most)) => most,
                Err(reason) => return reason,
            };
            if buffer.capacity() - buffer.len() < LEAST.min(most) {
                buffer.reserve(CHUNK);
            }
            match io.read_buf(&mut buffer.limit(most)).await {
                Ok(0) => return Reason::Ended,
                Ok(_) => self.link.alive.has_received(),
                Err(error) => return Reason::broken(&error),
            }
        }
    }

    /// Takes all whole frames, and what has come of the last.
    fn take(&mut self, decoder: &mut Decoder, buffer: &mut BytesMut) -> Result<(), ProtocolError> {
        while let Some(event) = decoder.next(buffer)? {
            self.handle(event, buffer)?;
        }
        Ok(())
    }

    /// Passes bulk data on inside the kernel, as long as that is possible, and says how much to
    /// read after it. Data that was read cannot be passed on, so where more of the kind is to be
    /// expected only the next header is read.
    async fn pass(
        &mut self,
        pipe: Option<&PipeReader>,
        decoder: &mut Decoder,
        buffer: &mut BytesMut,
    ) -> Result<Next, Reason> {
        let Some(pipe) = pipe.filter(|_| self.link.splices_in) else {
            return Ok(Next::Read(CHUNK));
        };
        let mut waited = false;
        while let Some((stream, missing)) = decoder.data() {
            // The little that is missing of much goes the same way.
            let much = self.bulk || missing >= BULK;
            let Some(shared) = self.link.find(stream).filter(|_| much) else {
                self.bulk = false;
                break;
            };
            match shared.pass(pipe.as_fd(), missing, || self.link.path())? {
                Passed::Some(length, grant) => {
                    decoder.passed(length);
                    self.bulk = true;
                    self.link.alive.has_received();
                    grant.iter().for_each(|grant| self.link.grant(stream, grant));
                }
                Passed::Nothing => match pipe.try_read_buf(&mut buffer.limit(1)) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        pipe.readable().await.map_err(|error| Reason::broken(&error))?;
                    }
                    // The socket takes no more, or something came just now.
                    Ok(1) => return Ok(Next::More),
                    _ => break,
                },
                // Its user gets a turn to write what came before.
                Passed::Busy if !waited => {
                    waited = true;
                    tokio::task::yield_now().await;
                }
                Passed::Busy | Passed::Never => {
                    self.bulk = false;
                    break;
                }
            }
        }
        Ok(Next::Read(if self.bulk { decoder.wants(buffer) } else { CHUNK }))
    }

    fn handle(&mut self, event: Event, buffer: &mut BytesMut) -> Result<(), ProtocolError> {
        let link = &self.link;
        match event {
            Event::Data { stream, length } => match link.find(stream) {
                Some(shared) => self.bulk = shared.receive(buffer, length)? && length >= BULK,
                // It is over here, which the other side does not know yet.
                None => drop(buffer.split_to(length)),
            },
            Event::Control(Control::Open { stream, head }) => self.arrive(stream, head)?,
            Event::Control(Control::Accepted { stream }) => {
                link.find(stream).into_iter().for_each(|shared| shared.accept());
            }
            Event::Control(Control::Refused { stream, reason }) => {
                self.over(stream, &Refusal::Refused { reason });
            }
            Event::Control(Control::Credit { stream, bytes }) => {
                link.find(stream).map_or(Ok(()), |shared| shared.allow(bytes))?;
            }
            Event::Control(Control::Fin { stream }) => {
                if let Some(shared) = link.find(stream)
                    && shared.end()?
                {
                    link.forget(stream);
                }
            }
            Event::Control(Control::Reset { stream }) => self.over(stream, &Refusal::Reset),
            Event::Control(Control::Ping { number }) => {
                link.sent(link.output.send_control(Control::Pong { number }));
            }
            Event::Control(Control::Pong { number }) => link.alive.pong(number),
        }
        Ok(())
    }

    fn over(&self, stream: u32, failure: &Refusal) {
        if let Some(shared) = self.link.find(stream) {
            self.link.forget(stream);
            shared.fail(failure.clone());
        }
    }

    /// The other side opens a stream.
    fn arrive(&mut self, stream: u32, head: Bytes) -> Result<(), ProtocolError> {
        if self.link.side.owns(stream) {
            return Err(ProtocolError::Number { stream });
        }
        let Some(keep) = self.keep.upgrade() else { return Ok(()) };
        let shared = Arc::new(Shared::new(stream, true));
        {
            let mut streams = self.link.streams();
            if streams.open.contains_key(&stream) {
                return Err(ProtocolError::Number { stream });
            }
            if streams.over {
                return Ok(());
            }
            if streams.open.len() >= self.link.settings.streams {
                drop(streams);
                let reason = Bytes::from_static(b"too many streams are open");
                self.link.sent(self.link.output.add(Control::Refused { stream, reason }));
                return Ok(());
            }
            streams.open.insert(stream, Arc::clone(&shared));
        }
        // When nobody takes arrivals any more, this one is dropped, which refuses it.
        let _ = self.arrivals.send(Arrival::new(head, Stream::new(shared, Mux { keep })));
        Ok(())
    }
}

/// The part of a link that writes what others leave, until the link ends.
pub(crate) async fn write(link: Arc<Link>) {
    tokio::select! {
        biased;
        error = link.output.run() => link.fail(&Reason::broken(&error)),
        () = link.left() => {
            // It ends anyway; who reads the other side learns no more from an error here.
            let _ = timeout(link.settings.dead, link.output.finish()).await;
        }
    }
}

/// Pings, and says when the other side is gone.
async fn watch_over(link: &Link) -> Reason {
    let (alive, settings) = (&link.alive, &link.settings);
    let ping = || {
        let number = alive.ping(None);
        link.sent(link.output.add(Control::Ping { number }));
        alive.now()
    };
    // Windows can grow when the round trip is known.
    let mut pinged = ping();
    loop {
        let since_ping = alive.now().saturating_sub(pinged);
        let (received, sent) = (alive.since_received(), alive.since_sent());
        match need(received, sent, since_ping, settings.ping, settings.dead) {
            Need::Wait(time) => sleep(time).await,
            Need::Ping => pinged = ping(),
            Need::Dead(after) => return Reason::Silent { after },
        }
    }
}

/// The pipe that a link is read from, if it is one.
fn pipe(read: &dyn Reading) -> Option<&PipeReader> {
    (read as &dyn Any).downcast_ref()
}

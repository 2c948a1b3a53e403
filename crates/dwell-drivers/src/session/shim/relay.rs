//! Passing bytes between the terminal and the command, and the command's output into the
//! transcript, until the command has ended and its last byte is kept.

use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use rustix::process::Signal as ToChild;
use tokio::io::unix::AsyncFd;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

use super::child::Child;
use super::terminal::Terminal;
use crate::session::files::Ending;
use crate::session::transcript;

/// The most that is under way in one direction, in bytes.
const CHUNK: usize = 64 << 10;

/// How long each of the signals that end the command may take before the next one.
const PATIENCE: Duration = Duration::from_secs(3);

/// How long output is awaited from processes that the command left behind on its terminal.
const AFTERGLOW: Duration = Duration::from_millis(100);

/// The most that the kernel can hold of what the command wrote, in bytes, and more.
const HELD_MAX: usize = 1 << 20;

/// How long the terminal may take to accept the last output.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// The signals that matter to the shim.
#[derive(Debug)]
pub(super) struct Signals {
    child: Signal,
    resized: Signal,
    hangup: Signal,
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Starts to listen; signals from now on are not missed.
    pub(super) fn listen() -> io::Result<Self> {
        Ok(Self {
            child: signal(SignalKind::child())?,
            resized: signal(SignalKind::window_change())?,
            hangup: signal(SignalKind::hangup())?,
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }
}

/// The command is being ended: the signals still to come, and when.
#[derive(Debug, Default)]
struct Farewell {
    next: Option<(ToChild, Instant)>,
    begun: bool,
}

impl Farewell {
    fn begin(&mut self, child: &Child, first: ToChild) {
        if !self.begun {
            self.begun = true;
            self.send(child, first);
        }
    }

    fn send(&mut self, child: &Child, signal: ToChild) {
        child.signal(signal);
        // A stopped process acts on a signal only once it goes on.
        child.signal(ToChild::CONT);
        let next = match signal {
            ToChild::HUP => ToChild::TERM,
            _ => ToChild::KILL,
        };
        self.next = Some((next, Instant::now() + PATIENCE));
    }
}

/// Bytes on their way: filled from one side, emptied to the other.
#[derive(Debug)]
struct Buffer {
    bytes: Box<[u8]>,
    start: usize,
    end: usize,
}

impl Buffer {
    fn new() -> Self {
        Self { bytes: vec![0; CHUNK].into(), start: 0, end: 0 }
    }

    fn is_empty(&self) -> bool {
        self.start == self.end
    }

    fn content(&self) -> &[u8] {
        self.bytes.get(self.start..self.end).unwrap_or_default()
    }

    fn clear(&mut self) {
        (self.start, self.end) = (0, 0);
    }

    /// Replaces the content by what can be read now; `Ok(0)` at the end of the stream.
    fn fill(&mut self, fd: impl AsFd) -> io::Result<usize> {
        self.clear();
        while let Some(room) = self.bytes.get_mut(self.end..).filter(|room| !room.is_empty()) {
            match rustix::io::read(&fd, room) {
                Ok(0) => break,
                Ok(count) => self.end += count,
                Err(rustix::io::Errno::INTR) => {}
                // A terminal whose other side is closed says so by an error.
                Err(rustix::io::Errno::IO) => break,
                Err(_) if self.end > 0 => break,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(self.end)
    }

    fn empty(&mut self, fd: impl AsFd) -> io::Result<()> {
        while !self.is_empty() {
            match rustix::io::write(&fd, self.content()) {
                Ok(count) => self.start += count,
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

/// The relay between the terminal and the command.
#[derive(Debug)]
pub(super) struct Relay {
    terminal: AsyncFd<Terminal>,
    terminal_gone: bool,
    transcript: transcript::Writer,
    incomplete: Option<String>,
    output: Buffer,
    input: Buffer,
}

impl Relay {
    /// A relay to this terminal.
    pub(super) fn new(terminal: Terminal, transcript: transcript::Writer) -> io::Result<Self> {
        Ok(Self {
            terminal: AsyncFd::register(terminal)?,
            terminal_gone: false,
            transcript,
            incomplete: None,
            output: Buffer::new(),
            input: Buffer::new(),
        })
    }

    /// The terminal.
    pub(super) fn terminal(&self) -> &Terminal {
        self.terminal.get_ref()
    }

    /// Why output is missing from the transcript, where some is.
    pub(super) fn incomplete(&self) -> Option<String> {
        self.incomplete.as_deref().map(|why| why.chars().take(100).collect())
    }

    /// Says something in the place of the command, in the transcript and on the terminal.
    pub(super) async fn say(&mut self, text: &str) {
        for chunk in text.as_bytes().chunks(CHUNK) {
            self.output.clear();
            for (to, from) in self.output.bytes.iter_mut().zip(chunk) {
                *to = *from;
            }
            self.output.end = chunk.len();
            self.keep();
            self.show().await;
        }
    }

    /// Relays until the command has ended and everything that it wrote is kept.
    pub(super) async fn run(&mut self, child: Child, mut signals: Signals) -> io::Result<Ending> {
        let mut child = AsyncChild::new(child)?;
        let mut farewell = Farewell::default();
        loop {
            if let Some(ending) = child.command.ended()? {
                self.drain(&child).await;
                return Ok(ending);
            }
            self.step(&mut child, &mut signals, &mut farewell).await;
        }
    }

    /// Waits for whatever comes next and does what it asks for.
    async fn step(&mut self, child: &mut AsyncChild, on: &mut Signals, farewell: &mut Farewell) {
        let next = farewell.next;
        let escalate = async move {
            match next {
                Some((signal, at)) => {
                    sleep_until(at).await;
                    signal
                }
                None => std::future::pending().await,
            }
        };
        let shown = !self.terminal_gone;
        tokio::select! {
            biased;
            _ = on.child.recv() => {}
            _ = on.resized.recv() => {
                if let Ok(size) = self.terminal().size() {
                    child.command.resize(size);
                }
            }
            _ = on.hangup.recv() => farewell.begin(&child.command, ToChild::HUP),
            _ = on.terminate.recv() => farewell.begin(&child.command, ToChild::TERM),
            _ = on.interrupt.recv() => child.command.signal(ToChild::INT),
            signal = escalate => farewell.send(&child.command, signal),
            ready = self.terminal.readable(), if shown && self.input.is_empty() => {
                let buffer = &mut self.input;
                let read = ready.and_then(|mut guard| {
                    guard.try_io(|fd| buffer.fill(fd)).unwrap_or(Err(would_block()))
                });
                match read {
                    Ok(0) => self.lose_terminal(child, farewell),
                    Ok(_) if !child.command.reads() => self.interpret(&child.command),
                    Err(error) if !is_would_block(&error) => self.lose_terminal(child, farewell),
                    _ => {}
                }
            }
            ready = child.stream.writable(), if !self.input.is_empty() => {
                let buffer = &mut self.input;
                let written = ready.and_then(|mut guard| {
                    guard.try_io(|fd| buffer.empty(fd)).unwrap_or(Err(would_block()))
                });
                if written.is_err_and(|error| !is_would_block(&error)) {
                    self.input.clear();
                }
            }
            ready = self.terminal.writable(), if shown && !self.output.is_empty() => {
                let buffer = &mut self.output;
                let written = ready.and_then(|mut guard| {
                    guard.try_io(|fd| buffer.empty(fd)).unwrap_or(Err(would_block()))
                });
                if written.is_err_and(|error| !is_would_block(&error)) {
                    self.lose_terminal(child, farewell);
                }
            }
            ready = child.stream.readable(), if !child.silent && self.output.is_empty() => {
                let buffer = &mut self.output;
                let read = ready.and_then(|mut guard| {
                    guard.try_io(|fd| buffer.fill(fd)).unwrap_or(Err(would_block()))
                });
                match read {
                    Ok(0) => child.silent = true,
                    Ok(_) => self.keep(),
                    Err(error) if !is_would_block(&error) => child.silent = true,
                    Err(_) => {}
                }
            }
        }
    }

    /// The terminal is gone for good, which the command learns as from any terminal.
    fn lose_terminal(&mut self, child: &AsyncChild, farewell: &mut Farewell) {
        self.terminal_gone = true;
        self.output.clear();
        self.input.clear();
        farewell.begin(&child.command, ToChild::HUP);
    }

    /// The keys that mean something to a command that reads nothing.
    fn interpret(&mut self, child: &Child) {
        for byte in self.input.content() {
            match byte {
                0x03 => child.signal(ToChild::INT),
                0x1c => child.signal(ToChild::QUIT),
                _ => {}
            }
        }
        self.input.clear();
    }

    fn keep(&mut self) {
        if let Err(error) = self.transcript.append(self.output.content()) {
            self.incomplete.get_or_insert_with(|| error.to_string());
        }
        if self.terminal_gone {
            self.output.clear();
        }
    }

    /// Waits until the terminal took the output, if it does so in time.
    async fn show(&mut self) {
        if !self.terminal_gone && timeout(LAST_WORDS, self.show_all()).await.is_err() {
            self.terminal_gone = true;
        }
        self.output.clear();
    }

    async fn show_all(&mut self) {
        while !self.output.is_empty() {
            let Ok(mut guard) = self.terminal.writable().await else { return };
            let buffer = &mut self.output;
            if let Ok(Err(_)) = guard.try_io(|fd| buffer.empty(fd)) {
                self.terminal_gone = true;
                return;
            }
        }
    }

    /// Keeps and shows what the command wrote before it ended. The kernel hands over all of it
    /// before it says that there is nothing, so nothing means done, unless somebody else still
    /// has the terminal open; they get a moment.
    async fn drain(&mut self, child: &AsyncChild) {
        self.show().await;
        let until = Instant::now() + AFTERGLOW;
        let mut seen = 0;
        while !child.silent && seen < HELD_MAX {
            match self.output.fill(child.stream.get_ref()) {
                Ok(0) => return,
                Ok(count) => {
                    seen += count;
                    self.keep();
                    self.show().await;
                }
                Err(error) if is_would_block(&error) => {
                    match timeout_at(until, child.stream.readable()).await {
                        Ok(Ok(mut guard)) => guard.clear_ready(),
                        _ => return,
                    }
                }
                Err(_) => return,
            }
        }
    }
}

/// The command with its stream made awaitable.
#[derive(Debug)]
struct AsyncChild {
    command: Child,
    stream: AsyncFd<std::os::fd::OwnedFd>,
    /// Whether its output has ended, which it may do before the command does.
    silent: bool,
}

impl AsyncChild {
    fn new(command: Child) -> io::Result<Self> {
        let stream = AsyncFd::register(command.stream.try_clone()?)?;
        Ok(Self { command, stream, silent: false })
    }
}

fn would_block() -> io::Error {
    io::ErrorKind::WouldBlock.into()
}

fn is_would_block(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock
}

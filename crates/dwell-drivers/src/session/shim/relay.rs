//! Passing bytes between the terminal and the command, and the command's output into the
//! transcript, until the command has ended and its last byte is kept.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::Signal;

use super::buffer::Buffer;
use super::child::Child;
use super::signals::{Notice, Signals};
use super::terminal::Terminal;
use crate::session::files::Ending;
use crate::session::transcript;

/// How long each of the signals that end the command may take before the next one.
const PATIENCE: Duration = Duration::from_secs(3);

/// How long output is awaited from processes that the command left behind on its terminal.
const AFTERGLOW: Duration = Duration::from_millis(100);

/// The most that the kernel can hold of what the command wrote, in bytes, and more.
const HELD_MAX: usize = 1 << 20;

/// How long the terminal may take to accept the last output.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// The command is being ended: the signal still to come, and when.
#[derive(Debug, Default)]
struct Farewell {
    next: Option<(Signal, Instant)>,
}

impl Farewell {
    fn begin(&mut self, child: &Child, first: Signal) {
        if self.next.is_none() {
            self.send(child, first);
        }
    }

    fn send(&mut self, child: &Child, signal: Signal) {
        child.signal(signal);
        // A stopped process acts on a signal only once it goes on.
        child.signal(Signal::CONT);
        let next = if signal == Signal::HUP { Signal::TERM } else { Signal::KILL };
        self.next = Some((next, Instant::now() + PATIENCE));
    }

    /// How long until the next signal is due.
    fn wait(&self) -> Option<Duration> {
        self.next.map(|(_, at)| at.saturating_duration_since(Instant::now()))
    }

    fn go_on(&mut self, child: &Child) {
        if let Some((signal, at)) = self.next
            && Instant::now() >= at
        {
            self.send(child, signal);
        }
    }
}

/// The relay between the terminal and the command.
#[derive(Debug)]
pub(super) struct Relay {
    terminal: Terminal,
    terminal_gone: bool,
    transcript: transcript::Writer,
    incomplete: Option<String>,
    output: Buffer,
    input: Buffer,
    /// The command's output has ended, which it may do before the command does.
    silent: bool,
}

impl Relay {
    /// A relay to this terminal.
    pub(super) fn new(terminal: Terminal, transcript: transcript::Writer) -> Self {
        Self {
            terminal,
            terminal_gone: false,
            transcript,
            incomplete: None,
            output: Buffer::new(),
            input: Buffer::new(),
            silent: false,
        }
    }

    /// The terminal.
    pub(super) fn terminal(&self) -> &Terminal {
        &self.terminal
    }

    /// Why output is missing from the transcript, where some is.
    pub(super) fn incomplete(&self) -> Option<String> {
        self.incomplete.as_deref().map(|why| why.chars().take(100).collect())
    }

    /// Says something in the place of the command, in the transcript and on the terminal.
    pub(super) fn say(&mut self, text: &str) {
        if let Err(error) = self.transcript.append(text.as_bytes()) {
            self.incomplete.get_or_insert_with(|| error.to_string());
        }
        let _ = rustix::io::write(&self.terminal, text.as_bytes());
    }

    /// Relays until the command has ended and everything that it wrote is kept.
    pub(super) fn run(&mut self, mut child: Child, mut signals: Signals) -> io::Result<Ending> {
        let mut farewell = Farewell::default();
        loop {
            if let Some(ending) = child.ended()? {
                self.drain(&child)?;
                return Ok(ending);
            }
            self.until_child_signal(&child, &mut signals, &mut farewell)?;
        }
    }

    /// Relays until a child may have ended.
    fn until_child_signal(
        &mut self,
        child: &Child,
        signals: &mut Signals,
        farewell: &mut Farewell,
    ) -> io::Result<()> {
        loop {
            let (terminal, stream) = (self.terminal_interest(), self.stream_interest());
            let wanted = [
                (signals.as_fd(), PollFlags::IN),
                (self.terminal.as_fd(), terminal),
                (child.stream.as_fd(), stream),
            ];
            let [signalled, terminal_ready, stream_ready] = wait(wanted, farewell.wait())?;
            // Input comes before output, so that a flood does not delay keys.
            if terminal_ready && terminal.contains(PollFlags::IN) {
                self.read_terminal(child, farewell);
            }
            if stream_ready && !self.input.is_empty() && self.input.empty(&child.stream).is_err() {
                self.input.clear();
            }
            if terminal_ready && !self.output.is_empty() {
                self.write_terminal(child, farewell);
            }
            if stream_ready && stream.contains(PollFlags::IN) {
                self.read_stream(child);
            }
            farewell.go_on(child);
            if signalled && self.obey(signals, child, farewell) {
                return Ok(());
            }
        }
    }

    fn terminal_interest(&self) -> PollFlags {
        let mut flags = PollFlags::empty();
        flags.set(PollFlags::IN, !self.terminal_gone && self.input.is_empty());
        flags.set(PollFlags::OUT, !self.terminal_gone && !self.output.is_empty());
        flags
    }

    fn stream_interest(&self) -> PollFlags {
        let mut flags = PollFlags::empty();
        flags.set(PollFlags::IN, !self.silent && self.output.is_empty());
        flags.set(PollFlags::OUT, !self.input.is_empty());
        flags
    }

    /// Acts on signals; whether a child may have ended.
    fn obey(&self, signals: &mut Signals, child: &Child, farewell: &mut Farewell) -> bool {
        let notices = signals.take();
        for notice in &notices {
            match notice {
                Notice::Child => {}
                Notice::Resized => {
                    if let Ok(size) = self.terminal.size() {
                        child.resize(size);
                    }
                }
                Notice::Hangup => farewell.begin(child, Signal::HUP),
                Notice::Terminate => farewell.begin(child, Signal::TERM),
                Notice::Interrupt => child.signal(Signal::INT),
            }
        }
        notices.contains(&Notice::Child)
    }

    fn read_terminal(&mut self, child: &Child, farewell: &mut Farewell) {
        match self.input.fill(&self.terminal) {
            Ok(Some(0)) | Err(_) => self.lose_terminal(child, farewell),
            Ok(Some(_)) if child.reads() => {
                if self.input.empty(&child.stream).is_err() {
                    self.input.clear();
                }
            }
            Ok(Some(_)) => self.interpret(child),
            Ok(None) => {}
        }
    }

    /// The keys that mean something to a command that reads nothing.
    fn interpret(&mut self, child: &Child) {
        for byte in self.input.content() {
            match byte {
                0x03 => child.signal(Signal::INT),
                0x1c => child.signal(Signal::QUIT),
                _ => {}
            }
        }
        self.input.clear();
    }

    fn read_stream(&mut self, child: &Child) {
        match self.output.fill(&child.stream) {
            Ok(Some(0)) | Err(_) => self.silent = true,
            Ok(Some(_)) => {
                self.keep_output();
                // A terminal that is gone shows itself where it is read.
                let _ = self.output.empty(&self.terminal);
            }
            Ok(None) => {}
        }
    }

    fn write_terminal(&mut self, child: &Child, farewell: &mut Farewell) {
        if self.output.empty(&self.terminal).is_err() {
            self.lose_terminal(child, farewell);
        }
    }

    /// The terminal is gone for good, which the command learns as from any terminal.
    fn lose_terminal(&mut self, child: &Child, farewell: &mut Farewell) {
        self.terminal_gone = true;
        self.output.clear();
        self.input.clear();
        farewell.begin(child, Signal::HUP);
    }

    fn keep_output(&mut self) {
        if let Err(error) = self.transcript.append(self.output.content()) {
            self.incomplete.get_or_insert_with(|| error.to_string());
        }
        if self.terminal_gone {
            self.output.clear();
        }
    }

    /// Keeps and shows what the command wrote before it ended. The kernel hands over all of it
    /// before it says that there is nothing, so nothing means done, unless somebody else still
    /// has the terminal open; they get a moment.
    fn drain(&mut self, child: &Child) -> io::Result<()> {
        self.show()?;
        let until = Instant::now() + AFTERGLOW;
        let mut seen = 0;
        while !self.silent && seen < HELD_MAX {
            match self.output.fill(&child.stream) {
                Ok(Some(0)) | Err(_) => self.silent = true,
                Ok(Some(count)) => {
                    seen += count;
                    self.keep_output();
                    self.show()?;
                }
                Ok(None) => {
                    let left = until.saturating_duration_since(Instant::now());
                    let [ready] = wait([(child.stream.as_fd(), PollFlags::IN)], Some(left))?;
                    if !ready {
                        break;
                    }
                }
            }
        }
        Ok(())
    }

    /// Waits until the terminal took the output, if it does so in time.
    fn show(&mut self) -> io::Result<()> {
        let until = Instant::now() + LAST_WORDS;
        while !self.terminal_gone && !self.output.is_empty() {
            let left = until.saturating_duration_since(Instant::now());
            let [ready] = wait([(self.terminal.as_fd(), PollFlags::OUT)], Some(left))?;
            self.terminal_gone = !ready || self.output.empty(&self.terminal).is_err();
        }
        self.output.clear();
        Ok(())
    }
}

/// Waits until one of the descriptors is ready for what is wanted of it, or the time is over;
/// tells which are. Those of which nothing is wanted are not looked at.
fn wait<const N: usize>(
    wanted: [(BorrowedFd<'_>, PollFlags); N],
    limit: Option<Duration>,
) -> io::Result<[bool; N]> {
    let some = |flags: PollFlags| !flags.is_empty();
    let mut polled: Vec<PollFd<'_>> = wanted
        .iter()
        .filter(|(_, flags)| some(*flags))
        .map(|(fd, flags)| PollFd::from_borrowed_fd(*fd, *flags))
        .collect();
    let limit = limit.and_then(|limit| Timespec::try_from(limit).ok());
    match poll(&mut polled, limit.as_ref()) {
        Err(rustix::io::Errno::INTR) => return Ok([false; N]),
        result => result?,
    };
    let mut answers = polled.iter().map(|fd| some(fd.revents()));
    Ok(wanted.map(|(_, flags)| some(flags) && answers.next().unwrap_or(false)))
}

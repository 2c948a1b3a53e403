//! The terminal of the screen: its other page, its raw mode, its keys. Whatever ends the program,
//! the terminal is as it was.

use std::io::{self, Stdout, stdout};
use std::sync::Once;
use std::time::Duration;

use ratatui::Terminal;
use ratatui::backend::{Backend as _, CrosstermBackend};
use ratatui::crossterm::cursor::Show;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{
    EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::Signal as Process;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

use super::{Key, Model, view};

/// Has a build for tests panic once the screen is there.
const PANIC: &str = "DWELL_TEST_PANIC";
/// How long it takes at most until the system stops a program that asks for it.
const STOPPING: Duration = Duration::from_millis(200);

/// The terminal while the screen is on it.
pub(crate) struct Page {
    terminal: Terminal<CrosstermBackend<Stdout>>,
    input: Input,
    resized: Signal,
    continued: Signal,
}

/// Tells when there is something to read, and reads nothing itself: while the terminal is lent,
/// what is typed there is for whoever has it.
struct Input {
    ask: std::sync::mpsc::Sender<()>,
    told: mpsc::Receiver<()>,
    asked: bool,
}

impl Input {
    fn watch() -> Self {
        let (ask, asked) = std::sync::mpsc::channel();
        let (tell, told) = mpsc::channel(1);
        std::thread::spawn(move || {
            while asked.recv().is_ok() {
                let stdin = rustix::stdio::stdin();
                let mut watched = [PollFd::new(&stdin, PollFlags::IN)];
                let seen = rustix::io::retry_on_intr(|| poll(&mut watched, None));
                let [watched] = watched;
                let gone = watched.revents().intersects(PollFlags::HUP | PollFlags::ERR);
                if seen.is_err() || gone || tell.blocking_send(()).is_err() {
                    return;
                }
            }
        });
        Self { ask, told, asked: false }
    }

    /// Waits until there is something to read.
    async fn ready(&mut self) -> io::Result<()> {
        if !std::mem::replace(&mut self.asked, true) {
            // Where nobody takes it, nothing is told either.
            let _ = self.ask.send(());
        }
        let told = self.told.recv().await;
        self.asked = false;
        told.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }
}

/// What came from the terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum News {
    Key(Key),
    /// It has another size, and is drawn anew.
    Resized,
}

impl Page {
    /// Takes the terminal.
    ///
    /// # Errors
    /// When it is none, or cannot be changed.
    pub(crate) fn open() -> io::Result<Self> {
        restore_after_panic();
        let page = Self {
            terminal: Terminal::new(CrosstermBackend::new(stdout()))?,
            input: Input::watch(),
            resized: signal(SignalKind::window_change())?,
            continued: signal(SignalKind::from_raw(Process::CONT.as_raw()))?,
        };
        take()?;
        Ok(page)
    }

    /// Draws the model.
    pub(crate) fn draw(&mut self, model: &Model) -> io::Result<()> {
        self.terminal.draw(|frame| view(model, frame))?;
        // Compiled into builds for tests only.
        debug_assert!(std::env::var_os(PANIC).is_none(), "{PANIC} asks for a panic");
        Ok(())
    }

    /// Gives the terminal to somebody else while the future runs.
    pub(crate) async fn lend<T>(&mut self, to: impl Future<Output = T>) -> io::Result<T> {
        restore();
        let done = to.await;
        self.take_again()?;
        Ok(done)
    }

    /// Waits for what comes from the terminal.
    pub(crate) async fn news(&mut self) -> io::Result<Vec<News>> {
        loop {
            let mut all = Vec::new();
            while event::poll(Duration::ZERO)? {
                match event::read()? {
                    Event::Key(key) if is_stop(key) => {
                        self.stop().await?;
                        all.push(News::Resized);
                    }
                    Event::Key(key) => all.extend(keys_of(key).map(News::Key)),
                    Event::Resize(..) => {
                        self.forget()?;
                        all.push(News::Resized);
                    }
                    _ => {}
                }
            }
            if !all.is_empty() {
                return Ok(all);
            }
            tokio::select! {
                ready = self.input.ready() => ready?,
                _ = self.resized.recv() => {
                    // It may have the size again that it had, and not what was drawn.
                    self.forget()?;
                    return Ok(vec![News::Resized]);
                }
                _ = self.continued.recv() => {
                    self.take_again()?;
                    return Ok(vec![News::Resized]);
                }
            }
        }
    }

    /// Stops as any program does at Ctrl-Z, until the shell lets it go on. Where nobody could do
    /// that, the system does not stop it.
    async fn stop(&mut self) -> io::Result<()> {
        restore();
        rustix::process::kill_current_process_group(Process::TSTP)?;
        let _ = tokio::time::timeout(STOPPING, self.continued.recv()).await;
        self.take_again()
    }

    fn take_again(&mut self) -> io::Result<()> {
        take()?;
        self.forget()
    }

    /// Clears the screen and has all of it drawn anew. The terminal's own way asks where the cursor
    /// is, and fails where the answer is late.
    fn forget(&mut self) -> io::Result<()> {
        self.terminal.backend_mut().clear()?;
        self.terminal.swap_buffers();
        Ok(())
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        restore();
    }
}

fn take() -> io::Result<()> {
    enable_raw_mode()?;
    execute!(stdout(), EnterAlternateScreen)
}

fn restore() {
    // Where the terminal is gone there is nothing to restore.
    let _ = execute!(stdout(), LeaveAlternateScreen, Show);
    let _ = disable_raw_mode();
}

/// A panic ends the program at once, without dropping anything.
fn restore_after_panic() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            restore();
            before(panic);
        }));
    });
}

fn is_stop(key: KeyEvent) -> bool {
    key.code == KeyCode::Char('z') && key.modifiers.contains(KeyModifiers::CONTROL)
}

/// A key that comes close behind Escape looks like one with Alt.
fn keys_of(key: KeyEvent) -> impl Iterator<Item = Key> {
    let escape = key.modifiers.contains(KeyModifiers::ALT).then_some(Key::Escape);
    let pressed = key.kind != KeyEventKind::Release;
    [escape, key_of(key)].into_iter().flatten().filter(move |_| pressed)
}

fn key_of(key: KeyEvent) -> Option<Key> {
    let control = key.modifiers.contains(KeyModifiers::CONTROL);
    Some(match key.code {
        KeyCode::Char('c' | 'd') if control => Key::Interrupt,
        KeyCode::Char('h') if control => Key::Erase,
        KeyCode::Char('p') if control => Key::Up,
        KeyCode::Char('n') if control => Key::Down,
        KeyCode::Char(_) if control => return None,
        KeyCode::Char(c) => Key::Char(c),
        KeyCode::Up => Key::Up,
        KeyCode::Down => Key::Down,
        KeyCode::PageUp => Key::PageUp,
        KeyCode::PageDown => Key::PageDown,
        KeyCode::Home => Key::Home,
        KeyCode::End => Key::End,
        KeyCode::Enter => Key::Enter,
        KeyCode::Esc => Key::Escape,
        KeyCode::Backspace => Key::Erase,
        _ => return None,
    })
}

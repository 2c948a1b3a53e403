//! Programs that run for as long as the workspace does: started again when they end.

use std::io;
use std::process::Command;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::time::Instant;

/// The pause before a program that ended is started again, and the longest one.
pub(super) const PAUSE: Duration = Duration::from_millis(100);
pub(super) const PAUSE_MAX: Duration = Duration::from_secs(30);
/// One that ran for so long was well.
pub(super) const WELL: Duration = Duration::from_secs(10);

/// A program that is kept running.
pub(super) struct Supervised {
    name: &'static str,
    make: Box<dyn Fn() -> io::Result<Command>>,
    running: Option<(Pid, Instant)>,
    next: Option<Instant>,
    pause: Duration,
    /// Whether it is being ended to be started anew.
    anew: bool,
}

impl Supervised {
    /// One that does not run yet; `make` is asked at every start.
    pub(super) fn new(name: &'static str, make: impl Fn() -> Command + 'static) -> Self {
        Self::trying(name, move || Ok(make()))
    }

    /// The same of what cannot always be made.
    pub(super) fn trying(
        name: &'static str,
        make: impl Fn() -> io::Result<Command> + 'static,
    ) -> Self {
        Self { name, make: Box::new(make), running: None, next: None, pause: PAUSE, anew: false }
    }

    /// Whether it has this name.
    pub(super) fn is(&self, name: &str) -> bool {
        self.name == name
    }

    /// Starts it, unless it runs.
    pub(super) fn start(&mut self) {
        self.next = None;
        if self.running.is_some() {
            return;
        }
        match (self.make)().and_then(|mut command| command.spawn()) {
            Ok(child) => {
                let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
                self.running = pid.map(|pid| (pid, Instant::now()));
            }
            Err(error) => {
                super::say(&format!("dwell: {} could not be started: {error}", self.name));
                self.later();
            }
        }
    }

    /// A process has ended, which may be this.
    pub(super) fn ended(&mut self, pid: Pid) {
        let Some((_, since)) = self.running.filter(|(own, _)| *own == pid) else { return };
        self.running = None;
        if std::mem::take(&mut self.anew) {
            return self.start();
        }
        if since.elapsed() > WELL {
            self.pause = PAUSE;
        }
        self.later();
    }

    fn later(&mut self) {
        self.next = Some(Instant::now() + self.pause);
        self.pause = (self.pause * 2).min(PAUSE_MAX);
    }

    /// Ends it so that it is started with the settings of now.
    pub(super) fn restart(&mut self) {
        if let Some((pid, _)) = self.running {
            self.anew = true;
            // It may have ended just now.
            let _ = kill_process(pid, Signal::TERM);
        }
    }
}

/// Ends when one of them is to be started; never while none is.
pub(super) async fn due(all: &[Supervised]) {
    match all.iter().filter_map(|it| it.next).min() {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// Starts those that are to be started.
pub(super) fn start_due(all: &mut [Supervised]) {
    let now = Instant::now();
    all.iter_mut().filter(|it| it.next.is_some_and(|at| at <= now)).for_each(Supervised::start);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_that_does_not_stay_up_is_started_ever_less_often() {
        let mut all = [Supervised::new("x", || Command::new("true"))];
        let pid = Pid::from_raw(7).unwrap();
        let mut waits = Vec::new();
        for _ in 0..12 {
            all[0].running = Some((pid, Instant::now()));
            all[0].ended(pid);
            let begun = Instant::now();
            due(&all).await;
            waits.push(begun.elapsed());
        }
        assert!(waits[1] > waits[0] && *waits.last().unwrap() <= PAUSE_MAX + PAUSE);
        all[0].running = Some((pid, Instant::now()));
        tokio::time::advance(WELL * 2).await;
        all[0].ended(pid);
        let begun = Instant::now();
        due(&all).await;
        assert!(begun.elapsed() < PAUSE * 2);
    }
}

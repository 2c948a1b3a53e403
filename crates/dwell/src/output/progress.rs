//! How an operation goes on: a line on stderr for every step that is done, and on a terminal one
//! for the step that is under way.

use std::io::Write;
use std::time::{Duration, Instant};

use dwell_api::{Event, StepState};

use super::Style;

const CLEAR: &str = "\r\x1b[2K";

/// What was shown of an operation so far.
#[derive(Debug)]
pub(crate) struct Progress {
    hidden: bool,
    terminal: bool,
    style: Style,
    open: Vec<(String, Instant)>,
}

impl Progress {
    pub(crate) fn new(hidden: bool, terminal: bool, style: Style) -> Self {
        Self { hidden, terminal, style, open: Vec::new() }
    }

    /// Shows one event.
    pub(crate) fn event(&mut self, event: &Event) {
        let text = self.text(event, Instant::now());
        if !self.hidden && !text.is_empty() {
            // Where stderr is closed there is nobody left to tell.
            let _ = std::io::stderr().lock().write_all(text.as_bytes());
        }
    }

    /// Ends the line of the step that is under way, so that other text can follow.
    pub(crate) fn finish(&mut self) {
        self.open.clear();
        if self.terminal && !self.hidden {
            let _ = std::io::stderr().lock().write_all(CLEAR.as_bytes());
        }
    }

    /// What to write for an event.
    fn text(&mut self, event: &Event, now: Instant) -> String {
        let lasting = match event {
            Event::Step { step, state } => self.step(step, *state, now),
            Event::Output { line } => Some(self.style.dim(&format!("  | {line}"))),
            Event::Note { text } => Some(format!("{} {text}", self.style.yellow("note:"))),
            Event::Done { .. } | Event::Failed { .. } => {
                self.open.clear();
                None
            }
            Event::Accepted { .. } => None,
        };
        let lasting = lasting.map(|line| format!("{line}\n")).unwrap_or_default();
        if !self.terminal {
            return lasting;
        }
        let current = self.open.last().map(|(step, _)| self.style.dim(&format!("· {step}")));
        format!("{CLEAR}{lasting}{}", current.unwrap_or_default())
    }

    fn step(&mut self, step: &str, state: StepState, now: Instant) -> Option<String> {
        match state {
            StepState::Started => {
                self.open.push((step.to_owned(), now));
                None
            }
            StepState::Done => {
                let place = self.open.iter().position(|(open, _)| open == step);
                let began = place.map(|place| self.open.remove(place).1);
                let time = began.map(|began| seconds(now.duration_since(began)));
                let time = time.map(|time| format!(" {}", self.style.dim(&time)));
                Some(format!("{} {step}{}", self.style.green("✓"), time.unwrap_or_default()))
            }
            StepState::Undoing => {
                self.open.retain(|(open, _)| open != step);
                Some(format!("{} undoing: {step}", self.style.yellow("↶")))
            }
        }
    }
}

/// A duration as people read it.
fn seconds(duration: Duration) -> String {
    format!("{:.1}s", duration.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(step: &str, state: StepState) -> Event {
        Event::Step { step: step.to_owned(), state }
    }

    #[test]
    fn without_a_terminal_every_done_step_is_a_plain_line() {
        let mut progress = Progress::new(false, false, Style::PLAIN);
        let start = Instant::now();
        let mut text = progress.text(&step("creating the tree", StepState::Started), start);
        let later = start + Duration::from_millis(140);
        text += &progress.text(&step("creating the tree", StepState::Done), later);
        text += &progress.text(&Event::Output { line: "pulling".to_owned() }, later);
        text += &progress.text(&Event::Note { text: "volume `x` is shared".to_owned() }, later);
        text += &progress.text(&step("creating the tree", StepState::Undoing), later);
        assert_eq!(
            text,
            "✓ creating the tree 0.1s\n  | pulling\nnote: volume `x` is shared\n\
             ↶ undoing: creating the tree\n"
        );
    }

    #[test]
    fn a_terminal_shows_the_step_under_way_and_clears_it() {
        let mut progress = Progress::new(false, true, Style::PLAIN);
        let now = Instant::now();
        let text = progress.text(&step("starting db", StepState::Started), now);
        assert_eq!(text, format!("{CLEAR}· starting db"));
        let text = progress.text(&step("starting db", StepState::Done), now);
        assert_eq!(text, format!("{CLEAR}✓ starting db 0.0s\n"));
    }
}

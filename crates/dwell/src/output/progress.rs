//! How an operation goes on: a line on stderr for every step that is done, and on a terminal one
//! for the step that is under way. What tools say is shown where it is asked for, passes by on a
//! terminal, and is told when they fail.

use std::collections::VecDeque;
use std::io::Write;
use std::time::{Duration, Instant};

use dwell_api::{Event, StepState};

use super::Style;

const CLEAR: &str = "\r\x1b[2K";
/// Lines of a tool that are told when it fails.
const TOLD: usize = 20;
/// The part of a tool's line that passes by on a terminal.
const PASSING: usize = 40;

/// What was shown of an operation so far.
#[derive(Debug)]
pub(crate) struct Progress {
    hidden: bool,
    terminal: bool,
    style: Style,
    verbose: bool,
    open: Vec<(String, Instant)>,
    said: VecDeque<String>,
}

impl Progress {
    pub(crate) fn new(hidden: bool, terminal: bool, style: Style) -> Self {
        let (open, said) = (Vec::new(), VecDeque::new());
        Self { hidden, terminal, style, verbose: false, open, said }
    }

    /// The same, with all that tools say.
    pub(crate) fn verbose(self, verbose: bool) -> Self {
        Self { verbose, ..self }
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
            Event::Output { line } if self.verbose => Some(self.tool(line)),
            Event::Output { line } => {
                if self.said.len() == TOLD {
                    self.said.pop_front();
                }
                self.said.push_back(line.clone());
                None
            }
            Event::Note { text } => Some(format!("{} {text}", self.style.yellow("note:"))),
            Event::Done { .. } => {
                self.open.clear();
                None
            }
            Event::Failed { .. } => {
                self.open.clear();
                let told: Vec<String> = self.said.iter().map(|line| self.tool(line)).collect();
                (!told.is_empty()).then(|| told.join("\n"))
            }
            Event::Accepted { .. } => None,
        };
        let lasting = lasting.map(|line| format!("{line}\n")).unwrap_or_default();
        if !self.terminal {
            return lasting;
        }
        format!("{CLEAR}{lasting}{}", self.under_way().unwrap_or_default())
    }

    fn tool(&self, line: &str) -> String {
        self.style.dim(&format!("  | {line}"))
    }

    /// The step under way, and the last that its tool said.
    fn under_way(&self) -> Option<String> {
        let (step, _) = self.open.last()?;
        let said = self.said.back().map(|line| {
            let printable = line.trim().chars().filter(|c| !c.is_control());
            format!("  {}", printable.take(PASSING).collect::<String>())
        });
        Some(self.style.dim(&format!("· {step}{}", said.unwrap_or_default())))
    }

    fn step(&mut self, step: &str, state: StepState, now: Instant) -> Option<String> {
        match state {
            StepState::Started => {
                self.open.push((step.to_owned(), now));
                None
            }
            StepState::Done => {
                self.said.clear();
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
            "✓ creating the tree 0.1s\nnote: volume `x` is shared\n↶ undoing: creating the tree\n"
        );
    }

    #[test]
    fn what_a_tool_said_is_told_when_it_is_asked_for_or_the_operation_fails() {
        let now = Instant::now();
        let line = || Event::Output { line: "pulling".to_owned() };
        let problem = dwell_api::Problem::new(dwell_api::Code::ToolFailed, "no");
        let failed = Event::Failed { problem };
        let mut quiet = Progress::new(false, false, Style::PLAIN);
        assert_eq!(quiet.text(&line(), now), "");
        assert_eq!(quiet.text(&failed, now), "  | pulling\n");
        let mut verbose = Progress::new(false, false, Style::PLAIN).verbose(true);
        assert_eq!(verbose.text(&line(), now), "  | pulling\n");
        assert_eq!(verbose.text(&failed, now), "");
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

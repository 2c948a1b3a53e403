//! The one place that prints: results on stdout, everything else on stderr; text for people or
//! JSON for programs; colours on a terminal only.

pub(crate) mod connect;
pub(crate) mod forward;
pub(crate) mod idle;
pub(crate) mod image;
pub(crate) mod progress;
pub(crate) mod remote;
#[cfg(test)]
pub(crate) mod samples;
pub(crate) mod settings;
pub(crate) mod show;
pub(crate) mod snapshot;
mod style;
mod table;
#[cfg(test)]
mod tests;
pub(crate) mod workspace;

use std::io::{BufRead, IsTerminal, Write};

use dwell_api::Problem;
use serde::Serialize;

use crate::arguments::Format;
use crate::failure::{Failure, usage};
pub(crate) use progress::Progress;
pub(crate) use style::Style;
pub(crate) use table::Table;

/// Where and how to print.
#[derive(Debug, Clone)]
pub(crate) struct Output {
    format: Format,
    ask: bool,
    verbose: bool,
}

impl Output {
    /// Prints in this format; asks questions only where that is allowed and a terminal is there.
    pub(crate) fn new(format: Format, no_input: bool) -> Self {
        let ask = !no_input && std::io::stdin().is_terminal() && std::io::stderr().is_terminal();
        Self { format, ask, verbose: false }
    }

    /// The same, with all that tools say during operations.
    pub(crate) fn verbose(self, verbose: bool) -> Self {
        Self { verbose, ..self }
    }

    /// Whether results are JSON.
    pub(crate) fn is_json(&self) -> bool {
        self.format == Format::Json
    }

    /// Whether only names are wanted.
    pub(crate) fn is_quiet(&self) -> bool {
        self.format == Format::Quiet
    }

    /// The style of text on stdout.
    pub(crate) fn style(&self) -> Style {
        Style::of(std::io::stdout().is_terminal())
    }

    /// The style of text on stderr.
    fn error_style(&self) -> Style {
        Style::of(std::io::stderr().is_terminal())
    }

    /// Prints a result for people; a line end is added where it is missing.
    pub(crate) fn text(&self, text: &str) -> Result<(), Failure> {
        let mut out = std::io::stdout().lock();
        out.write_all(text.as_bytes())?;
        if !text.is_empty() && !text.ends_with('\n') {
            out.write_all(b"\n")?;
        }
        Ok(out.flush()?)
    }

    /// Passes bytes on to stdout as they are.
    pub(crate) fn bytes(&self, bytes: &[u8]) -> Result<(), Failure> {
        let mut out = std::io::stdout().lock();
        out.write_all(bytes)?;
        Ok(out.flush()?)
    }

    /// Passes bytes on to stderr as they are.
    pub(crate) fn error_bytes(&self, bytes: &[u8]) -> Result<(), Failure> {
        let mut out = std::io::stderr().lock();
        out.write_all(bytes)?;
        Ok(out.flush()?)
    }

    /// Prints a result as one line of JSON.
    pub(crate) fn json(&self, value: &impl Serialize) -> Result<(), Failure> {
        let line = serde_json::to_string(value).map_err(std::io::Error::from)?;
        self.text(&line)
    }

    /// Prints a result: as JSON, or as the text that is made for people.
    pub(crate) fn result<T: Serialize>(
        &self,
        value: &T,
        text: impl FnOnce(&T, Style) -> String,
    ) -> Result<(), Failure> {
        if self.is_json() { self.json(value) } else { self.text(&text(value, self.style())) }
    }

    /// Tells the user something beside the result.
    pub(crate) fn note(&self, text: &str) {
        if !self.is_quiet() {
            self.error_line(text);
        }
    }

    /// Tells the user something that is not as it should be.
    pub(crate) fn warn(&self, text: &str) {
        let style = self.error_style();
        self.error_line(&format!("{} {text}", style.yellow("warning:")));
    }

    fn error_line(&self, text: &str) {
        // Where stderr is closed there is nobody left to tell.
        let _ = writeln!(std::io::stderr().lock(), "{text}");
    }

    /// Prints a problem: on stderr for people, on stdout for programs.
    pub(crate) fn problem(&self, problem: &Problem) {
        if self.is_json() {
            let body = serde_json::json!({ "outcome": "error", "error": problem });
            // The exit code tells even where stdout is closed.
            let _ = self.json(&body);
        } else {
            let text = show::problem(problem, self.error_style());
            let _ = std::io::stderr().lock().write_all(text.as_bytes());
        }
    }

    /// Shows how an operation goes on.
    pub(crate) fn progress(&self) -> Progress {
        let terminal = std::io::stderr().is_terminal() && std::env::var_os("CI").is_none();
        Progress::new(self.is_quiet(), terminal, self.error_style()).verbose(self.verbose)
    }

    /// Whether somebody can be asked.
    pub(crate) fn can_ask(&self) -> bool {
        self.ask
    }

    /// Asks a yes-or-no question; where nobody can be asked, a problem says which flag to pass.
    pub(crate) fn confirm(&self, question: &str, flag: &str) -> Result<bool, Failure> {
        if !self.ask {
            return Err(usage("this needs an answer, and nobody can be asked here")
                .hint(format!("pass {flag} to say yes to: {question}"))
                .into());
        }
        let mut error = std::io::stderr().lock();
        write!(error, "{question} [y/N] ")?;
        error.flush()?;
        let mut answer = String::new();
        std::io::stdin().lock().read_line(&mut answer)?;
        Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
    }
}

//! A terminal that a user sits at: a tmux of the test's own, of which the screen can be read.

use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::home::TestHome;
use crate::process::{Ran, run};
use crate::wait::wait_until;

const LIMIT: Duration = Duration::from_secs(20);

/// A terminal of 100 columns and 30 rows, closed when dropped.
pub struct Terminal<'a> {
    home: &'a TestHome,
}

impl<'a> Terminal<'a> {
    /// Opens it in a directory and runs the home's binary with these words of a shell; `left
    /// <code>` is shown when that ended.
    #[track_caller]
    pub fn open(home: &'a TestHome, directory: impl AsRef<Path>, words: &str) -> Self {
        let terminal = Self::shell(home, directory);
        terminal.keys(&[&terminal.line(words), "Enter"]);
        terminal
    }

    /// Opens it in a directory, with a shell.
    #[track_caller]
    pub fn shell(home: &'a TestHome, directory: impl AsRef<Path>) -> Self {
        let terminal = Self { home };
        let place = directory.as_ref().display().to_string();
        terminal.tmux(&["new-session", "-d", "-x", "100", "-y", "30", "-c", &place, "sh"]).ok();
        terminal
    }

    /// Runs the home's binary again, on a screen without what was before, and waits until a line
    /// begins with a text.
    #[track_caller]
    pub fn runs(&self, words: &str, text: &str) {
        self.keys(&[&format!("clear; {}", self.line(words)), "Enter"]);
        self.says(text);
    }

    fn line(&self, words: &str) -> String {
        format!("{} {words}; echo left $?", self.home.binary().display())
    }

    /// Presses keys, as `tmux send-keys` names them.
    #[track_caller]
    pub fn keys(&self, keys: &[&str]) {
        self.tmux(&[&["send-keys"], keys].concat()).ok();
    }

    /// Gives it another size.
    #[track_caller]
    pub fn resize(&self, columns: u16, rows: u16) {
        let (columns, rows) = (columns.to_string(), rows.to_string());
        self.tmux(&["resize-window", "-x", &columns, "-y", &rows]).ok();
    }

    /// Types a text as it is.
    #[track_caller]
    pub fn types(&self, text: &str) {
        self.tmux(&["send-keys", "-l", "--", text]).ok();
    }

    /// What is on the screen.
    pub fn screen(&self) -> String {
        self.tmux(&["capture-pane", "-p"]).stdout
    }

    /// What tmux knows of it by a format, such as `#{alternate_on}`.
    pub fn knows(&self, format: &str) -> String {
        self.tmux(&["display-message", "-p", format]).stdout.trim().to_owned()
    }

    /// Takes it away, as when its window is closed.
    pub fn close(&self) {
        self.tmux(&["kill-server"]);
        // One that is about to end would be in the way of the next.
        wait_until(LIMIT, "the terminal's end", || UnixStream::connect(self.socket()).is_err());
    }

    /// Waits until a line begins with a text, which the one that was typed does not.
    #[track_caller]
    pub fn says(&self, text: &str) {
        let has = |line: &str| line.trim_start().starts_with(text);
        let told = format!("the terminal says {text}");
        wait_until(LIMIT, &told, || self.screen().lines().any(has));
    }

    /// Waits until a text is on the screen.
    #[track_caller]
    pub fn shows(&self, text: &str) {
        self.shows_within(LIMIT, text);
    }

    /// Waits until a text is on the screen, at most so long.
    #[track_caller]
    pub fn shows_within(&self, limit: Duration, text: &str) {
        wait_until(limit, &format!("the terminal shows {text}"), || self.screen().contains(text));
    }

    fn socket(&self) -> PathBuf {
        self.home.path().join("terminal.sock")
    }

    fn tmux(&self, arguments: &[&str]) -> Ran {
        let mut command = self.home.command("tmux");
        command.arg("-f/dev/null").arg("-S").arg(self.socket());
        run(command.args(arguments), LIMIT)
    }
}

impl Drop for Terminal<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- the terminal\n{}", self.screen());
        }
        self.close();
    }
}

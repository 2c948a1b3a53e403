//! Colours, and the absence of them.

/// Whether text is coloured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Style {
    colours: bool,
}

impl Style {
    /// Text without colours.
    pub(crate) const PLAIN: Self = Self { colours: false };

    /// Colours on a terminal, unless `NO_COLOR` is set or the terminal cannot show them.
    pub(crate) fn of(terminal: bool) -> Self {
        let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        Self { colours: terminal && !set("NO_COLOR") && !dumb }
    }

    /// Whether there are colours.
    pub(crate) fn colours(self) -> bool {
        self.colours
    }

    fn paint(self, code: &str, text: &str) -> String {
        if self.colours && !text.is_empty() {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }

    pub(crate) fn bold(self, text: &str) -> String {
        self.paint("1", text)
    }

    pub(crate) fn dim(self, text: &str) -> String {
        self.paint("2", text)
    }

    pub(crate) fn red(self, text: &str) -> String {
        self.paint("31", text)
    }

    pub(crate) fn green(self, text: &str) -> String {
        self.paint("32", text)
    }

    pub(crate) fn yellow(self, text: &str) -> String {
        self.paint("33", text)
    }

    /// A word about a state in the colour of how well that is.
    pub(crate) fn state(self, word: &str) -> String {
        match word.split(' ').next().unwrap_or_default() {
            "running" | "healthy" | "ok" | "fresh" => self.green(word),
            "degraded" | "starting" | "creating" | "destroying" | "frozen" | "restarting"
            | "unknown" | "paused" | "old" => self.yellow(word),
            "unhealthy" | "missing" | "lost" | "dead" | "failed" => self.red(word),
            "stopped" | "destroyed" | "created" | "ended" | "-" => self.dim(word),
            _ => word.to_owned(),
        }
    }
}

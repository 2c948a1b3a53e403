//! What is wrong with a configuration file, and where.

use std::fmt;
use std::ops::Range;

/// A configuration file that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct ConfigError {
    /// The file's usual name.
    pub file: &'static str,
    /// Line and column, counted from 1, where they are known.
    pub place: Option<(usize, usize)>,
    /// What is wrong.
    pub message: String,
    /// What was probably meant.
    pub suggestion: Option<String>,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.file)?;
        if let Some((line, column)) = self.place {
            write!(f, ":{line}:{column}")?;
        }
        write!(f, ": {}", self.message)?;
        if let Some(suggestion) = &self.suggestion {
            write!(f, "; did you mean `{suggestion}`?")?;
        }
        Ok(())
    }
}

impl ConfigError {
    /// A fault of the file as a whole.
    pub(super) fn whole(file: &'static str, message: impl Into<String>) -> Self {
        Self { file, place: None, message: message.into(), suggestion: None }
    }

    /// A fault that the TOML reader found.
    pub(super) fn toml(file: &'static str, text: &str, error: &toml::de::Error) -> Self {
        let place = error.span().map(|span| place(text, &span));
        let (message, suggestion) = unknown(error.message());
        Self { file, place, message, suggestion }
    }
}

/// Refuses text that no person wrote.
pub(super) fn check_size(file: &'static str, text: &str) -> Result<(), ConfigError> {
    if text.len() > super::SIZE_MAX {
        let most = super::SIZE_MAX / 1024;
        return Err(ConfigError::whole(file, format!("it is larger than {most} KiB")));
    }
    Ok(())
}

fn place(text: &str, span: &Range<usize>) -> (usize, usize) {
    let before = text.get(..span.start).unwrap_or_default();
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    (line, column)
}

/// Shortens serde's list of all fields to the one that was probably meant.
fn unknown(message: &str) -> (String, Option<String>) {
    let Some(rest) = message.strip_prefix("unknown field `") else {
        return (message.trim().to_owned(), None);
    };
    let mut quoted = rest.split('`').step_by(2).map(str::to_owned);
    let given = quoted.next().unwrap_or_default();
    let likely = quoted
        .map(|name| (strsim::damerau_levenshtein(&given, &name), name))
        .filter(|(distance, name)| *distance <= (name.len() / 2).clamp(1, 4))
        .min();
    (format!("unknown key `{given}`"), likely.map(|(_, name)| name))
}

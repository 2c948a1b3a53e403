//! Values of the command line that need more than a name.

use std::ffi::OsString;
use std::str::FromStr;
use std::time::Duration;

use dwell_api::{Code, Problem};
use dwell_core::EnvironmentName;
use dwell_core::agent::Agent;

/// A time span as people write it: `90`, `90s`, `2m`, `1h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seconds(pub(crate) u64);

impl Seconds {
    pub(crate) fn duration(self) -> Duration {
        Duration::from_secs(self.0)
    }
}

impl FromStr for Seconds {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let factor = match text.get(digits.len()..).unwrap_or_default() {
            "" | "s" => 1,
            "m" => 60,
            "h" => 3600,
            unit => return Err(format!("`{unit}` is not a unit of time: s, m and h are")),
        };
        let number: u64 = digits.parse().map_err(|_| format!("`{digits}` is not a number"))?;
        number.checked_mul(factor).map(Self).ok_or_else(|| format!("`{text}` is too long"))
    }
}

/// A coding agent by its name.
pub(crate) fn agent(text: &str) -> Result<&'static Agent, String> {
    Agent::of(text).filter(|agent| agent.name == text).ok_or_else(|| {
        let names: Vec<&str> = Agent::all().iter().map(|agent| agent.name).collect();
        format!("no such agent; there are {}", names.join(", "))
    })
}

/// An environment's name and everything after it, which belongs to the command. They share one
/// positional argument so that no flag after the name is taken for one of dwell's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct EnvironmentAndRest {
    pub(crate) environment: EnvironmentName,
    pub(crate) rest: Vec<String>,
}

impl EnvironmentAndRest {
    /// Takes the words apart; one `--` between the name and the rest is dropped.
    pub(crate) fn new(words: &[OsString]) -> Result<Self, Problem> {
        let mut words = words.iter().map(|word| {
            let text = word.to_str().map(str::to_owned);
            text.ok_or_else(|| {
                let message = format!("argument `{}` is not UTF-8", word.to_string_lossy());
                Problem::new(Code::InvalidArgument, message)
            })
        });
        let Some(first) = words.next().transpose()?.filter(|word| !word.is_empty()) else {
            return Err(Problem::new(Code::Usage, "which environment?")
                .hint("`dwell run <command> <environment>`; `dwell ls` lists the environments"));
        };
        if first.starts_with('-') {
            return Err(Problem::new(Code::Usage, format!("there is no option `{first}` here"))
                .hint("options of the command itself follow the environment's name"));
        }
        let environment =
            first.parse().map_err(|e| Problem::new(Code::InvalidName, format!("{e}")))?;
        let mut rest: Vec<String> = words.collect::<Result<_, _>>()?;
        if rest.first().is_some_and(|word| word == "--") {
            rest.remove(0);
        }
        Ok(Self { environment, rest })
    }
}

/// A variable to set, `NAME=value`, or `NAME` for its value in the invoking shell.
pub(crate) fn variable(text: &str) -> Result<(String, Option<String>), String> {
    let (name, value) = match text.split_once('=') {
        Some((name, value)) => (name, Some(value.to_owned())),
        None => (text, None),
    };
    let first_ok = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    if first_ok && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
        Ok((name.to_owned(), value))
    } else {
        Err(format!("`{name}` is not a variable's name"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_spans_have_units() {
        for (text, want) in [("90", 90), ("90s", 90), ("2m", 120), ("1h", 3600)] {
            assert_eq!(text.parse::<Seconds>().unwrap().0, want);
        }
        for text in ["", "s", "5d", "-1", "99999999999999999999", "9999999999999999999h"] {
            assert!(text.parse::<Seconds>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_forgotten_environment_is_asked_for() {
        let problem = EnvironmentAndRest::new(&[]).unwrap_err();
        assert_eq!((problem.code, problem.message.as_str()), (Code::Usage, "which environment?"));
    }

    #[test]
    fn variables_are_names_with_or_without_a_value() {
        assert_eq!(variable("A=b=c").unwrap(), ("A".to_owned(), Some("b=c".to_owned())));
        assert_eq!(variable("A=").unwrap(), ("A".to_owned(), Some(String::new())));
        assert_eq!(variable("_A1").unwrap(), ("_A1".to_owned(), None));
        for text in ["", "=x", "1A=x", "A B=x"] {
            assert!(variable(text).is_err(), "{text}");
        }
    }
}

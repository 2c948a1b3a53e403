//! The variables of a login on this machine: what a command gets that somebody elsewhere starts.

use std::time::Duration;

use dwell_drivers::process::Program;
use tokio::sync::OnceCell;

/// How long the user's shell may take to tell its variables.
const LIMIT: Duration = Duration::from_secs(5);
/// Variables of the asking shell itself.
const OWN: [&str; 4] = ["PWD", "OLDPWD", "SHLVL", "_"];

/// The variables, once they were asked for.
#[derive(Default)]
pub(crate) struct Login {
    variables: OnceCell<Vec<(String, String)>>,
}

impl Login {
    /// The variables of a login shell; the daemon's own where it does not tell them.
    pub(crate) async fn variables(&self) -> Vec<(String, String)> {
        self.variables.get_or_init(ask).await.clone()
    }
}

async fn ask() -> Vec<(String, String)> {
    let shell = std::env::var("SHELL").unwrap_or_else(|_| "/bin/sh".to_owned());
    let program = Program::new(&shell).args(["-l", "-c", "env -0"]).limit(LIMIT);
    let told = match program.run().await {
        Ok(finished) => parse(&finished.stdout),
        Err(error) => {
            tracing::warn!(%error, "the login shell did not tell its variables");
            Vec::new()
        }
    };
    if told.iter().any(|(name, _)| name == "PATH") { told } else { std::env::vars().collect() }
}

/// What `env -0` prints, after whatever the shell's own files printed.
fn parse(text: &[u8]) -> Vec<(String, String)> {
    let text = String::from_utf8_lossy(text).into_owned();
    let named = |entry: &str| {
        let (name, value) = entry.split_once('=')?;
        // A greeting stands before the first variable, on lines of its own.
        let name = name.rsplit('\n').next().unwrap_or(name);
        let plain = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        (plain && !OWN.contains(&name)).then(|| (name.to_owned(), value.to_owned()))
    };
    text.split('\0').filter_map(named).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_read_past_a_greeting() {
        let all = parse(b"Welcome!\nPATH=/bin\0A=b=c\nd\0SHLVL=1\0nonsense\0");
        let want = [("PATH", "/bin"), ("A", "b=c\nd")].map(|(n, v)| (n.to_owned(), v.to_owned()));
        assert_eq!(all, want);
    }

    #[tokio::test]
    async fn the_login_shell_is_asked() {
        assert!(ask().await.iter().any(|(name, value)| name == "PATH" && !value.is_empty()));
    }
}

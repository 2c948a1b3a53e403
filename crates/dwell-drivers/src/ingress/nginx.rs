//! The system's nginx: a file that its configuration includes. Writing it and telling nginx take
//! the right to do so, which root has.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use super::IngressError;
use crate::process::Program;
use crate::session::files::write_atomically;

/// How long nginx may take for one command.
const LIMIT: Duration = Duration::from_secs(20);

/// An nginx that includes a file of ours.
#[derive(Debug, Clone)]
pub struct Nginx {
    program: PathBuf,
    arguments: Vec<String>,
    file: PathBuf,
}

impl Nginx {
    /// The nginx whose `http` block includes this file, such as `/etc/nginx/conf.d/dwell.conf`.
    pub fn new(file: impl Into<PathBuf>) -> Self {
        Self { program: "nginx".into(), arguments: Vec::new(), file: file.into() }
    }

    /// Adds arguments to every call, such as `-c` and another configuration.
    #[must_use]
    pub fn with_arguments(mut self, arguments: impl IntoIterator<Item = String>) -> Self {
        self.arguments.extend(arguments);
        self
    }

    /// Sees to it that nginx works with this text as the content of the file; says whether
    /// anything had to be done for that. A running nginx changes over without dropping
    /// connections.
    ///
    /// # Errors
    /// When nginx is not installed, does not run, or refuses the text; the file is as it was
    /// before then.
    pub async fn ensure(&self, text: &str) -> Result<bool, IngressError> {
        self.change(Some(text)).await
    }

    /// Removes the file and tells nginx; says whether there was one.
    ///
    /// # Errors
    /// As [`ensure`](Self::ensure).
    pub async fn remove(&self) -> Result<bool, IngressError> {
        self.change(None).await
    }

    async fn change(&self, text: Option<&str>) -> Result<bool, IngressError> {
        let before = match std::fs::read_to_string(&self.file) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            read => Some(read.map_err(|source| self.path(source))?),
        };
        if before.as_deref() == text {
            return Ok(false);
        }
        self.put(text)?;
        let told = match self.tell(&["-t", "-q"]).await {
            Ok(()) => self.tell(&["-s", "reload"]).await,
            refused => refused,
        };
        if told.is_err() {
            self.put(before.as_deref())?;
        }
        told.map(|()| true)
    }

    fn put(&self, text: Option<&str>) -> Result<(), IngressError> {
        let put = match text {
            Some(text) => write_atomically(&self.file, text.as_bytes()),
            None => std::fs::remove_file(&self.file),
        };
        put.map_err(|source| self.path(source))
    }

    async fn tell(&self, words: &[&str]) -> Result<(), IngressError> {
        let program = Program::new(&self.program).args(&self.arguments).args(words).limit(LIMIT);
        let finished = program.finish().await?;
        match finished.ok() {
            true => Ok(()),
            false => Err(IngressError::Refused {
                program: program.name(),
                reason: finished.error_text(),
            }),
        }
    }

    fn path(&self, source: io::Error) -> IngressError {
        IngressError::Path { path: self.file.clone(), source }
    }
}

//! An nginx that somebody else runs and that includes a file of dwell's.

use std::io;
use std::path::Path;

use super::{IngressError, LIMIT};
use crate::process::Program;

/// Puts a file in place and has nginx take it over. Where nginx does not want it, what was there
/// before is there again. Connections that are open stay.
///
/// # Errors
/// When the file cannot be written, nginx is not installed, or refuses.
pub async fn reload_nginx(file: &Path, text: &str) -> Result<(), IngressError> {
    let failed = |source| IngressError::File { path: file.to_owned(), source };
    let before = match tokio::fs::read(file).await {
        Ok(before) if before == text.as_bytes() => return Ok(()),
        Ok(before) => Some(before),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(failed(error)),
    };
    replace(file, text.as_bytes()).await.map_err(failed)?;
    let test = Program::new("nginx").arg("-t").limit(LIMIT).run().await;
    if let Err(error) = test {
        match before {
            Some(before) => replace(file, &before).await.map_err(failed)?,
            None => tokio::fs::remove_file(file).await.map_err(failed)?,
        }
        return Err(IngressError::Refused { server: "nginx", why: error.to_string() });
    }
    Program::new("nginx").args(["-s", "reload"]).limit(LIMIT).run().await?;
    Ok(())
}

/// In one piece: nginx reads the old file or the new one.
async fn replace(file: &Path, content: &[u8]) -> io::Result<()> {
    // nginx usually takes every file whose name ends in `.conf`.
    let part = file.with_extension("part");
    tokio::fs::write(&part, content).await?;
    tokio::fs::rename(&part, file).await
}

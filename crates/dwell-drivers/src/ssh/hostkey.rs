//! Host keys for ssh servers of our own.

use std::path::Path;

use crate::process::{ProcessError, Program};

/// Makes an Ed25519 host key at a path, unless one is there; gives the public key, as in
/// `known_hosts` behind the host's name.
pub async fn make_host_key(path: &Path, comment: &str) -> Result<String, ProcessError> {
    if !path.exists() {
        // Both files are there, or neither: the private key comes last.
        let part = path.with_extension("part");
        let _ = tokio::fs::remove_file(&part).await;
        Program::new("ssh-keygen")
            .args(["-q", "-t", "ed25519", "-N", "", "-C", comment, "-f"])
            .arg(&part)
            .run()
            .await?;
        tokio::fs::rename(part.with_extension("part.pub"), public(path)).await.map_err(failed)?;
        tokio::fs::rename(&part, path).await.map_err(failed)?;
    }
    let line = tokio::fs::read_to_string(public(path)).await.map_err(failed)?;
    let words: Vec<&str> = line.split_whitespace().take(2).collect();
    Ok(words.join(" "))
}

fn public(path: &Path) -> std::path::PathBuf {
    path.with_extension("pub")
}

fn failed(source: std::io::Error) -> ProcessError {
    ProcessError::Io { program: "ssh-keygen".to_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_key_is_made_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ssh_host_ed25519_key");
        let key = make_host_key(&path, "box").await.unwrap();
        assert!(key.starts_with("ssh-ed25519 AAAA"), "{key}");
        assert_eq!(make_host_key(&path, "box").await.unwrap(), key);
        let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().flatten().collect();
        assert_eq!(left.len(), 2, "{left:?}");
    }
}

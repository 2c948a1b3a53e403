//! The folder that an image is built from: files of this binary, and the certificates that the
//! machine's administrator added to those of the system, as the registries may be behind them.

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use dwell_core::image::ContextFile;

/// Where Debian, Ubuntu and their kin keep certificates that an administrator added.
const CERTIFICATES: &str = "/usr/local/share/ca-certificates";
/// A file that is longer holds no certificate.
const LONGEST: u64 = 1 << 20;

macro_rules! embedded {
    ($($mode:literal $path:literal)*) => {
        /// Path, whether it can be executed, contents.
        const EMBEDDED: &[(&str, bool, &str)] = &[$((
            $path,
            $mode == 0o755,
            include_str!(concat!("../../../../images/workspace/", $path)),
        )),*];
    };
}

embedded! {
    0o644 "Dockerfile"
    0o644 "certificates/README"
    0o644 "install/agents"
    0o644 "install/android"
    0o644 "install/desktop"
    0o644 "install/docker"
    0o644 "install/node"
    0o644 "install/system"
    0o644 "root/etc/gitconfig"
    0o644 "root/etc/profile.d/dwell.sh"
    0o644 "root/etc/ssh/sshd_config.d/dwell.conf"
    0o644 "root/etc/sudoers.d/dev"
    0o644 "root/etc/tmux.conf"
    0o755 "root/usr/local/bin/dwell-desktop"
    0o644 "versions"
}

/// All files of the folder.
pub(super) fn files() -> io::Result<Vec<ContextFile>> {
    let embedded = EMBEDDED.iter().map(|(path, executable, contents)| ContextFile {
        path: (*path).to_owned(),
        executable: *executable,
        contents: contents.as_bytes().to_vec(),
    });
    let mut files: Vec<ContextFile> = embedded.collect();
    files.extend(certificates(Path::new(CERTIFICATES))?);
    Ok(files)
}

/// The certificates of a folder, which need not exist.
fn certificates(folder: &Path) -> io::Result<Vec<ContextFile>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry?.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
        // A link may lead to a file that is gone.
        let Ok(metadata) = fs::metadata(&path) else { continue };
        if name.ends_with(".crt") && metadata.is_file() && metadata.len() <= LONGEST {
            let contents = fs::read(&path)?;
            files.push(ContextFile {
                path: format!("certificates/{name}"),
                executable: false,
                contents,
            });
        }
    }
    Ok(files)
}

/// The folder on disk, for this user only; it is gone when this is dropped.
#[derive(Debug)]
pub(super) struct Folder(PathBuf);

impl Folder {
    /// Writes the files below a new folder.
    pub(super) fn write(files: &[ContextFile]) -> io::Result<Self> {
        let mut random = [0_u8; 8];
        getrandom::fill(&mut random).map_err(io::Error::other)?;
        let name = format!("dwell-image-{:016x}", u64::from_be_bytes(random));
        let folder = Self(std::env::temp_dir().join(name));
        DirBuilder::new().mode(0o700).create(&folder.0)?;
        for file in files {
            let path = folder.0.join(&file.path);
            if let Some(parent) = path.parent() {
                folder.directories(parent)?;
            }
            fs::write(&path, &file.contents)?;
            let mode = if file.executable { 0o755 } else { 0o644 };
            fs::set_permissions(&path, Permissions::from_mode(mode))?;
        }
        Ok(folder)
    }

    /// Makes a directory below the folder. Its mode is what it gets in the image, whatever the
    /// user's umask.
    fn directories(&self, path: &Path) -> io::Result<()> {
        fs::create_dir_all(path)?;
        for directory in path.ancestors().take_while(|ancestor| *ancestor != self.0) {
            fs::set_permissions(directory, Permissions::from_mode(0o755))?;
        }
        Ok(())
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What stays is in the system's folder for temporary files.
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    fn collect(folder: &Path, below: &Path, found: &mut Vec<(String, bool, String)>) {
        for entry in fs::read_dir(folder).unwrap().flatten() {
            let path = entry.path();
            if path.is_dir() {
                collect(&path, below, found);
                continue;
            }
            let name = path.strip_prefix(below).unwrap().to_str().unwrap().to_owned();
            found.push((name, mode(&path) & 0o100 != 0, fs::read_to_string(&path).unwrap()));
        }
    }

    #[test]
    fn every_file_of_the_image_is_in_the_binary() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../images/workspace");
        let mut found = Vec::new();
        collect(&folder, &folder, &mut found);
        found.sort();
        let own = EMBEDDED.iter().map(|(p, x, c)| ((*p).to_owned(), *x, (*c).to_owned()));
        assert_eq!(own.collect::<Vec<_>>(), found);
    }

    #[test]
    fn the_folder_is_private_and_goes() {
        let folder = Folder::write(&files().unwrap()).unwrap();
        let path = folder.path().to_owned();
        assert_eq!(mode(&path), 0o700);
        assert_eq!(mode(&path.join("root/etc/profile.d")), 0o755);
        assert_eq!(mode(&path.join("root/usr/local/bin/dwell-desktop")), 0o755);
        assert_eq!(mode(&path.join("versions")), 0o644);
        drop(folder);
        assert!(!path.exists());
    }

    #[test]
    fn only_certificates_are_taken() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("own.crt"), "1").unwrap();
        fs::write(folder.path().join("own.key"), "2").unwrap();
        std::os::unix::fs::symlink("gone", folder.path().join("gone.crt")).unwrap();
        fs::create_dir(folder.path().join("folder.crt")).unwrap();
        let paths: Vec<String> =
            certificates(folder.path()).unwrap().into_iter().map(|file| file.path).collect();
        assert_eq!(paths, ["certificates/own.crt"]);
        assert!(certificates(&folder.path().join("none")).unwrap().is_empty());
    }
}

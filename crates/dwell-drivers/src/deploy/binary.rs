//! The binary that fits a node, and its hash.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::{DeployError, Facts};

/// A dwell binary on this machine, for Linux on some architecture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binary {
    /// Where it is.
    pub path: PathBuf,
    /// Its SHA-256, in hexadecimal.
    pub hash: String,
    /// Its size in bytes.
    pub size: u64,
}

impl Binary {
    /// The binary that runs on a node with these facts: `own`, where the node is like this
    /// machine, else `dwell-<architecture>-linux` beside it.
    ///
    /// # Errors
    /// When the node's system is not Linux, or there is no binary for it.
    pub fn for_node(facts: &Facts, own: &Path) -> Result<Self, DeployError> {
        if facts.system != "Linux" {
            return Err(DeployError::System { system: facts.system.clone() });
        }
        let architecture = architecture(&facts.machine.architecture);
        let here = (std::env::consts::OS, std::env::consts::ARCH);
        let path = match here == ("linux", architecture) {
            true => own.to_owned(),
            false => own.with_file_name(format!("dwell-{architecture}-linux")),
        };
        match Self::read(&path) {
            Err(source) if source.kind() == io::ErrorKind::NotFound => {
                let architecture = architecture.to_owned();
                Err(DeployError::NoBinary { architecture, path })
            }
            Err(source) => Err(DeployError::Unreadable { path, source }),
            Ok(binary) => Ok(binary),
        }
    }

    /// Reads size and hash of a file.
    fn read(path: &Path) -> io::Result<Self> {
        let mut file = File::open(path)?;
        let mut sum = Sha256::new();
        let mut buffer = vec![0; 256 * 1024];
        let mut size = 0;
        loop {
            match file.read(&mut buffer)? {
                0 => break,
                count => {
                    sum.update(buffer.get(..count).unwrap_or_default());
                    size += count as u64;
                }
            }
        }
        let hash = sum.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Self { path: path.to_owned(), hash, size })
    }
}

/// The name that Rust has for an architecture that `uname -m` names.
fn architecture(machine: &str) -> &str {
    match machine {
        "amd64" => "x86_64",
        "arm64" => "aarch64",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::super::facts::tests::bare;
    use super::*;

    fn node(system: &str, architecture: &str) -> Facts {
        let mut facts = bare();
        facts.system = system.to_owned();
        facts.machine.architecture = architecture.to_owned();
        facts
    }

    #[test]
    fn a_node_like_this_machine_gets_the_same_binary() {
        let own = std::env::current_exe().unwrap();
        let chosen = Binary::for_node(&node("Linux", std::env::consts::ARCH), &own).unwrap();
        assert_eq!(chosen.path, own);
        assert_eq!(chosen.size, std::fs::metadata(&own).unwrap().len());
    }

    #[test]
    fn another_architecture_gets_its_own_from_beside() {
        let folder = tempfile::tempdir().unwrap();
        let own = folder.path().join("dwell");
        let error = Binary::for_node(&node("Linux", "riscv64"), &own).unwrap_err();
        assert!(error.hint().unwrap().contains("dwell-riscv64-linux"), "{error}");
        std::fs::write(folder.path().join("dwell-riscv64-linux"), "abc").unwrap();
        let chosen = Binary::for_node(&node("Linux", "riscv64"), &own).unwrap();
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!((chosen.hash.as_str(), chosen.size), (abc, 3));
    }

    #[test]
    fn another_system_is_refused() {
        let error = Binary::for_node(&node("Darwin", "arm64"), Path::new("/dwell")).unwrap_err();
        assert!(matches!(error, DeployError::System { .. }));
    }
}

//! The relay's image: this very binary, alone in a root file system. Made once a version and
//! engine; it needs no registry.

use bytes::Bytes;
use dwell_api::{Code, Problem};
use dwell_core::ServiceName;
use dwell_core::compose::{Protocol, RelaySpec, Service};
use tokio::sync::OnceCell;

use crate::node::Node;
use crate::problem::{OrProblem, file};

/// The image, once it was made or found.
#[derive(Default)]
pub(crate) struct RelayImage {
    tag: OnceCell<String>,
}

const REPOSITORY: &str = "dwell-relay";

impl RelayImage {
    /// The tag of the image, which is made first where the engine does not have it.
    pub(crate) async fn tag(&self, node: &Node) -> Result<String, Problem> {
        let tag = self.tag.get_or_try_init(|| make(node)).await?.clone();
        if !node.engine.has_image(&tag).await.or_problem()? {
            return make(node).await;
        }
        Ok(tag)
    }
}

async fn make(node: &Node) -> Result<String, Problem> {
    let path = &node.binary;
    let binary = tokio::fs::read(path).await.map_err(|error| file("reading", path, &error))?;
    if !is_static(&binary) {
        return Err(Problem::new(
            Code::ToolMissing,
            format!("{} is not a static binary, and relays need one", path.display()),
        )
        .hint("build dwell with `make build`"));
    }
    let hash = blake3::hash(&binary).to_hex();
    let version = hash.get(..16).unwrap_or_default();
    let tag = format!("{REPOSITORY}:{version}");
    if !node.engine.has_image(&tag).await.or_problem()? {
        let archive = archive(&binary);
        let changes = vec![r#"ENTRYPOINT ["/dwell"]"#.to_owned()];
        node.engine.import_image(REPOSITORY, version, archive, changes).await.or_problem()?;
    }
    Ok(tag)
}

/// Whether an ELF binary needs no loader: it has no `PT_INTERP` segment (type 3; ELF-64 layout).
pub(crate) fn is_static(binary: &[u8]) -> bool {
    let number = |at: usize, length: usize| -> Option<usize> {
        let bytes = binary.get(at..at.checked_add(length)?)?;
        Some(bytes.iter().rev().fold(0, |value, byte| (value << 8) | usize::from(*byte)))
    };
    let headers = || -> Option<Vec<usize>> {
        let (offset, size, count) = (number(32, 8)?, number(54, 2)?, number(56, 2)?);
        (0..count).map(|i| number(offset + i * size, 4)).collect()
    };
    binary.starts_with(b"\x7fELF") && headers().is_some_and(|types| !types.contains(&3))
}

/// A tar archive (POSIX ustar) of one executable file.
fn archive(binary: &[u8]) -> Bytes {
    let mut header = [0_u8; 512];
    let mut put = |at: usize, text: &str| {
        if let Some(place) = header.get_mut(at..at + text.len()) {
            place.copy_from_slice(text.as_bytes());
        }
    };
    put(0, "dwell");
    put(100, "0000755\0");
    put(108, "0000000\0");
    put(116, "0000000\0");
    put(124, &format!("{:011o}\0", binary.len()));
    put(136, "00000000000\0");
    put(148, "        ");
    put(156, "0");
    put(257, "ustar\x0000");
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    if let Some(place) = header.get_mut(148..156) {
        place.copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    }
    let padding = binary.len().next_multiple_of(512) - binary.len();
    let mut archive = Vec::with_capacity(binary.len() + padding + 1536);
    archive.extend_from_slice(&header);
    archive.extend_from_slice(binary);
    archive.resize(archive.len() + padding + 1024, 0);
    archive.into()
}

/// What stands in for a service that runs at `host` on one of `networks`.
pub(crate) fn spec(
    image: &str,
    service: &Service,
    host: &str,
    networks: Vec<String>,
) -> Result<RelaySpec, Problem> {
    if service.completes {
        return Ok(RelaySpec {
            image: image.to_owned(),
            command: vec!["relay".to_owned(), "--completed".to_owned()],
            healthcheck: None,
            completes: true,
            networks,
            mounts: Vec::new(),
            user: None,
        });
    }
    if service.ports.is_empty() {
        return Err(no_ports(&service.name));
    }
    let mut command = vec!["relay".to_owned()];
    let mut probe = None;
    for port in &service.ports {
        let (kind, number) = (port.protocol, port.number);
        let word = if kind == Protocol::Udp { "udp" } else { "tcp" };
        command.push(format!("--forward={word}:{number}={host}:{number}"));
        if kind == Protocol::Tcp && probe.is_none() {
            probe = Some(format!("--probe={host}:{number}"));
        }
    }
    let healthcheck = probe.map(|probe| vec!["/dwell".to_owned(), "relay".to_owned(), probe]);
    Ok(RelaySpec {
        image: image.to_owned(),
        command,
        healthcheck,
        completes: false,
        networks,
        mounts: Vec::new(),
        user: None,
    })
}

fn no_ports(service: &ServiceName) -> Problem {
    Problem::new(
        Code::InvalidCompose,
        format!(
            "service `{service}` cannot be shared: it says no ports that a relay could forward"
        ),
    )
    .hint("add `expose: [\"<port>\"]` to the service in the compose file")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_archive_is_one_that_tar_reads() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.tar");
        std::fs::write(&path, archive(&vec![7_u8; 1000])).unwrap();
        let output = std::process::Command::new("tar")
            .args(["-tvf", path.to_str().unwrap()])
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success() && text.starts_with("-rwxr-xr-x"), "{text}");
        assert!(text.contains("1000") && text.trim_end().ends_with("dwell"), "{text}");
    }

    #[test]
    fn a_binary_with_a_loader_is_not_static() {
        assert!(!is_static(&std::fs::read("/bin/sh").unwrap()));
        assert!(!is_static(b"#!/bin/sh"));
    }
}

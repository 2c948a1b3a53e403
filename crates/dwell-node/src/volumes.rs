//! Named volumes of environments here: listing them, and their content on its way to and from
//! other nodes. A transfer is a line of JSON that says what kind of volume it is, the content in
//! chunks (length as four bytes, most significant first, then the bytes), a chunk of length 0, and
//! the BLAKE3 hash of all bytes. Memory does not grow with the content.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use dwell_api::moving::Volume;
use dwell_api::{Code, Problem};
use dwell_core::environment::Environment;
use dwell_core::observed::{Role, label};
use dwell_core::volume::is_own;
use dwell_core::{Generation, ServiceName, VolumeName};
use dwell_drivers::docker::{self, ArchiveError, Holder};
use futures_util::stream::{self, Stream};
use tokio::io::{
    AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader, duplex,
};

use crate::node::Node;
use crate::problem::{IntoProblem, OrProblem};

const LONGEST_LINE: u64 = 64 * 1024;
const LONGEST_CHUNK: usize = 256 * 1024;
/// The labels by which compose knows its volumes.
const COMPOSE_PROJECT: &str = "com.docker.compose.project";
const COMPOSE_VOLUME: &str = "com.docker.compose.volume";
/// No environment's containers have this generation, so that the next `up` takes away a holder
/// that a crash left behind.
const NO_GENERATION: Generation = Generation(0);

/// Whether a volume's data moves with it.
pub(crate) fn moves(volume: &Volume) -> bool {
    is_own(&volume.driver, volume.options.keys().map(String::as_str))
}

/// The named volumes of an environment.
pub(crate) async fn list(node: &Node, environment: &Environment) -> Result<Vec<Volume>, Problem> {
    let labelled = format!("{}={}", label::ENVIRONMENT, environment.id);
    let found = node.engine.volumes_with(&labelled).await.or_problem()?;
    let shown = found.into_iter().filter_map(|volume| {
        Some(Volume {
            name: VolumeName::from_docker(&environment.id, &volume.name)?,
            driver: volume.driver,
            options: volume.options.into_iter().collect(),
        })
    });
    Ok(shown.collect())
}

/// Removes a volume; one that is not there is removed already.
pub(crate) async fn remove(
    node: &Node,
    environment: &Environment,
    volume: &VolumeName,
) -> Result<(), Problem> {
    let labelled = format!("{}={}", label::ENVIRONMENT, environment.id);
    let held = node.engine.containers(&labelled).await.or_problem()?;
    // Of a transfer that was cancelled.
    for holder in held.iter().filter(|container| container.generation == NO_GENERATION) {
        node.engine.remove(&holder.id).await.or_problem()?;
    }
    node.engine.remove_volume(&volume.in_docker(&environment.id)).await.or_problem()
}

/// Stops the containers of a service, in the time that they were made with.
pub(crate) async fn stop_service(
    node: &Node,
    environment: &Environment,
    service: &ServiceName,
) -> Result<(), Problem> {
    for container in containers(node, environment, service).await?.iter().filter(|c| c.runs()) {
        node.engine.stop(&container.id).await.or_problem()?;
    }
    crate::world::look_at(node, &environment.id).await;
    Ok(())
}

/// Starts those containers of a service that do not run.
pub(crate) async fn start_service(
    node: &Node,
    environment: &Environment,
    service: &ServiceName,
) -> Result<(), Problem> {
    for container in containers(node, environment, service).await?.iter().filter(|c| !c.runs()) {
        node.engine.start(&container.id).await.or_problem()?;
    }
    crate::world::look_at(node, &environment.id).await;
    Ok(())
}

async fn containers(
    node: &Node,
    environment: &Environment,
    service: &ServiceName,
) -> Result<Vec<dwell_core::observed::Container>, Problem> {
    let labelled = format!("{}={}", label::ENVIRONMENT, environment.id);
    let mut found = node.engine.containers(&labelled).await.or_problem()?;
    found.retain(|container| {
        container.service.as_ref() == Some(service)
            && container.role == Role::Service
            && !container.one_off
    });
    Ok(found)
}

fn labels(node: &Node, environment: &Environment) -> HashMap<String, String> {
    let own = [
        (label::NODE, node.id.to_string()),
        (label::ENVIRONMENT, environment.id.to_string()),
        (label::PROJECT, environment.project.to_string()),
        (label::NAME, environment.name.to_string()),
    ];
    own.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

async fn holder<'a>(
    node: &Node,
    environment: &Environment,
    image: &'a str,
    volume: &'a str,
) -> Holder<'a> {
    let mut labels = labels(node, environment);
    labels.insert(label::GENERATION.to_owned(), NO_GENERATION.to_string());
    Holder { volume, image, labels }
}

/// Sends a volume's content; gives its length in bytes.
pub(crate) async fn give<W: AsyncWrite + Unpin + Send>(
    node: &Node,
    environment: &Environment,
    volume: &VolumeName,
    to: &mut W,
) -> Result<u64, Problem> {
    let name = volume.in_docker(&environment.id);
    let found = node.engine.volume(&name).await.or_problem()?;
    let found = found.ok_or_else(|| missing(environment, volume))?;
    let shown = Volume {
        name: volume.clone(),
        driver: found.driver,
        options: found.options.into_iter().collect(),
    };
    let mut line = serde_json::to_vec(&shown).unwrap_or_default();
    line.push(b'\n');
    to.write_all(&line).await.map_err(|error| cut(volume, &error))?;
    let image = node.relay.tag(node).await?;
    let holder = holder(node, environment, &image, &name).await;
    let (mut archive, chunks) = duplex(LONGEST_CHUNK);
    let read = async {
        let length = node.engine.volume_archive(&holder, &mut archive).await;
        drop(archive);
        length
    };
    let (length, sent) = tokio::join!(read, send(chunks, to));
    // The engine's reason says more than that the chunks ended.
    let length = length.or_problem()?;
    let hash = sent.map_err(|error| cut(volume, &error))?;
    end(&hash, to).await.map_err(|error| cut(volume, &error))?;
    Ok(length)
}

fn missing(environment: &Environment, volume: &VolumeName) -> Problem {
    let label = environment.label();
    Problem::new(Code::NotFound, format!("`{label}` has no volume `{volume}`"))
}

fn cut(volume: &VolumeName, error: &io::Error) -> Problem {
    let message = format!("the content of volume `{volume}` was cut off: {error}");
    Problem::new(Code::NodeUnreachable, message)
}

/// Sends bytes as chunks, without the end; gives their hash.
async fn send<R, W>(mut from: R, to: &mut W) -> io::Result<blake3::Hash>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0; LONGEST_CHUNK];
    loop {
        let length = from.read(&mut buffer).await?;
        let chunk = buffer.get(..length).unwrap_or_default();
        if chunk.is_empty() {
            return Ok(hasher.finalize());
        }
        hasher.update(chunk);
        to.write_u32(u32::try_from(length).unwrap_or_default()).await?;
        to.write_all(chunk).await?;
    }
}

async fn end<W: AsyncWrite + Unpin>(hash: &blake3::Hash, to: &mut W) -> io::Result<()> {
    to.write_u32(0).await?;
    to.write_all(hash.as_bytes()).await?;
    to.flush().await
}

/// Makes a volume of what [`give`] sends. Nothing is left of one whose content did not come whole.
pub(crate) async fn take<R: AsyncRead + Unpin + Send + 'static>(
    node: &Arc<Node>,
    environment: &Environment,
    volume: &VolumeName,
    from: R,
) -> Result<(), Problem> {
    let mut from = BufReader::with_capacity(LONGEST_CHUNK, from);
    let mut line = Vec::new();
    let mut head = (&mut from).take(LONGEST_LINE);
    head.read_until(b'\n', &mut line).await.map_err(|error| cut(volume, &error))?;
    if line.is_empty() {
        return Err(cut(volume, &io::ErrorKind::UnexpectedEof.into()));
    }
    let sent: Volume = serde_json::from_slice(&line)
        .map_err(|e| Problem::new(Code::Usage, format!("a volume is not understood: {e}")))?;
    let name = volume.in_docker(&environment.id);
    if node.engine.volume(&name).await.or_problem()?.is_some() {
        let label = environment.label();
        let message = format!("`{label}` has a volume `{volume}` already");
        return Err(Problem::new(Code::Exists, message).hint("`--force` replaces it"));
    }
    let mut labels = labels(node, environment);
    labels.insert(COMPOSE_PROJECT.to_owned(), environment.compose_project());
    labels.insert(COMPOSE_VOLUME.to_owned(), volume.to_string());
    let made = docker::Volume {
        name: name.clone(),
        driver: sent.driver,
        options: sent.options.into_iter().collect(),
        labels,
    };
    node.engine.create_volume(&made).await.or_problem()?;
    let filled = fill(node, environment, &name, from).await;
    if filled.is_err() {
        node.engine.remove_volume(&name).await.or_problem()?;
    }
    filled
}

async fn fill<R: AsyncRead + Unpin + Send + 'static>(
    node: &Node,
    environment: &Environment,
    name: &str,
    from: R,
) -> Result<(), Problem> {
    let image = node.relay.tag(node).await?;
    let holder = holder(node, environment, &image, name).await;
    node.engine.volume_restore(&holder, chunks(from)).await.or_problem()
}

/// The content of a transfer; an error where it ends early or is not what was sent.
fn chunks<R: AsyncRead + Unpin + Send + 'static>(
    from: R,
) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
    stream::unfold(Some((from, blake3::Hasher::new())), |state| async move {
        let (mut from, mut hasher) = state?;
        match chunk(&mut from, &mut hasher).await {
            Ok(Some(bytes)) => Some((Ok(bytes), Some((from, hasher)))),
            Ok(None) => None,
            Err(error) => Some((Err(error), None)),
        }
    })
}

async fn chunk<R: AsyncRead + Unpin>(
    from: &mut R,
    hasher: &mut blake3::Hasher,
) -> io::Result<Option<Bytes>> {
    let wrong = |why: &'static str| Err(io::Error::new(io::ErrorKind::InvalidData, why));
    let length = usize::try_from(from.read_u32().await?).unwrap_or(usize::MAX);
    if length == 0 {
        let mut hash = [0; 32];
        from.read_exact(&mut hash).await?;
        return if hasher.finalize() == hash {
            Ok(None)
        } else {
            wrong("it was damaged on its way")
        };
    }
    if length > LONGEST_CHUNK {
        return wrong("a chunk is too long");
    }
    let mut bytes = vec![0; length];
    from.read_exact(&mut bytes).await?;
    hasher.update(&bytes);
    Ok(Some(bytes.into()))
}

impl IntoProblem for ArchiveError {
    fn into_problem(self) -> Problem {
        let message = self.to_string();
        match self {
            Self::Engine(error) => error.into_problem(),
            Self::Stream { .. } => Problem::new(Code::NodeUnreachable, message),
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::TryStreamExt;

    use super::*;

    async fn sent(content: &[u8]) -> Vec<u8> {
        let mut wire = Vec::new();
        let hash = send(content, &mut wire).await.unwrap();
        end(&hash, &mut wire).await.unwrap();
        wire
    }

    async fn received(wire: Vec<u8>) -> io::Result<Vec<u8>> {
        let pieces: Vec<Bytes> = chunks(io::Cursor::new(wire)).try_collect().await?;
        Ok(pieces.concat())
    }

    #[tokio::test]
    async fn content_comes_as_it_was_sent() {
        let long = vec![7; 3 * LONGEST_CHUNK + 1];
        for content in [&b""[..], b"a", &long] {
            assert_eq!(received(sent(content).await).await.unwrap(), content);
        }
    }

    #[tokio::test]
    async fn content_that_is_cut_or_damaged_is_an_error() {
        let wire = sent(b"abcdef").await;
        for end in 0..wire.len() {
            let error = received(wire[..end].to_vec()).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof, "{end}");
        }
        for place in 4..wire.len() {
            let mut other = wire.clone();
            other[place] ^= 1;
            assert!(received(other).await.is_err(), "{place}");
        }
        let long = received(vec![255; 100]).await.unwrap_err();
        assert_eq!(long.kind(), io::ErrorKind::InvalidData);
    }
}

//! Volumes and what is in them: making, finding, and their content as a tar archive. The archive
//! passes through a container that mounts the volume and is never started, so nothing of it runs
//! and the engine keeps owners, modes and links as they are.

use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bollard::models::{
    ContainerCreateBody, HostConfig, Mount, MountType, Volume as Seen, VolumeCreateRequest,
};
use bollard::query_parameters::{
    CreateContainerOptions, DownloadFromContainerOptions, ListVolumesOptionsBuilder,
    UploadToContainerOptions,
};
use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use tokio::io::{AsyncWrite, AsyncWriteExt};

use super::{Engine, EngineError, QUICK};

/// How long an archive may stand still.
const STALL: Duration = Duration::from_secs(300);
/// How long all of it may take.
const LIMIT: Duration = Duration::from_secs(24 * 3600);
/// Where the container has the volume.
const PLACE: &str = "/volume";

/// A volume.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Volume {
    /// Its name.
    pub name: String,
    /// What keeps its data; `local` for a directory of the engine's.
    pub driver: String,
    /// The driver's options.
    pub options: HashMap<String, String>,
    /// Its labels.
    pub labels: HashMap<String, String>,
}

/// The container through which a volume's content passes.
#[derive(Debug, Clone)]
pub struct Holder<'a> {
    /// The volume.
    pub volume: &'a str,
    /// Any image; nothing of it runs.
    pub image: &'a str,
    /// The container's labels.
    pub labels: HashMap<String, String>,
}

/// Why a volume's content did not pass.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The engine failed.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The other side of the stream failed.
    #[error("the content of volume `{volume}` was cut off: {source}")]
    Stream {
        /// The volume.
        volume: String,
        /// What the stream said.
        source: io::Error,
    },
}

impl Engine {
    /// A volume by its name; `None` where there is none.
    pub async fn volume(&self, name: &str) -> Result<Option<Volume>, EngineError> {
        match self.call("inspect volume", QUICK, self.docker()?.inspect_volume(name)).await {
            Ok(seen) => Ok(Some(volume(seen))),
            Err(e) if e.is_not_found() => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// All volumes with a label, by name.
    pub async fn volumes_with(&self, labelled: &str) -> Result<Vec<Volume>, EngineError> {
        let filters = HashMap::from([("label".to_owned(), vec![labelled.to_owned()])]);
        let options = ListVolumesOptionsBuilder::new().filters(&filters).build();
        let found =
            self.call("list volumes", QUICK, self.docker()?.list_volumes(Some(options))).await?;
        let mut all: Vec<Volume> =
            found.volumes.unwrap_or_default().into_iter().map(volume).collect();
        all.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(all)
    }

    /// Makes a volume. One that is there already stays as it is.
    pub async fn create_volume(&self, volume: &Volume) -> Result<(), EngineError> {
        let request = VolumeCreateRequest {
            name: Some(volume.name.clone()),
            driver: Some(volume.driver.clone()),
            driver_opts: Some(volume.options.clone()),
            labels: Some(volume.labels.clone()),
            ..VolumeCreateRequest::default()
        };
        self.call("create volume", QUICK, self.docker()?.create_volume(request)).await.map(drop)
    }

    /// Writes a volume's content as a tar archive below `volume/`; gives its length in bytes.
    /// Memory does not grow with it. Holes in files are written as zeros.
    ///
    /// # Errors
    /// When the engine or the writer fails, or nothing moves for five minutes.
    pub async fn volume_archive<W: AsyncWrite + Unpin>(
        &self,
        holder: &Holder<'_>,
        to: &mut W,
    ) -> Result<u64, ArchiveError> {
        let container = self.hold(holder).await?;
        let written = self.pour(&container, holder.volume, to).await;
        self.remove(&container).await?;
        written
    }

    async fn pour<W: AsyncWrite + Unpin>(
        &self,
        container: &str,
        name: &str,
        to: &mut W,
    ) -> Result<u64, ArchiveError> {
        let options = DownloadFromContainerOptions { path: PLACE.to_owned() };
        let mut pieces = Box::pin(self.docker()?.download_from_container(container, Some(options)));
        let stalled = || EngineError::TimedOut { call: "read volume", limit: STALL };
        let mut length = 0;
        loop {
            let piece = tokio::time::timeout(STALL, pieces.next()).await.map_err(|_| stalled())?;
            let Some(piece) = piece else { return Ok(length) };
            let piece = piece.map_err(|error| self.error(error))?;
            let written = tokio::time::timeout(STALL, to.write_all(&piece)).await;
            let written = written.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
            written.map_err(|source| ArchiveError::Stream { volume: name.to_owned(), source })?;
            length += u64::try_from(piece.len()).unwrap_or_default();
        }
    }

    /// Fills a volume with what [`Engine::volume_archive`] wrote; it is to be empty.
    ///
    /// # Errors
    /// When the engine or the stream fails, or nothing moves for five minutes. What came until
    /// then is in the volume.
    pub async fn volume_restore(
        &self,
        holder: &Holder<'_>,
        from: impl Stream<Item = io::Result<Bytes>> + Send + 'static,
    ) -> Result<(), ArchiveError> {
        let container = self.hold(holder).await?;
        let filled = self.fill(&container, holder.volume, from).await;
        self.remove(&container).await?;
        filled
    }

    async fn fill(
        &self,
        container: &str,
        name: &str,
        from: impl Stream<Item = io::Result<Bytes>> + Send + 'static,
    ) -> Result<(), ArchiveError> {
        let moved = Arc::new(AtomicU64::new(0));
        let broken = Arc::new(Mutex::new(None));
        let (count, why) = (moved.clone(), broken.clone());
        let body = from.map(move |piece| {
            count.fetch_add(1, Ordering::Relaxed);
            piece.map_err(|error| {
                let told = io::Error::new(error.kind(), error.to_string());
                *why.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                told
            })
        });
        let options = UploadToContainerOptions {
            path: "/".to_owned(),
            ..UploadToContainerOptions::default()
        };
        let docker = self.docker()?.clone().with_timeout(LIMIT);
        let upload =
            docker.upload_to_container(container, Some(options), bollard::body_try_stream(body));
        tokio::pin!(upload);
        let mut before = 0;
        loop {
            match tokio::time::timeout(STALL, &mut upload).await {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(error)) => {
                    // That the stream broke says more than what the engine made of it.
                    let why = broken.lock().unwrap_or_else(PoisonError::into_inner).take();
                    return Err(match why {
                        Some(source) => ArchiveError::Stream { volume: name.to_owned(), source },
                        None => self.error(error).into(),
                    });
                }
                Err(_) => {
                    let now = moved.load(Ordering::Relaxed);
                    if now == before {
                        let stalled = EngineError::TimedOut { call: "fill volume", limit: STALL };
                        return Err(stalled.into());
                    }
                    before = now;
                }
            }
        }
    }

    async fn hold(&self, holder: &Holder<'_>) -> Result<String, EngineError> {
        let mount = Mount {
            typ: Some(MountType::VOLUME),
            source: Some(holder.volume.to_owned()),
            target: Some(PLACE.to_owned()),
            // What the image has at that place is not to be copied into it.
            volume_options: Some(bollard::models::MountVolumeOptions {
                no_copy: Some(true),
                ..Default::default()
            }),
            ..Mount::default()
        };
        let body = ContainerCreateBody {
            image: Some(holder.image.to_owned()),
            cmd: Some(vec!["true".to_owned()]),
            labels: Some(holder.labels.clone()),
            network_disabled: Some(true),
            host_config: Some(HostConfig {
                mounts: Some(vec![mount]),
                network_mode: Some("none".to_owned()),
                ..HostConfig::default()
            }),
            ..ContainerCreateBody::default()
        };
        let create = self.docker()?.create_container(None::<CreateContainerOptions>, body);
        Ok(self.call("create container", QUICK, create).await?.id)
    }
}

fn volume(seen: Seen) -> Volume {
    Volume { name: seen.name, driver: seen.driver, options: seen.options, labels: seen.labels }
}

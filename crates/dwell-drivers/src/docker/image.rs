//! Images: the relay's own, and private tags of built services.

use std::collections::HashMap;
use std::time::Duration;

use bollard::models::ImageSummary;
use bollard::query_parameters::{
    CreateImageOptionsBuilder, ListImagesOptionsBuilder, RemoveImageOptionsBuilder,
    TagImageOptionsBuilder,
};
use bytes::Bytes;
use futures_util::StreamExt;

use super::{Engine, EngineError, QUICK};
use crate::process::{ProcessError, Program};

/// How long pulling an image may take.
const PULL: Duration = Duration::from_secs(15 * 60);

/// An image as the engine has it.
#[derive(Debug, Clone)]
pub struct Image {
    /// Its id.
    pub id: String,
    /// Its tags.
    pub tags: Vec<String>,
    /// Its labels.
    pub labels: HashMap<String, String>,
    /// Its size in bytes.
    pub size: u64,
    /// When it was made, in seconds since the Unix epoch; `None` where the engine does not say.
    pub created: Option<i64>,
}

impl Engine {
    /// The image with this tag; `None` when there is none.
    pub async fn image(&self, tag: &str) -> Result<Option<Image>, EngineError> {
        let Some(id) = self.image_id(tag).await? else { return Ok(None) };
        let all =
            self.images(HashMap::from([("reference".to_owned(), vec![tag.to_owned()])])).await?;
        Ok(all.into_iter().find(|image| image.id == id))
    }

    /// The images with this label, whatever its value.
    pub async fn labelled_images(&self, label: &str) -> Result<Vec<Image>, EngineError> {
        self.images(HashMap::from([("label".to_owned(), vec![label.to_owned()])])).await
    }

    async fn images(
        &self,
        filters: HashMap<String, Vec<String>>,
    ) -> Result<Vec<Image>, EngineError> {
        let options = ListImagesOptionsBuilder::new().filters(&filters).build();
        let found =
            self.call("list images", QUICK, self.docker()?.list_images(Some(options))).await?;
        let image = |image: ImageSummary| Image {
            id: image.id,
            tags: image.repo_tags,
            labels: image.labels,
            size: u64::try_from(image.size).unwrap_or_default(),
            created: Some(image.created).filter(|created| *created > 0),
        };
        Ok(found.into_iter().map(image).collect())
    }

    /// The id of the image with this tag; `None` when there is none.
    pub async fn image_id(&self, tag: &str) -> Result<Option<String>, EngineError> {
        match self.call("inspect image", QUICK, self.docker()?.inspect_image(tag)).await {
            Ok(image) => Ok(image.id),
            Err(e) if e.is_not_found() => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// The ports that an image says, as `5432/tcp`; `None` when there is no such image.
    pub async fn image_ports(&self, tag: &str) -> Result<Option<Vec<String>>, EngineError> {
        match self.call("inspect image", QUICK, self.docker()?.inspect_image(tag)).await {
            Ok(image) => {
                let ports = image.config.and_then(|config| config.exposed_ports);
                Ok(Some(ports.unwrap_or_default()))
            }
            Err(e) if e.is_not_found() => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// Pulls an image, as the user who is logged in to its registry.
    pub async fn pull_image(&self, tag: &str) -> Result<(), ProcessError> {
        let pull = Program::new("docker").args(["pull", "--quiet", "--", tag]).limit(PULL);
        pull.run().await.map(drop)
    }

    /// Whether an image with this tag is there.
    pub async fn has_image(&self, tag: &str) -> Result<bool, EngineError> {
        Ok(self.image_id(tag).await?.is_some())
    }

    /// Makes an image with this tag out of a root file system as an uncompressed tar archive;
    /// `changes` are Dockerfile instructions.
    pub async fn import_image(
        &self,
        repository: &str,
        tag: &str,
        archive: Bytes,
        changes: Vec<String>,
    ) -> Result<(), EngineError> {
        let options = CreateImageOptionsBuilder::new()
            .from_src("-")
            .repo(repository)
            .tag(tag)
            .changes(changes)
            .build();
        let mut progress =
            self.docker()?.create_image(Some(options), Some(bollard::body_full(archive)), None);
        let limit = Duration::from_secs(120);
        let drain = async {
            while let Some(step) = progress.next().await {
                step?;
            }
            Ok(())
        };
        self.call("import image", limit, drain).await
    }

    /// Tags that match a pattern such as `dwell-abc/*`.
    pub async fn image_tags(&self, pattern: &str) -> Result<Vec<String>, EngineError> {
        let filters = HashMap::from([("reference".to_owned(), vec![pattern.to_owned()])]);
        Ok(self.images(filters).await?.into_iter().flat_map(|image| image.tags).collect())
    }

    /// Gives an image another tag besides.
    pub async fn tag_image(&self, image: &str, tag: &str) -> Result<(), EngineError> {
        let (repository, version) = tag.rsplit_once(':').unwrap_or((tag, "latest"));
        let options = TagImageOptionsBuilder::new().repo(repository).tag(version).build();
        self.call("tag image", QUICK, self.docker()?.tag_image(image, Some(options))).await
    }

    /// Removes a tag, and the image when it was its last.
    pub async fn remove_image(&self, tag: &str) -> Result<(), EngineError> {
        let options = RemoveImageOptionsBuilder::new().force(false).build();
        let limit = Duration::from_secs(60);
        match self
            .call("remove image", limit, self.docker()?.remove_image(tag, Some(options), None))
            .await
        {
            Err(e) if e.is_not_found() => Ok(()),
            other => other.map(|_| ()),
        }
    }
}

//! Workspace images: looking at those that are there, and building them with `docker build` from
//! files that are in this binary.

mod context;

use std::collections::VecDeque;
use std::time::Duration;

use dwell_core::image::{HASH_LABEL, ImageName, Labels, RECIPE_LABEL, Recipe, Variant, files_hash};
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};

use crate::docker::{Engine, EngineError, Image};
use crate::process::{ProcessError, Program};
use context::Folder;

/// How long a build may take: agents are large, and links slow.
const BUILD: Duration = Duration::from_secs(90 * 60);
/// Lines of a failed build that are kept.
const TOLD: usize = 20;

/// Why there is no image.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// The engine failed.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// `docker` could not be run or did not end in time.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// The image to start from is neither here nor can it be pulled.
    #[error("the base image {base} is not here and cannot be pulled: {why}")]
    Base {
        /// The base image.
        base: ImageName,
        /// What was said about pulling it.
        why: String,
    },
    /// The files to build from could not be read or written.
    #[error("the files of the image could not be brought together: {0}")]
    Files(#[from] std::io::Error),
    /// The build failed.
    #[error("{tag} could not be built{}", code.map(|code| format!(": `docker build` ended with exit code {code}")).unwrap_or_default())]
    Failed {
        /// The tag that it would have had.
        tag: String,
        /// The exit code; `None` when a signal ended it.
        code: Option<i32>,
        /// The last lines that it wrote.
        told: Vec<String>,
    },
}

/// What an image is asked to be.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// The variant.
    pub variant: Variant,
    /// The image to start from.
    pub base: ImageName,
    /// The agents in it.
    pub agents: std::collections::BTreeSet<dwell_core::image::BuiltIn>,
}

impl Wanted {
    /// What an image of a recipe was asked to be.
    pub fn again(recipe: &Recipe) -> Self {
        let Recipe { variant, base, agents, .. } = recipe.clone();
        Self { variant, base, agents }
    }

    /// All that decides what the image would be if it were built now.
    ///
    /// # Errors
    /// When the engine does not answer, or the machine's certificates cannot be read.
    pub async fn recipe(&self, engine: &Engine) -> Result<Recipe, ImageError> {
        let Self { variant, base, agents } = self.clone();
        let base_id = engine.image_id(base.as_str()).await?;
        let files = files_hash(&context::files()?);
        Ok(Recipe { variant, base, base_id, agents, files })
    }
}

/// What an image says about how it was built; `None` for one that dwell did not build.
pub fn labels(image: &Image) -> Option<Labels> {
    let label = |name: &str| image.labels.get(name).map(String::as_str);
    Labels::read(label(HASH_LABEL), label(RECIPE_LABEL))
}

/// Sees to it that the base image is here, by pulling it where it is not or, with `pull`, always.
///
/// # Errors
/// When it is not here and cannot be pulled.
pub async fn provide_base(engine: &Engine, base: &ImageName, pull: bool) -> Result<(), ImageError> {
    if !pull && engine.has_image(base.as_str()).await? {
        return Ok(());
    }
    match engine.pull_image(base.as_str()).await {
        Ok(()) => Ok(()),
        Err(ProcessError::Failed { stderr, .. }) => {
            let why = stderr.lines().last().unwrap_or_default().trim().to_owned();
            Err(ImageError::Base { base: base.clone(), why })
        }
        Err(other) => Err(other.into()),
    }
}

/// Builds an image of this recipe under its tags in a repository; every line that the build
/// writes goes to `line`. With `afresh` nothing of earlier builds is used. The image that had the
/// tags before is removed unless a container has it. Dropping the future ends the build.
///
/// # Errors
/// When it cannot be built; the last lines are in the error.
pub async fn build(
    engine: &Engine,
    repository: &ImageName,
    recipe: &Recipe,
    afresh: bool,
    line: impl FnMut(String),
) -> Result<Image, ImageError> {
    let folder = Folder::write(&context::files()?)?;
    let tags = recipe.variant.tags(repository);
    let tag = tags.first().cloned().unwrap_or_default();
    let before = engine.image_id(&tag).await?;
    run(engine, &tags, recipe, afresh, &folder, line).await?;
    let built = engine.image(&tag).await?.ok_or(EngineError::NotFound(tag))?;
    if let Some(old) = before.filter(|id| *id != built.id) {
        // One that a container still has stays, which the engine sees to.
        let _ = engine.remove_image(&old).await;
    }
    Ok(built)
}

async fn run(
    engine: &Engine,
    tags: &[String],
    recipe: &Recipe,
    afresh: bool,
    folder: &Folder,
    mut line: impl FnMut(String),
) -> Result<(), ImageError> {
    let described = serde_json::to_string(recipe).map_err(std::io::Error::from)?;
    let mut program = Program::new("docker")
        .args(["build", "--force-rm"])
        .args(recipe.build_arguments().iter().flat_map(|argument| ["--build-arg", argument]))
        .args(["--label", &format!("{HASH_LABEL}={}", recipe.hash())])
        .args(["--label", &format!("{RECIPE_LABEL}={described}")])
        .args(["--target", recipe.variant.as_str()])
        .args(tags.iter().flat_map(|tag| ["--tag", tag]));
    if afresh {
        program = program.arg("--no-cache");
    }
    let program = program
        .arg(folder.path())
        .env("DOCKER_HOST", engine.address())
        .env("BUILDKIT_PROGRESS", "plain")
        .env("DOCKER_CLI_HINTS", "false");
    let mut child = program.spawn()?;
    let (out, err) = child.pipes();
    let (mut out, mut err) = (lines(out), lines(err));
    let mut told = VecDeque::new();
    let read = async {
        while out.is_some() || err.is_some() {
            let next = tokio::select! {
                text = next(&mut out) => text,
                text = next(&mut err) => text,
            };
            if let Some(text) = next.filter(|text| !text.trim().is_empty()) {
                if told.len() == TOLD {
                    told.pop_front();
                }
                told.push_back(text.clone());
                line(text);
            }
        }
        child.wait().await
    };
    let status = tokio::time::timeout(BUILD, read)
        .await
        .map_err(|_| ProcessError::TimedOut { command: program.line(), limit: BUILD })?
        .map_err(|source| ProcessError::Io { program: program.name(), source })?;
    if status.success() {
        return Ok(());
    }
    let tag = tags.first().cloned().unwrap_or_default();
    Err(ImageError::Failed { tag, code: status.code(), told: told.into() })
}

type Lines<R> = Option<tokio::io::Lines<BufReader<R>>>;

fn lines<R: AsyncRead + Unpin>(pipe: Option<R>) -> Lines<R> {
    pipe.map(|pipe| BufReader::new(pipe).lines())
}

/// The next line of a pipe that may have ended; sets it to `None` when it does.
async fn next<R: AsyncRead + Unpin>(pipe: &mut Lines<R>) -> Option<String> {
    let Some(lines) = pipe else { return std::future::pending().await };
    match lines.next_line().await {
        Ok(Some(text)) => Some(text),
        Ok(None) | Err(_) => {
            *pipe = None;
            None
        }
    }
}

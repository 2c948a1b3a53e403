//! How workspace images look.

use dwell_api::image::BuiltImage;
use dwell_core::image::Recipe;
use dwell_drivers::docker::Image;
use serde::Serialize;

use super::remote::size;
use super::show::age;
use super::{Style, Table};

/// One image of a list.
#[derive(Debug, Serialize)]
pub(crate) struct Listed {
    pub(crate) tag: String,
    /// `fresh` or `old`.
    pub(crate) state: &'static str,
    /// Its size in bytes.
    pub(crate) size: u64,
    /// When it was built, in seconds since the Unix epoch.
    pub(crate) created: Option<i64>,
    pub(crate) base: Option<String>,
    pub(crate) agents: Vec<String>,
}

impl Listed {
    /// An image under one of its tags.
    pub(crate) fn new(
        tag: &str,
        state: &'static str,
        image: &Image,
        recipe: Option<&Recipe>,
    ) -> Self {
        let agents = recipe.map(|r| r.agents.iter().map(ToString::to_string).collect());
        Self {
            tag: tag.to_owned(),
            state,
            size: image.size,
            created: image.created,
            base: recipe.map(|recipe| recipe.base.to_string()),
            agents: agents.unwrap_or_default(),
        }
    }
}

/// One image that was looked at.
#[derive(Debug, Serialize)]
pub(crate) struct Checked {
    pub(crate) tag: String,
    /// `fresh`, `old` or `missing`.
    pub(crate) state: &'static str,
    /// Why it is old.
    pub(crate) reasons: Vec<String>,
}

/// The end of `image build`.
pub(crate) fn built(built: &BuiltImage) -> String {
    let what = if built.built { "built" } else { "fresh" };
    format!("{} is {what}, {}\n", built.tag, size(built.size))
}

/// Images as a table; `now` is in microseconds since the Unix epoch.
pub(crate) fn listed(images: &[Listed], now: i64, style: Style) -> String {
    if images.is_empty() {
        return "no images; `dwell image build` builds one\n".to_owned();
    }
    let mut table = Table::new(&["IMAGE", "STATE", "SIZE", "AGE", "BASE", "AGENTS"]).states(1);
    for image in images {
        let created = image.created.map(|seconds| seconds.saturating_mul(1_000_000));
        table.row(vec![
            image.tag.clone(),
            image.state.to_owned(),
            size(image.size),
            created.map(|created| age(created, now)).unwrap_or_default(),
            image.base.clone().unwrap_or_default(),
            image.agents.join(","),
        ]);
    }
    table.render(style)
}

/// What `image check` found, a line for each image and each reason.
pub(crate) fn checked(images: &[Checked], style: Style) -> String {
    let lines = images.iter().map(|image| {
        let reasons: String = image.reasons.iter().map(|why| format!("  {why}\n")).collect();
        format!("{} {}\n{reasons}", image.tag, style.state(image.state))
    });
    lines.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(tag: &str, state: &'static str) -> Listed {
        Listed {
            tag: tag.to_owned(),
            state,
            size: 900 << 20,
            created: Some(1_000),
            base: Some("debian:bookworm".to_owned()),
            agents: vec!["claude".to_owned(), "codex".to_owned()],
        }
    }

    #[test]
    fn a_list_has_a_row_for_every_tag() {
        let images = [image("w:base", "fresh"), image("w:docker", "old")];
        let text = listed(&images, 1_120_000_000, Style::PLAIN);
        assert_eq!(
            text,
            "IMAGE     STATE  SIZE     AGE  BASE             AGENTS\n\
             w:base    fresh  900 MiB  2m   debian:bookworm  claude,codex\n\
             w:docker  old    900 MiB  2m   debian:bookworm  claude,codex\n"
        );
    }

    #[test]
    fn an_old_image_says_why() {
        let old = Checked { tag: "w:base".to_owned(), state: "old", reasons: vec!["x".to_owned()] };
        let gone = Checked { tag: "w:docker".to_owned(), state: "missing", reasons: vec![] };
        assert_eq!(checked(&[old, gone], Style::PLAIN), "w:base old\n  x\nw:docker missing\n");
    }
}

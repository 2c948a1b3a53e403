//! How workspace images look.

use dwell_api::image::{BuiltImage, SeenImage};
use serde::Serialize;

use super::remote::size;
use super::show::age;
use super::{Style, Table};

/// One image that was looked at.
#[derive(Debug, Serialize)]
pub(crate) struct Checked {
    pub(crate) tag: String,
    /// `fresh`, `old` or `missing`.
    pub(crate) state: String,
    /// Why it is old.
    pub(crate) reasons: Vec<String>,
}

impl Checked {
    /// An image of this tag, or that there is none.
    pub(crate) fn new(tag: String, image: Option<&SeenImage>) -> Self {
        let state = image.map_or_else(|| "missing".to_owned(), |image| image.state.clone());
        let reasons = image.map(|image| image.reasons.clone()).unwrap_or_default();
        Self { tag, state, reasons }
    }
}

/// The end of `image build`.
pub(crate) fn built(built: &BuiltImage) -> String {
    let what = if built.built { "built" } else { "fresh" };
    format!("{} is {what}, {}\n", built.tag, size(built.size))
}

/// Images as a table; `now` is in microseconds since the Unix epoch.
pub(crate) fn listed(images: &[SeenImage], now: i64, style: Style) -> String {
    if images.is_empty() {
        return "no images; `dwell image build` builds one\n".to_owned();
    }
    let mut table = Table::new(&["IMAGE", "STATE", "SIZE", "AGE", "BASE", "AGENTS"]).states(1);
    for image in images {
        let created = image.created.map(|seconds| seconds.saturating_mul(1_000_000));
        table.row(vec![
            image.tag.clone(),
            image.state.clone(),
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
        format!("{} {}\n{reasons}", image.tag, style.state(&image.state))
    });
    lines.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(tag: &str, state: &str) -> SeenImage {
        SeenImage {
            tag: tag.to_owned(),
            state: state.to_owned(),
            reasons: Vec::new(),
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
        let why = SeenImage { reasons: vec!["x".to_owned()], ..image("w:base", "old") };
        let old = Checked::new("w:base".to_owned(), Some(&why));
        let gone = Checked::new("w:docker".to_owned(), None);
        assert_eq!(checked(&[old, gone], Style::PLAIN), "w:base old\n  x\nw:docker missing\n");
    }
}

//! Files that are brought along and filled with an environment's values.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;

use dwell_core::config::{ProjectConfig, variables};
use dwell_drivers::tree::{self, Applied, CopyAndRender, MergeOptions, Tree, TreeError};

use crate::support::{Place, names};

const CONFIG: &str = "
copy = ['.env']
[[render]]
file = '.env'
replace = [{ from = 'localhost', to = 'api.localhost' }]
[[render]]
file = 'settings.txt'
";

async fn apply(place: &Place, tree: &Tree) -> Result<Applied, TreeError> {
    let config = ProjectConfig::from_dwell(CONFIG).unwrap();
    let variables: BTreeMap<String, String> =
        variables(&"shop".parse().unwrap(), &"a1".parse().unwrap(), &"test".parse().unwrap());
    tree::apply_copy_and_render(CopyAndRender {
        source: &place.path("source"),
        project_dir: &tree.project_dir,
        state: &place.state(),
        copy: &config.copy,
        rules: &config.render,
        variables: &variables,
    })
    .await
}

fn project(git: bool) -> Place {
    let place = if git { Place::git() } else { Place::new() };
    place.write("source/.env", "HOST=localhost\nENV=${DWELL_ENV}\n");
    place.mode("source/.env", 0o600);
    place.write("source/settings.txt", "line\nurl ${CILO_BASE_URL}\n");
    if git {
        place.commit("source", "settings");
    }
    place
}

#[tokio::test]
async fn rendering_again_changes_nothing() {
    for git in [true, false] {
        let place = project(git);
        let tree = place.create().await;
        let applied = apply(&place, &tree).await.unwrap();
        assert_eq!(names(&applied.rendered), [".env", "settings.txt"]);
        for _ in 0..3 {
            assert_eq!(place.read("tree/.env"), "HOST=api.localhost\nENV=a1\n");
            assert_eq!(place.read("tree/settings.txt"), "line\nurl http://shop.a1.test\n");
            assert_eq!(apply(&place, &tree).await.unwrap().rendered.len(), 0);
        }
        let mode = fs::metadata(place.path("tree/.env")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(place.read("source/.env").contains("=localhost"));
    }
}

#[tokio::test]
async fn an_edited_file_is_left_alone() {
    let place = project(true);
    let tree = place.create().await;
    apply(&place, &tree).await.unwrap();
    place.write("tree/.env", "HOST=mine\n");
    let applied = apply(&place, &tree).await.unwrap();
    assert!(applied.notes[0].contains("was edited since"), "{:?}", applied.notes);
    assert_eq!(place.read("tree/.env"), "HOST=mine\n");
}

#[tokio::test]
async fn what_is_rendered_is_nobodys_work_and_syncs() {
    for git in [true, false] {
        let place = project(git);
        let tree = place.create().await;
        apply(&place, &tree).await.unwrap();
        let state = place.state();
        assert_eq!(tree::unsaved(&tree, &state).await.unwrap(), tree::Unsaved::default());
        assert!(tree::diff(&tree, &state, Default::default()).await.unwrap().is_empty());
        let merged = tree::merge(&tree, &state, &MergeOptions::default()).await.unwrap();
        assert!(merged.files.is_empty(), "{:?}", merged.files);
        place.write("source/settings.txt", "line, changed\nurl ${CILO_BASE_URL}\n");
        if git {
            place.commit("source", "changed");
        }
        tree::sync(&tree, &state).await.unwrap();
        apply(&place, &tree).await.unwrap();
        assert_eq!(place.read("tree/settings.txt"), "line, changed\nurl http://shop.a1.test\n");
        assert_eq!(tree::unsaved(&tree, &state).await.unwrap(), tree::Unsaved::default());
    }
}

#[tokio::test]
async fn a_link_out_of_the_project_is_not_rendered() {
    let place = project(false);
    place.write("outside", "HOST=localhost\n");
    fs::remove_file(place.path("source/.env")).unwrap();
    place.link("../outside", "source/.env");
    let tree = place.create().await;
    let applied = apply(&place, &tree).await.unwrap();
    assert!(applied.notes[0].contains("is no file of the project"), "{:?}", applied.notes);
    assert_eq!(place.read("outside"), "HOST=localhost\n");
}

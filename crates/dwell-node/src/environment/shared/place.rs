//! Where the files of a shared instance are: in the source, because the tree of the environment
//! that happened to start it goes away before it does.

use std::path::Path;

use dwell_core::tree::{Tree, TreeKind};
use serde_json::Value;

/// Points every path into the tree at the same file of the source, where that has it. Gives the
/// paths that changed, relative to the source.
pub(super) fn at_source(model: &mut Value, tree: &Tree) -> Vec<String> {
    let mut moved = Vec::new();
    if tree.kind != TreeKind::InPlace {
        walk(model, tree, &mut moved);
        moved.sort();
        moved.dedup();
    }
    moved
}

fn walk(value: &mut Value, tree: &Tree, moved: &mut Vec<String>) {
    match value {
        Value::String(text) => {
            // A model writes a dollar sign twice.
            let plain = text.replace("$$", "$");
            let Ok(rest) = Path::new(&plain).strip_prefix(&tree.root) else { return };
            let there = if rest.as_os_str().is_empty() {
                tree.source.clone()
            } else {
                tree.source.join(rest)
            };
            if !there.exists() {
                return;
            }
            *text = there.to_string_lossy().replace('$', "$$");
            moved.push(format!("./{}", rest.display()));
        }
        Value::Array(items) => items.iter_mut().for_each(|item| walk(item, tree, moved)),
        Value::Object(map) => map.values_mut().for_each(|item| walk(item, tree, moved)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn paths_of_the_tree_become_the_sources_where_they_exist_there() {
        let place = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(place.path().join("source/conf")).unwrap();
        let at = |rest: &str| place.path().join(rest).display().to_string();
        let tree = Tree {
            kind: TreeKind::Copy,
            source: place.path().join("source"),
            root: place.path().join("tree"),
            project_dir: place.path().join("tree"),
            branch: None,
            base_commit: None,
            notes: Vec::new(),
        };
        let mut model = json!({"volumes": [
            {"source": at("tree/conf")}, {"source": at("tree/new")}, {"source": at("tree2/conf")},
        ]});
        assert_eq!(at_source(&mut model, &tree), ["./conf"]);
        let expected = json!({"volumes": [
            {"source": at("source/conf")}, {"source": at("tree/new")}, {"source": at("tree2/conf")},
        ]});
        assert_eq!(model, expected);
    }
}

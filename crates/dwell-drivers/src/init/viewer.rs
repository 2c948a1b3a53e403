//! What the image of a workspace has for browsers.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use dwell_core::workspace::VIEWER;

/// The scripts of noVNC, by their paths in its folder.
///
/// # Errors
/// When it is not there.
pub fn files() -> io::Result<BTreeMap<String, String>> {
    let mut all = BTreeMap::new();
    let root = Path::new(VIEWER);
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let path = entry.path();
            if entry.file_type()?.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|kind| kind == "js")
                && let Some(name) = path.strip_prefix(root).ok().and_then(Path::to_str)
            {
                all.insert(name.to_owned(), fs::read_to_string(&path)?);
            }
        }
    }
    Ok(all)
}

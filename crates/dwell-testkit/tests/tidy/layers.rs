//! Dependencies point downward only, and each outside library is named in one place.

use std::collections::BTreeSet;

use crate::{list, metadata, none, text};

/// Each crate and the crates of ours that it may depend on.
const LAYERS: [(&str, &[&str]); 8] = [
    ("dwell-core", &[]),
    ("dwell-api", &["dwell-core"]),
    ("dwell-store", &["dwell-core"]),
    ("dwell-net", &["dwell-core"]),
    ("dwell-drivers", &["dwell-core"]),
    ("dwell-node", &["dwell-api", "dwell-core", "dwell-drivers", "dwell-net", "dwell-store"]),
    ("dwell", &["dwell-api", "dwell-core", "dwell-drivers", "dwell-net", "dwell-node"]),
    ("dwell-testkit", &[]),
];

/// All that the pure crate may name: nothing of it does I/O, waits, or knows the time.
const PURE: [&str; 12] = [
    "base64",
    "blake3",
    "globset",
    "ipnet",
    "schemars",
    "serde",
    "serde-saphyr",
    "serde_json",
    "strsim",
    "thiserror",
    "toml",
    "utoipa",
];

/// Outside libraries that only some crates may name, each with its reason.
const RESERVED: [(&str, &[&str], &str); 10] = [
    ("sqlx", &["dwell-store"], "SQL lives in the store"),
    ("bollard", &["dwell-drivers"], "the engine is a driver"),
    ("pty-process", &["dwell-drivers"], "terminals are a driver"),
    ("domain", &["dwell-net"], "DNS is one module of net"),
    ("nix", &["dwell-net"], "raw sockets are net's"),
    ("axum", &["dwell-node"], "only the daemon serves the API"),
    ("utoipa", &["dwell-api", "dwell-core", "dwell-node"], "the API's description"),
    ("ratatui", &["dwell"], "screens are the binary's"),
    ("clap", &["dwell"], "arguments are the binary's"),
    ("clap_complete", &["dwell"], "arguments are the binary's"),
];

/// Our crates with the names of their dependencies of a kind (`normal`, `dev`, `build`).
fn crates(kind: &str) -> Vec<(String, BTreeSet<String>)> {
    let metadata = metadata();
    let ours = list(&metadata, "packages").filter(|package| text(package, "source").is_empty());
    ours.map(|package| {
        let dependencies = list(package, "dependencies").filter(|dependency| {
            let given = text(dependency, "kind");
            given == kind || (given.is_empty() && kind == "normal")
        });
        let names = dependencies.map(|dependency| text(dependency, "name").to_owned()).collect();
        (text(package, "name").to_owned(), names)
    })
    .collect()
}

#[test]
fn dependencies_point_downward() {
    let mut wrong = Vec::new();
    for (name, dependencies) in crates("normal") {
        let Some((_, allowed)) = LAYERS.iter().find(|(layer, _)| *layer == name) else {
            wrong.push(format!("{name} has no place in the layout"));
            continue;
        };
        let ours = dependencies.iter().filter(|dependency| dependency.starts_with("dwell"));
        for dependency in ours.filter(|dependency| !allowed.contains(&dependency.as_str())) {
            wrong.push(format!("{name} may not depend on {dependency}"));
        }
    }
    none("the layout of crates", &wrong);
}

#[test]
fn the_testkit_is_for_tests_only() {
    let mut wrong = Vec::new();
    for kind in ["normal", "build"] {
        for (name, dependencies) in crates(kind) {
            if dependencies.contains("dwell-testkit") {
                wrong.push(format!("{name} links dwell-testkit outside its tests"));
            }
        }
    }
    none("the testkit", &wrong);
}

#[test]
fn the_pure_crate_names_only_pure_libraries() {
    let crates = crates("normal");
    let (_, core) = crates.iter().find(|(name, _)| name == "dwell-core").unwrap();
    let wrong: Vec<String> =
        core.iter().filter(|name| !PURE.contains(&name.as_str())).cloned().collect();
    none("dwell-core depends on libraries that are not known to be pure", &wrong);
}

#[test]
fn each_reserved_library_is_named_where_it_belongs() {
    let mut wrong = Vec::new();
    for (name, dependencies) in crates("normal") {
        for (library, owners, reason) in RESERVED {
            if dependencies.contains(library) && !owners.contains(&name.as_str()) {
                wrong.push(format!("{name} names {library}: {reason}"));
            }
        }
    }
    none("reserved libraries", &wrong);
}

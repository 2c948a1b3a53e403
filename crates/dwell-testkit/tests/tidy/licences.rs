//! A light form of `cargo deny`, for machines without it: licences, sources, unwanted crates.

use std::collections::BTreeSet;

use crate::{cargo, host, list, metadata, none, text};

/// Licences that code we link may have; `deny.toml` holds the same list.
const ALLOWED: [&str; 12] = [
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "ISC",
    "MIT",
    "MPL-2.0",
    "Unicode-3.0",
    "Zlib",
];

/// Crates that are kept out, each with its reason; `deny.toml` holds the same list.
const UNWANTED: [(&str, &str); 7] = [
    ("native-tls", "rustls is the one TLS library"),
    ("openssl", "rustls is the one TLS library"),
    ("openssl-sys", "rustls is the one TLS library"),
    ("ring", "aws-lc-rs is the one cryptography library"),
    ("serde_yaml", "no longer kept"),
    ("serde_yml", "unsound"),
    ("libgit2-sys", "git is run, not linked"),
];

/// Large crates of which two versions at once would be felt in build time and size.
const SINGLE: [&str; 8] =
    ["axum", "bollard", "clap", "http", "hyper", "rustix", "sqlx-core", "tokio"];

/// Whether an SPDX expression can be met with allowed licences only. Old manifests write `/` for
/// `OR`.
fn is_allowed(expression: &str) -> bool {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut rest = words.as_slice();
    any(&mut rest) && rest.is_empty()
}

fn any(words: &mut &[&str]) -> bool {
    let mut allowed = all(words);
    while let ["OR", rest @ ..] = words {
        *words = rest;
        // Both sides are read, whatever the first says.
        allowed |= all(words);
    }
    allowed
}

fn all(words: &mut &[&str]) -> bool {
    let mut allowed = one(words);
    while let ["AND", rest @ ..] = words {
        *words = rest;
        allowed &= one(words);
    }
    allowed
}

fn one(words: &mut &[&str]) -> bool {
    match words {
        ["(", rest @ ..] => {
            *words = rest;
            let allowed = any(words);
            *words = words.get(1..).unwrap_or_default();
            allowed
        }
        [licence, "WITH", exception, rest @ ..] => {
            *words = rest;
            ALLOWED.contains(&format!("{licence} WITH {exception}").as_str())
        }
        [licence, rest @ ..] => {
            *words = rest;
            ALLOWED.contains(licence)
        }
        [] => false,
    }
}

#[test]
fn licence_expressions_are_understood() {
    for good in ["MIT", "GPL-3.0 OR MIT", "(MIT OR GPL-3.0) AND Unicode-3.0", "GPL-2.0/MIT"] {
        assert!(is_allowed(good), "{good}");
    }
    for bad in ["GPL-3.0", "MIT AND GPL-3.0", "", "MIT AND (GPL-3.0 OR LGPL-3.0)", "MIT MIT"] {
        assert!(!is_allowed(bad), "{bad}");
    }
}

#[test]
fn everything_linked_has_an_allowed_licence() {
    let metadata = metadata();
    let wrong: Vec<String> = list(&metadata, "packages")
        .filter(|package| !is_allowed(text(package, "license")))
        .map(|package| format!("{}: `{}`", text(package, "name"), text(package, "license")))
        .collect();
    none("licences that are not on the list", &wrong);
}

#[test]
fn everything_linked_comes_from_the_crates_index() {
    let metadata = metadata();
    let index = "registry+https://github.com/rust-lang/crates.io-index";
    let wrong: Vec<String> = list(&metadata, "packages")
        .filter(|package| !["", index].contains(&text(package, "source")))
        .map(|package| format!("{} from {}", text(package, "name"), text(package, "source")))
        .collect();
    none("packages from elsewhere", &wrong);
}

/// The names and versions of all that is built. The lock file also names what optional features of
/// others could ask for.
fn linked() -> BTreeSet<(String, String)> {
    let platform = host();
    let all = ["tree", "--locked", "--workspace", "--prefix", "none", "--format", "{p}"];
    let told = cargo(&[&all[..], &["--target", &platform]].concat());
    let lines = String::from_utf8(told).unwrap();
    let words = lines.lines().map(str::split_whitespace);
    let read = |mut line: std::str::SplitWhitespace<'_>| {
        Some((line.next()?.to_owned(), line.next()?.to_owned()))
    };
    let linked: BTreeSet<_> = words.filter_map(read).collect();
    assert!(linked.len() > 100, "cargo tells of {} crates only", linked.len());
    linked
}

#[test]
fn unwanted_and_doubled_crates_stay_out() {
    let linked = linked();
    let mut wrong = Vec::new();
    for (name, reason) in UNWANTED {
        if linked.iter().any(|(other, _)| other == name) {
            wrong.push(format!("{name}: {reason}"));
        }
    }
    for name in SINGLE {
        if linked.iter().filter(|(other, _)| other == name).count() > 1 {
            wrong.push(format!("{name} is linked in two versions"));
        }
    }
    none("crates to keep out", &wrong);
}

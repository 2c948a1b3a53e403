//! What every source file keeps to.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{none, root};

const MOST_LINES: usize = 500;

/// What the pure crate does not say outside its tests, as it has no I/O, clock or waiting.
const IMPURE: [&str; 9] = [
    "std::fs",
    "std::process",
    "std::env",
    "std::thread",
    "Instant::now",
    "SystemTime::now",
    "async fn",
    "TcpStream",
    "UdpSocket",
];

/// The Rust files below a folder of every crate.
fn rust_files(folder: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(root().join("crates")).unwrap().flatten() {
        collect(&entry.path().join(folder), &mut files);
    }
    files.sort();
    files
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

fn shown(path: &Path) -> String {
    path.strip_prefix(root()).unwrap_or(path).display().to_string()
}

/// A file without its unit tests, which stand at its end.
fn without_tests(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap();
    text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default().to_owned()
}

fn is_unit_test(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name == "tests.rs")
        || path.parent().is_some_and(|folder| folder.ends_with("tests"))
}

#[test]
fn every_module_says_what_it_is_for() {
    let files = rust_files("src");
    assert!(files.len() > 8, "the search finds the sources");
    let wrong: Vec<String> = files
        .iter()
        .filter(|path| !is_unit_test(path))
        .filter(|path| !fs::read_to_string(path).unwrap().starts_with("//! "))
        .map(|path| shown(path))
        .collect();
    none("modules without a `//!` head", &wrong);
}

#[test]
fn no_file_is_long() {
    let mut wrong = Vec::new();
    for path in ["src", "tests", "examples"].iter().flat_map(|folder| rust_files(folder)) {
        let lines = fs::read_to_string(&path).unwrap().lines().count();
        if lines > MOST_LINES {
            wrong.push(format!("{}: {lines} lines", shown(&path)));
        }
    }
    none(&format!("files of more than {MOST_LINES} lines usually hold two things"), &wrong);
}

#[test]
fn the_pure_crate_touches_nothing() {
    let core = root().join("crates/dwell-core/src");
    let mut wrong = Vec::new();
    for path in rust_files("src").iter().filter(|p| p.starts_with(&core) && !is_unit_test(p)) {
        let text = without_tests(path);
        for (number, line) in text.lines().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            if IMPURE.iter().any(|word| code.contains(word)) {
                wrong.push(format!("{}:{}: {}", shown(path), number + 1, line.trim()));
            }
        }
    }
    none("dwell-core does I/O, waits, or asks the time", &wrong);
}

#[test]
fn processes_are_started_in_few_places() {
    let allowed = ["crates/dwell-drivers/", "crates/dwell/", "crates/dwell-testkit/"];
    let mut wrong = Vec::new();
    for path in rust_files("src").iter().filter(|path| !is_unit_test(path)) {
        let text = without_tests(path);
        let name = shown(path);
        if text.contains("process::Command") && !allowed.iter().any(|a| name.starts_with(a)) {
            wrong.push(name);
        }
    }
    none("modules that start processes other than through dwell_drivers::process", &wrong);
}

/// Files that git keeps or would keep, with their text; others than text are left out.
fn kept_files() -> Vec<(String, String)> {
    let list = Command::new("git")
        .args([
            "-c",
            "safe.directory=*",
            "ls-files",
            "--cached",
            "--others",
            "--exclude-standard",
            "-z",
        ])
        .current_dir(root())
        .output()
        .unwrap();
    let names = String::from_utf8(list.stdout).unwrap();
    assert!(names.contains("Cargo.toml"), "this is not a git checkout");
    let names = names.split('\0').filter(|name| !name.is_empty());
    names
        .filter_map(|name| Some((name.to_owned(), fs::read_to_string(root().join(name)).ok()?)))
        .collect()
}

#[test]
fn nothing_mentions_the_machine_it_was_written_on() {
    // Taken apart, so that this file does not find itself.
    let paths =
        [["/wo", "rk/"], ["/tm", "p/h/"], ["/home/run", "ner/"]].map(|parts| parts.concat());
    let mut wrong = Vec::new();
    for (name, text) in kept_files() {
        for (number, line) in text.lines().enumerate() {
            // `~/work/` and `src/work/` are anybody's.
            let absolute = |path: &String| {
                line.match_indices(path.as_str()).any(|(at, _)| {
                    let before = line.get(..at).and_then(|text| text.chars().last());
                    before.is_none_or(|c| !c.is_alphanumeric() && !"~._-}/".contains(c))
                })
            };
            if paths.iter().any(absolute) {
                wrong.push(format!("{name}:{}: {}", number + 1, line.trim()));
            }
        }
    }
    none("paths of one machine", &wrong);
}

#[test]
fn nothing_is_left_to_do_later() {
    let marks = [["TO", "DO"], ["FIX", "ME"], ["X", "XX:"]].map(|parts| parts.concat());
    let mut wrong = Vec::new();
    for path in ["src", "tests", "examples"].iter().flat_map(|folder| rust_files(folder)) {
        let text = fs::read_to_string(&path).unwrap();
        for (number, line) in text.lines().enumerate() {
            let comment = line.split_once("//").map_or("", |(_, comment)| comment);
            if marks.iter().any(|mark| comment.contains(mark.as_str())) {
                wrong.push(format!("{}:{}: {}", shown(&path), number + 1, line.trim()));
            }
        }
    }
    none("work left for later", &wrong);
}

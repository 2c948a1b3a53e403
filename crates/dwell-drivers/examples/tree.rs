//! Measures the making of a git project's tree against `git worktree add`, interleaved A B B A.
//! Arguments: number of files, number of rounds. Prints a line for each round, in microseconds:
//! dwell twice, git twice.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a benchmark may stop at the first surprise"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use dwell_drivers::tree::{self, CreateTree, Start};

fn git(directory: &Path, arguments: &[&str]) {
    let status = Command::new("git").args(arguments).current_dir(directory).status().unwrap();
    assert!(status.success(), "git {arguments:?}");
}

fn generate(root: &Path, files: usize) {
    let line = "All work and no play makes a dull file. 0123456789 abcdefghij\n";
    for number in 0..files {
        let directory = root.join(format!("part-{:03}/s{}", number % 200, number % 7));
        fs::create_dir_all(&directory).unwrap();
        let text = format!("{number}\n{}", line.repeat(1 + number % 60));
        fs::write(directory.join(format!("file-{number}.txt")), text).unwrap();
    }
    git(root, &["init", "-q"]);
    git(root, &["add", "-A"]);
    git(root, &["-c", "user.name=b", "-c", "user.email=b@localhost", "commit", "-q", "-m", "x"]);
    git(root, &["status", "--porcelain"]);
}

fn worktree_add(root: &Path, source: &Path) -> u128 {
    let place = root.join("plain");
    let start = Instant::now();
    let arguments = ["worktree", "add", "-q", "-b", "plain", place.to_str().unwrap()];
    git(source, &arguments);
    let time = start.elapsed().as_micros();
    fs::remove_dir_all(&place).unwrap();
    git(source, &["worktree", "prune"]);
    git(source, &["branch", "-q", "-D", "plain"]);
    time
}

async fn dwell(root: &Path, source: &Path) -> u128 {
    let (place, state): (PathBuf, PathBuf) = (root.join("tree"), root.join("state"));
    let environment = "a1".parse().unwrap();
    let start = Instant::now();
    let made = tree::create(CreateTree {
        source,
        tree: &place,
        state: &state,
        environment: &environment,
        start: Start::Source,
        copy_patterns: &[],
    });
    let made = made.await.unwrap();
    let time = start.elapsed().as_micros();
    tree::remove(&made, &state, true).await.unwrap();
    time
}

#[tokio::main]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let mut number = |default| arguments.next().map_or(default, |text| text.parse().unwrap());
    let (files, rounds) = (number(20_000), number(7));
    let root = std::env::temp_dir().join(format!("dwell-bench-{}", std::process::id()));
    let source = root.join("source");
    fs::create_dir_all(&source).unwrap();
    generate(&source, files);
    worktree_add(&root, &source);
    dwell(&root, &source).await;
    for _ in 0..rounds {
        let a = worktree_add(&root, &source);
        let b = dwell(&root, &source).await;
        let c = dwell(&root, &source).await;
        let d = worktree_add(&root, &source);
        println!("{b} {c} {a} {d}");
    }
    fs::remove_dir_all(&root).unwrap();
}

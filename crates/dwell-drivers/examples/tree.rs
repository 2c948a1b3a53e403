//! Measures the making of a git project's tree against `git worktree add`, interleaved A B B A.
//! Arguments: number of files, number of rounds.
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

fn worktree_add(root: &Path, source: &Path) -> f64 {
    let place = root.join("plain");
    let start = Instant::now();
    let arguments = ["worktree", "add", "-q", "-b", "plain", place.to_str().unwrap()];
    git(source, &arguments);
    let seconds = start.elapsed().as_secs_f64();
    fs::remove_dir_all(&place).unwrap();
    git(source, &["worktree", "prune"]);
    git(source, &["branch", "-q", "-D", "plain"]);
    seconds
}

async fn dwell(root: &Path, source: &Path) -> f64 {
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
    let seconds = start.elapsed().as_secs_f64();
    tree::remove(&made, &state, true).await.unwrap();
    seconds
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
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
    let (mut plain, mut ours, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..rounds {
        let a = worktree_add(&root, &source);
        let b = dwell(&root, &source).await;
        let c = dwell(&root, &source).await;
        let d = worktree_add(&root, &source);
        ratios.push((b + c) / (a + d));
        plain.extend([a, d]);
        ours.extend([b, c]);
    }
    println!("files {files}, rounds {rounds}");
    println!("git worktree add  {:.3} s", median(plain));
    println!("dwell             {:.3} s", median(ours));
    println!("ratio             {:.2}", median(ratios));
    fs::remove_dir_all(&root).unwrap();
}

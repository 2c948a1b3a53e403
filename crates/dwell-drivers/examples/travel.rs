//! Sends a directory's sources through any byte stream, for the benchmark of syncs.
//!
//! `travel generate <directory> <files>` makes a git project; `travel send <directory> <state>
//! <command>...` sends it to the `travel receive <store> <tree> <state>` that the command runs,
//! somewhere else perhaps.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a benchmark may stop at the first surprise"
)]

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use dwell_drivers::tree::Tree;
use dwell_drivers::tree::travel::{self, CreateReceived, Haves, Offer, Source, Store};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWriteExt, BufReader};

fn git(directory: &Path, arguments: &[&str]) {
    let status = Command::new("git").args(arguments).current_dir(directory).status().unwrap();
    assert!(status.success(), "git {arguments:?}");
}

/// Files of 0.2 to 9 KB, of words that compress about as source code does.
fn generate(root: &Path, files: usize) {
    let mut state = 7_u64;
    let mut random = move |below: u64| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    let word = |random: &mut dyn FnMut(u64) -> u64| -> String {
        (0..2 + random(9)).map(|_| char::from(b'a' + random(26) as u8)).collect()
    };
    let words: Vec<String> = (0..2000).map(|_| word(&mut random)).collect();
    for number in 0..files {
        let directory = root.join(format!("part-{:03}/s{}", number % 200, number % 7));
        fs::create_dir_all(&directory).unwrap();
        let size = 200 + random(8800) as usize;
        let mut text = format!("{number}\n");
        while text.len() < size {
            // Some words are much more common than others.
            let pick = random(2000) * random(2000) / 2000;
            write!(text, "{}{}", words[pick as usize], if random(9) == 0 { "\n" } else { " " })
                .unwrap();
        }
        fs::write(directory.join(format!("file-{number}.txt")), text).unwrap();
    }
    git(root, &["init", "-q"]);
    git(root, &["add", "-A"]);
    git(root, &["-c", "user.name=b", "-c", "user.email=b@localhost", "commit", "-q", "-m", "x"]);
    git(root, &["status", "--porcelain"]);
}

async fn line<T: serde::de::DeserializeOwned>(from: &mut BufReader<impl AsyncRead + Unpin>) -> T {
    let mut text = String::new();
    from.read_line(&mut text).await.unwrap();
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn as_line(value: &impl serde::Serialize) -> Vec<u8> {
    let mut line = serde_json::to_vec(value).unwrap();
    line.push(b'\n');
    line
}

async fn send(directory: &Path, state: &Path, command: &[String]) {
    let begin = Instant::now();
    let mut remote = tokio::process::Command::new(&command[0])
        .args(&command[1..])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut to = remote.stdin.take().unwrap();
    let mut from = BufReader::new(remote.stdout.take().unwrap());
    let source = Source::open(directory, state, &[]).await.unwrap().unwrap();
    let offer = source.offer().await.unwrap().offer;
    let offered = begin.elapsed();
    to.write_all(&as_line(&offer)).await.unwrap();
    let haves: Haves = line(&mut from).await;
    let mut bytes = 0;
    if !haves.nothing_to_do {
        bytes = source.send(&offer, &haves, &mut to).await.unwrap().bytes;
    }
    let sent = begin.elapsed();
    let done: String = line(&mut from).await;
    drop(to);
    assert!(remote.wait().await.unwrap().success());
    let whole = begin.elapsed();
    eprintln!("offered {offered:.2?}, sent {sent:.2?}, {done} {whole:.2?}, {bytes} bytes");
}

async fn receive(store: &Path, tree: &Path, state: &Path) {
    let environment = "a1".parse().unwrap();
    let mut to = tokio::io::stdout();
    let mut from = BufReader::new(tokio::io::stdin());
    let offer: Offer = line(&mut from).await;
    let record = state.join("tree.json");
    let made: Option<Tree> =
        fs::read(&record).ok().map(|text| serde_json::from_slice(&text).unwrap());
    let store = Store::open(store, offer.format).await.unwrap();
    let mut haves = store.haves(&environment).await.unwrap();
    haves.nothing_to_do =
        made.as_ref().is_some_and(|made| travel::is_current(made, state, &offer).unwrap());
    to.write_all(&as_line(&haves)).await.unwrap();
    to.flush().await.unwrap();
    if !haves.nothing_to_do {
        let growing = made.is_none().then_some(tree);
        store.receive(&environment, from, growing).await.unwrap();
        if let Some(made) = &made {
            travel::apply(made, state, &store, &offer, false).await.unwrap();
        } else {
            let (store, offer, environment) = (&store, &offer, &environment);
            let order = CreateReceived { store, offer, tree, state, environment };
            let made = travel::create(order).await.unwrap();
            fs::write(&record, serde_json::to_vec(&made).unwrap()).unwrap();
        }
    }
    to.write_all(&as_line(&"done")).await.unwrap();
    to.flush().await.unwrap();
}

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let path = |at: usize| PathBuf::from(&arguments[at]);
    match arguments[0].as_str() {
        "generate" => generate(&path(1), arguments[2].parse().unwrap()),
        "send" => send(&path(1), &path(2), &arguments[3..]).await,
        "receive" => receive(&path(1), &path(2), &path(3)).await,
        other => panic!("what is `{other}`?"),
    }
    // Whoever waits on standard input in a thread of its own is not waited for.
    std::process::exit(0);
}

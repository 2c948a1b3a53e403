//! A tmux server of its own for a test, and ways to run sessions on it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime};

use dwell_drivers::session::{DEFAULT_LIMIT, Event, Exit, SessionState, Sessions, StartSession};
use dwell_drivers::tmux::{Size, Tmux, TmuxName};

pub(crate) struct Node {
    pub(crate) root: PathBuf,
    pub(crate) sessions: Sessions,
    own: Option<tempfile::TempDir>,
}

impl Node {
    pub(crate) fn new() -> Self {
        let own = tempfile::tempdir().unwrap();
        let mut node = Self::at(own.path());
        node.own = Some(own);
        node
    }

    /// The node of another process, which cleans up after it.
    pub(crate) fn at(root: &Path) -> Self {
        let tmux = Arc::new(Tmux::new(root.join("run/tmux.sock")));
        Self { sessions: Sessions::new(tmux, shim()), root: root.to_owned(), own: None }
    }

    pub(crate) fn tmux(&self) -> &Tmux {
        self.sessions.tmux()
    }

    pub(crate) fn directory(&self, name: &str) -> PathBuf {
        self.root.join("state").join(name)
    }

    pub(crate) fn spec(&self, name: &str, argv: &[&str]) -> StartSession {
        StartSession {
            directory: self.directory(name),
            name: TmuxName::parse(name).unwrap(),
            argv: argv.iter().map(|a| (*a).to_owned()).collect(),
            cwd: self.root.clone(),
            environment: vec![("PATH".into(), std::env::var_os("PATH").unwrap())],
            size: Size { columns: 100, rows: 30 },
            pty: true,
            transcript_limit: DEFAULT_LIMIT,
            login: false,
        }
    }

    /// Starts `argv` as a session of this name.
    pub(crate) async fn start(&self, name: &str, argv: &[&str]) -> TmuxName {
        let spec = self.spec(name, argv);
        self.sessions.start(&spec).await.unwrap();
        spec.name
    }

    /// Runs a session to its end.
    pub(crate) async fn run(&self, spec: &StartSession) -> (Exit, Vec<u8>) {
        self.sessions.start(spec).await.unwrap();
        self.finish(&spec.directory, &spec.name).await
    }

    /// Follows a session from its start to its end.
    pub(crate) async fn finish(&self, directory: &Path, name: &TmuxName) -> (Exit, Vec<u8>) {
        let mut follow = self.sessions.follow(directory, name, 0).unwrap();
        let mut output = Vec::new();
        let end = async {
            loop {
                match follow.next().await.unwrap().expect("an end") {
                    Event::Output(part) => {
                        assert_eq!(part.start, output.len() as u64, "a gap in the transcript");
                        output.extend(part.bytes);
                    }
                    Event::Ended(exit) => return exit,
                    Event::Lost => panic!("the session is lost"),
                }
            }
        };
        let exit = tokio::time::timeout(Duration::from_secs(60), end).await.expect("an end");
        (exit, output)
    }

    /// Waits until tmux has no session.
    pub(crate) async fn empty(&self) {
        eventually_async("no session", async || self.tmux().list().await.unwrap().is_empty()).await;
    }

    pub(crate) async fn state(&self, name: &TmuxName) -> SessionState {
        self.sessions.state(&self.directory(name.as_str()), name).await.unwrap()
    }

    pub(crate) fn output(&self, name: &str) -> String {
        let part = self.sessions.transcript(&self.directory(name), 0).unwrap();
        String::from_utf8_lossy(&part.bytes).into_owned()
    }

    /// Waits until the last lines of the screen are these.
    pub(crate) async fn screen(&self, name: &TmuxName, lines: usize, text: &str) {
        eventually_async(&format!("{text:?} on the screen of {name}"), async || {
            self.tmux().capture(name, lines).await.unwrap() == text
        })
        .await;
    }

    /// Waits until so many terminals show the session.
    pub(crate) async fn attached(&self, name: &TmuxName, count: u32) {
        eventually_async(&format!("{count} terminals on {name}"), async || {
            let state = self.state(name).await;
            matches!(state, SessionState::Running { attached, .. } if attached == count)
        })
        .await;
    }

    /// Waits until the transcript has this text.
    pub(crate) async fn shows(&self, name: &str, text: &str) {
        eventually(&format!("`{text}` in {name}"), || self.output(name).contains(text)).await;
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if self.own.is_none() {
            return;
        }
        let socket = self.root.join("run/tmux.sock");
        let _ = Command::new("tmux").arg("-S").arg(socket).arg("kill-server").output();
    }
}

/// The shim as cargo built it beside this test; built now where only this test was asked for.
pub(crate) fn shim() -> Vec<OsString> {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    let path = BUILT.get_or_init(|| {
        let test = std::env::current_exe().unwrap();
        let path = test.parent().unwrap().parent().unwrap().join("examples/session_shim");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        if changed(&path) < newest(&source) {
            let mut cargo = Command::new(env!("CARGO"));
            cargo.args(["build", "--quiet", "--package", "dwell-drivers", "--example"]);
            cargo.arg("session_shim").args(target(&path));
            assert!(cargo.status().unwrap().success(), "the shim cannot be built");
        }
        path
    });
    vec![path.clone().into_os_string(), "session-shim".into()]
}

fn changed(path: &Path) -> Option<SystemTime> {
    std::fs::metadata(path).and_then(|metadata| metadata.modified()).ok()
}

/// When the newest file below the directory was changed.
fn newest(directory: &Path) -> Option<SystemTime> {
    let entries = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    entries.map(|path| if path.is_dir() { newest(&path) } else { changed(&path) }).max().flatten()
}

/// The arguments by which cargo builds to the place where this test is.
fn target(example: &Path) -> Vec<String> {
    let profile = example.parent().and_then(Path::parent).unwrap();
    let triple = profile.parent().and_then(Path::file_name).unwrap().to_str().unwrap();
    let mut arguments = Vec::new();
    if profile.file_name().is_some_and(|name| name == "release") {
        arguments.push("--release".to_owned());
    }
    if triple.split('-').count() >= 3 {
        arguments.extend(["--target".to_owned(), triple.to_owned()]);
    }
    arguments
}

/// Waits until it is so, at most 20 s.
pub(crate) async fn eventually(what: &str, mut so: impl FnMut() -> bool) {
    eventually_async(what, async || so()).await;
}

/// Waits until it is so, at most 20 s.
pub(crate) async fn eventually_async(what: &str, mut so: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !so().await {
        assert!(Instant::now() < deadline, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

//! Sources without git, by rsync.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use dwell_drivers::tree::travel::{self, Applied, Direction, PlainPlace, RemoteShell, TravelError};
use dwell_drivers::tree::{self, DiffOptions, Tree, TreeError, TreeKind};

use crate::support::{Place, names};

struct Plain {
    place: Place,
    exclude: Vec<String>,
}

impl Plain {
    fn new() -> Self {
        let place = Place::new();
        for name in ["a.txt", "b.txt", "dir/c.txt", "dir/deep/d.txt"] {
            place.write(&format!("source/{name}"), &format!("{name}\n"));
        }
        Self { place, exclude: Vec::new() }
    }

    fn tree(&self) -> PathBuf {
        self.place.path("node/trees/a1")
    }

    fn state(&self) -> PathBuf {
        self.place.path("node/state")
    }

    /// A remote shell that joins rsync to [`travel::serve`] by named pipes, and the served side.
    async fn served<T>(
        &self,
        root: &Path,
        direction: Direction,
        client: impl AsyncFnOnce(RemoteShell) -> Result<T, TravelError>,
    ) -> Result<T, TravelError> {
        let pipes = tempfile::tempdir_in(self.place.path("")).unwrap();
        let pipe = |name: &str| pipes.path().join(name);
        let made = ["arguments", "in", "out"].map(pipe);
        assert!(Command::new("mkfifo").args(&made).status().unwrap().success());
        let script = pipe("remote shell");
        let text = "#!/bin/sh\ncd \"$1\"; shift 3\nprintf '%s\\n' \"$@\" >arguments\n\
                    exec 3<&0; cat <&3 >in & exec cat out\n";
        fs::write(&script, text).unwrap();
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
        let (root, [arguments, from, to]) = (root.to_owned(), made);
        let server = tokio::spawn(async move {
            let text = tokio::fs::read_to_string(arguments).await.unwrap();
            let arguments: Vec<String> = text.lines().map(str::to_owned).collect();
            let mut to = tokio::fs::File::options().write(true).open(to).await.unwrap();
            let mut from = tokio::fs::File::open(from).await.unwrap();
            travel::serve(&arguments, direction, &root, &mut from, &mut to).await
        });
        let shell = RemoteShell::new([script.as_os_str(), pipes.path().as_os_str()]);
        let done = client(shell).await;
        if done.is_ok() && server.is_finished() {
            server.await.unwrap()?;
        } else {
            server.abort();
        }
        done
    }

    async fn offer(&self) -> travel::PlainOffer {
        let state = self.place.path("home/state");
        travel::offer_plain(&self.place.path("source"), &state, &self.exclude).await.unwrap()
    }

    async fn bring(&self, force: bool) -> Result<travel::Needed, TravelError> {
        let (tree, state) = (self.tree(), self.state());
        let place = PlainPlace { tree: &tree, state: &state };
        let needed = travel::need(place, &self.offer().await.manifest, force).await?;
        let source = self.place.path("source");
        if !needed.list.is_empty() {
            self.served(&needed.into, Direction::In, async |shell: RemoteShell| {
                travel::push(&source, &needed.list, &shell).await
            })
            .await?;
        }
        Ok(needed)
    }

    async fn create(&self) -> Tree {
        let needed = self.bring(false).await.unwrap();
        let (tree, state) = (self.tree(), self.state());
        let place = PlainPlace { tree: &tree, state: &state };
        travel::create_plain(place, &needed.offer).await.unwrap()
    }

    async fn sync(&self, force: bool) -> Result<Applied, TravelError> {
        let needed = self.bring(force).await?;
        if needed.nothing_to_do {
            return Ok(Applied { nothing_to_do: true, ..Applied::default() });
        }
        let (tree, state) = (self.tree(), self.state());
        travel::finish_plain(PlainPlace { tree: &tree, state: &state }, &needed.offer).await
    }

    fn read(&self, name: &str) -> String {
        self.place.read(&format!("node/trees/a1/{name}"))
    }

    fn write(&self, name: &str, text: &str) {
        self.place.write(&format!("node/trees/a1/{name}"), text);
    }

    fn exists(&self, name: &str) -> bool {
        self.place.exists(&format!("node/trees/a1/{name}"))
    }
}

fn conflicts(result: Result<Applied, TravelError>) -> Vec<String> {
    match result {
        Err(TravelError::Tree(TreeError::Conflicts { paths })) => names(&paths),
        other => panic!("{other:?}"),
    }
}

fn listing(root: &Path) -> String {
    let find = Command::new("find")
        .args([".", "-mindepth", "1", "-printf", "%P %M %l\\0"])
        .current_dir(root)
        .output()
        .unwrap();
    let mut entries: Vec<&[u8]> = find.stdout.split(|byte| *byte == 0).collect();
    entries.sort_unstable();
    String::from_utf8_lossy(&entries.join(&b'\n')).into_owned()
}

#[tokio::test]
async fn a_directory_arrives_as_it_is() {
    let plain = Plain::new();
    let place = &plain.place;
    for name in ["a b", "new\nline", "-dash", "gr\u{f6}\u{df}e", "quo'te", "$(id)", "*"] {
        place.write(&format!("source/odd/{name}"), name);
    }
    place.mode("source/a.txt", 0o750);
    place.link("a.txt", "source/link");
    place.link("/nowhere", "source/dangling");
    fs::create_dir(place.path("source/empty")).unwrap();
    place.mode("source/empty", 0o700);
    let tree = plain.create().await;
    assert_eq!((tree.kind, &tree.root), (TreeKind::Copy, &plain.tree()));
    assert_eq!(listing(&tree.root), listing(&place.path("source")));
    let mode = fs::metadata(place.path("node/trees")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
    assert!(!place.exists("node/trees/.a1.growing"));
    assert!(travel::changed(&tree, &plain.state()).await.unwrap().files.is_empty());
    assert!(plain.sync(false).await.unwrap().nothing_to_do);
}

#[tokio::test]
async fn rules_and_secrets_stay() {
    let mut plain = Plain::new();
    let place = &plain.place;
    place.write("source/.dwellignore", "*.log\n/cache/\n[\n");
    for name in ["x.log", "cache/x", "left/x", ".env", "repository/.git/HEAD"] {
        place.write(&format!("source/{name}"), "x\n");
    }
    plain.exclude = vec!["left".into()];
    let offer = plain.offer().await;
    assert_eq!(offer.secrets.left_out, [".env"]);
    assert!(offer.notes.iter().any(|note| note.contains("`[`")), "{:?}", offer.notes);
    assert!(offer.notes.iter().any(|note| note.contains("repository/.git")), "{:?}", offer.notes);
    let tree = plain.create().await;
    for name in ["x.log", "cache", "left", ".env", "repository/.git"] {
        assert!(!plain.exists(name), "{name}");
    }
    // What the rules leave out is nobody's work.
    plain.write("cache/y", "made there\n");
    assert!(travel::changed(&tree, &plain.state()).await.unwrap().files.is_empty());
}

#[tokio::test]
async fn each_side_keeps_what_only_it_changed() {
    let plain = Plain::new();
    let place = &plain.place;
    let tree = plain.create().await;
    plain.write("own", "made there\n");
    plain.write("b.txt", "changed there\n");
    plain.write("dir/deep/own", "made there\n");
    place.write("source/a.txt", "changed here\n");
    place.write("source/new/file", "new\n");
    fs::remove_file(place.path("source/dir/c.txt")).unwrap();
    fs::remove_dir_all(place.path("source/dir/deep")).unwrap();
    let applied = plain.sync(false).await.unwrap();
    assert_eq!(
        names(&applied.report.files),
        ["a.txt", "dir/c.txt", "dir/deep/d.txt", "new", "new/file"]
    );
    assert_eq!(
        (plain.read("a.txt"), plain.read("b.txt")),
        ("changed here\n".into(), "changed there\n".into())
    );
    assert!(plain.exists("own") && plain.exists("dir/deep/own") && plain.exists("new/file"));
    assert!(!plain.exists("dir/c.txt") && !plain.exists("dir/deep/d.txt"));
    let state = plain.state();
    let changed = travel::changed(&tree, &state).await.unwrap();
    assert_eq!(names(&changed.files), ["b.txt", "dir/deep/own", "own"]);
    assert!(plain.sync(false).await.unwrap().nothing_to_do);
    let unsaved = tree::unsaved(&tree, &state).await.unwrap();
    assert_eq!(names(&unsaved.uncommitted), ["b.txt", "dir/deep/own", "own"]);
    let text = tree::diff(&tree, &state, DiffOptions::default()).await.unwrap();
    assert_eq!(text, b"M\tb.txt\nA\tdir/deep/own\nA\town\n");
    let refused = tree::sync(&tree, &state).await;
    assert!(matches!(refused, Err(TreeError::Elsewhere { .. })), "{refused:?}");
    assert!(matches!(tree::remove(&tree, &state, false).await, Err(TreeError::Unsaved(_))));
    tree::remove(&tree, &state, true).await.unwrap();
    assert!(!tree.root.exists());
}

#[tokio::test]
async fn a_change_on_both_sides_changes_nothing_until_the_sender_is_to_win() {
    let plain = Plain::new();
    let place = &plain.place;
    plain.create().await;
    plain.write("a.txt", "there, longer\n");
    plain.write("dir/c.txt", "there, longer\n");
    place.write("source/a.txt", "here\n");
    place.write("source/b.txt", "here\n");
    fs::remove_file(place.path("source/dir/c.txt")).unwrap();
    let before = listing(&plain.tree());
    assert_eq!(conflicts(plain.sync(false).await), ["a.txt", "dir/c.txt"]);
    assert_eq!((before, plain.read("b.txt")), (listing(&plain.tree()), "b.txt\n".into()));
    plain.sync(true).await.unwrap();
    assert_eq!((plain.read("a.txt"), plain.read("b.txt")), ("here\n".into(), "here\n".into()));
    assert!(!plain.exists("dir/c.txt"));
    assert!(plain.sync(false).await.unwrap().nothing_to_do);
}

#[tokio::test]
async fn files_and_directories_take_each_others_places_unless_work_is_in_the_way() {
    let plain = Plain::new();
    let place = &plain.place;
    plain.create().await;
    fs::remove_file(place.path("source/a.txt")).unwrap();
    place.write("source/a.txt/inside", "x\n");
    fs::remove_dir_all(place.path("source/dir")).unwrap();
    place.write("source/dir", "a file\n");
    plain.write("dir/own", "made there\n");
    for force in [false, true] {
        assert_eq!(conflicts(plain.sync(force).await), ["dir"]);
        assert_eq!(plain.read("dir/own"), "made there\n");
    }
    fs::remove_file(plain.tree().join("dir/own")).unwrap();
    plain.sync(false).await.unwrap();
    assert_eq!((plain.read("a.txt/inside"), plain.read("dir")), ("x\n".into(), "a file\n".into()));
}

#[tokio::test]
async fn a_source_whose_files_have_gone_deletes_nothing() {
    let plain = Plain::new();
    plain.create().await;
    let source = plain.place.path("source");
    fs::remove_dir_all(&source).unwrap();
    fs::create_dir(&source).unwrap();
    let error = plain.sync(false).await.unwrap_err();
    assert!(matches!(error, TravelError::Vanished { removed: 6, of: 4 }), "{error:?}");
    assert!(plain.exists("dir/deep/d.txt"));
    plain.sync(true).await.unwrap();
    assert!(!plain.exists("dir"));
}

#[tokio::test]
async fn a_first_transfer_goes_on_after_an_interruption() {
    let plain = Plain::new();
    let (tree, state) = (plain.tree(), plain.state());
    let place = PlainPlace { tree: &tree, state: &state };
    let needed = travel::need(place, &plain.offer().await.manifest, false).await.unwrap();
    let early = travel::create_plain(place, &needed.offer).await;
    assert!(matches!(early, Err(TravelError::Rejected { .. })), "{early:?}");
    assert!(!tree.exists());
    // What came of another state of the source, and what a killed rsync leaves.
    fs::create_dir_all(needed.into.join("old")).unwrap();
    fs::write(needed.into.join("old/x"), "x\n").unwrap();
    fs::write(needed.into.join(".a.txt.Xy12ab"), "x\n").unwrap();
    plain.place.write("source/a.txt", "changed meanwhile\n");
    plain.create().await;
    assert_eq!(listing(&tree), listing(&plain.place.path("source")));
    let other = travel::finish_plain(place, &needed.offer).await;
    assert!(matches!(other, Err(TravelError::NotReceived { .. })), "{other:?}");
}

#[tokio::test]
async fn a_transfer_that_did_not_come_is_not_remembered() {
    let plain = Plain::new();
    plain.create().await;
    let (tree, state) = (plain.tree(), plain.state());
    let place = PlainPlace { tree: &tree, state: &state };
    plain.place.write("source/a.txt", "changed\n");
    let needed = travel::need(place, &plain.offer().await.manifest, false).await.unwrap();
    let early = travel::finish_plain(place, &needed.offer).await;
    assert!(matches!(early, Err(TravelError::Rejected { .. })), "{early:?}");
    let failing = RemoteShell::new(["false"]);
    let cut = travel::push(&plain.place.path("source"), &needed.list, &failing).await;
    assert!(matches!(cut, Err(TravelError::Cut(_))), "{cut:?}");
    assert!(!plain.sync(false).await.unwrap().nothing_to_do);
    assert_eq!(plain.read("a.txt"), "changed\n");
}

#[tokio::test]
async fn hostile_manifests_and_calls_are_refused() {
    let plain = Plain::new();
    plain.create().await;
    let (tree, state) = (plain.tree(), plain.state());
    let place = PlainPlace { tree: &tree, state: &state };
    for bad in ["../x", "/etc/x", "a/../../x", ".git/config", "a/.git/hooks/x", ""] {
        let manifest = format!("f 420 1 1 1\t{bad}\0");
        let error = travel::need(place, manifest.as_bytes(), true).await;
        assert!(matches!(error, Err(TravelError::Wire { .. })), "{bad}: {error:?}");
    }
    let arguments: Vec<String> =
        ["--server", "-ltpRe.LsfxCIvu", "--delete", ".", "."].map(str::to_owned).to_vec();
    let (mut from, mut to) = (&b""[..], Vec::new());
    let error = travel::serve(&arguments, Direction::In, &tree, &mut from, &mut to).await;
    assert!(matches!(error, Err(TravelError::Wire { .. })), "{error:?}");
}

#[tokio::test]
async fn work_comes_back_into_another_directory() {
    let plain = Plain::new();
    plain.create().await;
    plain.write("dir/c.txt", "agent\n");
    plain.write("new\nfile", "agent\n");
    let (tree, state) = (plain.tree(), plain.state());
    let place = PlainPlace { tree: &tree, state: &state };
    for (changed, files) in [(true, 2), (false, 5)] {
        let list = travel::list_plain(place, changed).await.unwrap();
        let back = plain.place.path(&format!("back-{changed}"));
        fs::create_dir(&back).unwrap();
        plain
            .served(&tree, Direction::Out, async |shell: RemoteShell| {
                travel::fetch(&back, &list, &shell).await
            })
            .await
            .unwrap();
        assert_eq!(fs::read_to_string(back.join("dir/c.txt")).unwrap(), "agent\n");
        assert_eq!(fs::read_to_string(back.join("new\nfile")).unwrap(), "agent\n");
        let found = listing(&back).lines().filter(|line| line.contains(" -r")).count();
        assert_eq!(found, files, "{}", listing(&back));
    }
}

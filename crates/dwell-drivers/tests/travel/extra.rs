//! Files besides what git keeps.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use dwell_core::config::CopyPattern;
use dwell_core::tree::TreePath;
use dwell_drivers::tree::travel::{
    self, Chosen, Extra, ExtraPlace, ExtraRules, ReceivedExtra, TravelError,
};
use dwell_drivers::tree::{Tree, TreeError};

use crate::node::Way;
use crate::support::{Place, names};

/// What is looked for, in words.
#[derive(Default)]
struct Look<'a> {
    needed: &'a [&'a str],
    include: &'a [&'a str],
    secrets: &'a [&'a str],
    exclude: &'a [&'a str],
}

async fn choose(root: &Path, directory: &str, look: Look<'_>) -> Chosen {
    let patterns = |texts: &[&str]| -> Vec<CopyPattern> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    };
    let needed: Vec<TreePath> = look.needed.iter().map(|text| text.parse().unwrap()).collect();
    travel::choose(ExtraRules {
        root,
        directory: &directory.parse().unwrap(),
        needed: &needed,
        include: &patterns(look.include),
        secrets: &patterns(look.secrets),
        exclude: &patterns(look.exclude),
    })
    .await
    .unwrap()
}

fn paths(extra: &Extra) -> Vec<&str> {
    extra.files.iter().map(|file| file.path.as_str()).collect()
}

/// Sends what was chosen to the tree.
async fn carry(
    way: &Way,
    tree: &Tree,
    extra: &Extra,
    force: bool,
) -> Result<ReceivedExtra, TravelError> {
    let state = way.state();
    let place = ExtraPlace { root: &tree.root, project: &tree.root, state: &state };
    let missing = travel::missing_extra(place, extra).unwrap();
    let (mut near, far) = tokio::io::duplex(1024);
    let source = way.place.path("source");
    let send = async {
        let sent = travel::send_extra(&source, extra, &missing, &mut near).await;
        drop(near);
        sent
    };
    let (received, sent) = tokio::join!(travel::receive_extra(place, force, far), send);
    if received.is_ok() {
        sent.unwrap();
    }
    received
}

fn ignoring() -> Way {
    let place = Place::git();
    place.write("source/.gitignore", "*.local\n.env*\n/data/\nnode_modules/\nkeys/\n");
    place.write("source/.env.example", "SECRET=\n");
    place.run("source", &["add", "-f", ".env.example"]);
    place.commit("source", "rules");
    for name in [
        ".env",
        ".env.production",
        "a.local",
        "app/b.local",
        "data/seed.sql",
        "data/deep/more.sql",
        "node_modules/x/index.js",
        "keys/server.pem",
    ] {
        place.write(&format!("source/{name}"), &format!("{name}\n"));
    }
    place.write("source/id_rsa", "untracked, not ignored\n");
    place.write("source/plain", "untracked, not ignored\n");
    place.mode("source/data/seed.sql", 0o750);
    Way::of(place)
}

#[tokio::test]
async fn what_is_needed_or_named_goes_and_secrets_only_by_name() {
    let way = ignoring();
    let root = way.place.path("source");
    let none = choose(&root, ".", Look::default()).await;
    assert!(none.extra.files.is_empty());
    assert_eq!(none.secrets.left_out, [".env", ".env.production"]);
    let look = Look {
        needed: &[".", ".env", "data", "dir", "plain", "gone", "id_rsa", "run.sh"],
        include: &["*.local", "app/*", "keys/*"],
        ..Look::default()
    };
    let some = choose(&root, ".", look).await;
    let wanted =
        [".env", "a.local", "app/b.local", "data/deep/more.sql", "data/seed.sql", "id_rsa"];
    assert_eq!(paths(&some.extra), wanted);
    assert_eq!(some.secrets.sent, [".env", "id_rsa"]);
    assert_eq!(some.secrets.left_out, [".env.production", "keys/server.pem"]);
    let look = Look { secrets: &["keys/*", ".env*", "!.env"], ..Look::default() };
    let some = choose(&root, ".", look).await;
    assert_eq!(paths(&some.extra), [".env.production", "keys/server.pem"]);
    let look =
        Look { needed: &["data", ".env"], exclude: &["data/deep", ".env"], ..Look::default() };
    let some = choose(&root, ".", look).await;
    assert_eq!(paths(&some.extra), ["data/seed.sql"]);
    assert_eq!(some.notes.len(), 2, "{:?}", some.notes);
    // What is left out of the snapshot is told there.
    let offered = way.offer().await;
    assert_eq!(offered.secrets.left_out, ["id_rsa"]);
    way.create().await;
    assert_eq!(way.place.status(&way.tree()), "?? plain\n");
}

#[tokio::test]
async fn patterns_are_the_projects_and_needs_the_trees() {
    let way = ignoring();
    way.place.write("source/app/compose.yaml", "\n");
    let root = way.place.path("source");
    let look = Look { needed: &["data"], include: &["*.local"], ..Look::default() };
    let some = choose(&root, "app", look).await;
    assert_eq!(paths(&some.extra), ["app/b.local", "data/deep/more.sql", "data/seed.sql"]);
}

#[tokio::test]
async fn files_arrive_with_their_modes_and_secrets_for_the_user_alone() {
    let way = ignoring();
    way.place.link("/etc/passwd", "source/link.local");
    way.place.write("source/odd \u{fc}.local", "odd\n");
    let tree = way.create().await;
    let look = Look { needed: &[".env", "data"], include: &["*.local"], ..Look::default() };
    let chosen = choose(&way.place.path("source"), ".", look).await;
    assert!(chosen.notes[0].contains("link.local"), "{:?}", chosen.notes);
    let received = carry(&way, &tree, &chosen.extra, false).await.unwrap();
    assert_eq!(received.written.len(), 5);
    let mode =
        |name: &str| fs::metadata(tree.root.join(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(".env"), mode("data/seed.sql")), (0o600, 0o750));
    assert_eq!(way.place.read(&format!("{}/odd \u{fc}.local", way.tree())), "odd\n");
    assert_eq!(way.place.status(&way.tree()), "?? plain\n");
    assert!(travel::changed(&tree, &way.state()).await.unwrap().files.is_empty());
    let again = carry(&way, &tree, &chosen.extra, false).await.unwrap();
    assert_eq!(again, ReceivedExtra::default());
}

#[tokio::test]
async fn a_secret_that_git_does_not_ignore_never_becomes_work() {
    let way = ignoring();
    let tree = way.create().await;
    let look = Look { needed: &["id_rsa"], ..Look::default() };
    let chosen = choose(&way.place.path("source"), ".", look).await;
    carry(&way, &tree, &chosen.extra, false).await.unwrap();
    assert!(tree.root.join("id_rsa").exists());
    assert_eq!(way.place.status(&way.tree()), "?? plain\n");
    assert_eq!(way.pull(&tree, false).await.unwrap().uncommitted, 0);
}

#[tokio::test]
async fn what_was_changed_there_is_not_replaced_unasked() {
    let way = ignoring();
    let tree = way.create().await;
    let source = way.place.path("source");
    let look = || Look { needed: &[".env", "data"], ..Look::default() };
    carry(&way, &tree, &choose(&source, ".", look()).await.extra, false).await.unwrap();
    fs::write(tree.root.join(".env"), "agent\n").unwrap();
    // The source did not change: nothing happens.
    let same = carry(&way, &tree, &choose(&source, ".", look()).await.extra, false).await;
    assert_eq!(same.unwrap(), ReceivedExtra::default());
    way.place.write("source/.env", "user\n");
    way.place.write("source/data/seed.sql", "user\n");
    let changed = choose(&source, ".", look()).await.extra;
    let error = carry(&way, &tree, &changed, false).await.unwrap_err();
    let TravelError::Tree(TreeError::Conflicts { paths }) = error else { panic!("{error:?}") };
    assert_eq!(names(&paths), [".env"]);
    let read = |name: &str| way.place.read(&format!("{}/{name}", way.tree()));
    assert_eq!((read(".env"), read("data/seed.sql")), ("agent\n".into(), "data/seed.sql\n".into()));
    let left = fs::read_dir(&tree.root).unwrap().flatten();
    assert!(left.into_iter().all(|e| !e.file_name().to_string_lossy().contains("dwell-new")));
    carry(&way, &tree, &changed, true).await.unwrap();
    assert_eq!((read(".env"), read("data/seed.sql")), ("user\n".into(), "user\n".into()));
}

#[tokio::test]
async fn what_the_source_has_no_longer_goes_where_nobody_changed_it() {
    let way = ignoring();
    let tree = way.create().await;
    let source = way.place.path("source");
    let look = || Look { needed: &["data"], include: &["*.local"], ..Look::default() };
    carry(&way, &tree, &choose(&source, ".", look()).await.extra, false).await.unwrap();
    fs::write(tree.root.join("data/foreign"), "agent\n").unwrap();
    fs::write(tree.root.join("a.local"), "agent\n").unwrap();
    for name in ["data/seed.sql", "a.local"] {
        fs::remove_file(source.join(name)).unwrap();
    }
    let report = carry(&way, &tree, &choose(&source, ".", look()).await.extra, false).await;
    let report = report.unwrap();
    assert_eq!(report.removed, ["data/seed.sql".parse().unwrap()]);
    assert!(report.notes[0].contains("a.local"), "{report:?}");
    assert!(tree.root.join("data/foreign").exists() && tree.root.join("a.local").exists());
    assert!(!tree.root.join("data/seed.sql").exists());
}

#[tokio::test]
async fn nothing_is_written_through_links_or_outside() {
    let way = ignoring();
    let tree = way.create().await;
    let outside = way.place.path("outside");
    fs::create_dir(&outside).unwrap();
    way.place.write("outside/seed.sql", "outside\n");
    let chosen = choose(
        &way.place.path("source"),
        ".",
        Look { needed: &["data"], include: &["a.local"], ..Look::default() },
    )
    .await;
    let name = |name: &str| format!("{}/{name}", way.tree());
    way.place.link(outside.to_str().unwrap(), &name("data"));
    let error = carry(&way, &tree, &chosen.extra, true).await;
    assert!(matches!(error, Err(TravelError::Tree(TreeError::Io { .. }))), "{error:?}");
    assert_eq!(way.place.read("outside/seed.sql"), "outside\n");
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 1);
    fs::remove_file(tree.root.join("data")).unwrap();
    // A link in the file's own place is replaced, not followed, and only by force.
    way.place.link(outside.join("seed.sql").to_str().unwrap(), &name("a.local"));
    let error = carry(&way, &tree, &chosen.extra, false).await;
    assert!(matches!(error, Err(TravelError::Tree(TreeError::Conflicts { .. }))), "{error:?}");
    carry(&way, &tree, &chosen.extra, true).await.unwrap();
    assert_eq!(way.place.read("outside/seed.sql"), "outside\n");
    assert!(fs::symlink_metadata(tree.root.join("a.local")).unwrap().is_file());
    for bad in ["../x", "/etc/x", "a/../../x"] {
        let text = format!(
            "{{\"version\":1,\"what\":{{\"all\":{{\"files\":[{{\"path\":\"{bad}\",\"mode\":420,\
             \"secret\":false,\"size\":0,\"hash\":\"\"}}]}},\"sent\":[\"{bad}\"]}}}}\n\0\0\0\0"
        );
        let state = way.state();
        let place = ExtraPlace { root: &tree.root, project: &tree.root, state: &state };
        let error = travel::receive_extra(place, true, text.as_bytes()).await;
        assert!(matches!(error, Err(TravelError::Wire { .. })), "{bad}: {error:?}");
    }
}

#[tokio::test]
async fn a_transfer_that_is_cut_or_altered_changes_nothing() {
    let way = ignoring();
    let tree = way.create().await;
    let source = way.place.path("source");
    let look = Look { needed: &[".env", "data"], ..Look::default() };
    let extra = choose(&source, ".", look).await.extra;
    let state = way.state();
    let place = ExtraPlace { root: &tree.root, project: &tree.root, state: &state };
    let missing = travel::missing_extra(place, &extra).unwrap();
    let mut bytes = Vec::new();
    travel::send_extra(&source, &extra, &missing, &mut bytes).await.unwrap();
    let before = way.place.everything(&way.tree());
    for cut in [0, 10, bytes.len() - 1] {
        let error = travel::receive_extra(place, false, &bytes[..cut]).await;
        assert!(matches!(error, Err(TravelError::Cut(_))), "{error:?}");
    }
    let mut altered = bytes.clone();
    let at = altered.len() - 10;
    altered[at] ^= 1;
    let error = travel::receive_extra(place, false, &altered[..]).await;
    assert!(matches!(error, Err(TravelError::Rejected { .. })), "{error:?}");
    assert_eq!(before, way.place.everything(&way.tree()));
    // A file that changes after it was chosen is not sent as what it is no longer.
    way.place.write("source/.env", "other\n");
    let error = travel::send_extra(&source, &extra, &missing, &mut Vec::new()).await;
    assert!(matches!(error, Err(TravelError::Changed { .. })), "{error:?}");
}

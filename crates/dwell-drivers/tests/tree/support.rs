//! A project in a temporary directory, and git as a user would run it.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use dwell_drivers::tree::{self, CreateTree, Start, Tree, TreeError};

pub(crate) struct Place {
    directory: PathBuf,
    _temporary: Option<tempfile::TempDir>,
}

impl Place {
    /// An empty place.
    pub(crate) fn new() -> Self {
        let temporary = tempfile::tempdir().unwrap();
        Self { directory: temporary.path().to_owned(), _temporary: Some(temporary) }
    }

    /// Somebody else's place.
    #[allow(dead_code, reason = "it serves two test programs")]
    pub(crate) fn at(directory: &Path) -> Self {
        Self { directory: directory.to_owned(), _temporary: None }
    }

    /// A place whose source is a git project with two commits.
    pub(crate) fn git() -> Self {
        let place = Self::new();
        place.init("source");
        place.write("source/a.txt", "one\ntwo\nthree\n");
        place.write("source/dir/b.txt", "b\n");
        place.write("source/run.sh", "#!/bin/sh\n");
        place.mode("source/run.sh", 0o755);
        place.write("source/.gitignore", "ignored/\n.env\n");
        place.commit("source", "first");
        place.write("source/c.txt", "c\n");
        place.commit("source", "second");
        place
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    pub(crate) fn init(&self, name: &str) {
        fs::create_dir_all(self.path(name)).unwrap();
        self.run(name, &["init", "-q", "-b", "main"]);
        self.run(name, &["config", "user.name", "Test"]);
        self.run(name, &["config", "user.email", "test@localhost"]);
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
    }

    pub(crate) fn mode(&self, name: &str, mode: u32) {
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(mode)).unwrap();
    }

    pub(crate) fn link(&self, to: &str, name: &str) {
        std::os::unix::fs::symlink(to, self.path(name)).unwrap();
    }

    pub(crate) fn exists(&self, name: &str) -> bool {
        fs::symlink_metadata(self.path(name)).is_ok()
    }

    pub(crate) fn commit(&self, name: &str, message: &str) -> String {
        self.run(name, &["add", "-A"]);
        self.run(name, &["commit", "-q", "-m", message]);
        self.git_line(name, &["rev-parse", "HEAD"])
    }

    /// Runs git; a failure fails the test.
    pub(crate) fn run(&self, name: &str, arguments: &[&str]) -> String {
        let (ok, text) = self.try_run(name, arguments);
        assert!(ok, "git {arguments:?}: {text}");
        text
    }

    pub(crate) fn try_run(&self, name: &str, arguments: &[&str]) -> (bool, String) {
        let output = Command::new("git")
            .args(["-c", "protocol.file.allow=always"])
            .args(arguments)
            .current_dir(self.path(name))
            .output()
            .unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8_lossy(&text).into_owned())
    }

    pub(crate) fn git_line(&self, name: &str, arguments: &[&str]) -> String {
        self.run(name, arguments).trim().to_owned()
    }

    pub(crate) fn status(&self, name: &str) -> String {
        self.run(name, &["--no-optional-locks", "status", "--porcelain", "-uall"])
    }

    /// The trees of these places are `tree`, `tree-2`... of environment `a1`.
    pub(crate) async fn create(&self) -> Tree {
        self.create_from("source", "tree", Start::Source, &[]).await.unwrap()
    }

    pub(crate) async fn create_from(
        &self,
        source: &str,
        tree: &str,
        start: Start,
        patterns: &[&str],
    ) -> Result<Tree, TreeError> {
        let patterns: Vec<String> = patterns.iter().map(|p| (*p).to_owned()).collect();
        tree::create(CreateTree {
            source: &self.path(source),
            tree: &self.path(tree),
            state: &self.state_of(tree),
            environment: &"a1".parse().unwrap(),
            start,
            copy_patterns: &patterns,
        })
        .await
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.state_of("tree")
    }

    pub(crate) fn state_of(&self, tree: &str) -> PathBuf {
        self.path("state").join(tree)
    }

    /// Everything that must not change in a repository by a look or a copy: refs, stash, `HEAD`,
    /// index bytes, status and the files of the work tree.
    pub(crate) fn everything(&self, name: &str) -> BTreeMap<String, Vec<u8>> {
        let mut all = BTreeMap::new();
        let git = self.path(name).join(self.git_line(name, &["rev-parse", "--git-dir"]));
        all.insert("index".into(), fs::read(git.join("index")).unwrap_or_default());
        all.insert("head".into(), fs::read(git.join("HEAD")).unwrap());
        for (key, arguments) in
            [("refs", &["for-each-ref"][..]), ("stash", &["stash", "list"]), ("log", &["reflog"])]
        {
            all.insert(key.into(), self.try_run(name, arguments).1.into_bytes());
        }
        self.files(&self.path(name), &self.path(name), &mut all);
        all
    }

    fn files(&self, root: &Path, directory: &Path, all: &mut BTreeMap<String, Vec<u8>>) {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.file_name() == Some(OsStr::new(".git")) {
                continue;
            }
            let data = fs::symlink_metadata(&path).unwrap();
            if data.is_dir() {
                self.files(root, &path, all);
                continue;
            }
            let content = if data.is_symlink() {
                fs::read_link(&path).unwrap().as_os_str().as_bytes().to_vec()
            } else if data.is_file() {
                fs::read(&path).unwrap()
            } else {
                Vec::new()
            };
            let key = path.strip_prefix(root).unwrap().to_string_lossy().into_owned();
            let mode = data.permissions().mode();
            all.insert(format!("file {key}"), [content, format!(" {mode:o}").into()].concat());
        }
    }
}

pub(crate) fn names(paths: &[PathBuf]) -> Vec<String> {
    paths.iter().map(|path| path.to_string_lossy().into_owned()).collect()
}

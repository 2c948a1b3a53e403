//! The disk full.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use dwell_testkit::{TestHome, run};

use crate::support::{World, home, small};

const LIMIT: Duration = Duration::from_secs(20);

/// A small file system for the state and the trees of a home, gone when dropped.
struct Small(PathBuf);

impl Small {
    fn mount(home: &TestHome) -> Option<Self> {
        let place = home.path().join("state");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=6m,mode=700", "dwell-test"]).arg(&place);
        if !mount.status().is_ok_and(|status| status.success()) {
            eprintln!("skipped: a file system of its own takes root");
            return None;
        }
        Some(Self(place))
    }

    fn fill(&self) {
        use std::io::Write;
        let mut file = fs::File::create(self.0.join("filler")).unwrap();
        while file.write_all(&[7; 4096]).is_ok() {}
        while file.write_all(&[7; 1]).is_ok() {}
    }

    fn free(&self) {
        fs::remove_file(self.0.join("filler")).unwrap();
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        run(Command::new("umount").arg("--lazy").arg(&self.0), LIMIT).ok();
    }
}

fn is_full(home: &TestHome, project: &Path, arguments: &[&str]) {
    let ran = home.dwell_in(project, arguments.iter().copied().chain(["--json"]));
    assert!(ran.stdout.contains("\"disk_full\""), "{ran:?}");
}

#[test]
fn a_full_disk_is_said_and_does_not_keep_from_destroying() {
    let home = home();
    let Some(disk) = Small::mount(&home) else { return };
    let project = small(&home, "shop");
    home.dwell_in(&project, ["up", "one"]).ok();
    home.dwell_in(&project, ["up", "two"]).ok();
    let before = World::of(&home, project.path());
    disk.fill();
    is_full(&home, project.path(), &["up", "three"]);
    is_full(&home, project.path(), &["create", "four"]);
    before.comes_back(&home, project.path(), "full");
    home.dwell_in(&project, ["destroy", "--force", "two"]).ok();
    disk.free();
    home.dwell_in(&project, ["up", "three"]).ok();
    home.dwell_in(&project, ["destroy", "--force", "three"]).ok();
    home.dwell_in(&project, ["destroy", "--force", "one"]).ok();
    home.dwell(["node", "stop"]).ok();
    drop(disk);
}

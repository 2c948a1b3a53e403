//! The control group of a container, for those who may use it without the engine, which starts a
//! program for each such wish.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where control groups are.
const ROOT: &str = "/sys/fs/cgroup";
/// How long it may take until everything stands still, or goes on.
const LIMIT: Duration = Duration::from_millis(500);
const LOOK: Duration = Duration::from_millis(1);

/// The control group of one container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ControlGroup {
    freezer: Freezer,
    memory: PathBuf,
}

/// How it is frozen: as version 1 or version 2 has it.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Freezer {
    One(PathBuf),
    Two(PathBuf),
}

impl ControlGroup {
    /// That of a container whose first process this is; `None` where this machine knows another
    /// process by that number, or none.
    pub fn of(container: &str, pid: u32) -> Option<Self> {
        let text = fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
        let found = Self::find(&text, container)?;
        found.file().exists().then_some(found)
    }

    fn find(text: &str, container: &str) -> Option<Self> {
        // `docker/<id>`, or `docker-<id>.scope` where systemd makes them.
        let is_own = |path: &str| {
            let last = path.rsplit('/').next().unwrap_or_default();
            let last = last.strip_suffix(".scope").unwrap_or(last);
            last == container || last.ends_with(&format!("-{container}"))
        };
        let path = |controller: &str| {
            text.lines().find_map(|line| {
                let mut fields = line.splitn(3, ':').skip(1);
                let (controllers, path) = (fields.next()?, fields.next()?);
                let names = controllers.split(',').any(|name| name == controller);
                (names && is_own(path)).then(|| path.trim_start_matches('/').to_owned())
            })
        };
        let root = Path::new(ROOT);
        if let Some(freezer) = path("freezer") {
            let memory = path("memory").unwrap_or_else(|| freezer.clone());
            return Some(Self {
                freezer: Freezer::One(root.join("freezer").join(freezer)),
                memory: root.join("memory").join(memory).join("memory.usage_in_bytes"),
            });
        }
        let own = root.join(path("")?);
        Some(Self { memory: own.join("memory.current"), freezer: Freezer::Two(own) })
    }

    fn file(&self) -> PathBuf {
        match &self.freezer {
            Freezer::One(group) => group.join("freezer.state"),
            Freezer::Two(group) => group.join("cgroup.freeze"),
        }
    }

    /// Freezes everything in it, and waits until all of it stands still.
    ///
    /// # Errors
    /// When this user may not, or it does not stand still in time; then it goes on.
    pub async fn freeze(&self) -> io::Result<()> {
        let frozen = self.put(true).await;
        if frozen.is_err() {
            let _ = self.put(false).await;
        }
        frozen
    }

    /// Lets everything in it go on.
    ///
    /// # Errors
    /// When this user may not.
    pub async fn thaw(&self) -> io::Result<()> {
        self.put(false).await
    }

    async fn put(&self, frozen: bool) -> io::Result<()> {
        let word = match (&self.freezer, frozen) {
            (Freezer::One(_), true) => "FROZEN",
            (Freezer::One(_), false) => "THAWED",
            (Freezer::Two(_), true) => "1",
            (Freezer::Two(_), false) => "0",
        };
        fs::write(self.file(), word)?;
        let deadline = tokio::time::Instant::now() + LIMIT;
        while self.is_frozen()? != frozen {
            if tokio::time::Instant::now() > deadline {
                return Err(io::ErrorKind::TimedOut.into());
            }
            tokio::time::sleep(LOOK).await;
        }
        Ok(())
    }

    fn is_frozen(&self) -> io::Result<bool> {
        match &self.freezer {
            // In between it says `FREEZING`.
            Freezer::One(_) => Ok(fs::read_to_string(self.file())?.trim() == "FROZEN"),
            Freezer::Two(group) => {
                let events = fs::read_to_string(group.join("cgroup.events"))?;
                Ok(events.lines().any(|line| line == "frozen 1"))
            }
        }
    }

    /// The memory that it takes, in bytes, where the system tells.
    pub fn memory(&self) -> Option<u64> {
        fs::read_to_string(&self.memory).ok()?.trim().parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "8bf21f3d003f";

    #[test]
    fn the_first_version_has_a_group_for_each_controller() {
        let text = format!(
            "6:freezer:/docker/{ID}\n4:memory:/docker/{ID}\n2:cpu,cpuacct:/docker/{ID}\n0::/docker/{ID}\n"
        );
        let found = ControlGroup::find(&text, ID).unwrap();
        let file = format!("/sys/fs/cgroup/freezer/docker/{ID}/freezer.state");
        assert_eq!(found.file(), Path::new(&file));
        let memory = format!("/sys/fs/cgroup/memory/docker/{ID}/memory.usage_in_bytes");
        assert_eq!(found.memory, Path::new(&memory));
    }

    #[test]
    fn the_second_has_one() {
        let text = format!("0::/system.slice/docker-{ID}.scope\n");
        let found = ControlGroup::find(&text, ID).unwrap();
        let group = format!("/sys/fs/cgroup/system.slice/docker-{ID}.scope");
        assert_eq!(found.file(), Path::new(&group).join("cgroup.freeze"));
        assert_eq!(found.memory, Path::new(&group).join("memory.current"));
    }

    #[test]
    fn a_process_of_something_else_is_not_taken_for_the_containers() {
        for text in ["", "0::/", "0::/docker/other", "6:freezer:/docker/other\n0::/user.slice\n"] {
            assert_eq!(ControlGroup::find(text, ID), None, "{text}");
        }
        let mine = std::process::id();
        assert_eq!(ControlGroup::of(ID, mine), None);
    }
}

//! What can go wrong with a host.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::process::{Pid, Signal, kill_process};

use super::Host;
use crate::ssh;

/// Which packets a cut takes away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// Those from and to the host.
    Both,
    /// Those to the host.
    ToHost,
    /// Those from the host.
    FromHost,
}

impl Host {
    /// Drops all packets between it and the rest, without a word to either side: connections stay
    /// half open, new ones are never answered. A reboot ends this.
    pub fn partition(&self) {
        self.cut(Cut::Both, None);
    }

    /// Drops packets of one direction only.
    pub fn partition_one_way(&self, cut: Cut) {
        self.cut(cut, None);
    }

    /// Drops all packets between it and one other host.
    pub fn partition_from(&self, other: &Self) {
        self.cut(Cut::Both, Some(other));
    }

    /// Ends all partitions of this host.
    pub fn heal(&self) {
        self.shell(
            "iptables -w 30 -t mangle -F PREROUTING; iptables -w 30 -t mangle -F POSTROUTING",
        )
        .ok();
    }

    fn cut(&self, cut: Cut, other: Option<&Self>) {
        let only = |option: &str| {
            other.map(|host| format!("{option} {}", host.address())).unwrap_or_default()
        };
        let mut rules = "*mangle\n".to_owned();
        if cut != Cut::FromHost {
            rules.push_str(&format!("-A PREROUTING -i eth0 {} -j DROP\n", only("-s")));
        }
        if cut != Cut::ToHost {
            rules.push_str(&format!("-A POSTROUTING -o eth0 {} -j DROP\n", only("-d")));
        }
        let script = format!("iptables-restore -w 30 --noflush <<'END'\n{rules}COMMIT\nEND");
        self.shell(&script).ok();
    }

    /// Takes the carrier off its link, as a pulled cable does.
    pub fn link_down(&self) {
        self.network.ground().shell(&format!("ip link set {} down", self.port())).ok();
    }

    /// Gives it back.
    pub fn link_up(&self) {
        self.network.ground().shell(&format!("ip link set {} up", self.port())).ok();
    }

    /// Ends sshd, so that new connections are refused; those that exist stay.
    pub fn refuse(&self) {
        self.shell("kill $(cat /run/sshd.pid); while [ -e /run/sshd.pid ]; do sleep 0.01; done")
            .ok();
    }

    /// Starts sshd again after [`Self::refuse`].
    pub fn accept(&self) {
        self.shell(
            "/usr/sbin/sshd -E /run/sshd.log; until [ -s /run/sshd.pid ]; do sleep 0.01; done",
        )
        .ok();
    }

    /// Ends all ssh connections that exist, from its side.
    pub fn hang_up(&self) {
        let session = |process: &Path| {
            let line = fs::read(process.join("cmdline")).unwrap_or_default();
            line.starts_with(b"sshd: ") && !line.windows(10).any(|part| part == b"[listener]")
        };
        self.on(|machine| signal_all(&machine.processes(session), Signal::KILL));
    }

    /// Gives it another host key, as a new installation would. [`Self::ssh`] knows it at once,
    /// a home only when it is told.
    pub fn change_key(&self) {
        let old = self.target().key;
        let key = self.path("/etc/ssh/host_key");
        for file in [key.clone(), key.with_extension("pub")] {
            fs::remove_file(file).expect("a key can be removed");
        }
        ssh::make_key(&key);
        let known = self.network.access().join("known_hosts");
        let lines = fs::read_to_string(&known).expect("a file can be read");
        fs::write(&known, lines.replace(&old, &self.target().key)).expect("a file can be written");
        self.refuse();
        self.accept();
    }

    /// Fills its disk to the last byte. A small disk ([`HostPlan::disk`]) is filled sooner.
    ///
    /// [`HostPlan::disk`]: crate::HostPlan::disk
    pub fn fill_disk(&self) {
        let mut file = File::create(self.filler()).expect("a file can be made");
        for size in [1 << 20, 4096, 1] {
            let block = vec![0; size];
            while file.write_all(&block).is_ok() {}
        }
    }

    /// Frees what [`Self::fill_disk`] took.
    pub fn free_disk(&self) {
        fs::remove_file(self.filler()).expect("the disk was filled");
    }

    fn filler(&self) -> PathBuf {
        self.network.ground().path(self.directory().join("disk/filler"))
    }

    /// Kills a user's dwell daemon with SIGKILL; false where none runs.
    pub fn kill_daemon(&self, user: &str) -> bool {
        self.signal_daemon(user, Signal::KILL)
    }

    /// Stops a user's daemon from doing anything without ending it; false where none runs.
    pub fn freeze_daemon(&self, user: &str) -> bool {
        self.signal_daemon(user, Signal::STOP)
    }

    /// Lets it go on after [`Self::freeze_daemon`]; false where none runs.
    pub fn thaw_daemon(&self, user: &str) -> bool {
        self.signal_daemon(user, Signal::CONT)
    }

    /// The daemon is whoever has the lock of a state directory open.
    fn signal_daemon(&self, user: &str, signal: Signal) -> bool {
        let uid = self.plan.uid(user);
        let is_daemon = |process: &Path| {
            let owned = fs::metadata(process).is_ok_and(|process| process.uid() == uid);
            let mut files = fs::read_dir(process.join("fd")).into_iter().flatten().flatten();
            owned
                && files.any(|file| {
                    fs::read_link(file.path()).is_ok_and(|file| file.ends_with("dwell/node.lock"))
                })
        };
        let found = self.on(|machine| machine.processes(is_daemon));
        signal_all(&found, signal);
        !found.is_empty()
    }
}

fn signal_all(processes: &[Pid], signal: Signal) {
    for process in processes {
        // It may have ended by itself.
        let _ = kill_process(*process, signal);
    }
}

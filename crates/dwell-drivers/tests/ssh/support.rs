//! A real ssh server on a loopback port, with keys, known hosts and a home of its own.

use std::fs;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use dwell_drivers::ssh::Destination;

pub(crate) struct Server {
    root: tempfile::TempDir,
    sshd: Child,
    pub(crate) port: u16,
}

impl Server {
    pub(crate) fn start() -> Self {
        Self::with("")
    }

    /// A server with one more variable for what it runs; `{root}` in it is the server's directory.
    pub(crate) fn with(variable: &str) -> Self {
        let root = tempfile::tempdir().unwrap();
        let path = root.path();
        for key in ["user", "host", "stranger"] {
            let file = path.join(key);
            let mut keygen = Command::new("ssh-keygen");
            keygen.args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(file);
            assert!(keygen.status().unwrap().success());
        }
        fs::copy(path.join("user.pub"), path.join("authorized")).unwrap();
        fs::create_dir(path.join("home")).unwrap();
        if rustix::process::getuid().is_root() {
            fs::create_dir_all("/run/sshd").unwrap();
        }
        let (sshd, port) = listen(path, variable);
        let server = Self { root, sshd, port };
        server.know("host");
        server
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    /// The home directory on the far side.
    pub(crate) fn home(&self) -> PathBuf {
        self.path("home")
    }

    /// Makes the client know this key as the server's; none where there is no such key.
    pub(crate) fn know(&self, key: &str) {
        let key = fs::read_to_string(self.path(&format!("{key}.pub"))).unwrap_or_default();
        let line = match key.is_empty() {
            true => String::new(),
            false => format!("[127.0.0.1]:{} {key}", self.port),
        };
        fs::write(self.path("known"), line).unwrap();
    }

    /// The way to the server with its own user's key.
    pub(crate) fn destination(&self) -> Destination {
        let mut destination = self.elsewhere("127.0.0.1", self.port);
        destination.key = Some(self.path("user"));
        destination
    }

    /// The way to another place, by an ssh that uses nothing of the real user's.
    pub(crate) fn elsewhere(&self, host: &str, port: u16) -> Destination {
        let config = format!(
            "UserKnownHostsFile {}\nGlobalKnownHostsFile /dev/null\nIdentityAgent none\n",
            self.path("known").display()
        );
        self.elsewhere_with(&config, host, port)
    }

    /// The same by an ssh with this configuration.
    pub(crate) fn elsewhere_with(&self, config: &str, host: &str, port: u16) -> Destination {
        let (file, program) = (self.path("config"), self.path("ssh"));
        fs::write(&file, config).unwrap();
        let text = format!("#!/bin/sh\nexec ssh -F {} \"$@\"\n", file.display());
        fs::write(&program, text).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        let mut destination = Destination::new(host);
        destination.port = Some(port);
        destination.program = program;
        destination
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.sshd.kill();
        let _ = self.sshd.wait();
    }
}

/// Starts sshd in the foreground on a port that it gets.
fn listen(path: &Path, variable: &str) -> (Child, u16) {
    loop {
        let port = free_port();
        let config = format!(
            "Port {port}\nListenAddress 127.0.0.1\nHostKey {0}/host\nPidFile none\n\
             AuthorizedKeysFile {0}/authorized\nStrictModes no\nUsePAM no\n\
             PasswordAuthentication no\nKbdInteractiveAuthentication no\n\
             SetEnv HOME={0}/home {1}\n",
            path.display(),
            variable.replace("{root}", &path.display().to_string())
        );
        fs::write(path.join("sshd_config"), config).unwrap();
        let log = fs::File::create(path.join("sshd.log")).unwrap();
        let mut command = Command::new("/usr/sbin/sshd");
        command.args(["-D", "-e", "-f"]).arg(path.join("sshd_config"));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let mut sshd = command.spawn().expect("openssh-server is installed");
        if answers(&mut sshd, port) {
            return (sshd, port);
        }
        let _ = sshd.kill();
        sshd.wait().unwrap();
        let said = fs::read_to_string(path.join("sshd.log")).unwrap();
        assert!(said.contains("Address already in use"), "sshd does not listen: {said}");
    }
}

/// Waits until the server listens; `false` when it ends instead.
fn answers(sshd: &mut Child, port: u16) -> bool {
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(10) && sshd.try_wait().unwrap().is_none() {
        if TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    false
}

pub(crate) fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

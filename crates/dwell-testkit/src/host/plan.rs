//! What a host shall have.

/// A host before it is started.
#[derive(Clone, Debug)]
pub struct HostPlan {
    pub(super) name: String,
    pub(super) users: Vec<String>,
    pub(super) engine: bool,
    pub(super) images: Vec<&'static str>,
    pub(super) disk: u32,
    pub(super) runtime_directory: bool,
}

impl HostPlan {
    /// A host with this name, in `ssh` and as its host name: sshd and root, no engine.
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            users: Vec::new(),
            engine: false,
            images: Vec::new(),
            disk: 4096,
            runtime_directory: true,
        }
    }

    /// With a Docker engine of its own, at the usual socket, that runs when the host has started.
    #[must_use]
    pub fn engine(mut self) -> Self {
        self.engine = true;
        self
    }

    /// With such an engine and copies of images of this machine's engine in it.
    #[must_use]
    pub fn images(mut self, names: impl IntoIterator<Item = &'static str>) -> Self {
        self.images.extend(names);
        self.engine()
    }

    /// With one more user, who may use the engine (group `docker`) and has the key that root has.
    #[must_use]
    pub fn user(mut self, name: &str) -> Self {
        self.users.push(name.to_owned());
        self
    }

    /// With a disk of this size in MiB, 4,096 otherwise. It is in memory, takes as much of it as
    /// is written, and holds all that the host writes, the engine's images included.
    #[must_use]
    pub fn disk(mut self, mebibytes: u32) -> Self {
        self.disk = mebibytes;
        self
    }

    /// Without `XDG_RUNTIME_DIR` and `/run/user`, as on machines without a session manager.
    #[must_use]
    pub fn without_runtime_directory(mut self) -> Self {
        self.runtime_directory = false;
        self
    }

    /// The user's number; the boot script counts in the same way.
    pub(super) fn uid(&self, user: &str) -> u32 {
        let place = self.users.iter().position(|name| name == user);
        match place {
            Some(place) => 30_001 + u32::try_from(place).unwrap_or(u32::MAX - 30_001),
            None if user == "root" => 0,
            None => panic!("{} has no user {user}", self.name),
        }
    }

    /// The server's configuration, with the variables that a login would set.
    pub(super) fn sshd_configuration(&self) -> String {
        let users = self.users.join(" ");
        let mut text = format!(
            "HostKey /etc/ssh/host_key\nPidFile /run/sshd.pid\n\
             AuthorizedKeysFile /etc/ssh/authorized_keys\nStrictModes no\nUsePAM no\nUseDNS no\n\
             PasswordAuthentication no\nKbdInteractiveAuthentication no\n\
             PermitRootLogin prohibit-password\nAllowUsers root {users}\n\
             Subsystem sftp internal-sftp\n"
        );
        if self.runtime_directory {
            for user in self.users.iter().map(String::as_str).chain(["root"]) {
                let uid = self.uid(user);
                text.push_str(&format!(
                    "Match User {user}\n    SetEnv XDG_RUNTIME_DIR=/run/user/{uid}\n"
                ));
            }
        }
        text
    }
}

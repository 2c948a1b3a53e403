//! A container that lives like a machine: made once, started, frozen, resized, renamed.

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Duration;

use bollard::container::AttachContainerResults;
use bollard::models::{
    ContainerConfig, ContainerCreateBody, ContainerUpdateBody, DeviceMapping, HostConfig, Mount,
    MountType,
};
use bollard::query_parameters::{
    AttachContainerOptionsBuilder, CommitContainerOptionsBuilder, CreateContainerOptionsBuilder,
    InspectContainerOptions, InspectContainerOptionsBuilder, KillContainerOptionsBuilder,
    RenameContainerOptionsBuilder, TopOptionsBuilder,
};
use futures_util::StreamExt;

use super::{Engine, EngineError, QUICK, size_option};
use crate::hostname::Running;

/// The most processes and threads.
const PROCESSES: i64 = 8192;
/// Shared memory; browsers fail with the engine's 64 MiB.
const SHARED_MEMORY: i64 = 256 << 20;
/// How long the first process may take to end the others before it is killed, in seconds.
const STOP: i64 = 10;
/// How long it is waited for what a container that ran already may have said.
const SETTLED: Duration = Duration::from_secs(2);
/// How long keeping a file system as an image may take.
const COMMIT: Duration = Duration::from_secs(15 * 60);
/// How long counting what it has on the disk may take.
const MEASURE: Duration = Duration::from_secs(60);
/// How often freezing is tried: under the first version of control groups it fails where processes
/// begin at that moment.
const FREEZES: u32 = 3;
/// What stands between a container and the system's calls.
const UNCONFINED: [&str; 2] = ["seccomp", "apparmor"];
/// How much of what a container says at its start is kept.
const SAID: usize = 8 << 10;

/// What a container may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resources {
    /// Processors, in billionths.
    pub nano_cpus: i64,
    /// Memory in bytes; there is no swap besides.
    pub memory: i64,
}

/// A container to make.
#[derive(Debug, Clone)]
pub struct MachineSpec {
    /// Its name.
    pub name: String,
    /// Its host name.
    pub hostname: String,
    /// The image, which is there.
    pub image: String,
    /// The first process, which runs as root.
    pub command: Vec<String>,
    /// Variables, as `NAME=value`.
    pub variables: Vec<String>,
    /// Its labels.
    pub labels: HashMap<String, String>,
    /// The network it is in.
    pub network: String,
    /// A volume, and where it is mounted.
    pub volume: (String, String),
    /// Directories of the host.
    pub directories: Vec<Directory>,
    /// Further volumes, and where they are mounted.
    pub volumes: Vec<(String, String)>,
    /// What it may do beyond what containers may.
    pub rights: Rights,
    /// What it may use.
    pub resources: Resources,
    /// What it may change in its file system, in bytes, where the engine holds it to that.
    pub disk: Option<u64>,
}

/// What a container may do beyond what containers usually may.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rights {
    /// All capabilities but those to raise limits; otherwise the engine's usual ones.
    pub capable: bool,
    /// All system calls, and all of `/proc` and `/sys`.
    pub unconfined: bool,
    /// Devices of the host.
    pub devices: Vec<String>,
}

/// A directory of the host that a container sees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directory {
    /// Where it is on the host; it is there.
    pub source: PathBuf,
    /// Where the container has it.
    pub target: PathBuf,
    /// Whether it can be written to there.
    pub writable: bool,
}

/// Why a container did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The engine failed.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// Its first process ended.
    #[error("its first process ended at once: {said}")]
    Ended {
        /// What it wrote.
        said: String,
    },
    /// It did not say in time that it is ready.
    #[error("it was not ready within {} s: {said}", limit.as_secs())]
    NotReady {
        /// The limit.
        limit: Duration,
        /// What it wrote.
        said: String,
    },
}

impl Engine {
    /// Makes a container without starting it. One of this name that is there already stays as it
    /// is.
    pub async fn create_machine(&self, spec: MachineSpec) -> Result<(), EngineError> {
        let options = CreateContainerOptionsBuilder::new().name(&spec.name).build();
        let create = self.docker()?.create_container(Some(options), body(spec));
        match self.call("create container", QUICK, create).await {
            Ok(_) => Ok(()),
            Err(EngineError::Conflict(message)) if message.contains("already in use") => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Starts a container, and waits until its first process writes a line. One that somebody else
    /// started in this moment may have written it already, so it is not waited for long.
    pub async fn start_until(
        &self,
        name: &str,
        line: &str,
        limit: Duration,
    ) -> Result<(), StartError> {
        let options =
            AttachContainerOptionsBuilder::new().stream(true).stdout(true).stderr(true).build();
        let attach = self.docker()?.attach_container(name, Some(options));
        let attach = self.call("attach to container", QUICK, attach);
        let (attached, runs) = tokio::join!(attach, self.is_running(name));
        let (AttachContainerResults { mut output, .. }, runs) = (attached?, runs?);
        let limit = if runs { limit.min(SETTLED) } else { limit };
        self.start(name).await?;
        let mut said = String::new();
        let heard = async {
            while let Some(piece) = output.next().await {
                let piece = piece.map_err(|error| self.error(error))?;
                said.push_str(&String::from_utf8_lossy(&piece.into_bytes()));
                if said.lines().any(|said| said == line) {
                    return Ok::<_, EngineError>(true);
                }
                if said.len() > SAID {
                    said.drain(..said.floor_char_boundary(said.len() - SAID / 2));
                }
            }
            Ok(false)
        };
        match tokio::time::timeout(limit, heard).await {
            Ok(Ok(true)) => Ok(()),
            Ok(Ok(false)) => Err(StartError::Ended { said: said.trim().to_owned() }),
            Ok(Err(error)) => Err(error.into()),
            Err(_) if runs => Ok(()),
            Err(_) => Err(StartError::NotReady { limit, said: said.trim().to_owned() }),
        }
    }

    async fn is_running(&self, name: &str) -> Result<bool, EngineError> {
        let inspect = self.docker()?.inspect_container(name, None::<InspectContainerOptions>);
        let seen = self.call("inspect container", QUICK, inspect).await?;
        Ok(seen.state.and_then(|state| state.running).unwrap_or_default())
    }

    /// Freezes a container; one that is frozen stays so.
    pub async fn freeze(&self, name: &str) -> Result<(), EngineError> {
        let _alone = self.gates.freeze(name).await?;
        for left in (0..FREEZES).rev() {
            match self.call("freeze container", QUICK, self.docker()?.pause_container(name)).await {
                Err(error) if says(&error, "already paused") => break,
                Err(error) if left > 0 && says(&error, "unable to freeze") => {}
                other => return other,
            }
        }
        Ok(())
    }

    /// Lets a frozen container go on; one that runs does.
    pub async fn thaw(&self, name: &str) -> Result<(), EngineError> {
        match self.call("thaw container", QUICK, self.docker()?.unpause_container(name)).await {
            Err(error) if says(&error, "is not paused") => Ok(()),
            other => other,
        }
    }

    /// Gives a container other limits, also while it runs.
    pub async fn resize(&self, name: &str, to: Resources) -> Result<(), EngineError> {
        let update = ContainerUpdateBody {
            nano_cpus: Some(to.nano_cpus),
            memory: Some(to.memory),
            memory_swap: Some(to.memory),
            ..ContainerUpdateBody::default()
        };
        let resize = self.docker()?.update_container(name, update);
        self.call("update container", QUICK, resize).await
    }

    /// Calls a container something else; one that is called so already keeps its name.
    pub async fn rename(&self, name: &str, to: &str) -> Result<(), EngineError> {
        let options = RenameContainerOptionsBuilder::new().name(to).build();
        let rename = self.docker()?.rename_container(name, options);
        self.call("rename container", QUICK, rename).await
    }

    /// Tells a container's first process to read its settings again, with SIGHUP.
    pub async fn reload(&self, name: &str) -> Result<(), EngineError> {
        let options = KillContainerOptionsBuilder::new().signal("SIGHUP").build();
        let kill = self.docker()?.kill_container(name, Some(options));
        self.call("signal container", QUICK, kill).await
    }

    /// Keeps a container's file system as an image of this name; what is mounted in it is not part
    /// of that. A running container stands still meanwhile. The image has the container's labels,
    /// and these over them. Gives the image's id.
    pub async fn commit_machine(
        &self,
        name: &str,
        image: &str,
        labels: HashMap<String, String>,
    ) -> Result<String, EngineError> {
        let (repository, tag) = image.rsplit_once(':').unwrap_or((image, "latest"));
        let options = CommitContainerOptionsBuilder::new()
            .container(name)
            .repo(repository)
            .tag(tag)
            .pause(true)
            .build();
        let config = ContainerConfig { labels: Some(labels), ..ContainerConfig::default() };
        let commit = self.docker()?.commit_container(options, config);
        Ok(self.call("commit container", COMMIT, commit).await?.id)
    }

    /// The networks that a container is in, also while it does not run: name and identity.
    pub async fn attachments(&self, name: &str) -> Result<Vec<(String, String)>, EngineError> {
        let inspect = self.docker()?.inspect_container(name, None::<InspectContainerOptions>);
        let seen = self.call("inspect container", QUICK, inspect).await?;
        let networks = seen.network_settings.and_then(|settings| settings.networks);
        let networks = networks.unwrap_or_default().into_iter();
        Ok(networks.map(|(name, it)| (name, it.network_id.unwrap_or_default())).collect())
    }

    /// The number that this machine knows a running container's first process by.
    pub async fn first_process(&self, name: &str) -> Result<Option<u32>, EngineError> {
        let seen = self.docker()?.inspect_container(name, None::<InspectContainerOptions>);
        let seen = self.call("inspect container", QUICK, seen).await?;
        let pid = seen.state.and_then(|state| state.pid);
        Ok(pid.and_then(|pid| u32::try_from(pid).ok()).filter(|pid| *pid > 0))
    }

    /// What a container has on the disk besides its image, in bytes. The engine counts it file by
    /// file.
    pub async fn changed_bytes(&self, name: &str) -> Result<u64, EngineError> {
        let options = InspectContainerOptionsBuilder::new().size(true).build();
        let inspect = self.docker()?.inspect_container(name, Some(options));
        let seen = self.call("measure container", MEASURE, inspect).await?;
        Ok(seen.size_rw.and_then(|bytes| u64::try_from(bytes).ok()).unwrap_or_default())
    }

    /// A container as it runs, frozen or not; `None` where it does not.
    pub async fn running(&self, name: &str) -> Result<Option<Running>, EngineError> {
        let seen = self.docker()?.inspect_container(name, None::<InspectContainerOptions>);
        let seen = match self.call("inspect container", QUICK, seen).await {
            Ok(seen) => seen,
            Err(error) if error.is_not_found() => return Ok(None),
            Err(error) => return Err(error),
        };
        let state = seen.state.unwrap_or_default();
        let pid = state.pid.and_then(|pid| u32::try_from(pid).ok()).unwrap_or_default();
        if state.running != Some(true) || pid == 0 {
            return Ok(None);
        }
        Ok(Some(Running {
            id: seen.id.unwrap_or_default(),
            pid,
            hostname: seen.config.and_then(|config| config.hostname).unwrap_or_default(),
            hostname_file: seen.hostname_path.unwrap_or_default(),
            hosts_file: seen.hosts_path.unwrap_or_default(),
            image_id: seen.image.unwrap_or_default(),
            paused: state.paused.unwrap_or_default(),
        }))
    }

    /// The command lines of a running container's processes.
    pub async fn processes(&self, name: &str) -> Result<Vec<String>, EngineError> {
        let options = TopOptionsBuilder::new().ps_args("-eo pid,args").build();
        let top = self.docker()?.top_processes(name, Some(options));
        let seen = self.call("list processes", QUICK, top).await?;
        let rows = seen.processes.unwrap_or_default().into_iter();
        Ok(rows.filter_map(|row| row.into_iter().nth(1)).collect())
    }
}

fn says(error: &EngineError, text: &str) -> bool {
    let (EngineError::Conflict(message) | EngineError::Other(message)) = error else {
        return false;
    };
    message.contains(text)
}

fn body(spec: MachineSpec) -> ContainerCreateBody {
    let (volume, home) = spec.volume;
    let volumes = std::iter::once((volume, home)).chain(spec.volumes).map(|(name, place)| Mount {
        typ: Some(MountType::VOLUME),
        source: Some(name),
        target: Some(place),
        ..Mount::default()
    });
    let binds = spec.directories.into_iter().map(|directory| Mount {
        typ: Some(MountType::BIND),
        source: Some(directory.source.display().to_string()),
        target: Some(directory.target.display().to_string()),
        read_only: Some(!directory.writable),
        ..Mount::default()
    });
    let mounts = volumes.chain(binds).collect();
    let Rights { capable, unconfined, devices } = spec.rights;
    let unconfined =
        unconfined.then(|| UNCONFINED.map(|what| format!("{what}=unconfined")).to_vec());
    let devices = devices.into_iter().map(|device| DeviceMapping {
        path_on_host: Some(device.clone()),
        path_in_container: Some(device),
        cgroup_permissions: Some("rwm".to_owned()),
    });
    ContainerCreateBody {
        hostname: Some(spec.hostname),
        image: Some(spec.image),
        entrypoint: Some(spec.command),
        cmd: Some(Vec::new()),
        env: Some(spec.variables),
        user: Some("0:0".to_owned()),
        working_dir: Some("/".to_owned()),
        labels: Some(spec.labels),
        stop_signal: Some("SIGTERM".to_owned()),
        stop_timeout: Some(STOP),
        host_config: Some(HostConfig {
            mounts: Some(mounts),
            cap_add: capable.then(|| vec!["ALL".to_owned()]),
            cap_drop: capable.then(|| vec!["SYS_RESOURCE".to_owned()]),
            security_opt: unconfined.clone(),
            masked_paths: unconfined.as_ref().map(|_| Vec::new()),
            readonly_paths: unconfined.map(|_| Vec::new()),
            devices: Some(devices.collect()),
            network_mode: Some(spec.network),
            nano_cpus: Some(spec.resources.nano_cpus),
            memory: Some(spec.resources.memory),
            memory_swap: Some(spec.resources.memory),
            pids_limit: Some(PROCESSES),
            shm_size: Some(SHARED_MEMORY),
            storage_opt: spec.disk.map(size_option),
            ..HostConfig::default()
        }),
        ..ContainerCreateBody::default()
    }
}

//! The engine of a host.

use std::fs::{self, File};
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;

use super::{Host, LIMIT, lock};
use crate::process::{Ran, run, run_with_input};

/// A large image takes its time on a busy machine.
const LOAD_LIMIT: Duration = Duration::from_secs(180);

impl Host {
    /// Starts containerd and dockerd on a host without them, or after [`Self::kill_engine`] dockerd
    /// only, and waits until the engine answers.
    pub fn start_engine(&self) {
        self.on(|machine| {
            let dockerd = self.dockerd();
            if machine.path(dockerd.run.join("containerd.sock")).exists() {
                dockerd.start_dockerd(machine);
            } else {
                dockerd.start(machine);
            }
        });
    }

    /// Kills dockerd with SIGKILL; containers go on running until the next start ends them.
    pub fn kill_engine(&self) {
        self.on(|machine| self.dockerd().kill(machine));
    }

    /// Stops dockerd from answering without ending it.
    pub fn freeze_engine(&self) {
        self.on(|machine| machine.signal("dockerd", Signal::STOP));
    }

    /// Lets it go on after [`Self::freeze_engine`].
    pub fn thaw_engine(&self) {
        self.on(|machine| machine.signal("dockerd", Signal::CONT));
    }

    /// Runs `docker` on the host, against its engine.
    #[track_caller]
    pub fn docker<I: IntoIterator<Item = S>, S: AsRef<std::ffi::OsStr>>(
        &self,
        arguments: I,
    ) -> Ran {
        run(self.command("docker").args(arguments), LIMIT)
    }

    /// The containers of the environments of a name, also those that do not run: of one service, or
    /// of all.
    #[track_caller]
    pub fn containers(&self, environment: &str, service: Option<&str>) -> Vec<String> {
        let mut list = self.command("docker");
        list.args(["ps", "--all", "--quiet", "--no-trunc", "--filter"]);
        list.arg(format!("label=dwell.name={environment}"));
        if let Some(service) = service {
            list.args(["--filter", &format!("label=dwell.service={service}")]);
        }
        run(&mut list, LIMIT).ok().lines().map(str::to_owned).collect()
    }

    /// Copies an image from this machine's engine into the host's.
    #[track_caller]
    pub fn load(&self, image: &str) {
        self.load_all(&[image]);
    }

    /// Copies images together, which is quicker than one by one.
    #[track_caller]
    pub fn load_all(&self, images: &[&str]) {
        let folder = self.network.path().join("images");
        let file = folder.join(images.join("+").replace(['/', ':'], "-"));
        {
            let _saving = lock(&self.network.saving);
            if !file.exists() {
                fs::create_dir_all(&folder).expect("a folder can be made");
                let mut save = Command::new("docker");
                save.args(["save", "--output"]).arg(&file).args(images);
                run(&mut save, LOAD_LIMIT).ok();
            }
        }
        let file = File::open(file).expect("the images' file can be opened");
        let mut load = self.command("docker");
        run_with_input(load.args(["load", "--quiet"]), file, LOAD_LIMIT).ok();
    }
}

//! The Android emulator of a workspace: refusals that say why, and a stand-in for it that takes the
//! real device and the real desktop.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    reason = "a test ends where it meets what it does not expect"
)]

use std::time::Duration;

use dwell_testkit::{TestHome, has_image, sh, wait_until};

/// The desktop with stand-ins for the emulator and its tools.
const IMAGE: &str = "dwell-test-android";
const ROOM: &str = "cpu=1,mem=4g";

fn bench() -> Option<TestHome> {
    let opened = std::fs::OpenOptions::new().read(true).write(true).open("/dev/kvm");
    if opened.is_err() || !has_image(IMAGE) {
        eprintln!("skipped: this takes /dev/kvm and the image {IMAGE}");
        return None;
    }
    Some(TestHome::new(env!("CARGO_BIN_EXE_dwell")).limit(Duration::from_secs(120)))
}

fn state(home: &TestHome) -> String {
    home.dwell(["android", "box", "status"]).ok().lines().next().unwrap().to_owned()
}

#[test]
fn what_cannot_work_is_refused_with_the_reason() {
    let Some(home) = bench() else { return };
    let create = ["ws", "create", "box", "--android", "--image"];
    let image = home.dwell(create.iter().chain(&["debian:bookworm", "--class", ROOM]));
    let said = image.fails_with(1);
    assert!(said.contains("has no emulator, adb, avdmanager"), "{image:?}");
    assert!(said.contains("dwell image build android"), "{image:?}");
    let memory = home.dwell(create.iter().chain(&[IMAGE, "--class", "small"]));
    assert!(memory.fails_with(2).contains("takes 4096 MiB of memory"), "{memory:?}");
    home.dwell(["ws", "create", "plain", "--image", IMAGE]).ok();
    let plain = home.dwell(["android", "plain"]);
    assert!(plain.fails_with(2).contains("without --android"), "{plain:?}");
    assert_ne!(sh(&home, "plain", "ls /dev/kvm").code, Some(0));
    let doctor = home.dwell(["doctor"]);
    assert!(doctor.stdout.contains("/dev/kvm"), "{doctor:?}");
}

#[test]
fn the_emulator_starts_on_the_desktop_and_ends_and_its_crash_is_told() {
    let Some(home) = bench() else { return };
    home.dwell(["ws", "create", "box", "--android", "--image", IMAGE, "--class", ROOM]).ok();
    let asks = "import fcntl, os; print(fcntl.ioctl(os.open('/dev/kvm', os.O_RDWR), 0xAE00))";
    let version = home.dwell(["ws", "exec", "box", "--", "python3", "-c", asks]);
    assert_eq!(version.ok(), "12", "the workspace's user can use the device");
    assert_eq!(state(&home), "stopped");

    home.dwell(["android", "box", "--no-wait"]).ok();
    wait_until(Duration::from_secs(20), "it listens", || {
        home.dwell(["ports", "box"]).stdout.contains("5555")
    });
    assert_eq!(state(&home), "starting");
    sh(&home, "box", "touch ~/boot").ok();
    home.dwell(["android", "box"]).ok();
    assert_eq!(state(&home), "running");
    home.dwell(["ws", "suspend", "box"]).ok();
    assert_eq!(state(&home), "frozen", "looking wakes nothing");
    home.dwell(["ws", "resume", "box"]).ok();
    home.dwell(["android", "box", "stop"]).ok();
    assert_eq!(state(&home), "stopped");

    sh(&home, "box", "rm ~/boot; touch ~/crash").ok();
    let crashed = home.dwell(["android", "box"]);
    let said = crashed.fails_with(1);
    assert!(said.contains("ended with 139"), "{crashed:?}");
    assert!(said.contains("the guest has no more memory"), "{crashed:?}");
    let shown = home.dwell(["android", "box", "status"]);
    assert!(shown.ok().starts_with("crashed"), "{shown:?}");
    assert!(shown.stdout.contains("the guest has no more memory"), "{shown:?}");

    // The device is the user's again after a start, and what was before it is forgotten.
    home.dwell(["ws", "stop", "box"]).ok();
    home.dwell(["ws", "start", "box"]).ok();
    assert_eq!(state(&home), "stopped");
    sh(&home, "box", "rm ~/crash; touch ~/boot").ok();
    home.dwell(["android", "box"]).ok();
    assert_eq!(state(&home), "running");
}

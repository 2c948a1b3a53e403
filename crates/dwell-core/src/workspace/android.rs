//! The Android emulator of a workspace: what it takes, and what it was seen to do.

use serde::{Deserialize, Serialize};

/// The device that lets a machine be emulated at the speed of this one.
pub const KVM: &str = "/dev/kvm";
/// What an image with the emulator has.
pub const ANDROID_PROGRAMS: [&str; 4] = ["emulator", "adb", "avdmanager", "dwell-desktop"];
/// The memory that it takes: 2 GiB for Android, the rest for the emulator and the desktop.
const MEMORY_MB: u64 = 4096;

/// What the emulator of a workspace was seen to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum AndroidState {
    /// It does not run.
    Stopped,
    /// It runs, and Android has not booted yet.
    Starting,
    /// Android runs.
    Running,
    /// It ended without being told to.
    Crashed,
    /// The workspace is frozen.
    Frozen,
}

impl AndroidState {
    /// The word shown to people.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stopped => "stopped",
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Crashed => "crashed",
            Self::Frozen => "frozen",
        }
    }
}

/// The emulator of a workspace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Android {
    /// What it does.
    pub state: AndroidState,
    /// The code that it ended with, where it crashed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<i32>,
    /// What it said last, where it crashed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub said: Vec<String>,
}

impl Android {
    /// Without anything to say.
    pub fn of(state: AndroidState) -> Self {
        Self { state, code: None, said: Vec::new() }
    }

    /// What a look at it told: a word, a code where it crashed, and what it said last.
    pub fn seen(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        let mut first = lines.next()?.split(' ');
        let state = match first.next()? {
            "stopped" => AndroidState::Stopped,
            "starting" => AndroidState::Starting,
            "running" => AndroidState::Running,
            "crashed" => AndroidState::Crashed,
            _ => return None,
        };
        let code = first.next().and_then(|code| code.parse().ok());
        let said = lines.map(str::to_owned).collect();
        Some(Self { state, code, said })
    }
}

/// Why memory does not suffice for it.
pub fn too_little(memory_mb: u64) -> Option<String> {
    (memory_mb < MEMORY_MB).then(|| {
        format!("the emulator takes {MEMORY_MB} MiB of memory, and the workspace has {memory_mb}")
    })
}

/// Why the device cannot be used, by what the system said when it was opened. A refusal is for the
/// user who asks; whoever makes containers may have more rights, so that only a look from inside
/// can tell.
pub fn kvm_trouble(errno: i32) -> Option<(&'static str, &'static str)> {
    const NO_ENTRY: i32 = 2;
    const NO_ACCESS: i32 = 13;
    const NOT_PERMITTED: i32 = 1;
    const NESTED: &str = "on a virtual machine, its host has to allow nested virtualization; else load the module kvm";
    match errno {
        NO_ACCESS | NOT_PERMITTED => None,
        NO_ENTRY => Some(("this machine has no /dev/kvm", NESTED)),
        _ => Some(("/dev/kvm is there, but cannot be opened", NESTED)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_look_tells_is_read() {
        let crashed = Android::seen("crashed 139\nno space\nsegmentation fault\n").unwrap();
        assert_eq!((crashed.state, crashed.code), (AndroidState::Crashed, Some(139)));
        assert_eq!(crashed.said, ["no space", "segmentation fault"]);
        assert_eq!(Android::seen("running\n"), Some(Android::of(AndroidState::Running)));
        for other in ["", "else", "crash"] {
            assert_eq!(Android::seen(other), None);
        }
    }

    #[test]
    fn what_it_takes_is_told() {
        assert_eq!(too_little(4096), None);
        assert!(too_little(2048).unwrap().contains("2048"));
        assert!(kvm_trouble(2).unwrap().0.contains("no /dev/kvm"));
        assert!(kvm_trouble(19).unwrap().0.contains("cannot be opened"));
        assert_eq!(kvm_trouble(13), None);
    }
}

//! What this machine has and what is left of it, as the kernel tells.

use std::io;
use std::num::NonZeroUsize;
use std::path::Path;
use std::time::Duration;

use dwell_core::admission::Amount;

/// A machine as it was seen. What the system does not tell is missing.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Machine {
    /// Its host name.
    pub host: String,
    /// Processors that this process may use.
    pub cpus: Option<u32>,
    /// How many tasks wanted to run in the last minute.
    pub load: Option<f64>,
    /// Memory; free is what programs can still get, caches given up.
    pub memory: Option<Amount>,
    /// How long it has been running.
    pub uptime: Option<Duration>,
    /// An identity that is another one after each start.
    pub boot: Option<String>,
}

/// Looks at this machine. It reads a few lines that the kernel keeps in memory.
pub fn look() -> Machine {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let cpus = std::thread::available_parallelism().map(NonZeroUsize::get).ok();
    let boot = read("/proc/sys/kernel/random/boot_id").trim().to_owned();
    Machine {
        host: read("/proc/sys/kernel/hostname").trim().to_owned(),
        cpus: cpus.and_then(|cpus| u32::try_from(cpus).ok()),
        load: load(&read("/proc/loadavg")),
        memory: memory(&read("/proc/meminfo")),
        uptime: uptime(&read("/proc/uptime")),
        boot: (!boot.is_empty()).then_some(boot),
    }
}

/// The disk that holds a path, or where it would be made; free is what its user can still get.
///
/// # Errors
/// When the system does not tell.
pub fn disk(path: &Path) -> io::Result<Amount> {
    let existing = path.ancestors().find(|place| place.exists()).unwrap_or(Path::new("/"));
    let found = rustix::fs::statvfs(existing)?;
    let bytes = |blocks: u64| blocks.saturating_mul(found.f_frsize);
    Ok(Amount { total: bytes(found.f_blocks), free: bytes(found.f_bavail) })
}

/// The first number of `/proc/loadavg`.
fn load(text: &str) -> Option<f64> {
    text.split_whitespace().next()?.parse().ok()
}

/// The first number of `/proc/uptime`, in seconds.
fn uptime(text: &str) -> Option<Duration> {
    let seconds = text.split_whitespace().next()?.parse().ok()?;
    Duration::try_from_secs_f64(seconds).ok()
}

/// Two lines of `/proc/meminfo`, in kB.
fn memory(text: &str) -> Option<Amount> {
    let line = |name: &str| {
        let value = text.lines().find_map(|line| line.strip_prefix(name))?;
        let kilobytes: u64 = value.trim().strip_suffix(" kB")?.parse().ok()?;
        kilobytes.checked_mul(1024)
    };
    Some(Amount { total: line("MemTotal:")?, free: line("MemAvailable:")? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_s_lines_are_read() {
        assert_eq!(load("0.31 0.66 0.44 2/411 26505\n"), Some(0.31));
        assert_eq!(uptime("1021.50 1889.02\n"), Some(Duration::from_millis(1_021_500)));
        let text = "MemTotal:       24689612 kB\nMemFree: 1 kB\nMemAvailable:   20000000 kB\n";
        let all = Amount { total: 24_689_612 << 10, free: 20_000_000 << 10 };
        assert_eq!(memory(text), Some(all));
    }

    #[test]
    fn other_lines_are_not_known() {
        for odd in ["", "x", "-1", "1e400", "\n"] {
            assert_eq!(uptime(odd), None, "{odd}");
            assert_eq!(memory(odd), None, "{odd}");
        }
        assert_eq!(load("x"), None);
        assert_eq!(memory("MemTotal: 5 kB\nMemAvailable: 18446744073709551615 kB\n"), None);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn this_machine_is_told() {
        let found = look();
        assert!(!found.host.is_empty() && found.boot.is_some());
        assert!(found.cpus > Some(0) && found.load.is_some() && found.uptime.is_some());
        assert!(found.memory.is_some_and(|memory| memory.free <= memory.total));
        let missing = disk(Path::new("/no/such/place")).unwrap();
        assert_eq!(missing.total, disk(Path::new("/")).unwrap().total);
    }
}

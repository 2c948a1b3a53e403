//! What a workspace shows of its use, read inside it: from its terminals, its processes and its
//! control group.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use dwell_core::idle::{Signs, Terminal, is_editor, is_shell};

/// A tick of the kernel's process times; the same on all that Linux runs on: 10 ms.
const TICK: i64 = 10_000;
/// The first major number of the terminals in `/dev/pts`, each with 256 of them.
const PTS: u32 = 136;
/// Where control groups tell what was used, in nanoseconds (the first version).
const USED: [&str; 2] =
    ["/sys/fs/cgroup/cpuacct/cpuacct.usage", "/sys/fs/cgroup/cpu,cpuacct/cpuacct.usage"];
/// Where the second version tells it, among others, in microseconds.
const USED_UNIFIED: &str = "/sys/fs/cgroup/cpu.stat";

/// What is in the command line of what watches over a session's command.
const SHIM: &str = " session-shim ";

/// A process, as far as it matters here.
struct Process {
    name: String,
    line: String,
    parent: u32,
    /// The number of its terminal in `/dev/pts`.
    terminal: Option<u32>,
    /// The process group in the foreground of that terminal.
    front: i32,
    /// What it and the children that it waited for have used, in microseconds.
    used: i64,
    /// Whether it wants a processor now.
    is_ready: bool,
}

/// Looks at this machine, which is a workspace.
///
/// # Errors
/// When `/proc` or `/dev/pts` cannot be read.
pub fn look() -> io::Result<Signs> {
    let processes = processes()?;
    let editors = processes.values().filter(|it| is_editor(&it.line)).map(|it| it.used).sum();
    let all = processes.values().map(|it| it.used).sum();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Ok(Signs {
        now: i64::try_from(now.as_micros()).unwrap_or(i64::MAX),
        used: used().unwrap_or(all),
        editors,
        terminals: terminals(&processes)?,
        tasks: tasks(&processes),
        ready: ready(&processes),
    })
}

fn processes() -> io::Result<HashMap<u32, Process>> {
    let mut all = HashMap::new();
    for entry in fs::read_dir("/proc")? {
        let entry = entry?;
        let Some(id) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        // One that has ended meanwhile shows nothing.
        let Ok(stat) = fs::read_to_string(entry.path().join("stat")) else { continue };
        let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        all.extend(process(&stat, line).map(|it| (id, it)));
    }
    Ok(all)
}

/// Reads a line such as `12 (bash) S 1 12 12 34816 40 …` (proc(5)).
fn process(stat: &str, line: String) -> Option<Process> {
    let (head, rest) = stat.rsplit_once(')')?;
    let (_, name) = head.split_once('(')?;
    let fields: Vec<i64> =
        rest.split_whitespace().skip(1).map(|field| field.parse().unwrap_or_default()).collect();
    let field = |number: usize| fields.get(number).copied().unwrap_or_default();
    let device = u32::try_from(field(3)).unwrap_or_default();
    let (major, minor) = ((device >> 8) & 0xfff, (device & 0xff) | ((device >> 12) & 0xfff00));
    Some(Process {
        name: name.to_owned(),
        line,
        parent: u32::try_from(field(0)).unwrap_or_default(),
        terminal: (PTS..PTS + 8).contains(&major).then(|| (major - PTS) * 256 + minor),
        front: i32::try_from(field(4)).unwrap_or_default(),
        used: (10..14).map(field).sum::<i64>() * TICK,
        is_ready: rest.trim_start().starts_with('R'),
    })
}

fn used() -> Option<i64> {
    let nanos = USED.iter().find_map(|path| fs::read_to_string(path).ok());
    if let Some(nanos) = nanos {
        return nanos.trim().parse::<i64>().ok().map(|nanos| nanos / 1000);
    }
    let text = fs::read_to_string(USED_UNIFIED).ok()?;
    text.lines().find_map(|line| line.strip_prefix("usage_usec ")?.trim().parse().ok())
}

fn terminals(processes: &HashMap<u32, Process>) -> io::Result<Vec<Terminal>> {
    let mut all = Vec::new();
    for entry in fs::read_dir("/dev/pts")? {
        let entry = entry?;
        let Some(number) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        let Ok(seen) = fs::metadata(Path::new("/dev/pts").join(entry.file_name())) else {
            continue;
        };
        let mut on_it = processes.values().filter(|it| it.terminal == Some(number));
        let front = on_it.find_map(|it| u32::try_from(it.front).ok());
        let program = front.and_then(|id| processes.get(&id)).map(|it| it.name.clone());
        let micros = |seconds: i64, nanos: i64| seconds * 1_000_000 + nanos / 1000;
        all.push(Terminal {
            number,
            typed: micros(seen.atime(), seen.atime_nsec()),
            wrote: micros(seen.mtime(), seen.mtime_nsec()),
            program: program.unwrap_or_default(),
        });
    }
    all.sort_by_key(|terminal| terminal.number);
    Ok(all)
}

/// How many processes want a processor now, besides this one, what started it and editors' servers.
fn ready(processes: &HashMap<u32, Process>) -> u32 {
    let own = [std::process::id(), std::os::unix::process::parent_id()];
    let all = processes
        .iter()
        .filter(|(id, it)| !own.contains(id) && it.is_ready && !is_editor(&it.line));
    u32::try_from(all.count()).unwrap_or(u32::MAX)
}

/// How many commands run without a terminal: in sessions, and for those who logged in. For them a
/// shell that waits, and whatever belongs to an editor, is none.
fn tasks(processes: &HashMap<u32, Process>) -> u32 {
    let logins = processes
        .iter()
        .filter(|(_, it)| it.line.starts_with("sshd") && it.line.contains("@notty"))
        .map(|(id, _)| *id);
    let works = |login: u32| {
        let below = below(processes, login);
        let mut inside = below.iter().filter_map(|id| processes.get(id));
        let is_editors =
            below.iter().filter_map(|id| processes.get(id)).any(|it| is_editor(&it.line));
        !is_editors && inside.any(|it| !is_shell(&it.name))
    };
    let is_shim = |id: u32| processes.get(&id).is_some_and(|it| it.line.contains(SHIM));
    let headless = processes.values().filter(|it| it.terminal.is_none() && is_shim(it.parent));
    let all = logins.filter(|login| works(*login)).count() + headless.count();
    u32::try_from(all).unwrap_or(u32::MAX)
}

/// Everything that a process started, and what that started.
fn below(processes: &HashMap<u32, Process>, top: u32) -> HashSet<u32> {
    let mut found = HashSet::new();
    loop {
        let is_new = |(id, it): &(&u32, &Process)| {
            !found.contains(*id) && (it.parent == top || found.contains(&it.parent))
        };
        let more: Vec<u32> = processes.iter().filter(is_new).map(|(id, _)| *id).collect();
        if more.is_empty() {
            return found;
        }
        found.extend(more);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_read_whatever_its_name() {
        let stat = "77 (a) b) S 12 77 77 34819 80 4194560 100 0 0 0 150 50 7 3 20 0 1 0 5";
        let it = process(stat, String::new()).unwrap();
        assert_eq!((it.name.as_str(), it.parent, it.terminal, it.front), ("a) b", 12, Some(3), 80));
        assert_eq!(it.used, 210 * TICK);
        assert_eq!(process("1 (x) S 0 1 1 0 -1 0", String::new()).unwrap().terminal, None);
    }

    #[test]
    fn this_machine_shows_something() {
        let seen = look().unwrap();
        assert!(seen.now > 1_700_000_000_000_000 && seen.used > 0, "{seen:?}");
    }

    #[test]
    fn commands_without_a_terminal_are_tasks_and_editors_are_not() {
        let of = |name: &str, line: &str, parent| Process {
            name: name.to_owned(),
            line: line.to_owned(),
            parent,
            terminal: None,
            front: -1,
            used: 0,
            is_ready: false,
        };
        let mut all = HashMap::from([
            (10, of("sshd", "sshd: dev@notty", 1)),
            (11, of("bash", "bash", 10)),
            (20, of("sshd", "sshd: dev@notty", 1)),
            (21, of("bash", "bash", 20)),
            (22, of("node", "/home/dev/.vscode-server/node main.js", 21)),
            (30, of("sshd", "sshd: dev@pts/1", 1)),
            (31, of("make", "make", 30)),
        ]);
        assert_eq!(tasks(&all), 0);
        all.insert(12, of("make", "make test", 11));
        assert_eq!(tasks(&all), 1);
        all.insert(40, of("dwell", "/run/dwell/dwell session-shim /run/dwell-sessions/a", 1));
        let shown = Process { terminal: Some(4), ..of("claude", "claude", 40) };
        all.insert(41, shown);
        assert_eq!(tasks(&all), 1, "one with a terminal shows there what it does");
        all.insert(42, of("claude", "claude -p fix", 40));
        assert_eq!(tasks(&all), 2);
    }
}

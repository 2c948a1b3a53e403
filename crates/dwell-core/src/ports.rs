//! How the daemon comes to listen on ports below 1024, at which services on other nodes and the
//! system's resolver look for it; and how that is undone: a pure plan from what was found.

use crate::resolver::{Change, MARK};

/// Ports from here on take no privilege.
pub const PRIVILEGED: u16 = 1024;
/// What `setup` leaves where files cannot be given the right.
pub const SYSCTL_FILE: &str = "/etc/sysctl.d/60-dwell.conf";
/// The kernel's setting.
const SETTING: &str = "net.ipv4.ip_unprivileged_port_start";
/// The number of the capability `cap_net_bind_service`.
const BIND: u32 = 10;

/// What was found on the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// The dwell binary, without symbolic links.
    pub binary: String,
    /// Whether the daemon will run as root, who needs nothing.
    pub root: bool,
    /// The first port that takes no privilege.
    pub first: u16,
    /// Whether the binary has the right.
    pub given: bool,
    /// Whether files can be given it: `setcap` is installed, and the file system honours it.
    pub can_give: bool,
    /// The content of [`SYSCTL_FILE`], where it exists.
    pub left: Option<String>,
}

/// What is to be changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// The changes, in order; none where the right is there.
    pub changes: Vec<Change>,
    /// What a person should know, one sentence per line.
    pub explain: Vec<String>,
}

/// Plans how the daemon gets the right.
pub fn plan(facts: &Facts) -> Plan {
    let Facts { binary, first, .. } = facts;
    if facts.root || facts.given || *first <= 1 {
        return Plan::default();
    }
    let purpose =
        format!("dwell may listen on ports below {PRIVILEGED}, for services on other nodes");
    if facts.can_give {
        return Plan {
            changes: vec![run(&["setcap", "cap_net_bind_service=+ep", binary], true)],
            explain: vec![
                purpose,
                format!("so may everybody who may run {binary}, by means of it"),
                "an upgrade replaces that file: repeat `dwell setup` then".to_owned(),
            ],
        };
    }
    let content = format!("{MARK}\n# it was {first}\n{SETTING} = 0\n");
    let write = Change::WriteFile { path: SYSCTL_FILE.to_owned(), content, mode: 0o644 };
    Plan {
        changes: vec![write, run(&["sysctl", "-q", "-p", SYSCTL_FILE], true)],
        explain: vec![
            purpose,
            format!(
                "so may all programs of all users of this machine, because {binary} alone cannot \
                 be given the right: install setcap (package libcap2-bin) for that"
            ),
        ],
    }
}

/// What takes back all that earlier setups left.
pub fn undo(facts: &Facts) -> Vec<Change> {
    let mut changes = Vec::new();
    if facts.given {
        changes.push(run(&["setcap", "-r", &facts.binary], false));
    }
    if let Some(text) = facts.left.as_deref().filter(|text| text.starts_with(MARK)) {
        let before = text.lines().find_map(|line| line.strip_prefix("# it was ")?.parse().ok());
        let setting = format!("{SETTING}={}", before.unwrap_or(PRIVILEGED));
        changes.push(Change::RemoveFile { path: SYSCTL_FILE.to_owned() });
        changes.push(run(&["sysctl", "-q", "-w", &setting], false));
    }
    changes
}

fn run(words: &[&str], required: bool) -> Change {
    Change::Run { argv: words.iter().map(|word| (*word).to_owned()).collect(), required }
}

/// Whether a file's attribute `security.capability` gives its program the right at once: a word
/// with the version and the flag for that, then the permitted ones, all in little-endian order.
pub fn file_may_bind(attribute: &[u8]) -> bool {
    let word = |place: usize| {
        let bytes = attribute.get(place..place + 4)?.try_into().ok()?;
        Some(u32::from_le_bytes(bytes))
    };
    let effective = word(0).is_some_and(|magic| magic & 1 == 1);
    effective && word(4).is_some_and(|permitted| permitted >> BIND & 1 == 1)
}

/// Whether a process has the right, by its `/proc/<pid>/status`.
pub fn process_may_bind(status: &str) -> bool {
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let effective = line.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok());
    effective.is_some_and(|effective| effective >> BIND & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts() -> Facts {
        Facts {
            binary: "/usr/local/bin/dwell".to_owned(),
            root: false,
            first: 1024,
            given: false,
            can_give: true,
            left: None,
        }
    }

    fn shown(changes: &[Change]) -> String {
        changes.iter().map(|change| format!("{change}\n")).collect()
    }

    #[test]
    fn the_binary_is_given_the_right_and_loses_it_again() {
        let plan = plan(&facts());
        insta::assert_snapshot!(shown(&plan.changes), @"run setcap cap_net_bind_service=+ep /usr/local/bin/dwell");
        assert!(plan.explain.iter().any(|line| line.contains("upgrade")), "{plan:?}");
        assert_eq!(undo(&facts()), []);
        let given = Facts { given: true, ..facts() };
        assert_eq!(super::plan(&given), Plan::default());
        insta::assert_snapshot!(shown(&undo(&given)), @"run setcap -r /usr/local/bin/dwell");
    }

    #[test]
    fn without_setcap_the_machine_is_changed_and_changed_back() {
        let facts = Facts { can_give: false, first: 900, ..facts() };
        let plan = plan(&facts);
        insta::assert_snapshot!(shown(&plan.changes), @r"
        write /etc/sysctl.d/60-dwell.conf (mode 0644):
            # made by `dwell setup`; `dwell setup --undo` removes it
            # it was 900
            net.ipv4.ip_unprivileged_port_start = 0
        run sysctl -q -p /etc/sysctl.d/60-dwell.conf
        ");
        assert!(plan.explain.iter().any(|line| line.contains("all users")), "{plan:?}");
        let Some(Change::WriteFile { content, .. }) = plan.changes.first() else { panic!() };
        let done = Facts { first: 0, left: Some(content.clone()), ..facts };
        assert_eq!(super::plan(&done), Plan::default());
        insta::assert_snapshot!(shown(&undo(&done)), @r"
        remove /etc/sysctl.d/60-dwell.conf
        run sysctl -q -w net.ipv4.ip_unprivileged_port_start=900
        ");
        let foreign =
            Facts { left: Some("net.ipv4.ip_unprivileged_port_start = 0".into()), ..done };
        assert_eq!(undo(&foreign), []);
    }

    #[test]
    fn who_needs_nothing_gets_nothing() {
        for none in [Facts { root: true, ..facts() }, Facts { first: 0, ..facts() }] {
            assert_eq!(plan(&none), Plan::default());
        }
    }

    #[test]
    fn rights_are_read_as_the_kernel_keeps_them() {
        let attribute = |magic: u32, permitted: u32| {
            [magic.to_le_bytes(), permitted.to_le_bytes(), [0; 4], [0; 4], [0; 4]].concat()
        };
        assert!(file_may_bind(&attribute(0x0200_0001, 1 << 10)));
        assert!(file_may_bind(&attribute(0x0300_0001, u32::MAX)));
        assert!(!file_may_bind(&attribute(0x0200_0000, 1 << 10)), "not at once");
        assert!(!file_may_bind(&attribute(0x0200_0001, 1 << 11)));
        assert!(!file_may_bind(&[1, 0, 0, 2, 0, 4]) && !file_may_bind(&[]));
        let status = |hex: &str| format!("Name:\tdwell\nCapPrm:\t0\nCapEff:\t{hex}\nCapBnd:\t0\n");
        assert!(process_may_bind(&status("0000000000000400")));
        assert!(process_may_bind(&status("000001ffffffffff")));
        for none in ["0000000000000000", "fffffffffffffbff", "x", ""] {
            assert!(!process_may_bind(&status(none)), "{none}");
        }
        assert!(!process_may_bind(""));
    }
}

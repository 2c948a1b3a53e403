//! Packages of Debian-family systems: what is installed, as dpkg's own file tells, and what differs
//! between two systems.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Where dpkg keeps what is installed.
pub const STATUS_FILE: &str = "/var/lib/dpkg/status";

/// Installed packages and their versions.
pub type Packages = BTreeMap<String, String>;

/// What differs between the packages of two systems.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema), schema(as = PackageDifference))]
pub struct Difference {
    /// Only in the old one, with their versions.
    pub lost: Vec<(String, String)>,
    /// Only in the new one, with their versions.
    pub gained: Vec<(String, String)>,
    /// In both: the package, its old and its new version.
    pub changed: Vec<(String, String, String)>,
}

/// Reads dpkg's status file: paragraphs with `Package`, `Status` and `Version`.
pub fn installed(status: &str) -> Packages {
    let mut all = Packages::new();
    for paragraph in status.split("\n\n") {
        let field = |name: &str| {
            let mut lines = paragraph.lines();
            lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
        };
        let is_installed = field("Status").is_some_and(|status| status.ends_with(" installed"));
        if let (true, Some(name), Some(version)) =
            (is_installed, field("Package"), field("Version"))
        {
            all.insert(name.to_owned(), version.to_owned());
        }
    }
    all
}

/// What differs.
pub fn difference(old: &Packages, new: &Packages) -> Difference {
    let only = |one: &Packages, other: &Packages| {
        let missing = one.iter().filter(|(name, _)| !other.contains_key(*name));
        missing.map(|(name, version)| (name.clone(), version.clone())).collect()
    };
    let changed = old.iter().filter_map(|(name, before)| {
        let after = new.get(name).filter(|after| *after != before)?;
        Some((name.clone(), before.clone(), after.clone()))
    });
    Difference { lost: only(old, new), gained: only(new, old), changed: changed.collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATUS: &str = "Package: bash\nStatus: install ok installed\nVersion: 5.2-1\nDescription: \
                          shell\n more: text\n\nPackage: gone\nStatus: deinstall ok config-files\n\
                          Version: 1\n\nPackage: jq\nStatus: install ok installed\nVersion: 1.6\n";

    #[test]
    fn what_is_installed_is_read() {
        let all = installed(STATUS);
        assert_eq!(
            all.into_iter().collect::<Vec<_>>(),
            [("bash".to_owned(), "5.2-1".to_owned()), ("jq".to_owned(), "1.6".to_owned())]
        );
        assert!(installed("").is_empty() && installed("nonsense\n\n: \n").is_empty());
    }

    #[test]
    fn what_differs_is_told() {
        let of = |list: &[(&str, &str)]| -> Packages {
            list.iter().map(|(name, version)| ((*name).into(), (*version).into())).collect()
        };
        let old = of(&[("bash", "5.1"), ("jq", "1.6"), ("tree", "2")]);
        let new = of(&[("bash", "5.2"), ("jq", "1.6"), ("git", "2.39")]);
        let found = difference(&old, &new);
        assert_eq!(found.lost, [("tree".to_owned(), "2".to_owned())]);
        assert_eq!(found.gained, [("git".to_owned(), "2.39".to_owned())]);
        assert_eq!(found.changed, [("bash".to_owned(), "5.1".to_owned(), "5.2".to_owned())]);
        assert_eq!(difference(&new, &new), Difference::default());
    }
}

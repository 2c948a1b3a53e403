//! What has to be done so that a node has this dwell.

use super::{Binary, DeployError, Facts, VERSION};

/// What has to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Plan {
    /// The very same binary is there.
    UpToDate,
    /// None is there.
    Install,
    /// Another one is there, which is to be replaced.
    Upgrade {
        /// Its version; `None` where it does not run.
        from: Option<String>,
    },
}

/// Decides about a node with these facts and the binary that fits it.
///
/// # Errors
/// When the node has a newer dwell, which older ones do not replace, or no room for this one.
pub fn plan(facts: &Facts, binary: &Binary) -> Result<Plan, DeployError> {
    let plan = match &facts.installed {
        Some(installed) if installed.hash == binary.hash => return Ok(Plan::UpToDate),
        Some(installed) => match &installed.version {
            Some(found) if is_newer(found, VERSION) => {
                return Err(DeployError::Newer { found: found.clone() });
            }
            from => Plan::Upgrade { from: from.clone() },
        },
        None => Plan::Install,
    };
    match facts.free < binary.size {
        true => Err(DeployError::DiskFull { needed: binary.size }),
        false => Ok(plan),
    }
}

/// Whether a version is newer than another, as far as both are numbers with dots. Equal numbers
/// with different words after them (`0.2.0-rc.1`) are taken for equal.
fn is_newer(this: &str, than: &str) -> bool {
    let numbers = |text: &str| -> Vec<u64> {
        let plain = text.split(['-', '+', ' ']).next().unwrap_or_default();
        plain.split('.').map_while(|part| part.parse().ok()).collect()
    };
    numbers(this) > numbers(than)
}

#[cfg(test)]
mod tests {
    use super::super::Installed;
    use super::super::facts::tests::bare;
    use super::*;

    fn decide(hash: Option<&str>, version: Option<&str>, free: u64) -> Result<Plan, DeployError> {
        let version = version.map(str::to_owned);
        let installed = hash.map(|hash| Installed { hash: hash.into(), version });
        let facts = Facts { installed, free, ..bare() };
        plan(&facts, &Binary { path: "/dwell".into(), hash: "aa".into(), size: 100 })
    }

    #[test]
    fn the_same_binary_is_left_where_it_is() {
        assert_eq!(decide(Some("aa"), Some(VERSION), 0).unwrap(), Plan::UpToDate);
    }

    #[test]
    fn older_equal_and_broken_ones_are_replaced() {
        assert_eq!(decide(None, None, 100).unwrap(), Plan::Install);
        for version in [Some("0.0.9"), Some(VERSION), None] {
            let from = version.map(str::to_owned);
            assert_eq!(decide(Some("bb"), version, 100).unwrap(), Plan::Upgrade { from });
        }
    }

    #[test]
    fn newer_ones_and_full_disks_are_refused() {
        let newer = decide(Some("bb"), Some("999.0.0"), 100).unwrap_err();
        assert!(matches!(newer, DeployError::Newer { .. }));
        let full = decide(None, None, 99).unwrap_err();
        assert!(matches!(full, DeployError::DiskFull { needed: 100 }));
    }

    #[test]
    fn versions_are_compared_as_numbers() {
        assert!(is_newer("0.10.0", "0.9.9"));
        assert!(is_newer("1.0", "0.9"));
        assert!(!is_newer("0.2.0-rc.1", "0.2.0"));
        assert!(!is_newer("unknown", "0.1.0"));
    }
}

//! Named volumes: what they are called, in a project and in Docker, and whether their data is
//! where they are.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::EnvironmentId;
use crate::name::NameError;

/// Docker takes no longer names.
const LONGEST: usize = 200;

/// A volume, exactly as the compose file spells its key.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct VolumeName(String);

impl VolumeName {
    /// The name as compose has it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name in Docker of an environment's own volume.
    pub fn in_docker(&self, environment: &EnvironmentId) -> String {
        format!("{}{}", prefix(environment), self.0)
    }

    /// The volume of an environment that has this name in Docker; `None` for any other one's.
    pub fn from_docker(environment: &EnvironmentId, name: &str) -> Option<Self> {
        name.strip_prefix(&prefix(environment))?.parse().ok()
    }
}

fn prefix(environment: &EnvironmentId) -> String {
    format!("dwell-{environment}-")
}

impl FromStr for VolumeName {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, NameError> {
        let (what, given) = ("volume", text.to_owned());
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if let Some(bad) = text.chars().find(|c| !allowed(*c)) {
            let character = bad.escape_default().to_string();
            return Err(NameError::Character { what, given, character });
        }
        if text.trim_matches(['-', '_', '.']).is_empty() {
            return Err(NameError::Empty { what, given });
        }
        if text.len() > LONGEST {
            return Err(NameError::TooLong { what, given });
        }
        Ok(Self(given))
    }
}

crate::text::as_text!(VolumeName);

impl fmt::Display for VolumeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for VolumeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether a volume's data is in the engine's own directory: with another driver, or a device or
/// share behind it, the data is somewhere else and does not move with the volume.
pub fn is_own<'a>(driver: &str, options: impl IntoIterator<Item = &'a str>) -> bool {
    driver == "local" && !options.into_iter().any(|option| option == "device")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_volume_is_found_again_by_its_name_in_docker() {
        let id = EnvironmentId::from_random([7; 8]);
        let other = EnvironmentId::from_random([8; 8]);
        let data: VolumeName = "pg-data_1".parse().unwrap();
        let name = data.in_docker(&id);
        assert_eq!(VolumeName::from_docker(&id, &name), Some(data));
        assert_eq!(VolumeName::from_docker(&other, &name), None);
        assert_eq!(VolumeName::from_docker(&id, &format!("dwell-{id}-")), None);
    }

    #[test]
    fn hostile_names_are_refused() {
        let long = "a".repeat(201);
        for given in ["", "..", "-", "a/b", "a b", "ä", "a\n", &long] {
            assert!(given.parse::<VolumeName>().is_err(), "{given:?}");
        }
    }

    #[test]
    fn data_behind_a_device_stays_where_it_is() {
        assert!(is_own("local", []));
        assert!(is_own("local", ["type", "o"]));
        assert!(!is_own("local", ["type", "o", "device"]));
        assert!(!is_own("rexray", []));
    }
}

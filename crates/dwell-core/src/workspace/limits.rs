//! What a workspace may use, and how people say it: a class, or `cpu=2,mem=4g,disk=20g`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The classes: name, thousandths of a processor, MiB of memory.
const CLASSES: [(&str, u32, u64); 3] =
    [("small", 1000, 2048), ("medium", 2000, 4096), ("large", 4000, 8192)];

const MILLICPUS_MIN: u32 = 100;
const MILLICPUS_MAX: u32 = 1_024_000;
const MEMORY_MIN: u64 = 64;
const MEMORY_MAX: u64 = 16 << 20;
const DISK_MIN: u64 = 1 << 10;
const DISK_MAX: u64 = 64 << 20;

/// What a workspace may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema), schema(as = WorkspaceLimits))]
pub struct Limits {
    /// Processors, in thousandths.
    pub millicpus: u32,
    /// Memory in MiB.
    pub memory_mb: u64,
    /// Disk in MiB, where one was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk_mb: Option<u64>,
}

impl Default for Limits {
    /// The class `medium`.
    fn default() -> Self {
        Self { millicpus: 2000, memory_mb: 4096, disk_mb: None }
    }
}

impl Limits {
    /// Processors as a decimal number: `2`, `0.5`.
    pub fn cpus(&self) -> String {
        let (whole, rest) = (self.millicpus / 1000, self.millicpus % 1000);
        let text = format!("{whole}.{rest:03}");
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    }

    /// The same on a machine with so many processors, which is all that it can have.
    #[must_use]
    pub fn on_machine(self, processors: u32) -> Self {
        let most = processors.max(1).saturating_mul(1000);
        Self { millicpus: self.millicpus.min(most), ..self }
    }
}

impl fmt::Display for Limits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cpu={},mem={}", self.cpus(), size(self.memory_mb))?;
        self.disk_mb.map_or(Ok(()), |disk| write!(f, ",disk={}", size(disk)))
    }
}

fn size(mebibytes: u64) -> String {
    if mebibytes.is_multiple_of(1024) {
        format!("{}g", mebibytes / 1024)
    } else {
        format!("{mebibytes}m")
    }
}

/// Which limits to change; what is absent stays as it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Sizing {
    millicpus: Option<u32>,
    memory_mb: Option<u64>,
    disk_mb: Option<u64>,
}

/// Text that is no class and no list of limits.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SizingError {
    /// Neither a class nor a limit.
    #[error(
        "`{given}` is not a class (small, medium, large) and not a list such as `cpu=2,mem=4g,disk=20g`"
    )]
    Unknown {
        /// What was given.
        given: String,
    },
    /// A limit that stands twice.
    #[error("`{key}` stands twice")]
    Twice {
        /// Which.
        key: String,
    },
    /// A number of processors that cannot be.
    #[error(
        "`cpu={given}` cannot be: 0.1 to 1024 processors can, with three decimal places at most"
    )]
    Cpu {
        /// What was given.
        given: String,
    },
    /// A size that cannot be.
    #[error("`{key}={given}` cannot be: a whole number with m, g or t can, from {least} to {most}")]
    Size {
        /// Of what.
        key: &'static str,
        /// What was given.
        given: String,
        /// The least that can be.
        least: &'static str,
        /// The most that can be.
        most: &'static str,
    },
}

impl Sizing {
    /// These limits with what is to be changed.
    pub fn over(&self, limits: Limits) -> Limits {
        Limits {
            millicpus: self.millicpus.unwrap_or(limits.millicpus),
            memory_mb: self.memory_mb.unwrap_or(limits.memory_mb),
            disk_mb: self.disk_mb.or(limits.disk_mb),
        }
    }

    fn set(&mut self, key: &str, value: &str, given: &str) -> Result<(), SizingError> {
        let taken = match key {
            "cpu" => self.millicpus.replace(millicpus(value)?).is_some(),
            "mem" => {
                let range = (MEMORY_MIN, MEMORY_MAX, "64m", "16t");
                self.memory_mb.replace(mebibytes("mem", value, range)?).is_some()
            }
            "disk" => {
                let range = (DISK_MIN, DISK_MAX, "1g", "64t");
                self.disk_mb.replace(mebibytes("disk", value, range)?).is_some()
            }
            _ => return Err(SizingError::Unknown { given: given.to_owned() }),
        };
        if taken { Err(SizingError::Twice { key: key.to_owned() }) } else { Ok(()) }
    }
}

fn millicpus(given: &str) -> Result<u32, SizingError> {
    let refused = || SizingError::Cpu { given: given.to_owned() };
    let (whole, rest) = given.split_once('.').unwrap_or((given, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if !digits(whole) || !digits(rest) || rest.len() > 3 {
        return Err(refused());
    }
    let number: u32 = format!("{whole}{rest:0<3}").parse().map_err(|_| refused())?;
    if (MILLICPUS_MIN..=MILLICPUS_MAX).contains(&number) { Ok(number) } else { Err(refused()) }
}

fn mebibytes(
    key: &'static str,
    given: &str,
    (min, max, least, most): (u64, u64, &'static str, &'static str),
) -> Result<u64, SizingError> {
    let refused = || SizingError::Size { key, given: given.to_owned(), least, most };
    let digits = given.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let factor: u64 = match given.get(digits.len()..).unwrap_or_default() {
        "m" | "M" => 1,
        "g" | "G" => 1 << 10,
        "t" | "T" => 1 << 20,
        _ => return Err(refused()),
    };
    if !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(refused());
    }
    let number: u64 = digits.parse().map_err(|_| refused())?;
    let size = number.checked_mul(factor).filter(|size| (min..=max).contains(size));
    size.ok_or_else(refused)
}

impl FromStr for Sizing {
    type Err = SizingError;
    fn from_str(text: &str) -> Result<Self, SizingError> {
        if let Some((_, cpus, memory)) = CLASSES.iter().find(|(name, ..)| *name == text) {
            return Ok(Self { millicpus: Some(*cpus), memory_mb: Some(*memory), disk_mb: None });
        }
        let mut sizing = Self::default();
        for part in text.split(',') {
            let unknown = || SizingError::Unknown { given: part.to_owned() };
            let (key, value) = part.split_once('=').ok_or_else(unknown)?;
            sizing.set(key, value, part)?;
        }
        Ok(sizing)
    }
}

impl fmt::Display for Sizing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let limits = self.over(Limits::default());
        let parts = [
            self.millicpus.map(|_| format!("cpu={}", limits.cpus())),
            self.memory_mb.map(|memory| format!("mem={}", size(memory))),
            self.disk_mb.map(|disk| format!("disk={}", size(disk))),
        ];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        f.write_str(&parts.join(","))
    }
}

crate::text::as_text!(Sizing);

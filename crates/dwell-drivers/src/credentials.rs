//! Sign-ins of coding agents that several workspaces share, as a workspace keeps them.

#[cfg(target_os = "linux")]
mod keep;

#[cfg(target_os = "linux")]
pub use keep::keep;

/// Keeps sign-ins, which workspaces do.
///
/// # Errors
/// Always: this system has no workspaces.
#[cfg(not(target_os = "linux"))]
pub fn keep(_home: &std::path::Path, _place: &std::path::Path) -> std::io::Result<()> {
    Err(std::io::ErrorKind::Unsupported.into())
}

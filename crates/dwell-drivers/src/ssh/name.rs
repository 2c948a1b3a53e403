//! What ssh makes of a host's name.

use std::time::Duration;

use super::Destination;
use crate::process::Program;

/// ssh reads its configuration, which may run commands of the user's.
const LIMIT: Duration = Duration::from_secs(5);

/// The name or address that ssh would connect to for a destination, as its configuration says;
/// `None` where ssh does not tell. Nothing is connected to.
pub async fn host_name(destination: &Destination) -> Option<String> {
    let asked = Program::new(&destination.program).arg("-G").args(destination.address());
    let told = asked.limit(LIMIT).run().await.ok()?.text();
    let name = told.lines().find_map(|line| line.strip_prefix("hostname "))?;
    Some(name.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_alias_is_what_the_configuration_says() {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("ssh");
        let script = "#!/bin/sh\n[ \"$*\" = '-G -p 22 -- box' ] && printf 'user me\\nhostname 192.0.2.7\\n'\n";
        std::fs::write(&program, script).unwrap();
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        let box_at_22 = Destination { port: Some(22), program, ..Destination::new("box") };
        assert_eq!(host_name(&box_at_22).await.unwrap(), "192.0.2.7");
        let other = Destination { host: "other".to_owned(), ..box_at_22 };
        assert_eq!(host_name(&other).await, None);
    }
}

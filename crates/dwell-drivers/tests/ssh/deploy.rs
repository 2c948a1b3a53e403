//! Bringing dwell to a machine whose user's home is a directory of the test's.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use dwell_drivers::deploy::{
    Binary, DeployError, Facts, Plan, VERSION, facts, install, plan, script, stop,
};
use dwell_drivers::ssh::run;

use crate::support::Server;

/// A stand-in for the binary: it says its version, and notes when its daemon is told to stop.
fn binary(server: &Server, version: &str, facts: &Facts) -> Binary {
    let own = server.path("dwell");
    let text = format!(
        "#!/bin/sh\n[ \"$*\" = --version ] && echo 'dwell {version}' || echo \"$*\" >> \"$HOME/did\"\n"
    );
    fs::write(&own, text).unwrap();
    Binary::for_node(facts, &own).unwrap()
}

fn place(server: &Server) -> PathBuf {
    server.home().join(".local/share/dwell/bin")
}

fn listed(server: &Server) -> Vec<String> {
    let entries = fs::read_dir(place(server)).unwrap().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

#[tokio::test]
async fn a_bare_home_gets_it_once_and_a_later_one_replaces_it() {
    let server = Server::start();
    let to = server.destination();
    let found = facts(&to).await.unwrap();
    assert_eq!(
        (found.system.as_str(), found.home.as_str()),
        ("Linux", server.home().to_str().unwrap())
    );
    assert_eq!(found.binary, place(&server).join("dwell").to_str().unwrap());
    let first = binary(&server, VERSION, &found);
    assert_eq!(plan(&found, &first).unwrap(), Plan::Install);
    install(&to, &first, |_| {}).await.unwrap();
    let mode = fs::metadata(place(&server).join("dwell")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o755);
    assert_eq!(listed(&server), ["dwell"]);
    let found = facts(&to).await.unwrap();
    assert_eq!(plan(&found, &first).unwrap(), Plan::UpToDate);
    fs::write(place(&server).join("dwell"), "#!/bin/sh\necho dwell 0.0.1\n").unwrap();
    let found = facts(&to).await.unwrap();
    assert_eq!(plan(&found, &first).unwrap(), Plan::Upgrade { from: Some("0.0.1".into()) });
    install(&to, &first, |_| {}).await.unwrap();
    stop(&to).await.unwrap();
    run(&to, &script("node 'some words'"), b"", std::time::Duration::from_secs(30)).await.unwrap();
    let did = fs::read_to_string(server.home().join("did")).unwrap();
    assert_eq!(did, "node stop\nnode some words\n");
}

#[tokio::test]
async fn what_is_not_whole_does_not_run_or_is_another_version_is_not_put_there() {
    let server = Server::start();
    let to = server.destination();
    let found = facts(&to).await.unwrap();
    let good = binary(&server, VERSION, &found);
    install(&to, &good, |_| {}).await.unwrap();
    let before = fs::read(place(&server).join("dwell")).unwrap();
    let damaged = Binary { hash: "00".into(), ..good.clone() };
    let error = install(&to, &damaged, |_| {}).await.unwrap_err();
    assert!(matches!(error, DeployError::Damaged), "{error:?}");
    let other = binary(&server, "0.0.1", &found);
    let error = install(&to, &other, |_| {}).await.unwrap_err();
    let DeployError::OtherVersion { found: said, .. } = error else { panic!("{error:?}") };
    assert_eq!(said, "dwell 0.0.1");
    fs::write(server.path("dwell"), b"\x7fELF nonsense").unwrap();
    let broken = Binary::for_node(&found, &server.path("dwell")).unwrap();
    let error = install(&to, &broken, |_| {}).await.unwrap_err();
    assert!(matches!(error, DeployError::DoesNotRun { .. }), "{error:?}");
    assert_eq!(listed(&server), ["dwell"]);
    assert_eq!(fs::read(place(&server).join("dwell")).unwrap(), before);
}

#[tokio::test]
async fn many_at_once_leave_one() {
    let server = Server::start();
    let to = server.destination();
    let found = facts(&to).await.unwrap();
    let good = binary(&server, VERSION, &found);
    let all = futures_util::future::join_all((0..4).map(|_| install(&to, &good, |_| {}))).await;
    assert!(all.iter().all(Result::is_ok), "{all:?}");
    assert_eq!(listed(&server), ["dwell"]);
}

#[tokio::test]
async fn the_data_directory_of_the_far_side_holds() {
    let server = Server::with("XDG_DATA_HOME={root}/data");
    let to = server.destination();
    let found = facts(&to).await.unwrap();
    install(&to, &binary(&server, VERSION, &found), |_| {}).await.unwrap();
    assert!(server.path("data/dwell/bin/dwell").exists());
    assert!(!place(&server).exists());
}

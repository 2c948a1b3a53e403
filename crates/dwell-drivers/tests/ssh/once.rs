//! Scripts and uploads over one connection each.

use std::io::Write;
use std::time::Duration;

use dwell_drivers::ssh::{Why, interactive_check, quoted, run, upload};

use crate::support::Server;

const LIMIT: Duration = Duration::from_secs(30);

#[tokio::test]
async fn a_script_gets_its_input_and_answers() {
    let server = Server::start();
    let odd = "it's\n$HOME \\ !";
    let script = format!("printf %s {}; echo \"$HOME\"; cat; echo said >&2", quoted(odd));
    let answer = run(&server.destination(), &script, b"input", LIMIT).await.unwrap();
    assert_eq!(answer.text(), format!("{odd}{}\ninput", server.home().display()));
    assert_eq!(answer.stderr, "said\n");
}

#[tokio::test]
async fn an_endless_answer_is_cut_off() {
    let server = Server::start();
    let error = run(&server.destination(), "yes", b"", LIMIT).await.unwrap_err();
    assert!(matches!(error.why, Why::Unexpected { .. }), "{error:?}");
}

#[tokio::test]
async fn settings_of_the_user_do_not_get_in_the_way() {
    let server = Server::start();
    let config = format!(
        "UserKnownHostsFile {}\nIdentityAgent none\nLogLevel QUIET\nRemoteCommand false\n\
         RequestTTY force\nLocalForward 127.0.0.1:{} 127.0.0.1:1\nExitOnForwardFailure yes\n\
         ControlMaster auto\nControlPersist 60\nControlPath {}\n",
        server.path("known").display(),
        server.port,
        server.path("control").display()
    );
    let mut destination = server.elsewhere_with(&config, "127.0.0.1", server.port);
    destination.key = Some(server.path("user"));
    let answer =
        run(&destination, "tty; echo ok", b"", LIMIT).await.unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(answer.text(), "not a tty\nok\n");
    assert!(!server.path("control").exists());
}

#[tokio::test]
async fn a_file_arrives_whole() {
    let server = Server::start();
    let mut file = tempfile::NamedTempFile::new().unwrap();
    let bytes: Vec<u8> = (0..3_000_000_u32).map(|n| (n.wrapping_mul(n) >> 7) as u8).collect();
    file.write_all(&bytes).unwrap();
    let mut seen = 0;
    let script = "cat > \"$HOME/there\"; echo done";
    let answer =
        upload(&server.destination(), file.path(), script, |bytes| seen = bytes).await.unwrap();
    assert_eq!(answer.text(), "done\n");
    assert_eq!(std::fs::read(server.home().join("there")).unwrap(), bytes);
    assert!(seen <= bytes.len() as u64);
}

#[tokio::test]
async fn a_login_without_a_terminal_fails_where_ssh_would_ask() {
    let server = Server::start();
    interactive_check(&server.destination()).await.unwrap();
    server.know("nobody");
    let error = interactive_check(&server.destination()).await.unwrap_err();
    assert!(matches!(error.why, Why::HostKeyUnknown), "{error:?}");
}

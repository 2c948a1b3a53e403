//! Every failure that a loopback can bring, from OpenSSH's own messages.

use std::net::{Ipv4Addr, TcpListener};
use std::time::Duration;

use dwell_drivers::ssh::{Destination, SshError, Why, run};

use crate::support::{Server, free_port};

const LIMIT: Duration = Duration::from_secs(30);

async fn fail(destination: &Destination, script: &str) -> SshError {
    run(destination, script, b"", LIMIT).await.unwrap_err()
}

#[tokio::test]
async fn an_unknown_host_key_is_never_accepted() {
    let server = Server::start();
    server.know("nobody");
    let lax = "StrictHostKeyChecking accept-new\nUserKnownHostsFile ";
    let config = format!("{lax}{}\n", server.path("known").display());
    for mut destination in
        [server.destination(), server.elsewhere_with(&config, "127.0.0.1", server.port)]
    {
        destination.key = Some(server.path("user"));
        let error = fail(&destination, "true").await;
        assert!(matches!(error.why, Why::HostKeyUnknown), "{error:?}");
        assert!(error.needs_somebody());
    }
    assert_eq!(std::fs::read_to_string(server.path("known")).unwrap(), "");
}

#[tokio::test]
async fn a_changed_host_key_is_told_with_its_fingerprint() {
    let server = Server::start();
    server.know("stranger");
    let error = fail(&server.destination(), "true").await;
    let Why::HostKeyChanged { fingerprint, forget } = &error.why else { panic!("{error:?}") };
    assert!(fingerprint.as_deref().unwrap().starts_with("SHA256:"), "{error}");
    let forget = forget.as_deref().unwrap();
    assert!(forget.starts_with("ssh-keygen -f ") && error.hint().contains(forget), "{error:?}");
}

#[tokio::test]
async fn a_key_that_is_not_let_in() {
    let server = Server::start();
    let mut destination = server.destination();
    destination.key = Some(server.path("stranger"));
    let error = fail(&destination, "true").await;
    let expected = format!("ssh to 127.0.0.1:{}: permission denied (publickey)", server.port);
    assert_eq!(error.to_string(), expected);
}

#[tokio::test]
async fn names_and_ports_that_lead_nowhere() {
    let server = Server::start();
    let error = fail(&server.elsewhere("no-such-host.invalid", 22), "true").await;
    assert!(matches!(error.why, Why::NameNotResolved { .. }), "{error:?}");
    let error = fail(&server.elsewhere("127.0.0.1", free_port()), "true").await;
    assert!(matches!(error.why, Why::Refused), "{error:?}");
    let silent = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let destination = server.elsewhere("127.0.0.1", silent.local_addr().unwrap().port());
    let error = run(&destination, "true", b"", Duration::from_millis(300)).await.unwrap_err();
    assert!(matches!(error.why, Why::TimedOut { .. }), "{error:?}");
    let error = fail(&destination, "true").await;
    assert!(matches!(error.why, Why::Unreachable { .. }), "{error:?}");
    assert!(!error.needs_somebody());
}

#[tokio::test]
async fn a_port_where_something_else_answers() {
    let server = Server::start();
    let other = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let destination = server.elsewhere("127.0.0.1", other.local_addr().unwrap().port());
    let hang_up = std::thread::spawn(move || drop(other.accept()));
    let error = fail(&destination, "true").await;
    assert!(matches!(error.why, Why::Ended { .. }), "{error:?}");
    hang_up.join().unwrap();
}

#[tokio::test]
async fn settings_that_ssh_refuses() {
    let server = Server::start();
    for config in ["Bogus yes\n", "KexAlgorithms diffie-hellman-group1-sha1\n"] {
        let error = fail(&server.elsewhere_with(config, "127.0.0.1", server.port), "true").await;
        assert!(matches!(error.why, Why::Setup { .. }), "{error:?}");
    }
}

#[tokio::test]
async fn an_ssh_that_is_not_installed() {
    let mut destination = Destination::new("127.0.0.1");
    destination.program = "/no/such/ssh".into();
    let error = fail(&destination, "true").await;
    assert!(matches!(error.why, Why::Missing), "{error:?}");
}

#[tokio::test]
async fn commands_that_fail_over_there() {
    let server = Server::start();
    let destination = server.destination();
    let error = fail(&destination, "no-such-program").await;
    assert!(matches!(error.why, Why::CommandNotFound { .. }), "{error:?}");
    let error = fail(&destination, "echo no >&2; exit 3").await;
    assert_eq!(
        error.to_string(),
        format!("ssh to {destination}: the command there failed with exit code 3: no")
    );
    let error = fail(&destination, "kill -9 $$").await;
    assert!(matches!(error.why, Why::Ended { .. }), "{error:?}");
    // The parent of the login shell is the connection's sshd.
    let error = fail(&destination, "kill -9 $PPID").await;
    let Why::Ended { reason } = &error.why else { panic!("{error:?}") };
    assert!(reason.contains("closed by remote host"), "{reason}");
}

#[tokio::test]
async fn a_jump_host_is_used_and_its_troubles_are_told() {
    let server = Server::start();
    let config = |key: &str| {
        format!(
            "UserKnownHostsFile {0}\nGlobalKnownHostsFile /dev/null\nIdentityAgent none\n\
             IdentityFile {1}\nHost far\nHostName 127.0.0.1\nPort {2}\n\
             ProxyJump jump\nHost jump\nHostName 127.0.0.1\nPort {2}\nIdentityFile {1}\n",
            server.path("known").display(),
            server.path(key).display(),
            server.port
        )
    };
    let destination = server.elsewhere_with(&config("user"), "far", server.port);
    let answer = run(&destination, "echo there", b"", LIMIT).await.unwrap();
    assert_eq!(answer.text(), "there\n");
    let destination = server.elsewhere_with(&config("stranger"), "far", server.port);
    let error = fail(&destination, "true").await;
    assert!(matches!(error.why, Why::PermissionDenied { .. }), "{error:?}");
    server.know("nobody");
    let error = fail(&server.elsewhere_with(&config("user"), "far", server.port), "true").await;
    assert!(matches!(error.why, Why::HostKeyUnknown), "{error:?}");
}

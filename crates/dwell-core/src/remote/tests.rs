//! Addresses of remote nodes, well meant and hostile.

use super::*;
use proptest::prelude::*;

fn host(text: &str) -> Result<String, String> {
    text.parse::<RemoteHost>().map(String::from).map_err(|error| error.to_string())
}

#[test]
fn hosts_are_names_addresses_and_aliases() {
    for good in ["staging", "a.example.com", "my_box.2", "10.0.0.7", "fd00::1", "UPPER", "x-"] {
        assert_eq!(host(good).unwrap(), good);
    }
    assert_eq!(host("[FD00:0::1]").unwrap(), "fd00::1");
    assert_eq!("fd00::1".parse::<RemoteHost>().unwrap().ip(), Some("fd00::1".parse().unwrap()));
    assert_eq!("a1".parse::<RemoteHost>().unwrap().ip(), None);
}

#[test]
fn hosts_that_are_options_commands_or_more_than_a_host_are_refused() {
    let long = "a".repeat(254);
    for bad in [
        "",
        "-oProxyCommand=x",
        "-",
        "a b",
        "a\nb",
        "a\0",
        "a;b",
        "$(x)",
        "`x`",
        "a|b",
        "a/b",
        "a'b",
        "a\"b",
        "*",
        "a?",
        "!a",
        "a,b",
        "a%h",
        "ü",
        "..",
        ".a",
        "a..b",
        "[::1",
        "::1]",
        "a:22",
        "fe80::1%eth0",
        &long,
    ] {
        assert!(host(bad).is_err(), "{bad:?}");
    }
    assert_eq!(
        host("root@a").unwrap_err(),
        "host `root@a` names a user too; give that with `--user`"
    );
    assert!(!host("a\nb").unwrap_err().contains('\n'));
}

#[test]
fn users_keys_and_ports_are_strict() {
    for good in ["root", "a.b", "_x", "deploy-1"] {
        assert!(good.parse::<RemoteUser>().is_ok(), "{good}");
    }
    for bad in ["", "-l", "a b", "a@b", "a:b", "$USER", "a\n"] {
        assert!(bad.parse::<RemoteUser>().is_err(), "{bad:?}");
    }
    for good in ["1", "22", "65535"] {
        assert_eq!(good.parse::<SshPort>().unwrap().to_string(), good);
    }
    for bad in ["", "0", "+22", "-1", "022", "65536", "22 ", " 22", "0x16", "２２", "1e3"] {
        assert!(bad.parse::<SshPort>().is_err(), "{bad:?}");
    }
    assert!("/home/a b/.ssh/id".parse::<KeyPath>().is_ok());
    for bad in ["", "id", "~/.ssh/id", "/a\nb", "/%h", "/$HOME/x", "/a\"b"] {
        assert!(bad.parse::<KeyPath>().is_err(), "{bad:?}");
    }
    for bad in ["", "0.0.0.0", "::", "224.0.0.1", "255.255.255.255", "100.64.0", "a"] {
        assert!(bad.parse::<MeshAddress>().is_err(), "{bad:?}");
    }
}

#[test]
fn urls_are_read_as_a_convenience() {
    let parts = |text: &str| {
        let read: SshAddress = text.parse().unwrap();
        let user = read.user.map(|user| user.to_string()).unwrap_or_default();
        (user, read.host.to_string(), read.port.map_or(0, SshPort::get))
    };
    let want = |user: &str, host: &str, port| (user.to_owned(), host.to_owned(), port);
    assert_eq!(parts("ssh://me@a.b:2222/"), want("me", "a.b", 2222));
    assert_eq!(parts("me@a"), want("me", "a", 0));
    assert_eq!(parts("a"), want("", "a", 0));
    assert_eq!(parts("ssh://[fd00::1]:22"), want("", "fd00::1", 22));
    assert_eq!(parts("fd00::1"), want("", "fd00::1", 0));
    for bad in ["ssh://", "ssh://a/x", "a:", "a:0", "@a", "me@", "a@b@c", "ssh://-x", "http://a"] {
        assert!(bad.parse::<SshAddress>().is_err(), "{bad}");
    }
}

#[test]
fn a_record_survives_being_written_and_is_checked_when_read() {
    let mut remote =
        Remote::new("staging".parse().unwrap(), "ssh://me@a.b:2222".parse().unwrap()).unwrap();
    remote.key = Some("/k".parse().unwrap());
    remote.mesh_ip = Some("100.64.0.5".parse().unwrap());
    remote.transport = "mesh".parse().unwrap();
    let text = serde_json::to_string(&remote).unwrap();
    assert_eq!(
        text,
        r#"{"name":"staging","host":"a.b","user":"me","port":2222,"key":"/k","mesh_ip":"100.64.0.5","transport":"mesh"}"#
    );
    assert_eq!(serde_json::from_str::<Remote>(&text).unwrap(), remote);
    assert_eq!(remote.place(), "me@a.b:2222");
    for (from, to) in [("a.b", "-x"), ("\"me\"", "\"-l\""), ("2222", "0"), ("100.64.0.5", "::")] {
        assert!(serde_json::from_str::<Remote>(&text.replace(from, to)).is_err(), "{to}");
    }
    let short: Remote = serde_json::from_str(r#"{"name":"x","host":"y"}"#).unwrap();
    assert_eq!((short.transport, short.place().as_str()), (Transport::Auto, "y"));
    assert!(Remote::new(NodeName::local(), "a".parse().unwrap()).is_err());
}

proptest! {
    #[test]
    fn what_is_taken_is_one_plain_word(text in "\\PC{0,40}") {
        let plain = |text: &str| {
            !text.starts_with('-') && !text.contains(|c: char| c.is_whitespace() || c.is_control() || "@/\\'\"`$;|&<>(){}*?!#%=".contains(c))
        };
        if let Ok(host) = text.parse::<RemoteHost>() {
            prop_assert!(plain(host.as_str()));
            prop_assert_eq!(host.as_str().parse::<RemoteHost>().unwrap(), host);
        }
        if let Ok(user) = text.parse::<RemoteUser>() {
            prop_assert!(plain(user.as_str()) && !user.as_str().contains(':'));
        }
        let _ = text.parse::<SshAddress>();
    }
}

//! Sign-ins that workspaces share: renewed in one, renewed in all, and told to nobody.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "a test ends where it meets what it does not expect"
)]

use std::fs;
use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use dwell_testkit::{TestHome, docker, has_image, run, sh, wait_until};

const IMAGE: &str = "debian:bookworm";
const FILE: &str = "~/.claude/.credentials.json";
/// Has Claude Code.
const AGENTS: &str = "dwell-test-workspace-agents";
const LIMIT: Duration = Duration::from_secs(60);
const HOSTS: &str = "platform.claude.com api.anthropic.com";
/// Renews a token that was not used before, after a while; says what it was asked. Everything else
/// there is not.
const PROVIDER: &str = r#"
const fs = require('fs');
const tls = { key: fs.readFileSync('/provider/key.pem'), cert: fs.readFileSync('/provider/cert.pem') };
let number = 0;
const answer = (request, response) => {
  let body = '';
  request.on('data', (piece) => (body += piece));
  request.on('end', () => setTimeout(() => {
    response.setHeader('content-type', 'application/json');
    if (request.url !== '/v1/oauth/token') {
      response.statusCode = 404;
      response.end('{"type":"error","error":{"type":"not_found_error","message":"nothing"}}');
      return;
    }
    const given = JSON.parse(body).refresh_token;
    if (given !== 'renew-' + number) {
      console.log('refused');
      response.statusCode = 400;
      response.end('{"error":"invalid_grant"}');
      return;
    }
    number += 1;
    console.log('renewed');
    response.end(JSON.stringify({
      access_token: 'access-' + number, refresh_token: 'renew-' + number, expires_in: 28800,
      scope: 'user:inference user:profile', token_type: 'Bearer',
    }));
  }, 500));
};
const listening = process.argv.slice(2).map((address) => new Promise((done) =>
  require('https').createServer(tls, answer).listen(443, address, done)));
Promise.all(listening).then(() => console.log('listening'));
"#;
const OLD: &str = r#"{"claudeAiOauth":{"accessToken":"access-0","refreshToken":"renew-0","expiresAt":1000,"scopes":["user:inference","user:profile"],"subscriptionType":"max"}}"#;

fn create(home: &TestHome, name: &str, more: &[&str]) {
    let args = ["ws", "create", name, "--image", IMAGE, "--class", "cpu=1,mem=512m"];
    home.dwell([&args, more].concat()).ok();
}

/// Waits until a workspace has this sign-in, through the link.
fn wait_for(home: &TestHome, name: &str, token: &str) {
    wait_until(Duration::from_secs(10), token, || {
        sh(home, name, &format!("test -L {FILE} && cat {FILE}")).stdout.trim() == token
    });
}

#[test]
fn a_sign_in_that_is_renewed_in_one_is_renewed_in_all() {
    let home = TestHome::new(env!("CARGO_BIN_EXE_dwell"));
    for name in ["one", "two"] {
        create(&home, name, &["--credentials", "claude"]);
    }
    create(&home, "apart", &[]);
    let list = home.dwell(["credentials", "ls", "--json"]).json();
    assert_eq!((&list[0]["agent"], &list[0]["present"]), (&"claude".into(), &false.into()));

    // As agents write it: a file of its own that takes the place.
    let renew = |token: &str| {
        format!("mkdir -p ~/.claude; umask 077; echo {token} > {FILE}.tmp; mv {FILE}.tmp {FILE}")
    };
    sh(&home, "one", &renew("secret-first")).ok();
    wait_for(&home, "two", "secret-first");
    wait_for(&home, "one", "secret-first");
    // Or through what is there.
    sh(&home, "two", &format!("echo secret-second > {FILE}")).ok();
    assert_eq!(sh(&home, "one", &format!("cat {FILE}")).ok(), "secret-second");
    let only = sh(&home, "apart", &format!("ls {FILE} /run/dwell-credentials 2>/dev/null; true"));
    assert_eq!(only.ok(), "", "who did not ask has none");

    // Both at once, many times: whole, and the same in both.
    std::thread::scope(|scope| {
        for name in ["one", "two"] {
            let home = &home;
            scope.spawn(move || {
                let many = format!("cd ~/.claude; for i in $(seq 50); do echo secret-{name}-$i > .new; mv .new .credentials.json; done");
                sh(home, name, &many).ok().len()
            });
        }
    });
    wait_until(Duration::from_secs(10), "both are links to one file", || {
        let [a, b] = ["one", "two"]
            .map(|name| sh(&home, name, &format!("test -L {FILE} && cat {FILE}")).stdout);
        a == b && (a.trim() == "secret-one-50" || a.trim() == "secret-two-50")
    });
    let left = sh(&home, "one", "ls -A ~/.claude").ok().to_owned();
    assert_eq!(left, ".credentials.json", "no copy is left");

    // It stays over a stop, and a keeper that was killed comes back.
    home.dwell(["ws", "stop", "two"]).ok();
    sh(&home, "one", &renew("secret-third")).ok();
    wait_for(&home, "one", "secret-third");
    home.dwell(["ws", "start", "two"]).ok();
    wait_for(&home, "two", "secret-third");
    let kill = "kill -9 $(grep -l workspace-credentials /proc/[0-9]*/cmdline | cut -d/ -f3)";
    home.dwell(["ws", "exec", "-u", "root", "two", "sh", "-c", kill]);
    sh(&home, "two", &renew("secret-fourth")).ok();
    wait_for(&home, "one", "secret-fourth");

    let shown = home.dwell(["ws", "show", "one", "--json"]);
    let container = shown.json()["container"].as_str().unwrap().to_owned();
    assert_eq!(shown.json()["credentials"], serde_json::json!(["claude"]));
    let mut told = vec![shown.ok().to_owned(), home.dwell(["ws", "ls", "--json"]).ok().to_owned()];
    told.push(home.dwell(["credentials", "ls", "--json"]).ok().to_owned());
    told.push(docker(["inspect", &container]).ok().to_owned());
    told.push(fs::read_to_string(home.state().join("node.log")).unwrap());
    told.push(
        sh(&home, "one", "cat /proc/[0-9]*/cmdline /run/dwell/variables | tr '\\0' ' '; env")
            .stdout,
    );
    assert!(!told.concat().contains("secret-"), "what is in it was told");
    let place = home.state().join("credentials");
    assert_eq!(fs::metadata(place).unwrap().permissions().mode() & 0o777, 0o700);

    home.dwell(["credentials", "forget", "claude"]).ok();
    assert_ne!(sh(&home, "one", &format!("cat {FILE}")).code, Some(0), "it is gone everywhere");
}

#[test]
fn a_sign_in_of_ones_own_can_be_taken_over() {
    let home = TestHome::new(env!("CARGO_BIN_EXE_dwell"));
    create(&home, "box", &["--credentials", "codex,claude"]);
    let none = home.dwell(["credentials", "import", "codex"]);
    assert!(none.fails_with(3).contains("sign in inside"), "{none:?}");
    fs::create_dir_all(home.path().join(".codex")).unwrap();
    fs::write(home.path().join(".codex/auth.json"), "secret-own\n").unwrap();
    let taken = home.dwell(["credentials", "import", "codex"]);
    assert!(taken.ok().contains("shared") && taken.stderr.contains("sign in anew"), "{taken:?}");
    assert_eq!(
        sh(&home, "box", "cat ~/.codex/auth.json; echo secret-new > ~/.codex/auth.json").ok(),
        "secret-own"
    );
    assert_eq!(
        fs::read_to_string(home.state().join("credentials/codex/auth.json")).unwrap(),
        "secret-new\n"
    );
    home.dwell(["ws", "create", "x", "--credentials", "aider"]).fails_with(2);
}

/// The provider, reached at these addresses; its container.
fn provider(home: &TestHome, addresses: &[String]) -> String {
    let folder = home.path().join("provider");
    fs::create_dir_all(&folder).unwrap();
    let names = "subjectAltName=DNS:platform.claude.com,DNS:api.anthropic.com";
    let make = format!(
        "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=provider -addext {names} \
         -keyout key.pem -out cert.pem && chmod 644 key.pem cert.pem"
    );
    run(home.command("sh").args(["-c", &make]).current_dir(&folder), LIMIT).ok();
    fs::write(folder.join("provider.js"), PROVIDER).unwrap();
    fs::set_permissions(home.path(), fs::Permissions::from_mode(0o711)).unwrap();
    let label = format!("dwell.node={}", home.node().unwrap());
    let mount = format!("{}:/provider:ro", folder.display());
    let start = ["run", "-d", "--network", "host", "--label", &label, "-v", &mount, AGENTS];
    let words = start.into_iter().chain(["node", "/provider/provider.js"]);
    let started = docker(words.chain(addresses.iter().map(String::as_str)));
    let id = started.ok().to_owned();
    wait_until(LIMIT, "it listens", || docker(["logs", &id]).stdout.contains("listening"));
    id
}

#[test]
fn of_two_that_renew_at_once_one_does_and_both_go_on() {
    if !has_image(AGENTS) || !fs::exists("/usr/bin/openssl").unwrap() {
        return;
    }
    let home = TestHome::new(env!("CARGO_BIN_EXE_dwell"));
    let names = ["one", "two"];
    let gateways = names.map(|name| {
        home.dwell(["ws", "create", name, "--image", AGENTS, "--credentials", "claude"]).ok();
        let shown = home.dwell(["ws", "show", name, "--json"]).json();
        let own: Ipv4Addr = shown["address"].as_str().unwrap().parse().unwrap();
        Ipv4Addr::from_bits(own.to_bits() - 1).to_string()
    });
    let provider = provider(&home, &gateways);
    let as_root = |name: &str, line: &str| {
        home.dwell(["ws", "exec", "-u", "root", name, "--", "sh", "-c", line])
    };
    let certificate = fs::read_to_string(home.path().join("provider/cert.pem")).unwrap();
    for (name, gateway) in names.iter().zip(&gateways) {
        as_root(name, &format!("echo {gateway} {HOSTS} >> /etc/hosts")).ok();
        sh(&home, name, &format!("cat > cert.pem <<'END'\n{certificate}END")).ok();
    }
    sh(&home, "one", &format!("cd ~/.claude && umask 077 && echo '{OLD}' > .credentials.json"))
        .ok();

    // As long as the token is good nobody renews; when it is not, both are about to at once.
    let ask = "NODE_EXTRA_CA_CERTS=~/cert.pem CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC=1 \
               timeout 60 claude -p hello";
    let said = std::thread::scope(|scope| {
        let home = &home;
        names.map(|name| scope.spawn(move || sh(home, name, ask))).map(|it| it.join().unwrap())
    });
    for ran in &said {
        let text = format!("{}{}", ran.stdout, ran.stderr);
        assert!(!text.contains("authenticate") && !text.contains("expired"), "{ran:?}");
    }
    let log = docker(["logs", &provider]).ok().to_owned();
    assert_eq!(log.matches("renewed").count(), 1, "{log}\n{said:?}");
    assert_eq!(log.matches("refused").count(), 0, "{log}\n{said:?}");
    for name in names {
        let has = sh(&home, name, "cat ~/.claude/.credentials.json");
        assert!(has.ok().contains("access-1") && has.ok().contains("renew-1"), "{name}");
    }
    docker(["rm", "-f", &provider]).ok();

    // A lock that is left is no reason not to forget.
    sh(&home, "one", "mkdir /run/dwell-credentials/claude/.oauth_refresh.lock").ok();
    home.dwell(["credentials", "forget", "claude"]).ok();
    assert_ne!(sh(&home, "two", "cat ~/.claude/.credentials.json").code, Some(0));
    assert_eq!(fs::read_dir(home.state().join("credentials/claude")).unwrap().count(), 0);
}

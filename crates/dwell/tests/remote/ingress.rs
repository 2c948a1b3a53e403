//! HTTP services of an environment, reached from another machine of a WireGuard mesh.

use std::process::Stdio;
use std::time::Duration;

use dwell_testkit::{Host, HostPlan, WireGuard, wait_until};

use crate::bench::Bench;

const SOON: Duration = Duration::from_secs(15);
const PORT: u16 = 7081;

/// A page, and one that ends only when a file is there.
const COMPOSE: &str = r##"
services:
  web:
    image: busybox:latest
    command:
      - sh
      - -c
      - |
        mkdir -p /w/cgi-bin && echo hello > /w/index.html
        printf '#!/bin/sh\nprintf "content-type: text/plain\\r\\n\\r\\nbegun\\n"\n' > /w/cgi-bin/slow
        printf 'while [ ! -e /tmp/go ]; do sleep 0.1; done\necho ended\n' >> /w/cgi-bin/slow
        chmod 755 /w/cgi-bin/slow
        exec httpd -f -p 8080 -h /w
    expose: ["8080"]
    init: true
    stop_grace_period: 1s
"##;

/// A node and a phone in one mesh.
fn bench() -> Option<Bench> {
    Bench::start([HostPlan::new("one").images(["busybox:latest"]), HostPlan::new("phone")])
}

/// What the phone gets from the node's mesh address under a name: status and body.
fn ask(bench: &Bench, mesh: &WireGuard<'_>, name: &str, path: &str) -> (String, String) {
    let at = mesh.address(bench.hosts.host("one"));
    let phone = bench.hosts.host("phone");
    let ran = phone.shell(&format!(
        "curl -s -m 5 -w '%{{http_code}}' -H 'Host: {name}' http://{at}:{PORT}{path} || true"
    ));
    let (body, status) = ran.stdout.split_at(ran.stdout.len().saturating_sub(3));
    (status.to_owned(), body.trim().to_owned())
}

/// Where a node listens at the port.
fn listeners(host: &Host) -> String {
    host.shell(&format!("ss -Hltn 'sport = :{PORT}' | awk '{{print $4}}'")).ok().to_owned()
}

#[test]
fn a_phone_reaches_what_was_opened_and_nothing_else() {
    let Some(bench) = bench() else { return };
    let Some(mesh) = bench.hosts.wireguard() else { return };
    let one = bench.hosts.host("one");
    let project = bench.home.project("shop").compose(COMPOSE).git();
    let dwell = |arguments: &[&str]| bench.home.dwell_in(&project, arguments);
    let page = |name: &str| ask(&bench, &mesh, name, "/index.html");
    let found = ("200".to_owned(), "hello".to_owned());

    dwell(&["up", "blue", "--remote", "one"]).ok();
    assert_eq!(listeners(one), "");
    dwell(&["up", "red", "--remote", "one", "--ingress"]).ok();
    wait_until(SOON, "red is reached", || page("web.red.test") == found);
    assert_eq!(page("web.red.shop.test"), found);
    assert_eq!(page("shop.red.test"), found);
    assert_eq!(page("web.blue.test").0, "404");
    assert_eq!(listeners(one), format!("{}:{PORT}", mesh.address(one)));
    let status = dwell(&["status", "red"]);
    assert!(status.ok().contains("reached from the mesh"), "{status:?}");

    // A change while an answer is under way.
    let at = mesh.address(one);
    let mut slow = bench.hosts.host("phone").command("curl");
    slow.args(["-sN", "-m", "60", "-o", "/tmp/slow", "-H", "Host: web.red.test"]);
    slow.arg(format!("http://{at}:{PORT}/cgi-bin/slow"));
    let mut slow = slow.stdout(Stdio::null()).spawn().unwrap();
    let got = || bench.hosts.host("phone").shell("cat /tmp/slow 2>/dev/null || true").stdout;
    wait_until(SOON, "the answer begins", || got().contains("begun"));
    dwell(&["up", "green", "--remote", "one", "--ingress"]).ok();
    wait_until(SOON, "green is reached", || page("web.green.test") == found);
    dwell(&["exec", "red", "web", "touch", "/tmp/go"]).ok();
    assert!(slow.wait().unwrap().success());
    assert_eq!(got(), "begun\nended\n");

    // It is kept with the environment, and goes with it.
    dwell(&["down", "red"]).ok();
    wait_until(SOON, "red is gone", || page("web.red.test").0 == "404");
    dwell(&["up", "red"]).ok();
    wait_until(SOON, "red is back", || page("web.red.test") == found);
    dwell(&["up", "red", "--no-ingress"]).ok();
    wait_until(SOON, "red is closed", || page("web.red.test").0 == "404");
    assert_eq!(page("web.green.test"), found);
    dwell(&["destroy", "green", "--force"]).ok();
    wait_until(SOON, "nothing listens", || listeners(one).is_empty());
}

#[test]
fn the_proxy_comes_back_by_itself() {
    let Some(bench) = bench() else { return };
    let Some(mesh) = bench.hosts.wireguard() else { return };
    let one = bench.hosts.host("one");
    let project = bench.home.project("shop").compose(COMPOSE).git();
    bench.home.dwell_in(&project, ["up", "red", "--remote", "one", "--ingress"]).ok();
    let well = || ask(&bench, &mesh, "web.red.test", "/index.html").0 == "200";
    wait_until(SOON, "red is reached", well);
    one.shell("kill -9 $(pidof caddy)").ok();
    wait_until(SOON, "a new proxy serves", well);
    let before = one.shell("pidof caddy");
    assert!(one.kill_daemon("root"));
    bench.post("/v1/remotes/one/ping", "{}");
    wait_until(SOON, "the new daemon has a proxy of its own", || {
        let now = one.shell("pidof caddy || true").stdout;
        !now.is_empty() && now != before.stdout && well()
    });
    assert_eq!(one.shell("pidof caddy").ok().split_whitespace().count(), 1);
}

#[test]
fn what_is_missing_is_said_before_anything_is_made() {
    let Some(bench) = bench() else { return };
    let one = bench.hosts.host("one");
    let project = bench.home.project("shop").compose(COMPOSE).git();
    let up = || bench.home.dwell_in(&project, ["up", "red", "--remote", "one", "--ingress"]);
    let ran = up();
    ran.fails_with(3);
    assert!(
        ran.stderr.contains("in no mesh") && ran.stderr.contains("[ingress] address"),
        "{ran:?}"
    );

    let Some(_mesh) = bench.hosts.wireguard() else { return };
    one.shell(
        "mkdir /run/hide && mount -t tmpfs hide /run/hide && mkdir /run/hide/up /run/hide/work\n\
         mount -t overlay -o lowerdir=/usr/bin,upperdir=/run/hide/up,workdir=/run/hide/work hide \
         /usr/bin\nrm /usr/bin/caddy",
    )
    .ok();
    let ran = up();
    ran.fails_with(1);
    assert!(ran.stderr.contains("caddy") && ran.stderr.contains("init NODE --ingress"), "{ran:?}");
    assert!(!bench.home.dwell_in(&project, ["ls"]).ok().contains("red"));
}

#[test]
fn an_nginx_that_runs_takes_the_routes() {
    let Some(bench) = bench() else { return };
    let one = bench.hosts.host("one");
    if !std::path::Path::new("/usr/sbin/nginx").exists() {
        eprintln!("skipped: nginx is not installed");
        return;
    }
    let Some(mesh) = bench.hosts.wireguard() else { return };
    one.shell(
        "mkdir -p /root/.config/dwell /etc/nginx /var/log/nginx /var/lib/nginx\n\
         echo '[ingress]\nnginx = \"/etc/nginx/dwell.conf\"' > /root/.config/dwell/config.toml\n\
         printf 'pid /run/nginx.pid;\\nevents {}\\nhttp { include /etc/nginx/dwell*.conf; }\\n' \
         > /etc/nginx/nginx.conf\nnginx",
    )
    .ok();
    // The next daemon reads its configuration.
    bench.post("/v1/remotes/one/ping", "{}");
    assert!(one.kill_daemon("root"));
    bench.post("/v1/remotes/one/ping", "{}");
    let project = bench.home.project("shop").compose(COMPOSE).git();
    bench.home.dwell_in(&project, ["up", "red", "--remote", "one", "--ingress"]).ok();
    let page = || ask(&bench, &mesh, "web.red.test", "/index.html");
    wait_until(SOON, "red is reached", || page() == ("200".to_owned(), "hello".to_owned()));
    assert_eq!(ask(&bench, &mesh, "web.blue.test", "/").0, "404");
    assert_eq!(listeners(one), format!("{}:{PORT}", mesh.address(one)));
    bench.home.dwell_in(&project, ["destroy", "red", "--force"]).ok();
    wait_until(SOON, "nothing listens", || listeners(one).is_empty());
}

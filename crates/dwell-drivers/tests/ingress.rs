//! Real proxies in front of real services. Where a proxy is not installed, its test has nothing
//! to do.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use dwell_core::ingress::{Listen, Route, caddy, nginx};
use dwell_drivers::ingress::{Caddy, IngressError, Nginx};
use rustix::process::{Pid, Signal, kill_process};

/// A service that answers each request with its name, and leaves the answer to `/slow` open until
/// it is told to end it.
struct Service {
    address: SocketAddr,
    end: Sender<()>,
}

impl Service {
    fn start(name: &'static str) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let (end, ended) = channel();
        std::thread::spawn(move || serve(&listener, name, &ended));
        Self { address, end }
    }
}

fn serve(listener: &TcpListener, name: &str, ended: &Receiver<()>) {
    for stream in listener.incoming() {
        let mut stream = stream.unwrap();
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let mut first = String::new();
        reader.read_line(&mut first).unwrap();
        let mut line = String::new();
        while reader.read_line(&mut line).unwrap() > 2 {
            line.clear();
        }
        write!(stream, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{name}\n").unwrap();
        if first.contains("/slow") {
            ended.recv().unwrap();
            writeln!(stream, "{name} at last").unwrap();
        }
    }
}

fn listen() -> Listen {
    let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = free.local_addr().unwrap().port();
    Listen { address: "127.0.0.1".parse().unwrap(), port: port.try_into().unwrap() }
}

fn route(name: &str, to: SocketAddr) -> Route {
    let names = BTreeSet::from([name.parse().unwrap()]);
    Route { names, short_names: BTreeSet::new(), upstreams: BTreeSet::from([to]) }
}

fn request(at: &Listen, host: &str, path: &str) -> BufReader<TcpStream> {
    let mut stream = TcpStream::connect((at.address.get(), at.port.get())).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {host}\r\n\r\n").unwrap();
    BufReader::new(stream)
}

fn get(at: &Listen, host: &str) -> String {
    let mut text = String::new();
    request(at, host, "/").read_to_string(&mut text).unwrap();
    text
}

fn installed(program: &str) -> bool {
    let found = std::process::Command::new(program).arg("-v").output().is_ok();
    if !found {
        eprintln!("{program} is not installed: skipped");
    }
    found
}

/// A proxy that a test started and that is ended when the test fails, too.
struct Started(std::path::PathBuf, Signal);

impl Drop for Started {
    fn drop(&mut self) {
        let pid = std::fs::read_to_string(&self.0).ok().and_then(|pid| pid.trim().parse().ok());
        if let Some(pid) = pid.and_then(Pid::from_raw) {
            let _ = kill_process(pid, self.1);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn caddy_goes_from_one_configuration_to_the_next() {
    if !installed("caddy") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let directory = folder.path().join("caddy");
    let _started = Started(directory.join("pid"), Signal::KILL);
    let own = Caddy::new(&directory);
    let version = own.version().await.unwrap().unwrap();
    let (at, one, two) = (listen(), Service::start("one"), Service::start("two"));
    let made = |routes: &[Route]| caddy(&at, &own.admin(), version, routes);

    let first = made(&[route("a.test", one.address)]);
    assert!(own.ensure(&first).await.unwrap());
    assert!(!own.ensure(&first).await.unwrap());
    assert!(get(&at, "a.test").ends_with("one\n"));
    assert!(get(&at, "b.test").contains(" 404 "));

    // An answer that is under way goes on while the configuration changes.
    let mut slow = request(&at, "a.test", "/slow");
    let mut line = String::new();
    while line != "one\n" {
        line.clear();
        assert!(slow.read_line(&mut line).unwrap() > 0);
    }
    // What the next daemon does: it finds the one that runs.
    let next = Caddy::new(&directory);
    let both = made(&[route("a.test", one.address), route("b.test", two.address)]);
    assert!(next.ensure(&both).await.unwrap());
    assert!(get(&at, "b.test").ends_with("two\n"));
    one.end.send(()).unwrap();
    let mut rest = String::new();
    slow.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "one at last\n");

    let mut wrong = both.clone();
    let apps = wrong.get_mut("apps").unwrap().as_object_mut().unwrap();
    apps.insert("no-such-app".to_owned(), serde_json::json!({}));
    let error = next.ensure(&wrong).await.unwrap_err();
    assert!(matches!(error, IngressError::Refused { .. }), "{error}");
    assert!(get(&at, "b.test").ends_with("two\n"));
    assert!(!next.ensure(&both).await.unwrap());

    next.stop().await.unwrap();
    assert!(TcpStream::connect((at.address.get(), at.port.get())).is_err());
    assert!(!directory.exists());
    next.stop().await.unwrap();
}

#[tokio::test]
async fn a_caddy_that_cannot_listen_says_so() {
    if !installed("caddy") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let own = Caddy::new(folder.path().join("caddy"));
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = taken.local_addr().unwrap().port().try_into().unwrap();
    let at = Listen { address: "127.0.0.1".parse().unwrap(), port };
    let version = own.version().await.unwrap().unwrap();
    let error = own.ensure(&caddy(&at, &own.admin(), version, &[])).await.unwrap_err();
    let IngressError::Ended { reason, .. } = &error else { panic!("{error}") };
    assert!(reason.contains("address already in use"), "{reason}");
    own.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn nginx_goes_from_one_file_to_the_next() {
    if !installed("nginx") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let configuration = write_nginx(folder.path());
    let words = ["-c".to_owned(), configuration];
    let _started = Started(folder.path().join("pid"), Signal::TERM);
    let file = folder.path().join("conf.d/dwell.conf");
    let own = Nginx::new(&file).with_arguments(words.clone());
    let (at, one) = (listen(), Service::start("one"));
    let text = nginx(&at, &[route("a.test", one.address)]);

    // None runs that could be told.
    assert!(own.ensure(&text).await.is_err());
    assert!(!file.exists());
    let start = std::process::Command::new("nginx").args(&words).status().unwrap();
    assert!(start.success());
    assert!(own.ensure(&text).await.unwrap());
    assert!(!own.ensure(&text).await.unwrap());
    answers(|| get_or_nothing(&at, "a.test").ends_with("one\n"));
    let error = own.ensure("server { no_such_word; }").await.unwrap_err();
    assert!(error.to_string().contains("no_such_word"), "{error}");
    assert!(get(&at, "a.test").ends_with("one\n"));
    assert!(own.remove().await.unwrap());
    assert!(!own.remove().await.unwrap());
    answers(|| TcpStream::connect((at.address.get(), at.port.get())).is_err());
    let stop = std::process::Command::new("nginx").args(&words).args(["-s", "stop"]).status();
    assert!(stop.unwrap().success());
}

/// An nginx in a directory of its own, which includes what is in `conf.d` there.
fn write_nginx(folder: &Path) -> String {
    let place = folder.display();
    let text = format!(
        "pid {place}/pid;\nerror_log {place}/error.log;\nevents {{}}\nhttp {{\n\
         access_log off;\nclient_body_temp_path {place}/body;\nproxy_temp_path {place}/proxy;\n\
         fastcgi_temp_path {place}/fastcgi;\nuwsgi_temp_path {place}/uwsgi;\n\
         scgi_temp_path {place}/scgi;\ninclude {place}/conf.d/*.conf;\n}}\n"
    );
    let file = folder.join("nginx.conf");
    std::fs::write(&file, text).unwrap();
    file.display().to_string()
}

fn get_or_nothing(at: &Listen, host: &str) -> String {
    match TcpStream::connect((at.address.get(), at.port.get())) {
        Ok(_) => get(at, host),
        Err(_) => String::new(),
    }
}

/// nginx changes over after its command has ended.
fn answers(mut condition: impl FnMut() -> bool) {
    let begun = std::time::Instant::now();
    while !condition() {
        assert!(begun.elapsed() < Duration::from_secs(10), "nginx changes over");
        std::thread::sleep(Duration::from_millis(10));
    }
}

//! For benchmarks of remote nodes, which are scripts: a home and two hosts, `one` and `two`, that
//! its `ssh` reaches, for as long as standard input is open. All that a script needs to know is
//! written to a file as variables of a shell, `ready` is printed, and everything is gone afterwards.

use std::fs::File;
use std::io::{self, Write};

use dwell_testkit::{Host, HostPlan, RemoteBench};

const IMAGES: [&str; 1] = ["busybox:latest"];

fn main() -> io::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [binary, file] = arguments.as_slice() else {
        eprintln!("usage: remote path/to/dwell <file for variables>");
        std::process::exit(2);
    };
    let plans = ["one", "two"].map(|name| HostPlan::new(name).images(IMAGES));
    let Some(bench) = RemoteBench::start(binary, plans) else { std::process::exit(1) };
    // A mesh is made where its programs are installed.
    let mesh = bench.hosts.wireguard();
    let address = |host: &Host| mesh.as_ref().map(|mesh| mesh.address(host).to_string());
    let mut file = File::create(file)?;
    for (name, value) in bench.home.dwell_command().get_envs() {
        if let Some(value) = value {
            let (name, value) = (name.to_string_lossy(), value.to_string_lossy());
            writeln!(file, "export {name}='{value}'")?;
        }
    }
    for host in bench.hosts.all() {
        let (name, plain) = (host.name(), host.address());
        let meshed = address(host).unwrap_or_default();
        let root = host.path("/").display().to_string();
        writeln!(file, "{name}_address={plain} {name}_mesh={meshed} {name}_root={root}")?;
    }
    drop(file);
    println!("ready");
    // It ends with the script, whichever way that ends.
    io::copy(&mut io::stdin(), &mut io::sink())?;
    Ok(())
}

//! The shim as a program of its own, for the tests of this crate.

fn main() {
    let directory = std::env::args_os().next_back().unwrap_or_default();
    std::process::exit(dwell_drivers::session::shim::main(directory.as_ref()));
}

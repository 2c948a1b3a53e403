//! Reading `/etc/resolv.conf`, and dwell's own lines in it.

use std::net::IpAddr;

const BEGIN: &str = "# dwell begin: `dwell setup --undo` takes these lines out\n";
const END: &str = "# dwell end\n";

/// Whether dwell's lines are there.
pub fn has_block(content: &str) -> bool {
    find(content).is_some()
}

/// `content` with `block` between markers at its head, in place of an earlier one.
pub fn add_block(content: &str, block: &str) -> String {
    format!("{BEGIN}{block}{END}{}", remove_block(content))
}

/// `content` without dwell's lines: byte for byte what it was before.
pub fn remove_block(content: &str) -> String {
    let mut rest = content.to_owned();
    while let Some(range) = find(&rest) {
        rest.replace_range(range, "");
    }
    rest
}

/// The addresses of the `nameserver` lines, in order; those that are not plain addresses are
/// left out.
pub fn nameservers(content: &str) -> Vec<IpAddr> {
    content
        .lines()
        .filter_map(|line| {
            let mut words = line.split_ascii_whitespace();
            (words.next() == Some("nameserver")).then(|| words.next()?.parse().ok())?
        })
        .collect()
}

fn find(content: &str) -> Option<std::ops::Range<usize>> {
    let start = content.find(BEGIN)?;
    let length = content.get(start..)?.find(END)? + END.len();
    Some(start..start + length)
}

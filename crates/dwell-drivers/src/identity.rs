//! Who a command runs as: a user and a group by name or number, looked up as engines of containers
//! do it.

use std::fs;
use std::io;

use rustix::process::{Gid, Uid};
use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};

const ACCOUNTS: &str = "/etc/passwd";
const GROUPS: &str = "/etc/group";

/// A user of this machine with its groups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    uid: u32,
    gid: u32,
    groups: Vec<u32>,
    home: String,
}

/// There is no such user or group.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// No such user.
    #[error("there is no user `{0}`")]
    User(String),
    /// No such group.
    #[error("there is no group `{0}`")]
    Group(String),
}

impl Identity {
    /// The one that is meant by `user`, `user:group`, or numbers in their place.
    ///
    /// # Errors
    /// When a name is not known.
    pub fn find(meant: &str) -> Result<Self, IdentityError> {
        let read = |path| {
            fs::read(path)
                .map(|text| String::from_utf8_lossy(&text).into_owned())
                .unwrap_or_default()
        };
        find(meant, &read(ACCOUNTS), &read(GROUPS))
    }

    /// The home that the accounts tell, else `/`.
    pub fn home(&self) -> &str {
        &self.home
    }

    /// Has this thread, and what it starts, be this one from now on; the process's other threads
    /// stay who they are.
    pub(crate) fn take(&self) -> io::Result<()> {
        let known = |number: u32| {
            let unknown = || io::Error::from(io::ErrorKind::InvalidInput);
            (number != u32::MAX).then_some(number).ok_or_else(unknown)
        };
        let groups: Vec<Gid> = self.groups.iter().map(|gid| Gid::from_raw(*gid)).collect();
        let (uid, gid) = (Uid::from_raw(known(self.uid)?), Gid::from_raw(known(self.gid)?));
        set_thread_groups(&groups)?;
        set_thread_res_gid(gid, gid, gid)?;
        Ok(set_thread_res_uid(uid, uid, uid)?)
    }
}

fn find(meant: &str, accounts: &str, groups: &str) -> Result<Identity, IdentityError> {
    let (user, group) = match meant.split_once(':') {
        Some((user, group)) => (user, Some(group).filter(|group| !group.is_empty())),
        None => (meant, None),
    };
    let user = if user.is_empty() { "0" } else { user };
    let number = user.parse::<u32>().ok();
    let known = || accounts.lines().filter_map(account);
    let named = known().find(|it| it.name == user);
    let account = named.or_else(|| known().find(|it| Some(it.uid) == number));
    let (uid, gid, home) = match (&account, number) {
        (Some(it), _) => (it.uid, it.gid, it.home),
        (None, Some(number)) => (number, 0, "/"),
        (None, None) => return Err(IdentityError::User(user.to_owned())),
    };
    let home = if home.is_empty() { "/" } else { home }.to_owned();
    if let Some(group) = group {
        let known = groups.lines().filter_map(self::group).find(|it| it.name == group);
        let gid = known.map(|it| it.gid).or_else(|| group.parse().ok());
        let gid = gid.ok_or_else(|| IdentityError::Group(group.to_owned()))?;
        return Ok(Identity { uid, gid, groups: vec![gid], home });
    }
    let mut all = vec![gid];
    if let Some(it) = &account {
        let has = |group: &Group<'_>| group.members.split(',').any(|member| member == it.name);
        all.extend(groups.lines().filter_map(self::group).filter(has).map(|group| group.gid));
    }
    all.dedup();
    Ok(Identity { uid, gid, groups: all, home })
}

struct Account<'a> {
    name: &'a str,
    uid: u32,
    gid: u32,
    home: &'a str,
}

/// Reads a line of passwd(5).
fn account(line: &str) -> Option<Account<'_>> {
    let mut fields = line.split(':');
    let (name, uid) = (fields.next()?, fields.nth(1)?.parse().ok()?);
    let (gid, home) = (fields.next()?.parse().ok()?, fields.nth(1)?);
    Some(Account { name, uid, gid, home })
}

struct Group<'a> {
    name: &'a str,
    gid: u32,
    members: &'a str,
}

/// Reads a line of group(5).
fn group(line: &str) -> Option<Group<'_>> {
    let mut fields = line.split(':');
    let (name, gid) = (fields.next()?, fields.nth(1)?.parse().ok()?);
    Some(Group { name, gid, members: fields.next().unwrap_or_default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    const OF_ACCOUNTS: &str = "root:x:0:0:root:/root:/bin/bash\nnot an account\n\
         dev:x:1000:1001:Dev:/home/dev:/bin/bash\n";
    const OF_GROUPS: &str = "root:x:0:\ndaemon:x:1:\nsudo:x:27:ops,dev\ndev:x:1001:\n";

    fn of(meant: &str) -> Result<Identity, IdentityError> {
        find(meant, OF_ACCOUNTS, OF_GROUPS)
    }

    fn is(uid: u32, gid: u32, groups: &[u32], home: &str) -> Result<Identity, IdentityError> {
        Ok(Identity { uid, gid, groups: groups.to_vec(), home: home.to_owned() })
    }

    #[test]
    fn users_are_meant_by_name_or_number() {
        assert_eq!(of("dev"), is(1000, 1001, &[1001, 27], "/home/dev"));
        assert_eq!(of("1000"), of("dev"));
        assert_eq!(of(""), is(0, 0, &[0], "/root"));
        assert_eq!(of("4444"), is(4444, 0, &[0], "/"));
        assert_eq!(of("nobody"), Err(IdentityError::User("nobody".to_owned())));
    }

    #[test]
    fn a_group_that_is_named_is_the_only_one() {
        assert_eq!(of("dev:daemon"), is(1000, 1, &[1], "/home/dev"));
        assert_eq!(of("0:0"), is(0, 0, &[0], "/root"));
        assert_eq!(of("dev:77"), is(1000, 77, &[77], "/home/dev"));
        assert_eq!(of("dev:nobody"), Err(IdentityError::Group("nobody".to_owned())));
    }
}

//! A node whose user is neither root nor number 1000: what workspaces can do there.

use std::time::Duration;

use dwell_testkit::{Host, HostPlan, Hosts, Ran, run};

use crate::bench::{IDLE, binary};

const IMAGE: &str = "dwell-test-workspace";
const USER: &str = "alice";

/// The user at a shell of its own node.
struct User {
    hosts: Hosts,
}

impl User {
    fn start() -> Option<Self> {
        let plan = HostPlan::new("one").images(["busybox:latest", IMAGE]).user(USER);
        let hosts = Hosts::start([plan])?;
        let user = Self { hosts };
        user.host().install(binary(), "/usr/local/bin/dwell");
        user.sh("git config --global user.name n; git config --global user.email e@x").ok();
        Some(user)
    }

    fn host(&self) -> &Host {
        self.hosts.host("one")
    }

    #[track_caller]
    fn sh(&self, line: &str) -> Ran {
        let words = [format!("set -e; {line}")];
        run(self.host().ssh_command(USER).args(words), Duration::from_secs(120))
    }

    /// Runs a line of `sh` in the workspace.
    #[track_caller]
    fn inside(&self, name: &str, line: &str) -> Ran {
        assert!(!line.contains('\''), "it is quoted once");
        self.sh(&format!("dwell ws exec {name} -- sh -c '{line}'"))
    }
}

#[test]
fn a_workspace_is_as_useful_on_the_node_of_a_plain_user() {
    let Some(user) = User::start() else { return };
    let own = user.sh("id -u").ok().to_owned();
    assert!(own != "0" && own != "1000", "{own}");
    user.sh(&format!(
        "mkdir lab; cd lab; cat > compose.yaml <<'END'\n{IDLE}END\n\
         echo first > file; git init -q -b main; git add -A; git commit -qm first; dwell up red"
    ))
    .ok();
    user.sh(&format!("dwell ws create box --image {IMAGE} --class cpu=1,mem=512m --env lab/red"))
        .ok();
    assert_eq!(
        user.inside("box", "id -un; id -u; pwd; touch file; sudo id -u").ok(),
        "dev\n1000\n/home/dev\n0"
    );
    user.inside("box", "exit 7").fails_with(7);
    assert_eq!(user.sh("dwell ssh box -- echo by-ssh").ok(), "by-ssh");

    // The tree, from both sides.
    let tree = user.sh("cd lab; dwell path red").ok().to_owned();
    let work = format!(
        "cd {tree}; echo in >> file; mkdir new; echo new > new/file; git add -A; \
         git -c user.name=n -c user.email=e@x commit -qm in-box; git status --short"
    );
    assert_eq!(user.inside("box", &work).ok(), "");
    let here = format!(
        "cd {tree}; git status --short; echo out >> new/file; rm file; echo mine > mine; \
         mkdir ours; echo ours > ours/file; git log -1 --format=%s"
    );
    assert_eq!(user.sh(&here).ok(), "in-box");
    let there =
        format!("cd {tree}; cat new/file; echo box >> mine; echo box >> ours/file; rm -r new");
    assert_eq!(user.inside("box", &there).ok(), "new\nout");
    assert_eq!(user.sh(&format!("cat {tree}/mine {tree}/ours/file")).ok(), "mine\nbox\nours\nbox");
    user.sh("cd lab; dwell merge red --commit more; test -e mine; test ! -e file").ok();

    // Sessions, there and in the tree.
    let session = "cd lab; dwell run --in box red -- sh -c 'pwd; id -un; exit 5'";
    let ran = user.sh(session);
    ran.fails_with(5);
    assert_eq!(ran.stdout, format!("{tree}\ndev\n"), "{ran:?}");
    user.sh("dwell run --in box -d --name talk -- sh -c 'read word; echo got $word'; dwell send box hello").ok();
    user.sh("until dwell logs box --session talk | grep -q got; do sleep 0.1; done").ok();
    user.sh("dwell run --in box -d --name shell").ok();

    // Settings follow.
    user.sh("dwell config push --to box").ok();
    assert_eq!(user.inside("box", "git config --global user.email").ok(), "e@x");

    // Stop and start, a snapshot, a copy, what comes back of what was destroyed.
    user.sh("dwell ws suspend box; dwell ws resume box; dwell ws stop box; dwell ws start box")
        .ok();
    assert!(user.sh("dwell sessions box").ok().contains("(restored)"));
    user.inside("box", "echo kept > kept").ok();
    // What only they may remove.
    user.inside("box", "cd /run/dwell-sessions/shell-*; mkdir -m 700 deep; touch deep/file").ok();
    user.sh("dwell ws snapshot create box one").ok();
    user.inside("box", "echo later > kept").ok();
    user.sh("dwell ws snapshot restore box one --yes").ok();
    assert_eq!(user.inside("box", "cat kept").ok(), "kept");
    user.sh("dwell ws fork box copy").ok();
    assert_eq!(user.inside("copy", &format!("cat kept {tree}/mine")).ok(), "kept\nmine\nbox");
    user.inside("copy", &format!("touch {tree}/of-copy")).ok();
    user.sh(
        "dwell ws destroy copy --force --purge; dwell ws destroy box --force; dwell ws restore box",
    )
    .ok();
    assert_eq!(user.inside("box", "cat kept").ok(), "kept");

    // Nothing of it needs root afterwards either.
    user.sh(
        "dwell ws destroy box --force --purge; cd lab; dwell destroy red --force; dwell node stop",
    )
    .ok();
    assert_eq!(user.sh("ls -A .local/state/dwell/workspaces").ok(), "");
    let left = user.host().docker(["volume", "ls", "-q", "--filter", "label=dwell.workspace"]);
    assert_eq!(left.ok(), "");
}

//! What destroying a workspace would lose: what runs in it, and work in repositories of its home
//! that is nowhere else.

use std::time::Duration;

use dwell_api::Problem;
use dwell_api::session::SessionStatus;
use dwell_api::workspace::{UnsavedRepository, WorkspaceLosses};
use dwell_core::observed::{State, label};
use dwell_core::workspace::{HOME, TMUX_SOCKET, USER, Workspace};
use dwell_drivers::docker::EngineError;
use dwell_drivers::process::Program;

use super::{own_binary, state};
use crate::node::Node;
use crate::problem::OrProblem;

/// How long looking at repositories may take.
const LIMIT: Duration = Duration::from_secs(30);
/// How much of a command line is told, in characters.
const SHOWN: usize = 120;

/// Runs inside: a line for every repository with its counts and its path, then `end`; or why
/// repositories cannot be looked at.
const SCRIPT: &str = r#"
cd "$1" || exit 1
found=$(find . -maxdepth 6 -name .git 2>/dev/null)
if [ -n "$found" ] && ! command -v git >/dev/null; then
    echo "git is missing"
    exit 0
fi
printf '%s\n' "$found" | while read -r dot; do
    [ -n "$dot" ] || continue
    place=${dot%/.git}
    look() { git -c safe.directory='*' -c core.fsmonitor=false -C "$place" "$@" 2>/dev/null; }
    changes=$(look status --porcelain | wc -l)
    commits=$(look rev-list --count HEAD --branches --not --remotes || echo 0)
    stashes=$(look stash list | wc -l)
    echo "$changes $commits $stashes $1/${place#./}"
done
echo end
"#;

/// What destroying a workspace would lose.
pub(crate) async fn losses(node: &Node, it: &Workspace) -> Result<WorkspaceLosses, Problem> {
    let seen = state(node, it).await?;
    let (sessions, commands) = match seen {
        Some(State::Running | State::Paused) => {
            (sessions(node, it).await?, commands(node, it).await?)
        }
        _ => (Vec::new(), Vec::new()),
    };
    let is_session = |line: &String| sessions.iter().any(|(_, command)| command == line);
    let running = commands.iter().filter(|line| !is_session(line)).map(|line| shorten(line));
    let running = running.collect();
    let said = match seen {
        Some(State::Running) => inside(node, it).await,
        _ => beside(node, it).await,
    };
    let sessions = sessions.iter().map(|(name, line)| format!("{name}: {}", shorten(line)));
    let sessions = sessions.collect();
    let mut losses = WorkspaceLosses { sessions, running, ..WorkspaceLosses::default() };
    match said.as_deref().map(read) {
        Ok(Ok(repositories)) => losses.repositories = repositories,
        Ok(Err(why)) => losses.unknown = Some(why),
        Err(problem) => {
            losses.unknown = Some(format!("repositories could not be looked at: {problem}"));
        }
    }
    Ok(losses)
}

/// Commands that people or agents run: everything but the first process, its ssh server and what
/// keeps sessions.
async fn commands(node: &Node, it: &Workspace) -> Result<Vec<String>, Problem> {
    let processes = node.engine.processes(&it.container()).await.or_problem()?;
    let ours = [
        format!("{} ", own_binary()),
        "sshd: /usr/sbin/sshd ".to_owned(),
        format!("tmux -u -S {TMUX_SOCKET} "),
    ];
    let theirs = |line: &String| !ours.iter().any(|own| line.starts_with(own.as_str()));
    Ok(processes.into_iter().filter(theirs).collect())
}

/// The sessions that run in it, by name and command line.
async fn sessions(node: &Node, it: &Workspace) -> Result<Vec<(String, String)>, Problem> {
    let mut all = node.sessions(Some(it.id.as_str())).await?;
    all.retain(|session| session.status == SessionStatus::Running);
    Ok(all.into_iter().map(|s| (s.name.to_string(), s.command.join(" "))).collect())
}

fn shorten(line: &str) -> String {
    line.chars().take(SHOWN).collect()
}

/// Asks in the workspace itself.
async fn inside(node: &Node, it: &Workspace) -> Result<String, Problem> {
    let command = ["sh", "-c", SCRIPT, "sh", HOME].map(str::to_owned).into();
    match super::quietly(node, it, USER, command, LIMIT).await {
        Ok(said) => Ok(said.text()),
        Err(EngineError::TimedOut { .. }) => Ok(String::new()),
        Err(error) => Err(error).or_problem(),
    }
}

/// Asks in a container of the same image that ends at once: what is frozen or stopped stays so.
async fn beside(node: &Node, it: &Workspace) -> Result<String, Problem> {
    let mount = format!("type=volume,source={},target={HOME},readonly", it.home());
    let ours = format!("{}={}", label::NODE, node.id);
    let finished = Program::new("docker")
        .args(["run", "--rm", "--network", "none", "--label", &ours, "--mount", &mount])
        .args(["--entrypoint", "sh", it.image.as_str(), "-c", SCRIPT, "sh", HOME])
        .limit(LIMIT)
        .run()
        .await
        .or_problem()?;
    Ok(finished.text())
}

/// Reads what the script said.
fn read(said: &str) -> Result<Vec<UnsavedRepository>, String> {
    if said.trim_end() == "git is missing" {
        return Err("its home has repositories, and no git that could look at them".to_owned());
    }
    let Some(lines) = said.trim_end().strip_suffix("end") else {
        return Err("looking at the repositories of its home took too long".to_owned());
    };
    let all = lines.lines().filter_map(repository);
    Ok(all.filter(|it| it.uncommitted + it.unpushed + it.stashes > 0).collect())
}

fn repository(line: &str) -> Option<UnsavedRepository> {
    let mut fields = line.splitn(4, ' ');
    let mut count = || fields.next()?.parse().ok();
    let (uncommitted, unpushed, stashes) = (count()?, count()?, count()?);
    Some(UnsavedRepository { path: fields.next()?.to_owned(), uncommitted, unpushed, stashes })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_repositories_with_work_are_told() {
        let found = read("0 0 0 /home/dev/clean\n2 1 0 /home/dev/a b\nend\n").unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].to_string(), "/home/dev/a b: 2 uncommitted files, 1 unpushed commits");
        assert_eq!(read("end"), Ok(Vec::new()));
    }

    #[test]
    fn what_was_not_seen_is_not_nothing() {
        assert!(read("git is missing\n").is_err());
        assert!(read("1 0 0 /home/dev/a\n").is_err());
        assert!(read("").is_err());
    }
}

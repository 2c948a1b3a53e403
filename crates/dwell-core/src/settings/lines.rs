//! Settings of git and of ssh: files of lines, changed line by line. What cannot work in a
//! workspace and would stand in the way is left out as a comment.

use super::homes::{Homes, Replaced};
use super::secret;

/// What changing a file of lines gave.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Changed {
    pub(super) text: String,
    pub(super) replaced: Vec<Replaced>,
    /// What does not work in a workspace: the line and why.
    pub(super) troubles: Vec<String>,
    /// Secrets that were left out, by their keys.
    pub(super) withheld: Vec<String>,
    /// Programs that it runs.
    pub(super) programs: Vec<String>,
    /// Other files that it names, as it names them.
    pub(super) files: Vec<String>,
}

/// What becomes of a line.
enum Fate {
    Keep(String),
    LeaveOut,
}

impl Changed {
    fn push(&mut self, line: &str, fate: Fate) {
        match fate {
            Fate::Keep(text) => self.text.push_str(&text),
            Fate::LeaveOut => {
                self.text.push_str("# dwell left this out: ");
                self.text.push_str(line.trim_start());
            }
        }
    }

    /// A secret is not even in a comment.
    fn withhold(&mut self, key: String, end: &str) {
        self.text.push_str(&format!("# dwell left {key} out: it is a secret{end}"));
        self.withheld.push(key);
    }
}

/// Helpers of git that keep credentials in a system that a workspace is not.
const HELPERS: [&str; 6] =
    ["osxkeychain", "manager", "manager-core", "wincred", "libsecret", "gnome-keyring"];

/// Keys of git whose value is a file that belongs to the settings.
const GIT_FILES: [&str; 6] = [
    "include.path",
    "includeif.path",
    "core.excludesfile",
    "core.attributesfile",
    "commit.template",
    "gpg.ssh.allowedsignersfile",
];

/// A git configuration as it is in a workspace.
pub(super) fn git(text: &str, homes: &Homes, keys: bool) -> Changed {
    let mut changed = Changed::default();
    let mut section = Section::default();
    let mut continues = false;
    for line in text.split_inclusive('\n') {
        let bare = line.trim();
        let was_continued = std::mem::replace(&mut continues, false);
        if bare.starts_with(['#', ';']) && !was_continued {
            changed.text.push_str(line);
            continue;
        }
        continues = bare.ends_with('\\') && !bare.ends_with("\\\\");
        if !was_continued && bare.starts_with('[') {
            section = Section::read(bare);
            if section.secret && !keys {
                changed.withhold("a section that holds a password".to_owned(), ending(line));
                continue;
            }
            let fate = Fate::Keep(section.rewritten(line, homes, &mut changed.replaced));
            changed.push(line, fate);
        } else if section.secret && !keys {
            changed.text.push_str("# dwell left this out\n");
        } else if was_continued {
            let new = homes.rewrite(line, &mut changed.replaced);
            changed.text.push_str(new.as_deref().unwrap_or(line));
        } else {
            git_value(line, &section, homes, keys, &mut changed);
        }
    }
    changed
}

fn git_value(line: &str, section: &Section, homes: &Homes, keys: bool, changed: &mut Changed) {
    let (name, value) = line.split_once('=').unwrap_or((line, ""));
    let key = format!("{}.{}", section.name, name.trim().to_ascii_lowercase());
    let value = unquoted(value);
    if secret::is_secret_line(&key, &value) && !keys {
        changed.withhold(key, ending(line));
        return;
    }
    if GIT_FILES.contains(&key.as_str()) {
        changed.files.push(value.clone());
    }
    let helper = (key == "credential.helper").then_some(value.as_str());
    if let Some(helper) = helper.filter(|helper| HELPERS.contains(helper)) {
        changed.troubles.push(format!(
            "credential.helper `{helper}` is not in a workspace and is left out; `gh auth login` \
             or ssh keys work there"
        ));
        return changed.push(line, Fate::LeaveOut);
    }
    if key == "commit.gpgsign" && value == "true" {
        changed.troubles.push(
            "commit.gpgsign: commits fail there unless the signing key is reached, by agent \
             forwarding or a key made inside"
                .to_owned(),
        );
    }
    changed.programs.extend(git_program(&key, &value));
    let (head, tail) = line.split_at(line.find('=').map_or(0, |at| at + 1));
    let new = homes.rewrite(tail, &mut changed.replaced);
    changed.push(line, Fate::Keep(format!("{head}{}", new.as_deref().unwrap_or(tail))));
}

/// The program that a setting of git runs.
fn git_program(key: &str, value: &str) -> Option<String> {
    const NAMES: [&str; 9] = [
        "editor",
        "pager",
        "difffilter",
        "external",
        "textconv",
        "cmd",
        "program",
        "sshcommand",
        "helper",
    ];
    let (section, name) = key.split_once('.')?;
    let runs = NAMES.contains(&name)
        || section == "pager"
        || (section == "filter" && ["clean", "smudge", "process"].contains(&name));
    if !runs || value.is_empty() || matches!(value, "true" | "false") {
        return None;
    }
    if name == "helper" && !value.starts_with(['!', '/', '~']) {
        let helper = value.split_whitespace().next()?;
        let is_own = matches!(helper, "cache" | "store");
        return (!is_own).then(|| format!("git-credential-{helper}"));
    }
    super::programs::of_shell(value.trim_start_matches('!'))
}

/// A section of a git configuration.
#[derive(Default)]
struct Section {
    name: String,
    /// Whether its own name holds a password.
    secret: bool,
}

impl Section {
    fn read(line: &str) -> Self {
        let inner = line.trim_start_matches('[');
        let end = inner.find(|c: char| c.is_whitespace() || c == ']').unwrap_or(inner.len());
        let name = inner.get(..end).unwrap_or_default().to_ascii_lowercase();
        Self { name, secret: secret::has_password(line) }
    }

    /// Its line, where it names a directory.
    fn rewritten(&self, line: &str, homes: &Homes, replaced: &mut Vec<Replaced>) -> String {
        let Some((head, tail)) = line.split_once('"') else { return line.to_owned() };
        // What stands before the path is no machine's name.
        let kinds = ["gitdir/i:", "gitdir:"];
        let kind = kinds.into_iter().find(|kind| tail.starts_with(kind)).unwrap_or_default();
        let path = tail.get(kind.len()..).unwrap_or_default();
        let new = homes.rewrite(path, replaced);
        format!("{head}\"{kind}{}", new.as_deref().unwrap_or(path))
    }
}

/// A value of git without quotes and comment.
fn unquoted(value: &str) -> String {
    let value = value.trim();
    if let Some(rest) = value.strip_prefix('"') {
        let end = rest.rfind('"').unwrap_or(rest.len());
        return rest.get(..end).unwrap_or_default().replace("\\\"", "\"").replace("\\\\", "\\");
    }
    let end = value.find([';', '#']).unwrap_or(value.len());
    value.get(..end).unwrap_or_default().trim_end().to_owned()
}

/// Options of ssh that only macOS's ssh knows: another one refuses the whole file.
const APPLE: [&str; 1] = ["usekeychain"];

/// An ssh configuration as it is in a workspace.
pub(super) fn ssh(text: &str, homes: &Homes) -> Changed {
    let mut changed = Changed::default();
    for line in text.split_inclusive('\n') {
        let bare = line.trim();
        if bare.is_empty() || bare.starts_with('#') {
            changed.text.push_str(line);
            continue;
        }
        let end = bare.find(|c: char| c.is_whitespace() || c == '=').unwrap_or(bare.len());
        let option = bare.get(..end).unwrap_or_default().to_ascii_lowercase();
        let value = bare.get(end..).unwrap_or_default();
        let value = value.trim_start_matches(|c: char| c.is_whitespace() || c == '=');
        let value = value.trim_matches('"');
        if let Some(why) = ssh_trouble(&option, value) {
            changed.troubles.push(why);
            changed.push(line, Fate::LeaveOut);
            continue;
        }
        if option == "include" {
            changed.files.extend(value.split_whitespace().map(str::to_owned));
        }
        changed.programs.extend(ssh_program(&option, value));
        let new = homes.rewrite(line, &mut changed.replaced);
        changed.push(line, Fate::Keep(new.unwrap_or_else(|| line.to_owned())));
    }
    changed
}

/// Why a line of ssh's cannot stay.
fn ssh_trouble(option: &str, value: &str) -> Option<String> {
    if APPLE.contains(&option) {
        return Some(format!("{option}: only macOS's ssh knows it, and it is left out"));
    }
    let reached = matches!(value, "none" | "SSH_AUTH_SOCK") || value.starts_with('$');
    (option == "identityagent" && !reached).then(|| {
        "identityagent: that socket is not in a workspace, and it is left out; `dwell ssh -A` \
         forwards an agent"
            .to_owned()
    })
}

fn ssh_program(option: &str, value: &str) -> Option<String> {
    let line = match option {
        "proxycommand" | "knownhostscommand" if value != "none" => value,
        "match" => {
            let (_, rest) = value.split_once("exec")?;
            rest.trim_start().trim_matches('"')
        }
        _ => return None,
    };
    super::programs::of_shell(line)
}

/// How a line ends.
fn ending(line: &str) -> &'static str {
    if line.ends_with('\n') { "\n" } else { "" }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn homes() -> Homes {
        Homes::of("/Users/x", "x", &[])
    }

    #[test]
    fn a_git_configuration_follows() {
        let text = "\
# /Users/x/comment
[user]
\tname = X
[core]
\texcludesfile = ~/.gitignore_global
\teditor = \"/Users/x/bin/edit\" --wait
[includeIf \"gitdir:/Users/x/work/\"]
\tpath = /Users/x/.gitconfig-work
[credential]
\thelper = osxkeychain
[url \"https://me:s3cr3t-token@github.com/\"]
\tinsteadOf = https://github.com/
[github]
\ttoken = ghp_0123456789abcdef
[safe]
\tdirectory = C:/Users/x/a
";
        let changed = git(text, &homes(), false);
        insta::assert_snapshot!(changed.text, @r#"
        # /Users/x/comment
        [user]
        	name = X
        [core]
        	excludesfile = ~/.gitignore_global
        	editor = "/home/dev/bin/edit" --wait
        [includeIf "gitdir:/home/dev/work/"]
        	path = /home/dev/.gitconfig-work
        [credential]
        # dwell left this out: helper = osxkeychain
        # dwell left a section that holds a password out: it is a secret
        # dwell left this out
        [github]
        # dwell left github.token out: it is a secret
        [safe]
        	directory = /home/dev/a
        "#);
        assert_eq!(changed.files, ["~/.gitignore_global", "/Users/x/.gitconfig-work"]);
        assert_eq!(changed.programs, ["/Users/x/bin/edit"]);
        assert_eq!(changed.troubles.len(), 1);
        assert!(git(text, &homes(), true).text.contains("s3cr3t"));
    }

    #[test]
    fn programs_of_git_are_known() {
        for (key, value, program) in [
            ("core.pager", "delta --dark", Some("delta")),
            ("pager.diff", "less", Some("less")),
            ("credential.helper", "foo --x", Some("git-credential-foo")),
            ("credential.helper", "cache --timeout=3", None),
            ("credential.helper", "!gh auth git-credential", Some("gh")),
            ("filter.clean", "git-lfs clean -- %f", Some("git-lfs")),
            ("color.pager", "true", None),
        ] {
            assert_eq!(git_program(key, value).as_deref(), program, "{key} {value}");
        }
    }

    #[test]
    fn an_ssh_configuration_follows() {
        let text = "\
Include config.d/* /Users/x/.ssh/more
Host *
  UseKeychain yes
  AddKeysToAgent yes
  IdentityFile /Users/x/.ssh/id_ed25519
  IdentityAgent \"~/Library/Group Containers/agent.sock\"
Host a
  IdentityAgent SSH_AUTH_SOCK
  ProxyCommand /opt/homebrew/bin/tool %h
Match exec \"check-it /Users/x\"
";
        let changed = ssh(text, &homes());
        insta::assert_snapshot!(changed.text, @r#"
        Include config.d/* /home/dev/.ssh/more
        Host *
        # dwell left this out: UseKeychain yes
          AddKeysToAgent yes
          IdentityFile /home/dev/.ssh/id_ed25519
        # dwell left this out: IdentityAgent "~/Library/Group Containers/agent.sock"
        Host a
          IdentityAgent SSH_AUTH_SOCK
          ProxyCommand /opt/homebrew/bin/tool %h
        Match exec "check-it /home/dev"
        "#);
        assert_eq!(changed.files, ["config.d/*", "/Users/x/.ssh/more"]);
        assert_eq!(changed.programs, ["/opt/homebrew/bin/tool", "check-it"]);
    }
}

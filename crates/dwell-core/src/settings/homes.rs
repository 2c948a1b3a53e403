//! The homes of a person, in every form in which files name them, and putting a workspace's home in
//! their place: only where a path begins, and only where the home's own name ends.

use serde::{Deserialize, Serialize};

use crate::workspace::HOME;

/// What a directory with many homes is called, by system.
const ROOTS: [&str; 3] = ["/Users/", "/home/", "/var/home/"];
/// How far a path is shown, in bytes.
const SHOWN: usize = 160;

/// A path that was rewritten.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema), schema(as = RewrittenPath))]
pub struct Replaced {
    /// As the person's machine has it.
    pub from: String,
    /// As the workspace has it.
    pub to: String,
}

/// The homes of one person.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Homes {
    all: Vec<Form>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Form {
    /// A directory.
    Unix(String),
    /// `C:\Users\<name>`, with either separator and on any drive.
    Windows(String),
    /// The same where Linux sees it: `/mnt/c/Users/<name>`, or `/c/Users/<name>`.
    Mounted(String),
}

impl Homes {
    /// The home that a person has, and those that the same user has on other systems. `more` are
    /// further ones; a Windows home tells its user's name there.
    pub fn of(home: &str, user: &str, more: &[String]) -> Self {
        let mut homes = Self::default();
        homes.add(home);
        homes.add_user(user);
        // Where everybody is root, its home is the person's.
        if user == "root" {
            homes.add("/root");
        }
        more.iter().for_each(|home| homes.add(home));
        // The longer one first: /home/a/b is not /home/a.
        homes.all.sort_by_key(|form| std::cmp::Reverse(form.length()));
        homes
    }

    fn add_user(&mut self, user: &str) {
        if user.is_empty() || user == "root" || user.contains(['/', '\\']) {
            return;
        }
        for root in ROOTS {
            self.push(Form::Unix(format!("{root}{user}")));
        }
        self.push(Form::Windows(user.to_owned()));
        self.push(Form::Mounted(user.to_owned()));
    }

    fn add(&mut self, home: &str) {
        let home = home.trim_end_matches(['/', '\\']);
        if let Some(user) = windows_user(home) {
            self.push(Form::Windows(user.to_owned()));
            self.push(Form::Mounted(user.to_owned()));
        } else if home.len() > 1 && home.starts_with('/') {
            self.push(Form::Unix(home.to_owned()));
        }
    }

    fn push(&mut self, form: Form) {
        if !self.all.contains(&form) {
            self.all.push(form);
        }
    }

    /// The text with every path below a home as the workspace has it, and what was replaced;
    /// `None` where nothing is to be.
    pub fn rewrite(&self, text: &str, replaced: &mut Vec<Replaced>) -> Option<String> {
        let mut out = String::with_capacity(text.len());
        let (mut done, mut at) = (0, 0);
        while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
            if let Some((length, windows)) = self.found(text, at) {
                out.push_str(text.get(done..at).unwrap_or_default());
                let tail = path_end(text, at, at + length, windows);
                let path = text.get(at..tail).unwrap_or_default();
                let below = text.get(at + length..tail).unwrap_or_default();
                let below = if windows { slashes(below) } else { below.to_owned() };
                let to = format!("{HOME}{below}");
                if to != path {
                    note(replaced, path, &to);
                }
                out.push_str(&to);
                at = tail;
                done = tail;
            } else {
                at += rest.chars().next().map_or(1, char::len_utf8);
            }
        }
        out.push_str(text.get(done..).unwrap_or_default());
        (out != text).then_some(out)
    }

    /// The path below the home that a path names, where it is below one of the homes.
    pub fn below<'a>(&self, path: &'a str) -> Option<&'a str> {
        let path = ["~/", "$HOME/", "${HOME}/", "%d/"]
            .iter()
            .find_map(|home| path.strip_prefix(home))
            .or_else(|| {
                let (length, _) = self.found(path, 0)?;
                path.get(length..)?.strip_prefix('/')
            })?;
        (!path.is_empty()).then_some(path)
    }

    /// Whether a home begins here: its length in bytes, and whether it is a Windows path.
    fn found(&self, text: &str, at: usize) -> Option<(usize, bool)> {
        let rest = text.get(at..)?;
        if !rest.starts_with('/') && !drive(rest) {
            return None;
        }
        let before = text.get(..at)?;
        if !begins(before) {
            return None;
        }
        self.all.iter().find_map(|form| {
            let length = form.matches(rest)?;
            ends(rest.get(length..)?).then_some((length, matches!(form, Form::Windows(_))))
        })
    }
}

impl Form {
    fn length(&self) -> usize {
        match self {
            Self::Unix(text) | Self::Windows(text) | Self::Mounted(text) => text.len(),
        }
    }

    /// How much of a text is this home.
    fn matches(&self, text: &str) -> Option<usize> {
        let length = |rest: &str| text.len() - rest.len();
        match self {
            Self::Unix(home) => text.strip_prefix(home.as_str()).map(length),
            Self::Mounted(user) => {
                let rest = text.strip_prefix("/mnt/").or_else(|| text.strip_prefix('/'))?;
                let rest = rest.strip_prefix(|c: char| c.is_ascii_alphabetic())?;
                let rest = without_case(rest, "/users/")?;
                without_case(rest, user).map(length)
            }
            Self::Windows(user) => {
                let rest = text.get(2..).filter(|_| drive(text))?;
                let rest = without_case(separator(rest)?, "users")?;
                without_case(separator(rest)?, user).map(length)
            }
        }
    }
}

/// The user whose Windows home a path is: `C:\Users\x`, `/mnt/c/Users/x`.
fn windows_user(home: &str) -> Option<&str> {
    let rest = if drive(home) { home.get(2..)? } else { home.strip_prefix("/mnt/")?.get(1..)? };
    let rest = without_case(separator(rest)?, "users")?;
    separator(rest).filter(|user| !user.is_empty() && !user.contains(['/', '\\']))
}

/// The Windows home that the search path of a Linux shell tells under WSL.
pub fn windows_home(search_path: &str) -> Option<String> {
    search_path.split(':').find_map(|place| {
        let rest = place.strip_prefix("/mnt/")?;
        let (drive, rest) = rest.split_once('/')?;
        let rest = without_case(rest, "users/")?;
        let (user, below) = rest.split_once('/')?;
        let is_app = without_case(below, "appdata/").is_some();
        (drive.len() == 1 && is_app).then(|| format!("/mnt/{drive}/Users/{user}"))
    })
}

fn drive(text: &str) -> bool {
    let mut characters = text.chars();
    characters.next().is_some_and(|c| c.is_ascii_alphabetic())
        && characters.next() == Some(':')
        && matches!(characters.next(), Some('\\' | '/'))
}

/// What follows a separator: one slash, or one backslash, or one that is escaped.
fn separator(text: &str) -> Option<&str> {
    ["\\\\", "\\", "/"].iter().find_map(|separator| text.strip_prefix(separator))
}

fn without_case<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    let head = text.get(..prefix.len())?;
    head.eq_ignore_ascii_case(prefix).then(|| text.get(prefix.len()..)).flatten()
}

/// Whether a character may be part of a file's name, as far as that tells one path from another.
fn in_name(c: char) -> bool {
    c.is_alphanumeric() || "_-+.~%*?[{".contains(c)
}

/// Whether a path may begin after this text.
pub(super) fn begins(before: &str) -> bool {
    let Some(last) = before.chars().next_back() else { return true };
    match last {
        '/' => {
            let rest = before.get(..before.len() - 1).unwrap_or_default();
            // `file:///home/x`, and `//home/x` for a path from the root in an agent's rules.
            rest.ends_with("file:/")
                || rest.chars().next_back().is_none_or(|c| !in_name(c) && !"/:\\".contains(c))
        }
        // `host:/home/x` is another machine's, `/a:/home/x` is a list.
        ':' => !is_host(before.get(..before.len() - 1).unwrap_or_default()),
        '\\' => false,
        other => !in_name(other),
    }
}

/// Whether a text ends with what may be the name of a machine.
fn is_host(text: &str) -> bool {
    let word = text.rsplit(|c: char| c.is_whitespace() || "'\"=,;:()[]{}<>|&`".contains(c));
    let word = word.into_iter().next().unwrap_or_default();
    let allowed = |c: char| c.is_ascii_alphanumeric() || "._-@".contains(c);
    word.chars().all(allowed) && word.contains(|c: char| c.is_ascii_alphabetic())
}

/// Whether a name ends before this text.
fn ends(after: &str) -> bool {
    let mut characters = after.chars();
    match characters.next() {
        // The end of a sentence.
        Some('.') => characters.next().is_none_or(|c| !in_name(c) && c != '/'),
        Some('@') => false,
        Some(c) => !in_name(c),
        None => true,
    }
}

/// Where a path ends whose home ends at `from`; a quoted one ends with its quote.
pub(super) fn path_end(text: &str, at: usize, from: usize, windows: bool) -> usize {
    let rest = text.get(from..).unwrap_or_default();
    let separators: &[char] = if windows { &['/', '\\'] } else { &['/'] };
    if !rest.starts_with(separators) {
        return from;
    }
    let quote = text.get(..at).and_then(|before| before.chars().next_back());
    let quote = quote.filter(|c| matches!(c, '"' | '\'')).filter(|c| rest.contains(*c));
    let is_end = |c: char| match quote {
        Some(quote) => c == quote || c == '\n',
        None => c.is_whitespace() || "'\"`;|&<>,:()".contains(c) || (c == '\\' && !windows),
    };
    from + rest.find(is_end).unwrap_or(rest.len())
}

fn slashes(path: &str) -> String {
    path.replace("\\\\", "/").replace('\\', "/")
}

fn note(replaced: &mut Vec<Replaced>, from: &str, to: &str) {
    let short = |text: &str| text.get(..text.floor_char_boundary(SHOWN)).unwrap_or(text).to_owned();
    let it = Replaced { from: short(from), to: short(to) };
    if !replaced.contains(&it) {
        replaced.push(it);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(homes: &Homes, table: &[(&str, &str)]) {
        for (before, after) in table {
            let got = homes.rewrite(before, &mut Vec::new());
            assert_eq!(got.as_deref().unwrap_or(before), *after, "{before}");
            let again = homes.rewrite(after, &mut Vec::new());
            assert_eq!(again.as_deref().unwrap_or(after), *after, "{before}, twice");
        }
    }

    #[test]
    fn every_form_of_a_home_becomes_the_workspaces() {
        let homes = Homes::of("/Users/x", "x", &["/mnt/c/Users/Jane Doe".to_owned()]);
        check(
            &homes,
            &[
                ("/Users/x/.claude/a.sh", "/home/dev/.claude/a.sh"),
                ("/Users/x", "/home/dev"),
                ("/home/x/a", "/home/dev/a"),
                ("/var/home/x/.claude/x", "/home/dev/.claude/x"),
                (r"C:\Users\x\.claude\a.sh", "/home/dev/.claude/a.sh"),
                (r"c:\users\X\a b", "/home/dev/a b"),
                ("D:/Users/x/a", "/home/dev/a"),
                (r"C:\\Users\\x\\a", "/home/dev/a"),
                (r#"run "C:\Users\Jane Doe\My Files\a" b\c"#, r#"run "/home/dev/My Files/a" b\c"#),
                ("/mnt/c/Users/x/a", "/home/dev/a"),
                ("/mnt/c/Users/Jane Doe/a", "/home/dev/a"),
                ("/c/Users/x/a", "/home/dev/a"),
                ("/root/a", "/root/a"),
            ],
        );
        check(
            &Homes::of("/root", "root", &[]),
            &[
                ("/root/.claude/a", "/home/dev/.claude/a"),
                ("/rooted/a", "/rooted/a"),
                ("/home/root/a", "/home/root/a"),
            ],
        );
    }

    #[test]
    fn only_where_a_path_begins_and_the_name_ends() {
        let homes = Homes::of("/home/x", "x", &[]);
        check(
            &homes,
            &[
                ("/home/xy/a", "/home/xy/a"),
                ("/home/x-old", "/home/x-old"),
                ("/home/x.bak/a", "/home/x.bak/a"),
                ("/home/x*", "/home/x*"),
                ("in /home/x.", "in /home/dev."),
                ("/srv/home/x/a", "/srv/home/x/a"),
                ("./home/x/a", "./home/x/a"),
                ("server:/home/x/a", "server:/home/x/a"),
                ("me@server.org:/home/x/a", "me@server.org:/home/x/a"),
                ("https://host/home/x/a", "https://host/home/x/a"),
                ("PATH=/home/x/bin:/usr/bin:/home/x/b", "PATH=/home/dev/bin:/usr/bin:/home/dev/b"),
                ("file:///home/x/a", "file:///home/dev/a"),
                ("Read(//home/x/**)", "Read(//home/dev/**)"),
                ("@/home/x/notes.md", "@/home/dev/notes.md"),
                ("'/home/x/a b' /home/x", "'/home/dev/a b' /home/dev"),
                ("é/home/x", "é/home/x"),
                ("~/a $HOME/b", "~/a $HOME/b"),
            ],
        );
    }

    #[test]
    fn what_was_replaced_is_told_once() {
        let homes = Homes::of("/home/x", "x", &[]);
        let mut replaced = Vec::new();
        homes.rewrite("/home/x/a /home/x/a;/home/x", &mut replaced).unwrap();
        let told: Vec<_> = replaced.iter().map(|it| (it.from.as_str(), it.to.as_str())).collect();
        assert_eq!(told, [("/home/x/a", "/home/dev/a"), ("/home/x", "/home/dev")]);
    }

    #[test]
    fn a_path_below_a_home_is_known() {
        let homes = Homes::of("/Users/x", "x", &[]);
        for (path, below) in [
            ("~/a/b", Some("a/b")),
            ("$HOME/a", Some("a")),
            ("/Users/x/a", Some("a")),
            ("/home/x/a", Some("a")),
            ("/Users/xy/a", None),
            ("/etc/a", None),
            ("~/", None),
        ] {
            assert_eq!(homes.below(path), below, "{path}");
        }
    }

    #[test]
    fn the_windows_home_is_in_the_search_path_of_wsl() {
        let path = "/usr/bin:/mnt/c/WINDOWS:/mnt/c/Users/Jane/AppData/Local/Microsoft/WindowsApps";
        assert_eq!(windows_home(path).as_deref(), Some("/mnt/c/Users/Jane"));
        assert_eq!(windows_home("/usr/bin:/mnt/data/Users/x/bin"), None);
    }
}

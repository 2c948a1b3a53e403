//! A repository of dotfiles: where it is, and what is run of it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::secret;

const LONGEST: usize = 1024;

/// A git repository, as one names it to `git clone`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DotfilesRef(String);

/// Text that cannot name a repository.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DotfilesError {
    /// It is no address.
    #[error(
        "`{given}` cannot name a repository: it is an address such as `https://github.com/you/dotfiles` or `git@host:dotfiles`"
    )]
    Unknown {
        /// What was given.
        given: String,
    },
    /// It holds a password.
    #[error("the repository's address holds a password or token, which others could read")]
    Secret,
}

impl DotfilesRef {
    /// The address.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for DotfilesRef {
    type Err = DotfilesError;
    fn from_str(text: &str) -> Result<Self, DotfilesError> {
        if secret::has_password(text) {
            return Err(DotfilesError::Secret);
        }
        let known = ["https://", "http://", "ssh://", "git://", "file:///", "/"];
        // `me@host:path`, as scp has it.
        let is_scp = text.split_once(':').is_some_and(|(host, path)| {
            !host.contains('/') && !host.starts_with('-') && !host.is_empty() && !path.is_empty()
        });
        let is_address = known.iter().any(|start| text.starts_with(start)) || is_scp;
        let plain = !text.contains(|c: char| c.is_control() || c.is_whitespace());
        // git runs commands for `ext::`.
        if is_address && plain && !text.contains("::") && text.len() <= LONGEST {
            Ok(Self(text.to_owned()))
        } else {
            Err(DotfilesError::Unknown { given: text.escape_debug().take(LONGEST).collect() })
        }
    }
}

crate::text::as_text!(DotfilesRef);

impl fmt::Display for DotfilesRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Clones the repository that is its first argument, or brings it up to date, and runs its install
/// script; where it has none, links to its dotfiles are made.
pub const DOTFILES_SCRIPT: &str = r#"
set -u
place=$HOME/dotfiles
if ! command -v git >/dev/null; then
    echo "git is not in this image" >&2
    exit 1
fi
if [ -e "$place/.git" ]; then
    git -C "$place" pull --ff-only || exit 1
else
    git clone --depth 1 --recurse-submodules --shallow-submodules -- "$1" "$place" || exit 1
fi
cd "$place" || exit 1
for script in install.sh install bootstrap.sh bootstrap script/bootstrap setup.sh setup script/setup; do
    if [ -f "$script" ]; then
        echo "running $script"
        [ -x "$script" ] || chmod u+x "$script"
        "./$script"
        exit
    fi
done
for file in .[!.]*; do
    case $file in .git | .github | .gitmodules | .gitattributes | '.[!.]*') continue ;; esac
    target=$HOME/$file
    if [ -d "$target" ] && [ ! -L "$target" ]; then
        echo "~/$file is a directory and stays"
        continue
    fi
    if [ -e "$target" ] && [ ! -L "$target" ]; then
        mv "$target" "$target.before-dotfiles"
        echo "~/$file is kept as ~/$file.before-dotfiles"
    fi
    ln -sfn "dotfiles/$file" "$target" && echo "~/$file -> dotfiles/$file"
done
"#;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_are_taken() {
        for good in
            ["https://github.com/a/b", "git@github.com:a/b.git", "ssh://git@h/a", "/srv/d.git"]
        {
            assert_eq!(good.parse::<DotfilesRef>().unwrap().as_str(), good);
        }
        for bad in ["", "a", "--upload-pack=x", "-x:y", "ext::sh -c x", "https://a b", "a\n:b"] {
            assert!(bad.parse::<DotfilesRef>().is_err(), "{bad}");
        }
        let secret = "https://me:token@github.com/a/b".parse::<DotfilesRef>();
        assert_eq!(secret, Err(DotfilesError::Secret));
    }
}

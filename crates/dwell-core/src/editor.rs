//! Editors that work over ssh, and the links that open a directory of a host in them.

use std::fmt::Write as _;

/// An editor that opens a directory of another machine by its name for ssh.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Editor {
    /// Visual Studio Code.
    Vscode,
    /// Its preview builds.
    VscodeInsiders,
    /// VSCodium, with the extension Open Remote - SSH.
    Vscodium,
    /// Cursor.
    Cursor,
    /// Windsurf.
    Windsurf,
    /// Zed.
    Zed,
    /// JetBrains Gateway.
    Gateway,
}

impl Editor {
    /// The link, for a host and user that the ssh configuration knows and a path there.
    pub fn link(self, host: &str, user: &str, path: &str) -> String {
        let encoded = encode(path, true);
        let code = |scheme: &str| {
            format!("{scheme}://vscode-remote/ssh-remote+{host}{encoded}?windowId=_blank")
        };
        match self {
            Self::Vscode => code("vscode"),
            Self::VscodeInsiders => code("vscode-insiders"),
            Self::Vscodium => code("vscodium"),
            Self::Cursor => code("cursor"),
            Self::Windsurf => code("windsurf"),
            Self::Zed => format!("zed://ssh/{user}@{host}{encoded}"),
            Self::Gateway => format!(
                "jetbrains-gateway://connect#type=ssh&host={host}&port=22&user={user}\
                 &deploy=true&projectPath={}",
                encode(path, false)
            ),
        }
    }
}

/// Percent-encodes what has a meaning in links.
fn encode(text: &str, keep_slashes: bool) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        let plain = byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
        if plain || (byte == b'/' && keep_slashes) {
            encoded.push(char::from(byte));
        } else {
            // A string takes everything.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_editor_has_its_link() {
        let link = |editor: Editor| editor.link("box.dwell", "dev", "/home/dev/my app");
        assert_eq!(
            link(Editor::Vscode),
            "vscode://vscode-remote/ssh-remote+box.dwell/home/dev/my%20app?windowId=_blank"
        );
        assert!(link(Editor::Cursor).starts_with("cursor://vscode-remote/ssh-remote+box.dwell/"));
        assert_eq!(link(Editor::Zed), "zed://ssh/dev@box.dwell/home/dev/my%20app");
        assert_eq!(
            link(Editor::Gateway),
            "jetbrains-gateway://connect#type=ssh&host=box.dwell&port=22&user=dev&deploy=true\
             &projectPath=%2Fhome%2Fdev%2Fmy%20app"
        );
    }
}

//! What is a secret: by where a file is, by what is in it, by the key that a value has.

/// Files that hold secrets, by the end of their path.
const FILES: [&str; 22] = [
    ".credentials.json",
    ".codex/auth.json",
    "opencode/auth.json",
    "opencode/mcp-auth.json",
    ".gemini/oauth_creds.json",
    ".gemini/google_accounts.json",
    ".gemini/mcp-oauth-tokens.json",
    "mcp-oauth-tokens-v2.json",
    ".netrc",
    "_netrc",
    ".git-credentials",
    "git/credentials",
    ".npmrc",
    ".pypirc",
    ".pgpass",
    ".my.cnf",
    ".docker/config.json",
    "gh/hosts.yml",
    ".vault-token",
    "/etc/shadow",
    "/etc/gshadow",
    ".bash_history",
];

/// Directories that hold secrets.
const PLACES: [&str; 13] = [
    "/.gnupg/",
    "/.aws/",
    "/.azure/",
    "/.kube/",
    "/.config/gcloud/",
    "/.password-store/",
    "/.local/share/keyrings/",
    "/Library/Keychains/",
    "/.config/op/",
    "/proc/",
    "/run/secrets/",
    "/.terraform.d/",
    "/.local/share/opencode/",
];

/// Keys whose values are secrets, by their last words.
const KEYS: [&str; 13] = [
    "token",
    "secret",
    "password",
    "passwd",
    "smtppass",
    "api_key",
    "apikey",
    "access_key",
    "secret_key",
    "private_key",
    "authorization",
    "extraheader",
    "auth_key",
];

/// The least length of a secret, in bytes.
const SHORTEST: usize = 8;

/// Whether a file is one that holds secrets, by its path with all links resolved.
pub(super) fn is_secret_path(path: &str) -> bool {
    let path = path.replace('\\', "/");
    let name = path.rsplit('/').next().unwrap_or_default();
    let is_variables = name == ".env" || name.starts_with(".env.");
    let is_named = FILES.iter().any(|file| {
        path.strip_suffix(file).is_some_and(|before| {
            before.is_empty() || before.ends_with('/') || file.starts_with('/')
        })
    });
    is_variables || is_named || PLACES.iter().any(|place| path.contains(place))
}

/// Whether a file holds a private key.
pub(super) fn is_private_key(content: &[u8]) -> bool {
    let text = String::from_utf8_lossy(content.get(..4096.min(content.len())).unwrap_or_default());
    let armour = text
        .lines()
        .any(|line| line.trim_start().starts_with("-----BEGIN ") && line.contains("PRIVATE KEY"));
    armour || text.starts_with("PuTTY-User-Key-File") || text.starts_with("AGE-SECRET-KEY-")
}

/// Whether a value is a secret, by the key that it has. References to secrets are none.
pub(super) fn is_secret_value(key: &str, value: &str) -> bool {
    let is_reference = value.starts_with(['$', '{', '~', '/', '%']) || value.starts_with("env:");
    value.len() >= SHORTEST && !is_reference && is_secret_key(key)
}

/// The same for a line of a configuration of git, whose values may hold an address.
pub(super) fn is_secret_line(key: &str, value: &str) -> bool {
    is_secret_value(key, value) || has_password(value)
}

fn is_secret_key(key: &str) -> bool {
    let mut words = String::with_capacity(key.len() + 4);
    let mut before = None::<char>;
    for c in key.chars() {
        // `apiKey` is `api_key`.
        if c.is_uppercase() && before.is_some_and(char::is_lowercase) {
            words.push('_');
        }
        words.extend(if c.is_alphanumeric() { c } else { '_' }.to_lowercase());
        before = Some(c);
    }
    KEYS.iter().any(|secret| {
        words.strip_suffix(secret).is_some_and(|rest| rest.is_empty() || rest.ends_with('_'))
    })
}

/// Whether a text holds an address with a password: `https://user:password@host`.
pub(super) fn has_password(text: &str) -> bool {
    text.match_indices("://").any(|(at, mark)| {
        let rest = text.get(at + mark.len()..).unwrap_or_default();
        let end = rest.find(|c: char| c == '/' || c == '"' || c.is_whitespace());
        let authority = rest.get(..end.unwrap_or(rest.len())).unwrap_or_default();
        let user = authority.rsplit_once('@').map(|(user, _)| user).unwrap_or_default();
        let password = user.split_once(':').map_or(user, |(_, password)| password);
        // A long user name is a token.
        !password.starts_with('$')
            && (user.contains(':') && !password.is_empty() || password.len() >= 20)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_with_secrets_are_known_by_their_path() {
        for path in [
            "/home/x/.claude/.credentials.json",
            "/home/x/.codex/auth.json",
            "/home/x/.aws/config",
            "/etc/shadow",
            "/home/x/p/.env",
            "/home/x/p/.env.local",
            "/home/x/.netrc",
        ] {
            assert!(is_secret_path(path), "{path}");
        }
        for path in ["/home/x/.claude/settings.json", "/home/x/my.netrc.md", "/home/x/.envrc"] {
            assert!(!is_secret_path(path), "{path}");
        }
    }

    #[test]
    fn private_keys_are_known_by_their_first_line() {
        assert!(is_private_key(b"-----BEGIN OPENSSH PRIVATE KEY-----\nabc"));
        assert!(is_private_key(b"\n-----BEGIN RSA PRIVATE KEY-----"));
        assert!(!is_private_key(b"ssh-ed25519 AAAA"));
        assert!(!is_private_key(b"-----BEGIN CERTIFICATE-----"));
        assert!(!is_private_key(b""));
    }

    #[test]
    fn secrets_are_known_by_their_keys() {
        for key in
            ["ANTHROPIC_API_KEY", "apiKey", "openai-api-key", "GITHUB_TOKEN", "Authorization"]
        {
            assert!(is_secret_value(key, "0123456789"), "{key}");
        }
        for key in ["env_key", "max_tokens", "bearer_token_env_var", "tokenizer", "keybinding"] {
            assert!(!is_secret_value(key, "0123456789"), "{key}");
        }
        assert!(!is_secret_value("apiKey", "{env:OPENAI_API_KEY}"));
        assert!(!is_secret_value("apiKey", "$OPENAI_API_KEY"));
    }

    #[test]
    fn addresses_with_passwords_are_known() {
        assert!(has_password("[url \"https://me:secret@host/\"]"));
        assert!(has_password("https://ghp_0123456789abcdefghij@github.com/a"));
        assert!(!has_password("ssh://git@github.com/a") && !has_password("https://host/a@b:c"));
    }
}

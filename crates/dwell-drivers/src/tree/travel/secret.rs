//! Which files look as if they held secrets, by their names. Pure.

use std::path::Path;

use serde::{Deserialize, Serialize};

/// What became of the files that look secret, by their paths.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Secrets {
    /// Those that were sent.
    pub sent: Vec<String>,
    /// Those that were not.
    pub left_out: Vec<String>,
}

impl Secrets {
    /// Both together; what was sent in either way is not left out.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.sent.extend(other.sent);
        self.left_out.extend(other.left_out);
        for paths in [&mut self.sent, &mut self.left_out] {
            paths.sort();
            paths.dedup();
        }
        self.left_out.retain(|path| self.sent.binary_search(path).is_err());
        self
    }
}

/// Names that are secret as they are.
const NAMES: [&str; 24] = [
    ".envrc",
    ".npmrc",
    ".yarnrc",
    ".yarnrc.yml",
    ".pypirc",
    ".netrc",
    "_netrc",
    ".pgpass",
    ".my.cnf",
    ".git-credentials",
    ".dockercfg",
    ".htpasswd",
    ".vault-token",
    ".boto",
    ".s3cfg",
    "id_rsa",
    "id_dsa",
    "id_ecdsa",
    "id_ecdsa_sk",
    "id_ed25519",
    "id_ed25519_sk",
    "kubeconfig",
    "master.key",
    "terraform.tfstate",
];

/// Names whose meaning is in the directory that they are in.
const PLACES: [(&str, &str); 3] =
    [(".docker", "config.json"), (".kube", "config"), (".aws", "config")];

/// What the name of a key or a store of keys ends with.
const ENDINGS: [&str; 11] =
    ["pem", "key", "p12", "pfx", "jks", "keystore", "kdbx", "ppk", "env", "tfvars", "p8"];

/// Stems that hold secrets where they are data rather than a program.
const STEMS: [&str; 7] = [
    "credentials",
    "credential",
    "secrets",
    "secret",
    "service-account",
    "service_account",
    "serviceaccount",
];
const DATA: [&str; 11] =
    ["json", "yml", "yaml", "toml", "ini", "xml", "properties", "txt", "csv", "conf", "cfg"];

/// What says that a file only shows how the real one looks.
const EXAMPLES: [&str; 6] = ["example", "sample", "template", "dist", "defaults", "schema"];

/// Whether a file looks as if it held secrets.
pub fn looks_secret(path: &Path) -> bool {
    let Some(name) = path.file_name().and_then(|name| name.to_str()) else { return false };
    let name = name.to_ascii_lowercase();
    let parts: Vec<&str> = name.split('.').collect();
    if parts.iter().any(|part| EXAMPLES.contains(part)) {
        return false;
    }
    let parent = path.parent().and_then(Path::file_name).and_then(|name| name.to_str());
    let stem = parts.iter().find(|part| !part.is_empty()).copied().unwrap_or_default();
    let ending = parts.last().copied().filter(|_| parts.len() > 1).unwrap_or_default();
    let begins = |stems: &[&str]| {
        stems.iter().any(|start| {
            let rest = stem.strip_prefix(start);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['-', '_']))
        })
    };
    NAMES.contains(&name.as_str())
        || PLACES.iter().any(|(place, file)| parent == Some(*place) && name == *file)
        || name == ".env"
        || name.starts_with(".env.")
        || ENDINGS.contains(&ending)
        || (begins(&STEMS) && (ending.is_empty() || DATA.contains(&ending) || ending == stem))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_known_by_their_names() {
        for secret in [
            ".env",
            "app/.env.production",
            "prod.env",
            ".envrc",
            "certs/server.pem",
            "a/Server.KEY",
            "id_rsa",
            ".ssh/id_ed25519",
            "credentials",
            ".credentials",
            "credentials.json",
            ".aws/credentials",
            "credentials-prod.yaml",
            "service-account.json",
            "secrets.yml",
            ".npmrc",
            ".netrc",
            ".docker/config.json",
            "store.p12",
            "terraform.tfvars",
        ] {
            assert!(looks_secret(Path::new(secret)), "{secret}");
        }
    }

    #[test]
    fn programs_examples_and_public_keys_are_none() {
        for open in [
            ".env.example",
            "env.sample",
            "credentials.example.json",
            "id_rsa.pub",
            "id_generator.py",
            "credentials_controller.rb",
            "credentials.rs",
            "secrets.py",
            "secretary.txt",
            "config.json",
            "environment.ts",
            "keys.rs",
            "a.txt",
            "",
        ] {
            assert!(!looks_secret(Path::new(open)), "{open}");
        }
    }

    #[test]
    fn what_was_sent_either_way_is_not_left_out() {
        let some = |sent: &[&str], left: &[&str]| Secrets {
            sent: sent.iter().map(|s| (*s).to_owned()).collect(),
            left_out: left.iter().map(|s| (*s).to_owned()).collect(),
        };
        let both = some(&["b"], &["a", "c"]).and(some(&["c"], &["a", "d"]));
        assert_eq!(both, some(&["b", "c"], &["a", "d"]));
    }
}

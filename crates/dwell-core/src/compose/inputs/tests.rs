//! Every way in which a compose file names another file.

use super::*;

fn files(found: &Inputs) -> Vec<&str> {
    found.files.iter().filter_map(|path| path.to_str()).collect()
}

const EVERY_FORM: &str = r"
include:
  - a.yaml
  - path: [sub/b.yaml, sub/c.yaml]
    env_file: x.env
  - path: ../d.yaml
    project_directory: ../else
x-env: &env
  env_file: shared.env
services:
  one:
    <<: *env
    extends: {file: base/common.yml, service: web}
    environment: {SET: 1, UNSET: }
  two:
    extends: {service: one}
    env_file: [./1.env, {path: 2.env, required: false}]
    environment: [A=1, FROM_OUTSIDE]
    command: echo ${NAME:-x} $$NOT $OTHER
  three:
";

#[test]
fn every_form_is_found() {
    let found = inputs(EVERY_FORM, Path::new("/p"));
    assert!(found.certain);
    assert_eq!(
        files(&found),
        [
            "/p/.env",
            "/p/a.yaml",
            "/p/sub/b.yaml",
            "/p/sub/c.yaml",
            "/p/x.env",
            "/d.yaml",
            "/else/.env",
            "/p/base/common.yml",
            "/p/shared.env",
            "/p/1.env",
            "/p/2.env",
        ]
    );
    let compose: Vec<_> = found
        .compose
        .iter()
        .map(|(file, place)| format!("{} in {}", file.display(), place.display()))
        .collect();
    assert_eq!(
        compose,
        [
            "/p/a.yaml in /p",
            "/p/sub/b.yaml in /p/sub",
            "/p/sub/c.yaml in /p/sub",
            "/d.yaml in /else",
            "/p/base/common.yml in /p/base",
        ]
    );
    let variables: Vec<_> = found.variables.iter().map(String::as_str).collect();
    assert_eq!(variables, ["FROM_OUTSIDE", "NAME", "OTHER", "UNSET"]);
}

#[test]
fn what_cannot_be_known_is_said() {
    for text in [
        "include: ['${WHERE}/a.yaml']",
        "include: https://example.com/a.git",
        "include: [{path: a.yaml, project_directory: $X}]",
        "services: {a: {env_file: $X}}",
        "services: {a: {extends: {file: '${X}', service: b}}}",
        "services: [unclosed",
        "a: 1\na: 2",
    ] {
        assert!(!inputs(text, Path::new("/p")).certain, "{text}");
    }
}

#[test]
fn odd_text_is_no_panic() {
    for text in ["", "a", "[]", "services: 1", "services: {a: 1}", "include: 5", "$", "${", "$$$"] {
        let _ = inputs(text, Path::new("/p"));
    }
}

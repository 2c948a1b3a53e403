use super::*;

fn file(path: &str, executable: bool, contents: &str) -> ContextFile {
    ContextFile { path: path.to_owned(), executable, contents: contents.as_bytes().to_vec() }
}

fn recipe() -> Recipe {
    Recipe {
        variant: Variant::Base,
        base: "debian:bookworm".parse().unwrap(),
        base_id: Some("sha256:1".to_owned()),
        agents: BTreeSet::from(["codex".parse().unwrap(), "claude".parse().unwrap()]),
        files: files_hash(&[file("Dockerfile", false, "FROM x")]),
    }
}

fn labels(recipe: &Recipe) -> Labels {
    let text = serde_json::to_string(recipe).unwrap();
    Labels::read(Some(&recipe.hash()), Some(&text)).unwrap()
}

#[test]
fn the_hash_of_files_does_not_depend_on_their_order() {
    let (a, b) = (file("a", false, "1"), file("b/c", true, "2"));
    assert_eq!(files_hash(&[a.clone(), b.clone()]), files_hash(&[b, a]));
}

#[test]
fn every_part_of_a_file_counts() {
    let all = [
        vec![file("a", false, "1")],
        vec![file("b", false, "1")],
        vec![file("a", true, "1")],
        vec![file("a", false, "2")],
        vec![file("a", false, "1"), file("b", false, "")],
        vec![file("a", false, ""), file("b", false, "1")],
        vec![],
    ];
    let hashes: BTreeSet<String> = all.iter().map(|files| files_hash(files)).collect();
    assert_eq!(hashes.len(), all.len());
}

#[test]
fn every_part_of_a_recipe_counts() {
    let first = recipe();
    let all = [
        first.clone(),
        Recipe { variant: Variant::Docker, ..first.clone() },
        Recipe { base: "ubuntu:24.04".parse().unwrap(), ..first.clone() },
        Recipe { base_id: Some("sha256:2".to_owned()), ..first.clone() },
        Recipe { agents: BTreeSet::new(), ..first.clone() },
        Recipe { files: files_hash(&[]), ..first.clone() },
    ];
    let hashes: BTreeSet<String> = all.iter().map(Recipe::hash).collect();
    assert_eq!(hashes.len(), all.len());
}

#[test]
fn an_image_of_the_same_recipe_is_fresh() {
    assert_eq!(recipe().freshness(Some(&labels(&recipe()))), Freshness::Fresh);
    assert_eq!(recipe().freshness(None), Freshness::Missing);
}

#[test]
fn a_base_that_is_not_here_counts_as_the_one_that_was_used() {
    let wanted = Recipe { base_id: None, ..recipe() };
    assert_eq!(wanted.freshness(Some(&labels(&recipe()))), Freshness::Fresh);
    let moved = Recipe { base_id: Some("sha256:2".to_owned()), ..recipe() };
    let freshness = moved.freshness(Some(&labels(&recipe())));
    assert_eq!(freshness.reasons(), ["debian:bookworm is another image now"]);
}

#[test]
fn an_old_image_has_every_reason_said() {
    let wanted = Recipe {
        base: "ubuntu:24.04".parse().unwrap(),
        agents: BTreeSet::new(),
        files: "0".to_owned(),
        ..recipe()
    };
    let reasons = wanted.freshness(Some(&labels(&recipe()))).reasons();
    assert_eq!(
        reasons,
        [
            "it starts from debian:bookworm, not from ubuntu:24.04",
            "it has claude codex, not no agents",
            "the files or certificates that it is built from changed",
        ]
    );
}

#[test]
fn labels_that_are_not_understood_make_an_image_old() {
    let odd = Labels::read(Some("1"), Some("{\"variant\":\"huge\"}")).unwrap();
    assert_eq!(recipe().freshness(Some(&odd)), Freshness::Old(vec![Reason::Unknown]));
    let other_method = Labels { hash: "1".to_owned(), ..labels(&recipe()) };
    assert_eq!(recipe().freshness(Some(&other_method)), Freshness::Old(vec![Reason::Unknown]));
    assert_eq!(Labels::read(None, Some("{}")), None);
}

#[test]
fn the_base_is_the_latest() {
    let repository = REPOSITORY.parse().unwrap();
    assert_eq!(Variant::Base.tags(&repository), ["dwell-workspace:base", "dwell-workspace:latest"]);
    assert_eq!(Variant::Desktop.tags(&repository), ["dwell-workspace:desktop"]);
}

#[test]
fn agents_are_sorted_and_known() {
    assert_eq!(recipe().build_arguments(), ["BASE=debian:bookworm", "AGENTS=claude codex"]);
    let refused = "vim".parse::<BuiltIn>().unwrap_err().to_string();
    assert_eq!(refused, "no agent is called `vim`: claude, codex, opencode, aider, gemini");
    for name in DEFAULT_AGENTS {
        assert!(name.parse::<BuiltIn>().is_ok(), "{name}");
    }
}

#[test]
fn names_of_images_are_no_options_and_no_paths() {
    for good in ["debian", "debian:bookworm", "r.example.com:5000/a/b_c:1.2", "a@sha256:0af"] {
        assert_eq!(good.parse::<ImageName>().unwrap().as_str(), good);
    }
    for bad in ["", "-t", "--rm", "a b", "/a", "a/../b", "a//b", "a:", "ä", &"a".repeat(256)] {
        assert!(bad.parse::<ImageName>().is_err(), "{bad}");
    }
}

//! One project of the corpus: its files, what is expected of it, and its three copies.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use dwell_core::address::{Pool, allocate};
use dwell_core::compose::{Isolated, Isolation, isolate, needs, project_name};
use dwell_core::{EnvironmentId, Generation, NodeId, ProjectName, Suffix};
use ipnet::Ipv4Net;
use serde_json::{Value, json};

use super::docker::{docker, inspect, run, with_label};

/// What the whole run has in common.
pub(crate) struct Run {
    pub(crate) node: NodeId,
    pub(crate) seed: u64,
    /// Everything that subnets have to keep clear of.
    pub(crate) taken: Mutex<Vec<Ipv4Net>>,
}

/// A compose project of the corpus.
pub(crate) struct Project {
    pub(crate) name: String,
    pub(crate) directory: PathBuf,
    pub(crate) expect: Value,
}

impl Project {
    pub(crate) fn read(directory: PathBuf) -> Self {
        let name = directory.file_name().unwrap().to_str().unwrap().to_owned();
        let expect = std::fs::read_to_string(directory.join("expect.json"))
            .map_or(json!({}), |text| serde_json::from_str(&text).unwrap());
        Self { name, directory, expect }
    }

    /// A list of the expectations' file; empty where there is none.
    pub(crate) fn expected(&self, key: &str) -> Vec<String> {
        let list = self.expect.get(key).and_then(Value::as_array);
        list.into_iter().flatten().map(|v| v.as_str().unwrap().to_owned()).collect()
    }
}

/// A copy of a project, ready to be started.
pub(crate) struct Copy {
    pub(crate) project: String,
    pub(crate) tree: PathBuf,
    pub(crate) file: PathBuf,
    pub(crate) model: Value,
    /// What isolation said; none for the plain copy.
    pub(crate) isolated: Option<Isolated>,
    pub(crate) blocks: Vec<Ipv4Net>,
}

fn canonical(tree: &Path, project: Option<&str>) -> Result<Value, String> {
    let mut args = vec!["compose"];
    args.extend(project.iter().flat_map(|name| ["-p", name]));
    args.extend(["config", "--format", "json"]);
    serde_json::from_str(&run(tree, "docker", &args)?).map_err(|error| error.to_string())
}

fn copy_tree(project: &Project, to: &Path) -> Result<(), String> {
    let from = project.directory.join(".");
    let (from, to) = (from.to_str().unwrap(), to.to_str().unwrap());
    run(Path::new("/"), "cp", &["-a", from, to]).map(|_| ())
}

/// The project as plain compose runs it, but with published ports moved to free ones on the
/// loopback interface, so that nothing of the machine's is in the way.
pub(crate) fn plain(run: &Run, project: &Project, work: &Path) -> Result<Copy, String> {
    let tree = work.join("plain");
    copy_tree(project, &tree)?;
    let name = format!("corpus-{}-{:x}", project.name, run.seed);
    let mut model = canonical(&tree, Some(&name))?;
    for service in model["services"].as_object_mut().unwrap().values_mut() {
        for port in service.get_mut("ports").and_then(Value::as_array_mut).into_iter().flatten() {
            let port = port.as_object_mut().unwrap();
            port.remove("published");
            port.insert("host_ip".to_owned(), json!("127.0.0.1"));
        }
    }
    finish(name, tree, model, None, Vec::new())
}

/// The project as an environment.
pub(crate) fn environment(
    run: &Run,
    project: &Project,
    work: &Path,
    name: &str,
) -> Result<Copy, String> {
    let tree = work.join(name);
    copy_tree(project, &tree)?;
    let model = canonical(&tree, None)?;
    let needs = needs(&model, &BTreeSet::new()).map_err(|error| error.to_string())?;
    let wanted: Vec<_> = needs.iter().map(|need| need.need).collect();
    let pool: Pool = "10.227.0.0/16".parse().unwrap();
    let blocks = {
        let mut taken = run.taken.lock().unwrap();
        let blocks = allocate(pool, &taken, &wanted).map_err(|error| error.to_string())?;
        taken.extend(&blocks);
        blocks
    };
    let subnets: BTreeMap<_, _> =
        needs.into_iter().map(|need| need.key).zip(blocks.iter().copied()).collect();
    let id = EnvironmentId::from_random(random(run.seed, &project.name, name));
    let environment = name.parse().unwrap();
    let isolation = Isolation {
        user: None,
        model: &model,
        node: &run.node,
        id: &id,
        name: &environment,
        project: &project_label(project),
        suffix: &Suffix::default(),
        generation: Generation::FIRST,
        directory: &tree,
        subnets: &subnets,
        relays: &BTreeMap::new(),
        ingress: None,
        hostnames: &[],
    };
    let isolated = isolate(&isolation).map_err(|error| error.to_string())?;
    if isolate(&isolation).map_err(|error| error.to_string())? != isolated {
        return Err("isolating twice gives two results".to_owned());
    }
    let model = isolated.compose.clone();
    let name = project_name(&environment, &id, Generation::FIRST);
    finish(name, tree, model, Some(isolated), blocks)
}

/// The project's name in the environments' names.
pub(crate) fn project_label(project: &Project) -> ProjectName {
    project.name.parse().unwrap()
}

fn finish(
    project: String,
    tree: PathBuf,
    model: Value,
    isolated: Option<Isolated>,
    blocks: Vec<Ipv4Net>,
) -> Result<Copy, String> {
    let file = tree.with_extension("json");
    std::fs::write(&file, model.to_string()).map_err(|error| error.to_string())?;
    Ok(Copy { project, tree, file, model, isolated, blocks })
}

fn random(seed: u64, project: &str, environment: &str) -> [u8; 8] {
    let text = format!("{project} {environment}");
    let mixed = text.bytes().fold(seed ^ 0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    mixed.to_le_bytes()
}

impl Copy {
    fn compose(&self, args: &[&str]) -> Result<String, String> {
        let (file, tree) = (self.file.to_str().unwrap(), self.tree.to_str().unwrap());
        let mut all = vec!["compose", "-p", &self.project, "-f", file, "--project-directory", tree];
        all.extend(args);
        run(&self.tree, "docker", &all)
    }

    pub(crate) fn up(&self) -> Result<(), String> {
        self.compose(&["up", "-d"]).map(|_| ())
    }

    fn label(&self) -> String {
        format!("com.docker.compose.project={}", self.project)
    }

    pub(crate) fn containers(&self) -> Result<Vec<Value>, String> {
        inspect("container", &with_label("container", &self.label())?)
    }

    pub(crate) fn objects(&self, kind: &str) -> Result<Vec<Value>, String> {
        inspect(kind, &with_label(kind, &self.label())?)
    }

    /// Removes everything of this copy, and says what could not be.
    pub(crate) fn remove(&self) -> Vec<String> {
        let mut failures: Vec<_> =
            self.compose(&["down", "-v", "-t", "0"]).err().into_iter().collect();
        let mut images = BTreeSet::new();
        for (name, service) in self.model["services"].as_object().unwrap() {
            if service.get("build").is_some() {
                let built = format!("{}-{name}", self.project);
                let tag = service.get("image").and_then(Value::as_str);
                images.insert(tag.map_or(built, str::to_owned));
            }
        }
        for image in images {
            failures.extend(docker(&["rmi", "-f", &image]).err());
        }
        for kind in ["container", "network", "volume"] {
            match with_label(kind, &self.label()) {
                Ok(left) if left.is_empty() => {}
                Ok(left) => failures.push(format!("{kind} left: {left:?}")),
                Err(error) => failures.push(error),
            }
        }
        failures
    }
}

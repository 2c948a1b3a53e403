//! The environment variables of a session: which environment it is in and where each service is.

use std::collections::BTreeMap;

use crate::name::ServiceName;

/// A service as a session sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceFacts {
    /// The service's name in the compose file.
    pub name: ServiceName,
    /// The host name or address under which the session reaches it.
    pub host: String,
    /// The port that it is best known by; none where no port is known.
    pub port: Option<u16>,
    /// Whether that port speaks HTTP, which gives it a URL.
    pub http: bool,
}

/// What a session's variables are made of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SessionFacts {
    /// The environment's name.
    pub environment: String,
    /// The environment's identity.
    pub environment_id: String,
    /// The project's name.
    pub project: String,
    /// The path of the source tree.
    pub tree: String,
    /// The URL of the ingress service, where there is one.
    pub base_url: Option<String>,
    /// The DNS suffix.
    pub suffix: String,
    /// The branch of the source tree, where it has one.
    pub branch: Option<String>,
    /// The session's name.
    pub session: String,
    /// The agent's name, where the command is a known agent.
    pub agent: Option<String>,
    /// The services, in the order in which they win a contested variable.
    pub services: Vec<ServiceFacts>,
}

/// A variable that two services would set, or that is dwell's own. The first one keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Collision {
    /// The start of the variables' names, such as `MY_WEB`.
    pub prefix: String,
    /// The service whose variables are set; `None` where dwell's own variables have the name.
    pub kept: Option<ServiceName>,
    /// The service whose variables are not set.
    pub left_out: ServiceName,
}

/// The variables of a session and what could not be said in them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Variables {
    /// Names and values; every name occurs once.
    pub set: Vec<(String, String)>,
    /// Services that got no variables, because their names are taken.
    pub collisions: Vec<Collision>,
}

/// The variables of a session: `DWELL_*`, Cilo's five `CILO_*` names, and for each service
/// `<SERVICE>_HOST`, `<SERVICE>_PORT` where a port is known and `<SERVICE>_URL` where it speaks
/// HTTP. A service whose name starts with a digit gets `_` before it, as shells demand.
pub fn variables(facts: &SessionFacts) -> Variables {
    let mut result = Variables { set: own(facts), collisions: Vec::new() };
    let mut owners: BTreeMap<String, &ServiceName> = BTreeMap::new();
    for service in &facts.services {
        let prefix = prefix(&service.name);
        let kept = owners.get(&prefix).map(|name| (*name).clone());
        if kept.is_some() || matches!(prefix.as_str(), "DWELL" | "CILO") {
            result.collisions.push(Collision { prefix, kept, left_out: service.name.clone() });
            continue;
        }
        result.set.extend(of_service(&prefix, service));
        owners.insert(prefix, &service.name);
    }
    result
}

fn prefix(name: &ServiceName) -> String {
    let text = name.variable();
    if text.starts_with(|c: char| c.is_ascii_digit()) { format!("_{text}") } else { text }
}

fn own(facts: &SessionFacts) -> Vec<(String, String)> {
    let some = |text: &str| Some(text.to_owned());
    let shared = [
        ("ENV", some(&facts.environment)),
        ("PROJECT", some(&facts.project)),
        ("WORKSPACE", some(&facts.tree)),
        ("BASE_URL", facts.base_url.clone()),
        ("DNS_SUFFIX", some(&facts.suffix)),
    ];
    let ours = [
        ("ENV_ID", some(&facts.environment_id)),
        ("BRANCH", facts.branch.clone()),
        ("SESSION", some(&facts.session)),
        ("AGENT", facts.agent.clone()),
    ];
    let named = |system: &'static str| {
        move |(name, value): (&str, Option<String>)| Some((format!("{system}_{name}"), value?))
    };
    let dwell = shared.clone().into_iter().chain(ours).filter_map(named("DWELL"));
    // Cilo's suffix starts with a dot.
    let cilo = shared.map(|(name, value)| match name {
        "DNS_SUFFIX" => (name, value.map(|suffix| format!(".{suffix}"))),
        _ => (name, value),
    });
    let all = dwell.chain(cilo.into_iter().filter_map(named("CILO")));
    all.filter(|(_, value)| !value.is_empty()).collect()
}

fn of_service(prefix: &str, service: &ServiceFacts) -> Vec<(String, String)> {
    let host = &service.host;
    let mut set = vec![(format!("{prefix}_HOST"), host.clone())];
    if let Some(port) = service.port {
        set.push((format!("{prefix}_PORT"), port.to_string()));
        if service.http {
            let port = if port == 80 { String::new() } else { format!(":{port}") };
            set.push((format!("{prefix}_URL"), format!("http://{host}{port}")));
        }
    }
    set
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(name: &str, port: Option<u16>, http: bool) -> ServiceFacts {
        let name: ServiceName = name.parse().unwrap();
        ServiceFacts { host: format!("{}.blue.test", name.label()), name, port, http }
    }

    fn facts() -> SessionFacts {
        SessionFacts {
            environment: "blue".into(),
            environment_id: "abcdefghij".into(),
            project: "shop".into(),
            tree: "/data/shop/blue".into(),
            base_url: Some("http://shop.blue.test".into()),
            suffix: "test".into(),
            branch: Some("dwell/blue".into()),
            session: "main".into(),
            agent: Some("claude".into()),
            services: Vec::new(),
        }
    }

    fn get<'a>(variables: &'a Variables, name: &str) -> Option<&'a str> {
        variables.set.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    #[test]
    fn a_session_knows_its_environment_under_both_sets_of_names() {
        let set = variables(&facts());
        for (name, value) in [
            ("DWELL_ENV", "blue"),
            ("DWELL_ENV_ID", "abcdefghij"),
            ("DWELL_PROJECT", "shop"),
            ("DWELL_WORKSPACE", "/data/shop/blue"),
            ("DWELL_BASE_URL", "http://shop.blue.test"),
            ("DWELL_DNS_SUFFIX", "test"),
            ("DWELL_BRANCH", "dwell/blue"),
            ("DWELL_SESSION", "main"),
            ("DWELL_AGENT", "claude"),
            ("CILO_ENV", "blue"),
            ("CILO_PROJECT", "shop"),
            ("CILO_WORKSPACE", "/data/shop/blue"),
            ("CILO_BASE_URL", "http://shop.blue.test"),
            ("CILO_DNS_SUFFIX", ".test"),
        ] {
            assert_eq!(get(&set, name), Some(value), "{name}");
        }
        assert_eq!(set.set.len(), 14);
    }

    #[test]
    fn what_is_unknown_is_left_out_rather_than_empty() {
        let set = variables(&SessionFacts { base_url: None, branch: None, agent: None, ..facts() });
        for name in ["DWELL_BASE_URL", "CILO_BASE_URL", "DWELL_BRANCH", "DWELL_AGENT"] {
            assert_eq!(get(&set, name), None);
        }
    }

    #[test]
    fn services_get_host_port_and_url() {
        let services = vec![
            service("web", Some(80), true),
            service("my-api", Some(8080), true),
            service("db", Some(5432), false),
            service("worker", None, true),
            service("3d", Some(1), false),
        ];
        let set = variables(&SessionFacts { services, ..facts() });
        assert_eq!(get(&set, "WEB_URL"), Some("http://web.blue.test"));
        assert_eq!(get(&set, "WEB_PORT"), Some("80"));
        assert_eq!(get(&set, "MY_API_URL"), Some("http://my-api.blue.test:8080"));
        assert_eq!(get(&set, "DB_HOST"), Some("db.blue.test"));
        assert_eq!(get(&set, "DB_URL"), None);
        assert_eq!(get(&set, "WORKER_HOST"), Some("worker.blue.test"));
        assert_eq!(get(&set, "WORKER_PORT"), None);
        assert_eq!(get(&set, "_3D_PORT"), Some("1"));
    }

    #[test]
    fn the_first_service_keeps_a_contested_name_and_the_other_is_reported() {
        let services = vec![
            service("my-web", Some(1), false),
            service("my_web", Some(2), false),
            service("dwell", Some(3), false),
        ];
        let set = variables(&SessionFacts { services, ..facts() });
        assert_eq!(get(&set, "MY_WEB_PORT"), Some("1"));
        assert_eq!(get(&set, "DWELL_PORT"), None);
        let left: Vec<_> = set.collisions.iter().map(|c| c.left_out.as_str()).collect();
        assert_eq!(left, ["my_web", "dwell"]);
        assert_eq!(set.collisions[0].kept.as_ref().map(ServiceName::as_str), Some("my-web"));
        let mut names: Vec<_> = set.set.iter().map(|(name, _)| name).collect();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), set.set.len());
    }
}

//! Container ports of a service, from every form that compose knows.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::model::{Object, label, text, texts};

/// A transport protocol.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// TCP, the default.
    #[default]
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
}

/// A port that a service's container listens on, as its project says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Port {
    /// The number inside the container.
    pub number: u16,
    /// The protocol.
    pub protocol: Protocol,
}

impl Port {
    /// `5432/tcp`, as the engine and the API write it; without a protocol it is TCP.
    pub fn read(text: &str) -> Option<Self> {
        let (number, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
        let protocol = match protocol {
            "tcp" => Protocol::Tcp,
            "udp" => Protocol::Udp,
            "sctp" => Protocol::Sctp,
            _ => return None,
        };
        Some(Self { number: number.parse().ok()?, protocol })
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
        })
    }
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.number, self.protocol)
    }
}

/// The container ports of `ports` and then of `expose`, each once, in their order.
pub(super) fn ports(service: &Object) -> Vec<Port> {
    let mut found = Vec::new();
    for key in ["ports", "expose"] {
        let entries = service.get(key).and_then(Value::as_array);
        for entry in entries.into_iter().flatten() {
            for port in entry_ports(entry) {
                if !found.contains(&port) {
                    found.push(port);
                }
            }
        }
    }
    found
}

fn entry_ports(entry: &Value) -> Vec<Port> {
    if let Some(long) = entry.as_object() {
        let target = long.get("target").and_then(text).unwrap_or_default();
        let protocol = long.get("protocol").and_then(text).unwrap_or_default();
        return range(&target, &protocol);
    }
    let short = text(entry).unwrap_or_default();
    let (addresses, protocol) = short.split_once('/').unwrap_or((&short, ""));
    range(addresses.rsplit(':').next().unwrap_or_default(), protocol)
}

fn range(target: &str, protocol: &str) -> Vec<Port> {
    let protocol = match protocol.to_ascii_lowercase().as_str() {
        "udp" => Protocol::Udp,
        "sctp" => Protocol::Sctp,
        _ => Protocol::Tcp,
    };
    let (first, last) = target.split_once('-').unwrap_or((target, target));
    match (first.parse::<u16>(), last.parse::<u16>()) {
        (Ok(first), Ok(last)) => (first..=last).map(|number| Port { number, protocol }).collect(),
        _ => Vec::new(),
    }
}

/// The entries of `expose` that keep a service's container ports known to the engine once
/// `ports` is gone: the user's own as they are, then the others.
pub(super) fn expose(service: &Object) -> Vec<Value> {
    let mut entries = texts(service.get("expose"));
    let published = service.get("ports").and_then(Value::as_array);
    for port in published.into_iter().flatten().flat_map(entry_ports) {
        let entry = port.to_string();
        if !entries.contains(&entry) {
            entries.push(entry);
        }
    }
    entries.into_iter().map(Value::String).collect()
}

/// Ports on which well-known images listen, by the last part of their name.
const IMAGES: &[(&str, &[u16])] = &[
    ("caddy", &[80]),
    ("cassandra", &[9042]),
    ("clickhouse", &[8123, 9000]),
    ("clickhouse-server", &[8123, 9000]),
    ("couchdb", &[5984]),
    ("elasticsearch", &[9200]),
    ("etcd", &[2379]),
    ("grafana", &[3000]),
    ("httpd", &[80]),
    ("influxdb", &[8086]),
    ("kafka", &[9092]),
    ("localstack", &[4566]),
    ("mailhog", &[1025, 8025]),
    ("mailpit", &[1025, 8025]),
    ("mariadb", &[3306]),
    ("meilisearch", &[7700]),
    ("memcached", &[11211]),
    ("minio", &[9000]),
    ("mongo", &[27017]),
    ("mongodb", &[27017]),
    ("mysql", &[3306]),
    ("nats", &[4222]),
    ("neo4j", &[7474, 7687]),
    ("nginx", &[80]),
    ("opensearch", &[9200]),
    ("pgvector", &[5432]),
    ("postgis", &[5432]),
    ("postgres", &[5432]),
    ("postgresql", &[5432]),
    ("prometheus", &[9090]),
    ("qdrant", &[6333]),
    ("rabbitmq", &[5672]),
    ("redis", &[6379]),
    ("timescaledb", &[5432]),
    ("valkey", &[6379]),
    ("vault", &[8200]),
    ("zookeeper", &[2181]),
];

/// The ports of a service as far as anything tells them: the project by `ports`, `expose` or the
/// label `dwell.port`, else what its image says (`exposed`), else its healthcheck, else what is
/// customary for an image of that name.
pub(super) fn known(service: &Object, exposed: &[Port]) -> Vec<Port> {
    let tcp = |number| Port { number, protocol: Protocol::Tcp };
    let mut found = ports(service);
    let labelled = label(service, "port").and_then(|port| port.trim().parse().ok()).map(tcp);
    found.extend(labelled.filter(|port| port.number > 0 && !found.contains(port)));
    if found.is_empty() {
        found.extend(exposed);
    }
    if found.is_empty() {
        found.extend(probed(service).map(tcp));
    }
    if found.is_empty() {
        let image = service.get("image").and_then(text).unwrap_or_default();
        found.extend(customary(&image).iter().copied().map(tcp));
    }
    found
}

/// The image of a service whose ports the project does not tell, unless it builds it.
pub(super) fn silent_image(service: &Object) -> Option<String> {
    let told = !ports(service).is_empty() || label(service, "port").is_some();
    let built = service.get("build").is_some_and(|build| !build.is_null());
    service.get("image").and_then(text).filter(|_| !told && !built)
}

/// The port that a healthcheck asks on its own container.
fn probed(service: &Object) -> Option<u16> {
    let test = texts(service.get("healthcheck")?.get("test")).join(" ");
    let after =
        ["localhost", "127.0.0.1", "[::1]"].into_iter().find_map(|host| test.split_once(host));
    let (before, after) = after?;
    // `http://localhost:9200/` or `/dev/tcp/localhost/5432`.
    let digits = after.strip_prefix([':', '/']).unwrap_or_default();
    let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    match digits.get(..end).and_then(|digits| digits.parse().ok()) {
        Some(port) => Some(port).filter(|port| *port > 0),
        None if before.ends_with("http://") && !after.starts_with(':') => Some(80),
        None => None,
    }
}

fn customary(image: &str) -> &'static [u16] {
    let name = image.rsplit('/').next().unwrap_or_default();
    let name = name.split([':', '@']).next().unwrap_or_default();
    IMAGES.iter().find(|(known, _)| *known == name).map_or(&[], |(_, ports)| ports)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_form_is_read() {
        let service = json!({
            "ports": [
                "8080:80", "127.0.0.1:53:53/udp", "[::1]:81:82", 3000, "9000-9002",
                "127.0.0.1::5000", "7000-7001:6000-6001/sctp",
                {"target": 90, "published": "1000", "protocol": "tcp", "mode": "host"},
                {"target": "91", "protocol": "udp"}, "8081:80", "nonsense", null,
            ],
            "expose": ["99", "100-101/udp", 80],
        });
        let found: Vec<_> =
            ports(service.as_object().unwrap()).iter().map(Port::to_string).collect();
        assert_eq!(
            found.join(" "),
            "80/tcp 53/udp 82/tcp 3000/tcp 9000/tcp 9001/tcp 9002/tcp 5000/tcp 6000/sctp \
             6001/sctp 90/tcp 91/udp 99/tcp 100/udp 101/udp"
        );
    }

    #[test]
    fn a_port_is_read_as_it_is_written() {
        for text in ["5432/tcp", "53/udp", "1/sctp"] {
            assert_eq!(Port::read(text).unwrap().to_string(), text);
        }
        assert_eq!(Port::read("80").unwrap().protocol, Protocol::Tcp);
        for text in ["x/tcp", "70000/tcp", "1/quic", ""] {
            assert_eq!(Port::read(text), None, "{text}");
        }
    }

    #[test]
    fn images_are_asked_where_the_project_says_nothing() {
        let silent = |service: Value| silent_image(service.as_object().unwrap());
        assert_eq!(silent(json!({"image": "db:1"})).as_deref(), Some("db:1"));
        for told in [
            json!({"image": "db:1", "expose": ["5432"]}),
            json!({"image": "db:1", "labels": {"dwell.port": "5432"}}),
            json!({"image": "db:1", "build": {"context": "."}}),
            json!({"build": {"context": "."}}),
        ] {
            assert_eq!(silent(told.clone()), None, "{told}");
        }
    }

    #[test]
    fn ports_that_the_project_does_not_tell_are_found_in_order() {
        let found = |service: Value, exposed: &[u16]| {
            let exposed: Vec<_> =
                exposed.iter().map(|n| Port { number: *n, protocol: Protocol::Tcp }).collect();
            let ports = known(service.as_object().unwrap(), &exposed);
            ports.iter().map(Port::to_string).collect::<Vec<_>>().join(" ")
        };
        let probe =
            |test: &str| json!({"image": "x", "healthcheck": {"test": ["CMD-SHELL", test]}});
        for (service, exposed, want) in [
            (json!({"expose": ["1"], "labels": {"dwell.port": "2"}}), &[3][..], "1/tcp 2/tcp"),
            (json!({"image": "postgres:16"}), &[3], "3/tcp"),
            (json!({"image": "postgres:16"}), &[], "5432/tcp"),
            (
                json!({"image": "docker.elastic.co/elasticsearch/elasticsearch@sha256:x"}),
                &[],
                "9200/tcp",
            ),
            (json!({"image": "localhost:5000/redis"}), &[], "6379/tcp"),
            (json!({"image": "my-postgres"}), &[], ""),
            (probe("curl -f http://localhost:9200/_health"), &[], "9200/tcp"),
            (probe("wget -qO- http://127.0.0.1/ok"), &[], "80/tcp"),
            (probe("curl http://localhost"), &[], "80/tcp"),
            (probe("</dev/tcp/localhost/5432"), &[], "5432/tcp"),
            (probe("curl localhost:0"), &[], ""),
            (probe("curl http://localhost:99999/"), &[], ""),
            (probe("pg_isready"), &[], ""),
            (json!({}), &[], ""),
        ] {
            assert_eq!(found(service.clone(), exposed), want, "{service}");
        }
    }
}

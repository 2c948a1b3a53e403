use super::*;

fn wishes(words: &[&str]) -> Vec<Wish> {
    words.iter().map(|word| word.parse().unwrap()).collect()
}

fn shown(all: Vec<Wanted>) -> Vec<String> {
    let one = |it: Wanted| match it.service {
        Some(service) => format!("{} -> {service}:{}", it.local, it.port),
        None => format!("{} -> {}", it.local, it.port),
    };
    all.into_iter().map(one).collect()
}

fn services() -> Vec<(ServiceName, Vec<u16>)> {
    let service = |name: &str, ports: &[u16]| (name.parse().unwrap(), ports.to_vec());
    vec![service("web", &[80, 8080]), service("api", &[8080]), service("db", &[5432])]
}

#[test]
fn ports_and_ranges_lead_into_a_workspace() {
    let all = of_workspace(&wishes(&["3000", "8080:80", "5000-5002", "6000-6001:7000-7001"]));
    assert_eq!(
        shown(all.unwrap()),
        [
            "3000 -> 3000",
            "8080 -> 80",
            "5000 -> 5000",
            "5001 -> 5001",
            "5002 -> 5002",
            "6000 -> 7000",
            "6001 -> 7001"
        ]
    );
    let any = of_workspace(&wishes(&["0:80", "0:81-82"])).unwrap();
    assert!(any.iter().all(|it| it.local == 0) && any.len() == 3, "{any:?}");
    let last = of_workspace(&wishes(&["65534-65535"])).unwrap();
    assert_eq!(shown(last), ["65534 -> 65534", "65535 -> 65535"]);
}

#[test]
fn what_is_no_forward_is_refused() {
    for bad in ["", "x", "0", "65536", "80-70", "80:", ":80", "80:0", "a:b:c:1", "-80", "+1"] {
        assert!(bad.parse::<Wish>().is_err(), "{bad}");
    }
    let error = "1-2:3".parse::<Wish>().unwrap_err();
    assert_eq!(error.to_string(), "`1-2:3` has 2 ports on this side and 1 on the other");
    let twice = of_workspace(&wishes(&["3000-3005", "3003:80"])).unwrap_err();
    assert_eq!(twice, ForwardError::Twice(3003));
    assert!(of_workspace(&wishes(&["web:80"])).is_err());
}

#[test]
fn a_port_of_an_environment_is_its_services() {
    let all = of_environment(&wishes(&["web:8080", "9090:api:8080", "5432", "80"]), &services());
    assert_eq!(
        shown(all.unwrap()),
        ["8080 -> web:8080", "9090 -> api:8080", "5432 -> db:5432", "80 -> web:80"]
    );
    let which = of_environment(&wishes(&["8080"]), &services()).unwrap_err();
    assert_eq!(which.to_string(), "which service's port 8080? Say it as in `web:8080`");
    assert!(of_environment(&wishes(&["9"]), &services()).is_err());
    assert!(of_environment(&wishes(&["cache:6379"]), &services()).is_err());
    // A port that the service does not say may be listened at all the same.
    assert!(of_environment(&wishes(&["db:9000"]), &services()).is_ok());
}

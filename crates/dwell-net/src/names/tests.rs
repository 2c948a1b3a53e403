use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::*;

fn address(last: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(10, 224, 0, last))
}

fn name(fqdn: &str, label: &str, last: u8) -> Name {
    Name::new(fqdn, label, vec![address(last)])
}

fn see(table: &NameTable, fqdn: &str) -> String {
    table.look(&encode(fqdn).unwrap(), |found| match found {
        Lookup::One(claim) => format!("{:?}", claim.entry.name.addresses.first().unwrap()),
        Lookup::Ambiguous(claims) => ambiguity(claims),
        Lookup::Empty => "empty".to_owned(),
        Lookup::Absent => "absent".to_owned(),
    })
}

#[test]
fn names_appear_and_go_with_the_names_above_them() {
    let table = NameTable::new();
    table.set("e1", vec![name("web.a1.shop.test", "shop/a1", 2)]).unwrap();
    assert_eq!(see(&table, "web.a1.shop.test"), "10.224.0.2");
    assert_eq!(see(&table, "a1.shop.test"), "empty");
    assert_eq!(see(&table, "b.a1.shop.test"), "absent");
    table.remove("e1");
    assert_eq!(see(&table, "web.a1.shop.test"), "absent");
    assert_eq!(see(&table, "a1.shop.test"), "absent");
    assert!(table.shards.iter().all(|shard| shard.read().unwrap().is_empty()));
}

#[test]
fn a_short_name_of_two_owners_is_ambiguous_until_one_goes() {
    let table = NameTable::new();
    let short = |project: &str, last| {
        name("web.a1.test", &format!("{project}/a1"), last)
            .short(Some(&format!("web.a1.{project}.test")))
    };
    table.set("e1", vec![short("shop", 2)]).unwrap();
    table.set("e2", vec![short("blog", 3)]).unwrap();
    assert_eq!(
        see(&table, "web.a1.test"),
        "ambiguous: shop/a1 and blog/a1; use web.a1.shop.test or web.a1.blog.test"
    );
    table.remove("e1");
    assert_eq!(see(&table, "web.a1.test"), "10.224.0.3");
}

#[test]
fn a_full_name_wins_over_a_short_one() {
    let table = NameTable::new();
    table.set("e1", vec![name("web.a1.shop.test", "shop/a1", 2)]).unwrap();
    table.set("e2", vec![name("web.a1.shop.test", "x/shop", 3).short(None)]).unwrap();
    assert_eq!(see(&table, "web.a1.shop.test"), "10.224.0.2");
}

#[test]
fn a_wildcard_matches_every_depth_but_not_its_own_name() {
    let table = NameTable::new();
    let exact = name("api.shop.a1.test", "shop/a1", 9);
    table.set("e1", vec![name("shop.a1.test", "shop/a1", 2).wildcard(), exact]).unwrap();
    assert_eq!(see(&table, "x.shop.a1.test"), "10.224.0.2");
    assert_eq!(see(&table, "y.x.shop.a1.test"), "10.224.0.2");
    assert_eq!(see(&table, "api.shop.a1.test"), "10.224.0.9");
    assert_eq!(see(&table, "y.api.shop.a1.test"), "10.224.0.2");
    assert_eq!(see(&table, "shop.a1.test"), "empty");
}

#[test]
fn a_new_set_replaces_the_old_one_of_that_owner_only() {
    let table = NameTable::new();
    table.set("e1", vec![name("a.e.test", "p/e", 1), name("b.e.test", "p/e", 2)]).unwrap();
    table.set("e2", vec![name("c.f.test", "p/f", 3)]).unwrap();
    table.set("e1", vec![name("b.e.test", "p/e", 4)]).unwrap();
    assert_eq!(see(&table, "a.e.test"), "absent");
    assert_eq!(see(&table, "b.e.test"), "10.224.0.4");
    assert_eq!(see(&table, "c.f.test"), "10.224.0.3");
    let all = [("e3".to_owned(), vec![name("d.g.test", "p/g", 5)])];
    table.replace_all(all, |_| false).unwrap();
    assert_eq!(see(&table, "b.e.test"), "absent");
    assert_eq!(see(&table, "c.f.test"), "absent");
    assert_eq!(see(&table, "d.g.test"), "10.224.0.5");
}

#[test]
fn an_invalid_name_changes_nothing() {
    let table = NameTable::new();
    table.set("e1", vec![name("a.e.test", "p/e", 1)]).unwrap();
    for bad in ["", ".", "a..test", "a b.test", "ü.test", &"a".repeat(64), &"a.".repeat(200)] {
        let names = vec![name("b.e.test", "p/e", 2), name(bad, "p/e", 2)];
        assert_eq!(table.set("e1", names).unwrap_err().fqdn, bad);
    }
    assert_eq!(see(&table, "a.e.test"), "10.224.0.1");
    assert_eq!(see(&table, "b.e.test"), "absent");
}

#[test]
fn hosts_route_by_suffix_and_by_localhost() {
    let table = NameTable::new();
    let suffixes = ["test".to_owned(), "dev.example".to_owned()];
    let to = |last, port| Route::To(SocketAddr::new(address(last), port));
    let short = name("web.a1.test", "shop/a1", 2).short(Some("web.a1.shop.test")).http(3000);
    let other = name("api.b1.dev.example", "shop/b1", 3).http(80);
    table.set("e1", vec![short, other, name("db.a1.test", "shop/a1", 4)]).unwrap();
    assert_eq!(table.route("web.a1.localhost", &suffixes), to(2, 3000));
    assert_eq!(table.route("WEB.a1.test.", &suffixes), to(2, 3000));
    assert_eq!(table.route("api.b1.localhost", &suffixes), to(3, 80));
    for unknown in ["db.a1.localhost", "x.localhost", "localhost", ".localhost", "a/b", ""] {
        assert_eq!(table.route(unknown, &suffixes), Route::Unknown, "{unknown}");
    }
    assert_eq!(table.http_names(10), ["api.b1.dev.example", "web.a1.test"]);
}

#[test]
fn readers_never_miss_a_name_that_stays_while_others_change() {
    let table = NameTable::new();
    let round = |last: u8| {
        let gone = format!("x{last}.e.test");
        vec![name("stays.e.test", "p/e", last), name(&gone, "p/e", last)]
    };
    table.set("e1", round(0)).unwrap();
    let wire = encode("stays.e.test").unwrap();
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut last = 0;
            while last < 200 {
                last = table.look(&wire, |found| match found {
                    Lookup::One(claim) => match claim.entry.name.addresses.as_slice() {
                        [IpAddr::V4(v4)] => v4.octets()[3],
                        other => panic!("{other:?}"),
                    },
                    _ => panic!("the name is missing"),
                });
            }
        });
        for last in 1..=200 {
            table.set("e1", round(last)).unwrap();
        }
        reader.join().unwrap();
    });
    assert_eq!(see(&table, "x199.e.test"), "absent");
    assert_eq!(see(&table, "x200.e.test"), "10.224.0.200");
}

#[test]
fn a_host_that_cannot_be_reached_says_why() {
    let table = NameTable::new();
    let name = Name::new("web.r1.test", "shop/r1", vec!["127.224.0.1".parse().unwrap()]).http(80);
    table.set("r", vec![name.unreachable("node staging is down")]).unwrap();
    let route = table.route("web.r1.localhost", &["test".to_owned()]);
    assert_eq!(route, Route::Unreachable("node staging is down".to_owned()));
}

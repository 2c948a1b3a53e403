use std::net::IpAddr;

use domain::base::Message;
use proptest::prelude::*;

use super::answer::{Carrier, Verdict, View, answer};
use super::message::u16_at;
use crate::names::{Name, NameTable, encode};

fn question(name: &str, kind: u16) -> Vec<u8> {
    let mut packet = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.').filter(|label| !label.is_empty()) {
        packet.push(u8::try_from(label.len()).unwrap());
        packet.extend_from_slice(label.as_bytes());
    }
    packet.push(0);
    packet.extend_from_slice(&kind.to_be_bytes());
    packet.extend_from_slice(&[0, 1]);
    packet
}

fn with_edns(mut packet: Vec<u8>, size: u16, version: u8) -> Vec<u8> {
    packet[11] = 1;
    packet.extend_from_slice(&[0, 0, 41]);
    packet.extend_from_slice(&size.to_be_bytes());
    packet.extend_from_slice(&[0, version, 0x80, 0, 0, 0]);
    packet
}

fn table() -> NameTable {
    let table = NameTable::new();
    let ip = |text: &str| text.parse::<IpAddr>().unwrap();
    let many = (0..100).map(|i| ip(&format!("10.224.1.{i}"))).collect();
    let names = vec![
        Name::new("web.a1.shop.test", "shop/a1", vec![ip("10.224.0.2"), ip("10.224.0.3")]),
        Name::new("six.a1.shop.test", "shop/a1", vec![ip("fd00::1")]),
        Name::new("many.a1.shop.test", "shop/a1", many),
        Name::new("web.a1.test", "shop/a1", vec![ip("10.224.0.2")]).short(Some("web.a1.shop.test")),
    ];
    table.set("e1", names).unwrap();
    let other = Name::new("web.a1.test", "blog/a1", vec![ip("10.224.0.9")]);
    table.set("e2", vec![other.short(Some("web.a1.blog.test"))]).unwrap();
    table
}

struct Seen {
    verdict: Verdict,
    bytes: Vec<u8>,
}

impl Seen {
    fn rcode(&self) -> u8 {
        self.bytes[3] & 15
    }

    fn counts(&self) -> [u16; 4] {
        [4, 6, 8, 10].map(|at| u16_at(&self.bytes, at))
    }

    fn truncated(&self) -> bool {
        self.bytes[2] & 2 != 0
    }
}

fn see(table: &NameTable, packet: &[u8], by: Carrier, forwards: bool) -> Seen {
    let zones = [encode("test").unwrap(), encode("dev.example").unwrap()];
    let mut bytes = Vec::new();
    let view = View { table, zones: &zones, forwards };
    let verdict = answer(&view, packet, by, &mut bytes);
    if verdict == Verdict::Reply {
        assert!(bytes.len() >= 12 && Message::from_slice(&bytes).is_ok());
    }
    Seen { verdict, bytes }
}

fn udp(packet: &[u8]) -> Seen {
    see(&table(), packet, Carrier::Udp, false)
}

#[test]
fn addresses_come_with_the_question_in_its_own_case() {
    let packet = question("WeB.a1.Shop.TEST", 1);
    let seen = udp(&packet);
    assert_eq!((seen.rcode(), seen.counts()), (0, [1, 2, 0, 0]));
    assert_eq!(seen.bytes[12..packet.len()], packet[12..]);
    assert_eq!(seen.bytes[2] & 0x85, 0x85, "answer, authoritative, recursion desired is echoed");
    assert_eq!(seen.bytes[seen.bytes.len() - 4..], [10, 224, 0, 3]);
    let ttl_at = packet.len() + 6;
    assert_eq!(seen.bytes[ttl_at..ttl_at + 4], [0, 0, 0, 1]);
}

#[test]
fn codes_and_counts_for_every_kind_of_question() {
    // name, type, rcode, answers, authority
    for (name, kind, rcode, answers, authority) in [
        ("web.a1.shop.test", 28, 0, 0, 1),
        ("six.a1.shop.test", 28, 0, 1, 0),
        ("six.a1.shop.test", 1, 0, 0, 1),
        ("web.a1.shop.test", 15, 0, 0, 1),
        ("web.a1.shop.test", 255, 0, 1, 0),
        ("a1.shop.test", 1, 0, 0, 1),
        ("a1.test", 1, 0, 0, 1),
        ("nobody.a1.shop.test", 1, 3, 0, 1),
        ("nobody.test", 28, 3, 0, 1),
        ("test", 1, 0, 0, 1),
        ("test", 6, 0, 1, 0),
        ("test", 2, 0, 1, 0),
        ("test", 255, 0, 1, 0),
        ("dev.example", 6, 0, 1, 0),
        ("x.dev.example", 1, 3, 0, 1),
        ("example", 1, 5, 0, 0),
        ("nottest", 1, 5, 0, 0),
        ("www.example.com", 1, 5, 0, 0),
        ("", 1, 5, 0, 0),
    ] {
        let seen = udp(&question(name, kind));
        let want = (rcode, [1, answers, authority, 0]);
        assert_eq!((seen.rcode(), seen.counts()), want, "{name} {kind}");
    }
}

#[test]
fn an_ambiguous_name_is_refused_and_says_why() {
    let why = b"ambiguous: shop/a1 and blog/a1; use web.a1.shop.test or web.a1.blog.test";
    let has_why = |seen: &Seen| seen.bytes.windows(why.len()).any(|part| part == why);
    let seen = udp(&with_edns(question("web.a1.test", 1), 1232, 0));
    assert_eq!((seen.rcode(), seen.counts()), (5, [1, 0, 0, 1]));
    assert!(has_why(&seen));
    let plain = udp(&question("web.a1.test", 1));
    assert_eq!((plain.rcode(), plain.counts()), (5, [1, 0, 0, 0]));
    let text = udp(&question("web.a1.test", 16));
    assert_eq!((text.rcode(), text.counts()), (0, [1, 1, 0, 0]));
    assert!(has_why(&text));
}

#[test]
fn a_name_that_cannot_be_reached_is_a_failure_that_says_why() {
    let table = table();
    let down = Name::new("db.r1.shop.test", "shop/r1", vec!["127.224.0.1".parse().unwrap()]);
    table.set("e3", vec![down.unreachable("node staging: no route")]).unwrap();
    let seen = see(&table, &question("db.r1.shop.test", 1), Carrier::Udp, false);
    assert_eq!((seen.rcode(), seen.counts()), (2, [1, 0, 0, 0]));
    let packet = with_edns(question("db.r1.shop.test", 1), 1232, 0);
    let seen = see(&table, &packet, Carrier::Udp, false);
    assert!(String::from_utf8_lossy(&seen.bytes).contains("node staging: no route"));
}

#[test]
fn large_answers_are_truncated_to_what_the_client_takes() {
    let packet = question("many.a1.shop.test", 1);
    let small = udp(&packet);
    assert!(small.truncated() && small.bytes.len() <= 512);
    assert_eq!(small.counts(), [1, 0, 0, 0]);
    let edns = udp(&with_edns(packet.clone(), 4096, 0));
    assert!(edns.truncated() && edns.bytes.len() <= 1232);
    let tcp = see(&table(), &packet, Carrier::Tcp, false);
    assert!(!tcp.truncated());
    assert_eq!(tcp.counts(), [1, 100, 0, 0]);
}

#[test]
fn edns_is_echoed_and_other_versions_refused() {
    let seen = udp(&with_edns(question("web.a1.shop.test", 1), 1232, 0));
    assert_eq!(seen.counts(), [1, 2, 0, 1]);
    assert!(Message::from_slice(&seen.bytes).unwrap().opt().unwrap().dnssec_ok());
    let badvers = udp(&with_edns(question("web.a1.shop.test", 1), 1232, 1));
    assert_eq!(Message::from_slice(&badvers.bytes).unwrap().opt_rcode().to_int(), 16);
    let twice = with_edns(with_edns(question("web.a1.shop.test", 1), 512, 0), 512, 0);
    let mut twice_counted = twice;
    twice_counted[11] = 2;
    assert_eq!(udp(&twice_counted).rcode(), 1);
}

#[test]
fn what_is_not_a_query_is_dropped_or_refused() {
    let good = question("web.a1.shop.test", 1);
    let edit = |at: usize, value: u8| {
        let mut packet = good.clone();
        packet[at] = value;
        packet
    };
    assert_eq!(udp(&[]).verdict, Verdict::Drop);
    assert_eq!(udp(&good[..11]).verdict, Verdict::Drop);
    assert_eq!(udp(&edit(2, 0x80)).verdict, Verdict::Drop, "an answer");
    assert_eq!(udp(&edit(2, 0x28)).rcode(), 4, "an update");
    assert_eq!(udp(&edit(5, 0)).rcode(), 1, "no question");
    assert_eq!(udp(&edit(5, 2)).rcode(), 1, "two questions");
    assert_eq!(udp(&edit(12, 0xc0)).rcode(), 1, "compression in the question");
    assert_eq!(udp(&good[..good.len() - 1]).rcode(), 1, "cut off");
    assert_eq!(udp(&edit(good.len() - 1, 3)).rcode(), 5, "class CHAOS");
}

#[test]
fn only_foreign_names_are_forwarded() {
    let table = table();
    let verdict = |name| see(&table, &question(name, 1), Carrier::Udp, true).verdict;
    assert_eq!(verdict("www.example.com"), Verdict::Forward);
    for ours in ["web.a1.shop.test", "gone.a1.test", "test", "web.a1.test", "x.dev.example"] {
        assert_eq!(verdict(ours), Verdict::Reply, "{ours}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn arbitrary_bytes_never_panic_and_answers_stay_small(
        bytes in proptest::collection::vec(any::<u8>(), 0..600)
    ) {
        let seen = udp(&bytes);
        prop_assert!(seen.bytes.len() <= 1232);
    }

    #[test]
    fn damaged_queries_never_panic(
        at in 0usize..60, value in any::<u8>(), cut in 0usize..60, edns in any::<bool>(),
        kind in any::<u16>()
    ) {
        let mut packet = question("x.web.a1.shop.test", kind);
        if edns {
            packet = with_edns(packet, 4096, 0);
        }
        if let Some(byte) = packet.get_mut(at) {
            *byte = value;
        }
        packet.truncate(packet.len().saturating_sub(cut / 6));
        for by in [Carrier::Udp, Carrier::Tcp] {
            let seen = see(&table(), &packet, by, true);
            if seen.verdict == Verdict::Reply {
                prop_assert_eq!(&seen.bytes[..2], &packet[..2]);
                prop_assert!(seen.bytes[2] & 0x80 != 0);
            }
        }
    }
}

//! Allocation: examples, and properties over random use.

use super::*;
use proptest::prelude::*;

fn net(text: &str) -> Ipv4Net {
    text.parse().unwrap()
}

fn overlap(a: &Ipv4Net, b: &Ipv4Net) -> bool {
    a.contains(b) || b.contains(a)
}

#[test]
fn blocks_are_sized_to_the_need() {
    let cases = [(0, 28), (1, 28), (9, 28), (10, 27), (16, 27), (20, 26), (100, 24), (5000, 20)];
    for (addresses, prefix) in cases {
        assert_eq!(Need::of(addresses).prefix(), prefix, "{addresses} addresses");
    }
    assert_eq!(Need { addresses: 2, span: 251 }.prefix(), 24);
    assert_eq!(Need { addresses: 2, span: u32::MAX }.prefix(), 20);
}

#[test]
fn the_first_free_aligned_block_is_taken() {
    let pool = Pool::default();
    let taken = [net("10.224.0.0/28"), net("10.224.0.32/27"), net("192.168.0.0/16")];
    let needs = [Need::of(1), Need { addresses: 1, span: 60 }, Need::of(1)];
    let got = allocate(pool, &taken, &needs).unwrap();
    assert_eq!(got, [net("10.224.0.16/28"), net("10.224.0.64/26"), net("10.224.0.128/28")]);
}

#[test]
fn a_small_hole_is_used_after_a_large_block_skipped_it() {
    let needs = [Need::of(1), Need { addresses: 1, span: 256 }, Need::of(1)];
    let got = allocate(Pool::default(), &[], &needs).unwrap();
    assert_eq!(got, [net("10.224.0.0/28"), net("10.224.1.0/24"), net("10.224.0.16/28")]);
}

#[test]
fn a_full_pool_says_so() {
    let pool: Pool = "10.9.0.0/28".parse().unwrap();
    let one = allocate(pool, &[], &[Need::of(1)]).unwrap();
    assert_eq!(one, [net("10.9.0.0/28")]);
    let error = allocate(pool, &one, &[Need::of(1)]).unwrap_err();
    assert_eq!(error.to_string(), "no free /28 block is left in the address pool 10.9.0.0/28");
    assert!(allocate(pool, &[net("10.0.0.0/8")], &[Need::of(1)]).is_err());
}

#[test]
fn the_end_of_the_address_space_is_a_pool_like_any_other() {
    let pool: Pool = "223.255.255.240/28".parse().unwrap();
    assert_eq!(allocate(pool, &[], &[Need::of(3)]).unwrap(), [net("223.255.255.240/28")]);
}

#[test]
fn routes_are_sorted_into_taken_and_covering() {
    let pool = Pool::default();
    let all =
        ["0.0.0.0/0", "0.0.0.0/1", "10.0.0.0/8", "10.224.0.0/16", "10.224.7.0/24", "172.16.0.0/12"];
    let routes = pool.routes(all.map(net));
    assert_eq!(routes.taken, [net("10.224.7.0/24")]);
    assert_eq!(routes.covering, [net("10.0.0.0/8"), net("10.224.0.0/16")]);
}

#[test]
fn pools_that_cannot_work_are_refused() {
    for given in
        ["10.224.0.0/29", "0.0.0.0/0", "127.0.0.0/16", "224.0.0.0/8", "10.224", "x", "0.0.0.0/8"]
    {
        assert!(given.parse::<Pool>().is_err(), "{given}");
    }
    assert_eq!("10.5.6.7/16".parse::<Pool>().unwrap().to_string(), "10.5.0.0/16");
}

#[test]
fn two_hundred_environments_at_once_and_a_thousand_in_a_lifetime() {
    let pool = Pool::default();
    let mut live: Vec<Ipv4Net> = Vec::new();
    for round in 0..1000_usize {
        if live.len() == 200 {
            live.remove(round * 7 % 200);
        }
        let need = Need::of(u32::try_from(round % 17).unwrap());
        live.extend(allocate(pool, &live, &[need]).unwrap());
    }
    assert_eq!(live.len(), 200);
    for (index, block) in live.iter().enumerate() {
        assert!(live.iter().skip(index + 1).all(|other| !overlap(block, other)));
    }
}

#[test]
fn thousands_taken_are_no_burden() {
    let pool = Pool::default();
    let taken = allocate(pool, &[], &[Need::of(1); 4000]).unwrap();
    let started = std::time::Instant::now();
    for _ in 0..20 {
        assert_eq!(allocate(pool, &taken, &[Need::of(1)]).unwrap().len(), 1);
    }
    assert!(started.elapsed() < std::time::Duration::from_secs(1));
}

fn any_net() -> impl Strategy<Value = Ipv4Net> {
    (0_u32..0x2_0000, 16_u8..=32).prop_map(|(host, prefix)| {
        Ipv4Net::new(Ipv4Addr::from(0x0AE0_0000 + host), prefix).unwrap()
    })
}

proptest! {
    #[test]
    fn blocks_lie_in_the_pool_and_overlap_with_nothing(
        prefix in 12_u8..=28,
        taken in prop::collection::vec(any_net(), 0..60),
        needs in prop::collection::vec((0_u32..400, 0_u32..5000), 0..20),
    ) {
        let pool = Pool::new(Ipv4Net::new(Ipv4Addr::new(10, 224, 0, 0), prefix).unwrap()).unwrap();
        let needs: Vec<_> =
            needs.into_iter().map(|(addresses, span)| Need { addresses, span }).collect();
        if let Ok(blocks) = allocate(pool, &taken, &needs) {
            prop_assert_eq!(blocks.len(), needs.len());
            for (index, block) in blocks.iter().enumerate() {
                prop_assert!(pool.net().contains(block));
                prop_assert_eq!(block.trunc(), *block);
                prop_assert!(taken.iter().all(|other| !overlap(block, other)));
                prop_assert!(blocks.iter().skip(index + 1).all(|other| !overlap(block, other)));
            }
        }
    }

    #[test]
    fn what_is_freed_can_be_had_again(steps in prop::collection::vec((any::<bool>(), 0_usize..64), 1..200)) {
        let pool: Pool = "10.224.0.0/24".parse().unwrap();
        let mut live: Vec<Ipv4Net> = Vec::new();
        for (free, index) in steps {
            if free && !live.is_empty() {
                let index = index % live.len();
                live.remove(index);
            } else if let Ok(blocks) = allocate(pool, &live, &[Need::of(1)]) {
                live.extend(blocks);
            } else {
                prop_assert_eq!(live.len(), 16);
            }
        }
    }
}

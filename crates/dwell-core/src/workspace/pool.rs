//! The warm pool: containers that were made and started before anybody asked for a workspace. What
//! is to be made, what is to be removed, and which one a new workspace becomes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{ImageRef, Workspace};
use crate::WorkspaceId;

/// The most that wait on a node: each has a network and takes memory.
pub const POOL_MOST: u32 = 20;

/// `[pool]`: how many wait of each image.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "BTreeMap<ImageRef, u32>", into = "BTreeMap<ImageRef, u32>")]
pub struct PoolConfig(BTreeMap<ImageRef, u32>);

/// More than may wait.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the pool may have {POOL_MOST} containers at most, not {asked}")]
pub struct PoolError {
    /// How many were asked for.
    pub asked: u64,
}

impl PoolConfig {
    /// The images, and how many wait of each.
    pub fn images(&self) -> impl Iterator<Item = (&ImageRef, u32)> {
        self.0.iter().map(|(image, count)| (image, *count))
    }

    fn count(&self, image: &ImageRef) -> u32 {
        self.0.get(image).copied().unwrap_or_default()
    }
}

impl TryFrom<BTreeMap<ImageRef, u32>> for PoolConfig {
    type Error = PoolError;
    fn try_from(images: BTreeMap<ImageRef, u32>) -> Result<Self, PoolError> {
        let asked = images.values().copied().map(u64::from).sum();
        if asked > u64::from(POOL_MOST) { Err(PoolError { asked }) } else { Ok(Self(images)) }
    }
}

impl From<PoolConfig> for BTreeMap<ImageRef, u32> {
    fn from(pool: PoolConfig) -> Self {
        pool.0
    }
}

/// One that waits, or is being made for that: a workspace in everything but a name of its own, for
/// which it has its identity.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pooled {
    /// What it is.
    pub workspace: Workspace,
    /// The engine's id of the image that it was made of.
    pub image_id: String,
    /// The dwell that made it.
    pub maker: String,
    /// Whether it is finished. One that is not, and that nobody works at, is left of a crash.
    pub ready: bool,
}

/// What a container that should wait does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Waits {
    /// It is there.
    Yes,
    /// It ended, or is gone.
    No,
    /// Nobody could tell.
    Unknown,
}

/// What was seen.
#[derive(Debug, Clone, Default)]
pub struct PoolSeen {
    /// What the containers do; of those that are not here nothing is known.
    pub waits: BTreeMap<WorkspaceId, Waits>,
    /// The engine's ids of images, and those that are not there; of others nothing is known.
    pub images: BTreeMap<ImageRef, Option<String>>,
    /// The dwell that looks.
    pub maker: String,
}

/// Why one is removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unfit {
    /// It was never finished.
    Unfinished,
    /// There are more than are wanted.
    Surplus,
    /// Its image has been built anew, or is gone.
    OldImage,
    /// Another dwell made it.
    OldDwell,
    /// Its container ended.
    Ended,
}

/// What brings the pool to what is wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PoolPlan {
    /// Those to remove, and why.
    pub remove: Vec<(WorkspaceId, Unfit)>,
    /// An image for each one to make.
    pub fill: Vec<ImageRef>,
}

/// What is to be done where these are there and nobody works at one.
pub fn pool_plan(wanted: &PoolConfig, all: &[Pooled], seen: &PoolSeen) -> PoolPlan {
    let mut plan = PoolPlan::default();
    let mut counts: BTreeMap<&ImageRef, u32> = BTreeMap::new();
    let mut oldest_first: Vec<&Pooled> = all.iter().collect();
    oldest_first.sort_by_key(|it| it.workspace.created);
    for it in oldest_first {
        let image = &it.workspace.image;
        let count = counts.entry(image).or_default();
        let unfit = unfit(it, seen).or_else(|| {
            let is_surplus = *count >= wanted.count(image);
            is_surplus.then_some(Unfit::Surplus)
        });
        match unfit {
            Some(why) => plan.remove.push((it.workspace.id.clone(), why)),
            None => *count += 1,
        }
    }
    for (image, wanted) in wanted.images() {
        let is_there = matches!(seen.images.get(image), Some(Some(_)));
        let there = counts.get(image).copied().unwrap_or_default();
        let lacks = if is_there { wanted.saturating_sub(there) } else { 0 };
        plan.fill.extend((0..lacks).map(|_| image.clone()));
    }
    plan
}

fn unfit(it: &Pooled, seen: &PoolSeen) -> Option<Unfit> {
    let ended = seen.waits.get(&it.workspace.id) == Some(&Waits::No);
    let image = seen.images.get(&it.workspace.image);
    let is_old = image.is_some_and(|id| id.as_ref() != Some(&it.image_id));
    match () {
        () if !it.ready => Some(Unfit::Unfinished),
        () if it.maker != seen.maker => Some(Unfit::OldDwell),
        () if is_old => Some(Unfit::OldImage),
        () if ended => Some(Unfit::Ended),
        () => None,
    }
}

/// The one that a new workspace of an image becomes: the one that waits longest.
pub fn pool_choice<'a>(all: &'a [Pooled], image: &ImageRef, maker: &str) -> Option<&'a Pooled> {
    all.iter()
        .filter(|it| it.ready && it.workspace.image == *image && it.maker == maker)
        .min_by_key(|it| it.workspace.created)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::workspace::Limits;

    const MAKER: &str = "this";

    fn image(number: u8) -> ImageRef {
        format!("image-{number}:latest").parse().unwrap()
    }

    fn pooled(number: u64, of: u8) -> Pooled {
        let id = WorkspaceId::from_random(number.to_le_bytes());
        let name = id.as_str().parse().unwrap();
        let created = i64::try_from(number).unwrap();
        Pooled {
            workspace: Workspace::new(id, name, image(of), Limits::default(), created),
            image_id: "new".to_owned(),
            maker: MAKER.to_owned(),
            ready: true,
        }
    }

    fn config(counts: &[(u8, u32)]) -> PoolConfig {
        let counts = counts.iter().map(|(of, count)| (image(*of), *count));
        PoolConfig::try_from(counts.collect::<BTreeMap<_, _>>()).unwrap()
    }

    fn seen(all: &[Pooled]) -> PoolSeen {
        PoolSeen {
            waits: all.iter().map(|it| (it.workspace.id.clone(), Waits::Yes)).collect(),
            images: (0..4).map(|of| (image(of), Some("new".to_owned()))).collect(),
            maker: MAKER.to_owned(),
        }
    }

    #[test]
    fn too_many_are_refused() {
        let most = BTreeMap::from([(image(1), 19), (image(2), 2)]);
        assert_eq!(PoolConfig::try_from(most).unwrap_err().asked, 21);
        let huge = BTreeMap::from([(image(1), u32::MAX), (image(2), u32::MAX)]);
        assert!(PoolConfig::try_from(huge).is_err());
    }

    #[test]
    fn what_does_not_fit_is_removed_and_replaced() {
        let mut all: Vec<Pooled> = (0..6).map(|number| pooled(number, 1)).collect();
        all[0].ready = false;
        all[1].maker = "other".to_owned();
        all[2].image_id = "old".to_owned();
        let mut seen = seen(&all);
        seen.waits.insert(all[3].workspace.id.clone(), Waits::No);
        let plan = pool_plan(&config(&[(1, 3)]), &all, &seen);
        let why: Vec<Unfit> = plan.remove.iter().map(|(_, why)| *why).collect();
        assert_eq!(
            why,
            [Unfit::Unfinished, Unfit::OldDwell, Unfit::OldImage, Unfit::Ended],
            "the two others stay"
        );
        assert_eq!(plan.fill, [image(1)]);
        let none = pool_plan(&PoolConfig::default(), &all[4..], &seen);
        assert_eq!((none.remove.len(), none.fill.len()), (2, 0), "off removes all");
    }

    #[test]
    fn an_image_that_is_gone_empties_the_pool_and_is_not_filled() {
        let all = [pooled(1, 1)];
        let mut seen = seen(&all);
        seen.images.insert(image(1), None);
        let plan = pool_plan(&config(&[(1, 2)]), &all, &seen);
        assert_eq!(plan.remove, [(all[0].workspace.id.clone(), Unfit::OldImage)]);
        assert!(plan.fill.is_empty());
    }

    #[test]
    fn the_oldest_that_is_ready_is_chosen() {
        let mut all = vec![pooled(5, 1), pooled(3, 1), pooled(2, 2), pooled(1, 1)];
        all[3].ready = false;
        assert_eq!(pool_choice(&all, &image(1), MAKER), Some(&all[1]));
        assert_eq!(pool_choice(&all, &image(1), "other"), None);
        assert_eq!(pool_choice(&all, &image(3), MAKER), None);
    }

    fn any_pooled() -> impl Strategy<Value = Vec<Pooled>> {
        let one = (0..4_u8, any::<bool>(), any::<bool>(), any::<bool>());
        prop::collection::vec(one, 0..12).prop_map(|all| {
            let with = |(number, (of, ready, is_new, is_ours)): (usize, (u8, bool, bool, bool))| {
                let mut it = pooled(number as u64 + 1, of);
                it.ready = ready;
                it.image_id = if is_new { "new" } else { "old" }.to_owned();
                it.maker = if is_ours { MAKER } else { "other" }.to_owned();
                it
            };
            all.into_iter().enumerate().map(with).collect()
        })
    }

    fn any_waits() -> impl Strategy<Value = Vec<Waits>> {
        let one = prop_oneof![Just(Waits::Yes), Just(Waits::No), Just(Waits::Unknown)];
        prop::collection::vec(one, 12)
    }

    proptest! {
        #[test]
        fn one_plan_brings_it_to_what_is_wanted(
            counts in prop::collection::vec((0..4_u8, 0..5_u32), 0..4),
            mut all in any_pooled(),
            waits in any_waits(),
        ) {
            let wanted = config(&counts);
            let mut seen = seen(&all);
            for (it, waits) in all.iter().zip(&waits) {
                seen.waits.insert(it.workspace.id.clone(), *waits);
            }
            let plan = pool_plan(&wanted, &all, &seen);
            all.retain(|it| plan.remove.iter().all(|(id, _)| *id != it.workspace.id));
            for (number, image) in plan.fill.iter().enumerate() {
                let mut made = pooled(100 + number as u64, 0);
                made.workspace.image = image.clone();
                all.push(made);
            }
            for of in 0..4 {
                let there = all.iter().filter(|it| it.workspace.image == image(of)).count();
                prop_assert_eq!(there as u32, wanted.count(&image(of)));
            }
            prop_assert_eq!(pool_plan(&wanted, &all, &seen), PoolPlan::default());
        }

        #[test]
        fn what_nobody_knows_removes_nothing(all in any_pooled()) {
            let all: Vec<Pooled> = all
                .into_iter()
                .filter(|it| it.ready && it.maker == MAKER)
                .collect();
            let wanted = config(&[(0, 5), (1, 5), (2, 5), (3, 5)]);
            let few: Vec<Pooled> = all.into_iter().take(5).collect();
            let blind = PoolSeen { maker: MAKER.to_owned(), ..PoolSeen::default() };
            prop_assert_eq!(pool_plan(&wanted, &few, &blind), PoolPlan::default());
        }
    }
}

//! Two nodes in one directory: the source with its state on one, store and trees on the other.

use std::path::PathBuf;

use dwell_core::EnvironmentName;
use dwell_drivers::git::ObjectFormat;
use dwell_drivers::tree::Tree;
use dwell_drivers::tree::travel::{
    self, Applied, CreateReceived, Offer, Offered, Received, Sent, Source, Store, TakeWork,
    TakenWork, TravelError,
};

use crate::support::Place;

/// A source on its way to the environment `a1` (or another one).
pub(crate) struct Way {
    pub(crate) place: Place,
    pub(crate) project: String,
    pub(crate) name: EnvironmentName,
    pub(crate) exclude: Vec<String>,
}

impl Way {
    pub(crate) fn of(place: Place) -> Self {
        let name = "a1".parse().unwrap();
        Self { place, project: "source".into(), name, exclude: Vec::new() }
    }

    /// The two commits of [`Place::git`], with uncommitted and untracked work.
    pub(crate) fn git() -> Self {
        let place = Place::git();
        place.write("source/a.txt", "one\ntwo\nthree\nuncommitted\n");
        place.write("source/notes", "untracked\n");
        place.write("source/.env", "SECRET=1\n");
        Self::of(place)
    }

    pub(crate) fn tree_path(&self) -> PathBuf {
        self.place.path("node/trees").join(self.name.as_str())
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.place.path("node/state").join(self.name.as_str())
    }

    /// The tree's name for [`Place`].
    pub(crate) fn tree(&self) -> String {
        format!("node/trees/{}", self.name)
    }

    pub(crate) async fn source(&self) -> Source {
        let state = self.place.path("home/state").join(self.name.as_str());
        let project = self.place.path(&self.project);
        Source::open(&project, &state, &self.exclude).await.unwrap().expect("it is in git")
    }

    pub(crate) async fn store(&self) -> Store {
        Store::open(&self.place.path("node/store.git"), ObjectFormat::Sha1).await.unwrap()
    }

    pub(crate) async fn offer(&self) -> Offered {
        self.source().await.offer().await.unwrap()
    }

    /// Offers, sends and receives.
    pub(crate) async fn send(&self) -> (Received, Sent) {
        self.try_send().await.unwrap()
    }

    pub(crate) async fn try_send(&self) -> Result<(Received, Sent), TravelError> {
        let (source, store) = (self.source().await, self.store().await);
        let offer = source.offer().await?.offer;
        let haves = store.haves(&self.name).await?;
        let (mut near, far) = tokio::io::duplex(64 * 1024);
        let tree = self.tree_path();
        let growing = (!tree.exists()).then_some(tree.as_path());
        let send = async {
            let sent = source.send(&offer, &haves, &mut near).await;
            drop(near);
            sent
        };
        let (received, sent) = tokio::join!(store.receive(&self.name, far, growing), send);
        Ok((received?, sent?))
    }

    pub(crate) async fn create(&self) -> Tree {
        let (received, _) = self.send().await;
        self.create_from(&received.offer).await.unwrap()
    }

    pub(crate) async fn create_from(&self, offer: &Offer) -> Result<Tree, TravelError> {
        travel::create(CreateReceived {
            store: &self.store().await,
            offer,
            tree: &self.tree_path(),
            state: &self.state(),
            environment: &self.name,
        })
        .await
    }

    /// Sends what is new and applies it.
    pub(crate) async fn sync(&self, tree: &Tree, force: bool) -> Result<Applied, TravelError> {
        let (received, _) = self.send().await;
        travel::apply(tree, &self.state(), &self.store().await, &received.offer, force).await
    }

    /// Brings work back into the source's repository.
    pub(crate) async fn pull(&self, tree: &Tree, force: bool) -> Result<TakenWork, TravelError> {
        let source = self.place.path(&self.project);
        let haves = travel::source_haves(&source).await?;
        let (mut near, far) = tokio::io::duplex(64 * 1024);
        let state = self.state();
        let give = async {
            let given = travel::give(tree, &state, &haves, &mut near).await;
            drop(near);
            given
        };
        let order = TakeWork { source: &source, environment: &self.name, force };
        let (taken, given) = tokio::join!(travel::take(order, far), give);
        let (taken, given) = (taken?, given?);
        assert_eq!(taken.work, given);
        travel::given(tree, &self.state(), &given).await?;
        Ok(taken)
    }
}

//! The store against a real SQLite file.

use std::path::PathBuf;

use dwell_core::environment::{Desired, Environment, Options};
use dwell_core::operation::{Journal, Kind, Phase};
use dwell_core::workspace::{self, Workspace};
use dwell_core::{EnvironmentId, Generation, OperationId, SharedId, Suffix, WorkspaceId};

use crate::{SharedRecord, Store, StoreError};

fn environment(seed: u8, project: &str, name: &str) -> Environment {
    Environment {
        id: EnvironmentId::from_random([seed; 8]),
        name: name.parse().unwrap(),
        project: project.parse().unwrap(),
        source: PathBuf::from("/src"),
        root: PathBuf::from("/tree"),
        tree: None,
        suffix: Suffix::default(),
        generation: Generation::FIRST,
        desired: Desired::Stopped,
        options: Options::default(),
        created: 1,
        notes: Vec::new(),
        origin: None,
        placement: None,
        parts: Default::default(),
    }
}

fn workspace(seed: u8, name: &str) -> Workspace {
    let id = WorkspaceId::from_random([seed; 8]);
    Workspace {
        making: false,
        ..Workspace::new(id, name.parse().unwrap(), Default::default(), Default::default(), 1)
    }
}

async fn store() -> (tempfile::TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("dwell.db")).await.unwrap();
    (folder, store)
}

#[tokio::test]
async fn an_environment_round_trips_and_its_name_is_unique_in_its_project() {
    let (_folder, store) = store().await;
    let first = environment(1, "shop", "a1");
    store.add_environment(&first).await.unwrap();
    let twin = environment(2, "shop", "a1");
    assert!(matches!(store.add_environment(&twin).await, Err(StoreError::Exists)));
    store.add_environment(&environment(3, "blog", "a1")).await.unwrap();
    let found = store.environment_named(&first.project, &first.name).await.unwrap();
    assert_eq!(found, Some(first.clone()));
    store.forget_environment(&first.id).await.unwrap();
    assert_eq!(store.environments().await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_journal_survives_reopening_and_keys_are_unique() {
    let (folder, store) = store().await;
    let journal = Journal {
        id: OperationId::from_random([1; 8]),
        kind: Kind::Up,
        environment: EnvironmentId::from_random([1; 8]),
        key: "key".to_owned(),
        request: serde_json::json!({"build": true}),
        step: 0,
        phase: Phase::Forward,
        result: None,
        created: 5,
    };
    store.add_operation(&journal).await.unwrap();
    assert!(matches!(store.add_operation(&journal).await, Err(StoreError::Exists)));
    store.advance_operation(&journal.id, 2, Phase::Backward).await.unwrap();
    store.close().await;
    let store = Store::open(&folder.path().join("dwell.db")).await.unwrap();
    let unfinished = store.unfinished_operations().await.unwrap();
    assert_eq!(unfinished, [Journal { step: 2, phase: Phase::Backward, ..journal.clone() }]);
    store.end_operation(&journal.id, Phase::Failed, &serde_json::json!(1)).await.unwrap();
    assert!(store.unfinished_operations().await.unwrap().is_empty());
    let ended = store.operation_by_key("key").await.unwrap().unwrap();
    assert_eq!(ended.result, Some(serde_json::json!(1)));
    store.prune_operations(6).await.unwrap();
    assert!(store.operation_by_key("key").await.unwrap().is_none());
}

#[tokio::test]
async fn a_shared_instance_is_idle_from_its_last_user_on() {
    let (_folder, store) = store().await;
    let [one, two] = [1, 2].map(|seed| EnvironmentId::from_random([seed; 8]));
    let shared = SharedRecord {
        id: SharedId::from_random([9; 8]),
        project: "shop".parse().unwrap(),
        service: "db".parse().unwrap(),
        hash: "h".to_owned(),
        definition: serde_json::json!({}),
        idle_since: None,
    };
    store.put_shared(&shared).await.unwrap();
    for user in [&one, &two, &one] {
        store.use_shared(&shared.id, user).await.unwrap();
    }
    store.release_shared(&one, &[], 10).await.unwrap();
    assert_eq!(store.shared().await.unwrap(), vec![shared.clone()]);
    store.release_shared(&two, &[], 20).await.unwrap();
    store.release_shared(&two, &[], 30).await.unwrap();
    let idle = store.shared_of(&shared.project, &shared.service).await.unwrap().unwrap();
    assert_eq!(idle.idle_since, Some(20));
    store.use_shared(&shared.id, &one).await.unwrap();
    assert_eq!(store.shared().await.unwrap(), vec![shared.clone()]);
    assert_eq!(store.shared_users(&shared.id).await.unwrap(), vec![one.clone()]);
    store.release_shared(&one, std::slice::from_ref(&shared.id), 40).await.unwrap();
    assert_eq!(store.shared_users(&shared.id).await.unwrap(), [one]);
}

#[tokio::test]
async fn a_subnet_has_one_owner_until_it_is_released() {
    let (_folder, store) = store().await;
    store.add_subnet("10.224.0.0/28", "one", "default").await.unwrap();
    let taken = store.add_subnet("10.224.0.0/28", "two", "default").await;
    assert!(matches!(taken, Err(StoreError::Exists)));
    store.release_subnets("one").await.unwrap();
    store.add_subnet("10.224.0.0/28", "two", "default").await.unwrap();
    let want = [("default".to_owned(), "10.224.0.0/28".to_owned())];
    assert_eq!(store.subnets_of("two").await.unwrap(), want);
}

#[tokio::test]
async fn a_workspaces_name_is_free_again_once_it_is_destroyed() {
    let (_folder, store) = store().await;
    let first = workspace(1, "box");
    store.put_workspace(&first).await.unwrap();
    let second = workspace(2, "box");
    assert!(matches!(store.put_workspace(&second).await, Err(StoreError::Exists)));
    let kept = Workspace { desired: workspace::Desired::Destroyed, ..first.clone() };
    store.put_workspace(&kept).await.unwrap();
    store.put_workspace(&second).await.unwrap();
    assert_eq!(store.workspaces().await.unwrap(), [second.clone(), kept]);
    // The first one cannot come back under that name, and can under another.
    assert!(matches!(store.put_workspace(&first).await, Err(StoreError::Exists)));
    let renamed = Workspace { name: "red".parse().unwrap(), ..first.clone() };
    store.put_workspace(&renamed).await.unwrap();
    assert_eq!(store.workspace(&first.id).await.unwrap(), Some(renamed));
    store.forget_workspace(&first.id).await.unwrap();
    assert_eq!(store.workspaces().await.unwrap(), [second]);
}

#[tokio::test]
async fn a_damaged_file_is_an_error_whichever_block_is_broken() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("dwell.db");
    let store = Store::open(&path).await.unwrap();
    for seed in 0..40 {
        store.add_environment(&environment(seed, "shop", &format!("a{seed}"))).await.unwrap();
    }
    store.close().await;
    let good = std::fs::read(&path).unwrap();
    for block in 0..good.len() / 4096 {
        let mut bad = good.clone();
        bad[block * 4096..(block + 1) * 4096].fill(0xa5);
        std::fs::write(&path, &bad).unwrap();
        for side in ["dwell.db-wal", "dwell.db-shm"] {
            let _ = std::fs::remove_file(folder.path().join(side));
        }
        if let Ok(store) = Store::open(&path).await {
            // A block that quick_check cannot judge must not turn into wrong records.
            let _ = store.environments().await;
            store.close().await;
        }
    }
    std::fs::write(&path, b"not a database at all, but long enough to have a header......")
        .unwrap();
    assert!(matches!(Store::open(&path).await, Err(StoreError::Damaged { .. })));
}

#[tokio::test]
async fn a_newer_file_is_refused_and_left_alone() {
    let (folder, store) = store().await;
    sqlx::query(
        "insert into _sqlx_migrations (version, description, success, checksum, execution_time) \
         values (9999, 'later', true, x'00', 0)",
    )
    .execute(&store.pool)
    .await
    .unwrap();
    store.close().await;
    let opened = Store::open(&folder.path().join("dwell.db")).await;
    assert!(matches!(opened, Err(StoreError::Newer { .. })), "{opened:?}");
}

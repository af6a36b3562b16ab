//! Other versions.

use std::time::Duration;

use jackfield::{ActiveState, InstallationId, ReportedState};
use jackfield_testkit::within;
use serde_json::json;

use super::fixture::{Bench, archive, by, state};
use crate::registry::{Progress, StateError, UpgradeError};

async fn active(bench: &Bench, version: &str, orders: &[&str]) -> InstallationId {
    let id = bench.install(version, orders).await.record.id;
    let start = bench
        .registry
        .set_active_state(id, ActiveState::Active, "bob", Progress::none());
    within(start).await.unwrap();
    id
}

async fn upgrade(
    bench: &Bench,
    id: InstallationId,
    version: &str,
    orders: &[&str],
) -> Result<crate::registry::Installed, UpgradeError> {
    let upload = bench.upload(version, orders, json!({}));
    let upgrade = bench
        .registry
        .upgrade(id, upload, by("bob"), Progress::none());
    within(upgrade).await
}

#[tokio::test]
async fn a_new_version_takes_over_and_the_old_one_comes_back_when_asked() {
    let folder = tempfile::tempdir().unwrap();
    let bench = Bench::open(folder.path()).await;
    let registry = &bench.registry;
    let id = active(&bench, "1.0", &["--one"]).await;
    let new = upgrade(&bench, id, "2.0", &["--two"]).await.unwrap();
    assert_eq!(new.record.version, Some(2));
    assert_eq!(new.record.manifest.version, "2.0");
    assert_eq!(new.package.as_ref().unwrap().number, 2);
    assert_eq!(state(&new), ReportedState::Active);
    assert_eq!(bench.seen(id).await["orders"][0], "--two");

    let back = within(registry.rollback(id, None, "bob", Progress::none()))
        .await
        .unwrap();
    assert_eq!(
        (back.record.version, state(&back)),
        (Some(1), ReportedState::Active)
    );
    assert_eq!(bench.seen(id).await["orders"][0], "--one");
    let none = within(registry.rollback(id, None, "bob", Progress::none())).await;
    assert!(
        matches!(none, Err(UpgradeError::NothingEarlier)),
        "{none:?}"
    );
    let none = within(registry.rollback(id, Some(7), "bob", Progress::none())).await;
    assert!(matches!(none, Err(UpgradeError::NoVersion(7))), "{none:?}");
    let ahead = within(registry.rollback(id, Some(2), "bob", Progress::none()))
        .await
        .unwrap();
    assert_eq!(ahead.record.version, Some(2));

    let (file, version) = registry.package(id, Some(1)).await.unwrap();
    assert_eq!(version.manifest.version, "1.0");
    assert_eq!(
        std::fs::read(file).unwrap(),
        archive("1.0", &["--one"], json!({}))
    );
    bench.close().await;
}

#[tokio::test]
async fn a_version_that_crashes_is_taken_back_and_never_counted() {
    let folder = tempfile::tempdir().unwrap();
    let bench = Bench::with(folder.path(), |config| {
        // Its first crash tells all there is to know.
        let never = Duration::from_secs(86_400);
        (
            config.policy.restarts,
            config.policy.delay,
            config.policy.delay_cap,
        ) = (3, never, never);
    })
    .await;
    let registry = &bench.registry;
    let id = active(&bench, "1", &["--one"]).await;
    let failed = upgrade(&bench, id, "2", &["--exit", "3"]).await;
    let Err(UpgradeError::BroughtBack { number: 2, why }) = failed else {
        panic!("{failed:?}");
    };
    assert!(
        matches!(&*why, StateError::Failed(f) if f.message == "exit status 3"),
        "{why:?}"
    );
    let installed = bench.get(id).await;
    assert_eq!(installed.record.version, Some(1));
    assert_eq!(installed.record.manifest.version, "1");
    assert_eq!(installed.record.wanted, ActiveState::Active);
    assert_eq!(state(&installed), ReportedState::Active);
    assert_eq!(bench.seen(id).await["orders"][0], "--one");
    assert_eq!(registry.versions(id).await.unwrap().unwrap().len(), 1);
    assert_eq!(bench.archives().await.len(), 1);
    let last = bench.audit(id).await.pop().unwrap();
    assert_eq!((&*last.action, last.done), ("upgrade", false));
    assert!(last.detail.contains("exit status 3"), "{}", last.detail);
    bench.close().await;
}

#[tokio::test]
async fn a_version_that_does_not_answer_a_ping_is_taken_back() {
    let folder = tempfile::tempdir().unwrap();
    let bench = Bench::with(folder.path(), |config| {
        config.policy.call_deadline = Duration::from_secs(1);
    })
    .await;
    let id = active(&bench, "1", &["--one"]).await;
    let failed = upgrade(&bench, id, "2", &["--mute"]).await;
    let Err(UpgradeError::BroughtBack { why, .. }) = failed else {
        panic!("{failed:?}");
    };
    assert!(matches!(&*why, StateError::NoPing(_)), "{why:?}");
    assert_eq!(bench.seen(id).await["orders"][0], "--one");
    bench.close().await;
}

/// What a server that is killed in the middle of it finds is the old version.
#[tokio::test]
async fn while_a_version_is_on_trial_the_old_one_counts_and_a_stop_ends_it() {
    let folder = tempfile::tempdir().unwrap();
    let bench = Bench::open(folder.path()).await;
    let registry = &bench.registry;
    let id = active(&bench, "1", &[]).await;
    let old = registry.parts().host.session(id).unwrap();
    let upload = bench.upload("2", &["--never-dial"], json!({}));
    let upgrade = registry.upgrade(id, upload, by("bob"), Progress::none());
    let stop = async {
        jackfield_testkit::until_state(&old, ReportedState::Inactive).await;
        // The new session takes the old one's place.
        loop {
            let session = registry.parts().host.session(id);
            match session.filter(|session| session.manifest().version == "2") {
                Some(new) => {
                    jackfield_testkit::until_state(&new, ReportedState::Connecting).await;
                    break;
                }
                None => tokio::task::yield_now().await,
            }
        }
        let record = bench.get(id).await.record;
        assert_eq!((record.version, &*record.manifest.version), (Some(1), "1"));
        registry
            .set_active_state(id, ActiveState::Inactive, "cid", Progress::none())
            .await
    };
    let (upgraded, stopped) = within(async { tokio::join!(upgrade, stop) }).await;
    let Err(UpgradeError::BroughtBack { why, .. }) = upgraded else {
        panic!("{upgraded:?}");
    };
    assert!(matches!(*why, StateError::Overtaken), "{why:?}");
    let stopped = stopped.unwrap();
    assert_eq!(stopped.record.version, Some(1));
    assert_eq!(state(&stopped), ReportedState::Inactive);
    assert_eq!(stopped.session.unwrap().manifest().version, "1");
    bench.close().await;
}

#[tokio::test]
async fn a_rollback_goes_to_what_counted_before_and_not_to_the_next_lower_number() {
    let folder = tempfile::tempdir().unwrap();
    let bench = Bench::with(folder.path(), |config| config.keep_versions = 2).await;
    let id = bench.install("1", &[]).await.record.id;
    let back = async || {
        let back = bench.registry.rollback(id, None, "bob", Progress::none());
        within(back).await.map(|back| back.record.version)
    };
    upgrade(&bench, id, "2", &[]).await.unwrap();
    assert_eq!(back().await.unwrap(), Some(1));
    let third = upgrade(&bench, id, "3", &[]).await.unwrap();
    assert_eq!(third.record.version, Some(3));
    // 2 was rolled back from: it is what had to go.
    assert_eq!(back().await.unwrap(), Some(1));
    let none = back().await;
    assert!(
        matches!(none, Err(UpgradeError::NothingEarlier)),
        "{none:?}"
    );
    bench.close().await;
}

#[tokio::test]
async fn of_one_that_is_not_wanted_only_the_version_changes_and_old_ones_go() {
    let folder = tempfile::tempdir().unwrap();
    let bench = Bench::with(folder.path(), |config| config.keep_versions = 2).await;
    let registry = &bench.registry;
    let id = bench.install("1", &[]).await.record.id;
    for version in ["2", "3"] {
        let new = upgrade(&bench, id, version, &["--exit", "1"])
            .await
            .unwrap();
        assert_eq!(state(&new), ReportedState::Inactive);
        assert_eq!(new.record.manifest.version, version);
    }
    let kept = registry.versions(id).await.unwrap().unwrap();
    let kept: Vec<_> = kept.iter().map(|version| version.number).collect();
    assert_eq!(kept, [2, 3]);
    assert_eq!(bench.archives().await.len(), 2);

    let other = bench.upload("4", &[], json!({"id": "other"}));
    let refused = registry
        .upgrade(id, other, by("bob"), Progress::none())
        .await;
    assert!(
        matches!(refused, Err(UpgradeError::OtherPlugin { .. })),
        "{refused:?}"
    );
    let junk = bench.file(b"no zip");
    let refused = registry
        .upgrade(id, junk, by("bob"), Progress::none())
        .await;
    assert!(
        matches!(refused, Err(UpgradeError::Install(_))),
        "{refused:?}"
    );
    assert_eq!(bench.get(id).await.record.version, Some(3));
    bench.close().await;
}

//! Wanted or not.

use jackfield::{ActiveState, ReportedState, RuntimeProvider};
use jackfield_testkit::{eventually, within};
use tokio::task::JoinSet;

use super::fixture::{Bench, by, home, state};
use crate::registry::{InstallError, JobKind, Progress, RemoveError, StateError};

#[tokio::test]
async fn installed_activated_called_deactivated_removed() {
    let folder = tempfile::tempdir().unwrap();
    let bench = Bench::open(folder.path()).await;
    let registry = &bench.registry;
    let installed = bench.install("1", &["--hello"]).await;
    let id = installed.record.id;
    assert_eq!(state(&installed), ReportedState::Inactive);
    assert_eq!(installed.record.wanted, ActiveState::Inactive);
    assert_eq!(installed.record.added_by, "ann");
    let package = installed.package.unwrap();
    assert_eq!((package.number, package.source.as_str()), (1, "upload"));
    assert_eq!(bench.archives().await, [package.digest]);

    let (job, progress) = registry.parts().jobs.begin(JobKind::Start, id);
    let active = registry.set_active_state(id, ActiveState::Active, "bob", progress);
    let active = within(active).await.unwrap();
    assert_eq!(state(&active), ReportedState::Active);
    assert_eq!(active.record.wanted, ActiveState::Active);
    let doing = registry
        .parts()
        .jobs
        .get(&job.id)
        .unwrap()
        .borrow()
        .doing
        .clone();
    assert_ne!(doing, "beginning");
    assert_eq!(bench.seen(id).await["orders"][0], "--hello");
    // Once more: it is so already.
    let again = registry.set_active_state(id, ActiveState::Active, "bob", Progress::none());
    let again = within(again).await.unwrap();
    assert_eq!(
        again.status.unwrap().started_at,
        active.status.unwrap().started_at
    );

    let stopped = registry.set_active_state(id, ActiveState::Inactive, "bob", Progress::none());
    let stopped = within(stopped).await.unwrap();
    assert_eq!(state(&stopped), ReportedState::Inactive);
    assert_eq!(stopped.record.wanted, ActiveState::Inactive);

    within(registry.remove(id, "cid")).await.unwrap();
    assert!(registry.get(id).await.unwrap().is_err());
    assert!(bench.archives().await.is_empty());
    assert!(!home(folder.path(), id).exists());
    let gone = registry.remove(id, "cid").await;
    assert!(matches!(gone, Err(RemoveError::NotFound(_))), "{gone:?}");
    let audit = bench.audit(id).await;
    let audit: Vec<_> = audit
        .iter()
        .map(|e| (&*e.actor, &*e.action, e.done))
        .collect();
    assert_eq!(
        audit,
        [
            ("ann", "install", true),
            ("bob", "activate", true),
            ("bob", "activate", true),
            ("bob", "deactivate", true),
            ("cid", "remove", true),
            ("cid", "remove", false),
        ]
    );
    bench.close().await;
}

#[tokio::test]
async fn a_plugin_that_fails_stays_wanted_only_if_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let bench = Bench::open(folder.path()).await;
    let registry = &bench.registry;
    let id = bench.install("1", &["--exit", "42"]).await.record.id;
    for _ in 0..2 {
        let failed = registry.set_active_state(id, ActiveState::Active, "bob", Progress::none());
        let Err(StateError::Failed(failure)) = within(failed).await else {
            panic!("it does not fail");
        };
        assert_eq!(failure.message, "exit status 42");
        let installed = bench.get(id).await;
        assert_eq!(installed.record.wanted, ActiveState::Inactive);
        assert_eq!(state(&installed), ReportedState::Errored);
    }
    assert!(bench.audit(id).await[1].detail.contains("exit status 42"));

    let store = &registry.parts().store;
    store.set_wanted(id, ActiveState::Active).await.unwrap();
    let failed = within(registry.restart(id, "bob", Progress::none())).await;
    assert!(matches!(failed, Err(StateError::Failed(_))), "{failed:?}");
    assert_eq!(bench.get(id).await.record.wanted, ActiveState::Active);
    bench.close().await;
}

#[tokio::test]
async fn a_restart_is_another_process_and_starts_what_is_not_wanted() {
    let folder = tempfile::tempdir().unwrap();
    let bench = Bench::open(folder.path()).await;
    let registry = &bench.registry;
    let id = bench.install("1", &[]).await.record.id;
    let mut pids = Vec::new();
    for _ in 0..2 {
        let active = within(registry.restart(id, "bob", Progress::none()))
            .await
            .unwrap();
        assert_eq!(active.record.wanted, ActiveState::Active);
        pids.push(bench.seen(id).await["pid"].clone());
    }
    assert_ne!(pids[0], pids[1]);
    bench.close().await;
}

#[tokio::test]
async fn who_waits_for_a_plugin_is_told_when_somebody_stops_it() {
    let folder = tempfile::tempdir().unwrap();
    let bench = Bench::open(folder.path()).await;
    let registry = &bench.registry;
    let id = bench.install("1", &["--never-dial"]).await.record.id;
    let start = registry.set_active_state(id, ActiveState::Active, "bob", Progress::none());
    let stop = async {
        bench.until(id, ReportedState::Connecting).await;
        registry
            .set_active_state(id, ActiveState::Inactive, "cid", Progress::none())
            .await
    };
    let (started, stopped) = within(async { tokio::join!(start, stop) }).await;
    assert!(matches!(started, Err(StateError::Overtaken)), "{started:?}");
    let stopped = stopped.unwrap();
    assert_eq!(state(&stopped), ReportedState::Inactive);
    assert_eq!(stopped.record.wanted, ActiveState::Inactive);
    bench.close().await;
}

#[tokio::test]
async fn what_takes_too_long_goes_on_trying_and_stays_wanted() {
    let folder = tempfile::tempdir().unwrap();
    let limit = std::time::Duration::from_millis(200);
    let bench = Bench::with(folder.path(), |config| config.activation_deadline = limit).await;
    let registry = &bench.registry;
    let id = bench.install("1", &["--never-dial"]).await.record.id;
    let late = registry.set_active_state(id, ActiveState::Active, "bob", Progress::none());
    let late = within(late).await;
    assert!(matches!(late, Err(StateError::Timeout(_))), "{late:?}");
    let installed = bench.get(id).await;
    assert_eq!(installed.record.wanted, ActiveState::Active);
    assert_ne!(state(&installed), ReportedState::Inactive);
    bench.close().await;
}

#[tokio::test]
async fn an_operation_goes_on_when_nobody_waits_for_it() {
    let folder = tempfile::tempdir().unwrap();
    let bench = Bench::open(folder.path()).await;
    let registry = &bench.registry;
    let id = bench.install("1", &[]).await.record.id;
    {
        let start = registry.set_active_state(id, ActiveState::Active, "bob", Progress::none());
        let mut start = Box::pin(start);
        // Asked once, and dropped: as a request whose client has gone.
        assert!(futures_util::poll!(start.as_mut()).is_pending());
    }
    bench.until(id, ReportedState::Active).await;
    let wait = registry.set_active_state(id, ActiveState::Inactive, "bob", Progress::none());
    within(wait).await.unwrap();
    let actions: Vec<_> = bench
        .audit(id)
        .await
        .into_iter()
        .map(|e| e.action)
        .collect();
    assert!(actions.contains(&"activate".to_owned()), "{actions:?}");
    bench.close().await;
}

#[tokio::test]
async fn many_at_once_come_to_an_end_and_what_is_agrees_with_what_is_wanted() {
    let folder = tempfile::tempdir().unwrap();
    let bench = Bench::open(folder.path()).await;
    let id = bench.install("1", &[]).await.record.id;
    let mut tasks = JoinSet::new();
    for turn in 0..12 {
        let registry = bench.registry.clone();
        tasks.spawn(async move {
            let progress = Progress::none();
            match turn % 3 {
                0 => {
                    registry
                        .set_active_state(id, ActiveState::Active, "bob", progress)
                        .await
                }
                1 => registry.restart(id, "bob", progress).await,
                _ => {
                    registry
                        .set_active_state(id, ActiveState::Inactive, "bob", progress)
                        .await
                }
            }
        });
    }
    while let Some(done) = within(tasks.join_next()).await {
        let done = done.unwrap();
        assert!(
            matches!(done, Ok(_) | Err(StateError::Overtaken)),
            "{done:?}"
        );
    }
    let wanted = bench.get(id).await.record.wanted;
    let expected = match wanted {
        ActiveState::Active => ReportedState::Active,
        ActiveState::Inactive => ReportedState::Inactive,
    };
    bench.until(id, expected).await;
    bench.close().await;
}

#[tokio::test]
async fn a_server_without_a_runtime_runs_no_plugins() {
    let folder = tempfile::tempdir().unwrap();
    let bench = Bench::with(folder.path(), |config| {
        config.runtime_provider = RuntimeProvider::None;
    })
    .await;
    let upload = bench.upload("1", &[], serde_json::json!({}));
    let refused = bench.registry.install(upload, by("ann")).await;
    assert!(
        matches!(refused, Err(InstallError::Disabled)),
        "{refused:?}"
    );
    bench.close().await;
}

#[tokio::test]
async fn removing_one_that_starts_does_not_wait_for_it() {
    let folder = tempfile::tempdir().unwrap();
    let bench = Bench::open(folder.path()).await;
    let registry = &bench.registry;
    let id = bench.install("1", &["--never-dial"]).await.record.id;
    let start = registry.set_active_state(id, ActiveState::Active, "bob", Progress::none());
    let remove = async {
        bench.until(id, ReportedState::Connecting).await;
        registry.remove(id, "cid").await
    };
    let (started, removed) = within(async { tokio::join!(start, remove) }).await;
    assert!(started.is_err());
    removed.unwrap();
    let left = home(folder.path(), id);
    eventually(
        std::time::Duration::from_secs(10),
        "the folder is gone",
        || !left.exists(),
    )
    .await;
    bench.close().await;
}

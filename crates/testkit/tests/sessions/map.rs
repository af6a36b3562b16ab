//! Load, unload, session, sessions; the runtime that is none, and the one that is not there.

use std::time::Duration;

use jackfield::ReportedState::{Active, Connecting, Errored, Inactive, Restarting, Stopping};
use jackfield::{
    ActiveState, BuildError, Host, InstallationId, LoadError, Mode, Policy, RuntimeProvider, Spec,
};
use jackfield_testkit::{
    Dial, Program, Rig, alive_with, bench_host, manifest, quick, until_state, within,
};
use serde_json::json;

use crate::RIG;

/// The original made two sessions, and the first one's goroutines were lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn loads_of_one_id_that_race_give_one_session() {
    let host = bench_host(|builder| builder).await;
    let id = InstallationId::new();
    let package = Rig::new("").package(RIG);
    let mut loads = tokio::task::JoinSet::new();
    for _ in 0..16 {
        let (host, package) = (Host::clone(&host), package.clone());
        loads.spawn(async move {
            let session = host.load(Spec::supervised(id, package)).unwrap();
            session.set_active_state(ActiveState::Active).await.unwrap();
            session.ready().await.unwrap();
            session.status().borrow().pid
        });
    }
    let mut pids = Vec::new();
    while let Some(pid) = within(loads.join_next()).await {
        pids.push(pid.unwrap());
    }
    assert!(pids.iter().all(|pid| *pid == pids[0]), "{pids:?}");
    assert_eq!(host.sessions().len(), 1);
    assert_eq!(alive_with(&id.to_string()).len(), 1);
}

/// A second load changes nothing, whatever it says.
#[tokio::test]
async fn load_is_idempotent() {
    let host = bench_host(|builder| builder).await;
    let id = InstallationId::new();
    let first = host
        .load(Spec::supervised(id, Rig::new("").package(RIG)))
        .unwrap();
    first.set_active_state(ActiveState::Active).await.unwrap();
    within(first.ready()).await.unwrap();
    let other = Rig::new("")
        .manifest(json!({"version": "2.0.0"}))
        .package(RIG);
    let second = host.load(Spec::supervised(id, other)).unwrap();
    assert_eq!(second.manifest().version, "1.0.0");
    assert_eq!(second.status().borrow().state, Active);
    assert_eq!((second.id(), second.mode()), (id, Mode::Supervised));
}

#[tokio::test]
async fn sessions_are_found() {
    let host = bench_host(|builder| builder).await;
    assert!(host.sessions().is_empty());
    assert!(host.session(InstallationId::new()).is_none());
    let supervised = host.install(Rig::new("").package(RIG));
    let (external, _) = host.expect(&manifest(json!({}))).await;
    assert!(supervised.supervised().is_some());
    assert!(external.supervised().is_none());
    let ids: Vec<_> = host.sessions().iter().map(jackfield::Session::id).collect();
    assert_eq!(ids, [supervised.id(), external.id()]);
    assert_eq!(host.session(external.id()).unwrap().mode(), Mode::External);
    host.unload(supervised.id()).await;
    assert!(host.session(supervised.id()).is_none());
    assert_eq!(host.sessions().len(), 1);
}

/// Unknown, twice, and by many at once.
#[tokio::test]
async fn unload_is_idempotent() {
    let host = bench_host(|builder| builder).await;
    within(host.unload(InstallationId::new())).await;
    let session = host.run(Rig::new("").package(RIG)).await;
    let id = session.id();
    let three = async { tokio::join!(host.unload(id), host.unload(id), host.unload(id)) };
    within(three).await;
    within(host.unload(id)).await;
    assert!(host.session(id).is_none());
    assert!(alive_with(&id.to_string()).is_empty());
    assert!(session.set_active_state(ActiveState::Active).await.is_err());
    assert!(within(session.ready()).await.is_err());
    assert_ne!(session.status().borrow().state, Active);
}

/// In every state: the process is gone when it returns, and the same id may come anew.
#[tokio::test]
async fn unload_works_in_every_state() {
    let host = bench_host(|builder| {
        builder.policy(Policy {
            delay: Duration::from_secs(60),
            delay_cap: Duration::from_secs(60),
            ..quick()
        })
    })
    .await;
    for (orders, state) in [
        ("", Inactive),
        ("--never-dial", Connecting),
        ("--deaf --stay", Active),
        ("--exit 42", Restarting),
        ("--deaf --stay", Stopping),
    ] {
        let session = host.install(Rig::new(orders).package(RIG));
        let id = session.id();
        if state != Inactive {
            session.set_active_state(ActiveState::Active).await.unwrap();
        }
        if state == Stopping {
            within(session.ready()).await.unwrap();
            let stop = session.set_active_state(ActiveState::Inactive);
            let _ = tokio::time::timeout(Duration::ZERO, stop).await;
        }
        until_state(&session, state).await;
        let unload = tokio::time::timeout(Duration::from_secs(10), host.unload(id));
        unload
            .await
            .unwrap_or_else(|_| panic!("not out of {state}"));
        assert!(alive_with(&id.to_string()).is_empty(), "{state}");
        let again = host
            .load(Spec::supervised(id, Rig::new("").package(RIG)))
            .unwrap();
        again.set_active_state(ActiveState::Active).await.unwrap();
        within(again.ready()).await.unwrap();
        host.unload(id).await;
    }
    // Right behind the start.
    let session = host.start(Rig::new("").package(RIG)).await;
    within(host.unload(session.id())).await;
    assert!(alive_with(&session.id().to_string()).is_empty());
}

#[tokio::test]
async fn unload_works_on_what_was_given_up() {
    let host = bench_host(|builder| {
        builder.policy(Policy {
            restarts: 0,
            ..quick()
        })
    })
    .await;
    let session = host.start(Rig::new("--exit 42").package(RIG)).await;
    until_state(&session, Errored).await;
    within(host.unload(session.id())).await;
    assert!(host.sessions().is_empty());
}

/// Loads and unloads of one id that race leave one session or none, and no process too many.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn loads_and_unloads_may_race() {
    let host = bench_host(|builder| builder).await;
    let id = InstallationId::new();
    let package = Rig::new("").package(RIG);
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..24 {
        let (host, package) = (Host::clone(&host), package.clone());
        tasks.spawn(async move {
            if n % 3 == 0 {
                host.unload(id).await;
            } else if let Ok(session) = host.load(Spec::supervised(id, package)) {
                let _ = session.set_active_state(ActiveState::Active).await;
            }
        });
    }
    while let Some(done) = within(tasks.join_next()).await {
        done.unwrap();
    }
    // Whatever came out of it works.
    let session = host.load(Spec::supervised(id, package)).unwrap();
    session.set_active_state(ActiveState::Active).await.unwrap();
    within(session.ready()).await.unwrap();
    assert_eq!(host.sessions().len(), 1);
    assert_eq!(alive_with(&id.to_string()).len(), 1);
    within(host.unload(id)).await;
    assert!(alive_with(&host.mark()).is_empty());
}

/// Loaded anew while it is unloaded: the old one, or not yet; never a second one beside it.
#[tokio::test]
async fn a_load_during_an_unload() {
    let host = bench_host(|builder| builder).await;
    let package = Rig::new("").package(RIG);
    let session = host.run(Rig::new("--deaf --stay").package(RIG)).await;
    let id = session.id();
    let load = async {
        until_state(&session, Stopping).await;
        loop {
            match host.load(Spec::supervised(id, package.clone())) {
                Ok(new) if new.manifest().args.is_empty() => break new,
                // The one that goes.
                Ok(_) => {}
                Err(error) => assert!(matches!(error, LoadError::Unloading(_)), "{error}"),
            }
            assert!(host.sessions().len() <= 1);
            tokio::task::yield_now().await;
        }
    };
    let ((), new) = within(async { tokio::join!(host.unload(id), load) }).await;
    assert!(alive_with(&id.to_string()).is_empty());
    new.set_active_state(ActiveState::Active).await.unwrap();
    within(new.ready()).await.unwrap();
    assert_eq!(host.sessions().len(), 1);
}

/// `none`: no place for processes, programs that dial in work.
#[tokio::test]
async fn without_a_runtime_only_programs_that_dial_in_work() {
    let host = bench_host(|builder| builder.runtime_provider(RuntimeProvider::None)).await;
    assert_eq!(host.runtime_provider(), RuntimeProvider::None);
    let spec = Spec::supervised(InstallationId::new(), Rig::new("").package(RIG));
    let id = spec.id();
    let error = host.load(spec).unwrap_err();
    assert!(matches!(error, LoadError::PluginsDisabled));
    let text = error.to_string();
    assert!(text.contains("none") && text.contains("dial"), "{text}");
    assert!(host.session(id).is_none());
    let (session, token) = host.expect(&manifest(json!({}))).await;
    let _program = Program::dial(&host, &token).await;
    within(session.ready()).await.unwrap();
}

#[tokio::test]
async fn a_runtime_that_is_not_there_is_refused_at_build() {
    let folder = tempfile::tempdir().unwrap();
    let build = || Host::builder().data_folder(folder.path().join("data"));
    let error = build()
        .runtime_provider(RuntimeProvider::Sprites)
        .build()
        .await;
    let error = error.unwrap_err();
    assert!(matches!(
        error,
        BuildError::NoRuntime(RuntimeProvider::Sprites)
    ));
    assert!(error.to_string().contains("sprites"), "{error}");
    // And what stands in the way is named.
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let error = Host::builder()
        .data_folder(&file)
        .build()
        .await
        .unwrap_err();
    assert!(error.to_string().contains("file"), "{error}");
    let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap();
    let error = build().listen(address).build().await.unwrap_err();
    assert!(
        error.to_string().contains(&address.port().to_string()),
        "{error}"
    );
    let error = build()
        .public_url("not an address")
        .build()
        .await
        .unwrap_err();
    assert!(matches!(error, BuildError::PublicUrl(_)));
    // None of the failures keeps the folder.
    build().build().await.unwrap();
}

/// After an unload the token of a program lets nobody in.
#[tokio::test]
async fn an_unloaded_program_is_unknown() {
    let host = bench_host(|builder| builder).await;
    let (session, token) = host.expect(&manifest(json!({}))).await;
    let program = Program::dial(&host, &token).await;
    within(session.ready()).await.unwrap();
    let (end, ()) = tokio::join!(program.end(), host.unload(session.id()));
    assert_eq!(end.unwrap().0, 1000);
    assert_eq!(Dial::external(&host, &token).send().await.status, 401);
}

/// Somebody starts it again and again while it is unloaded: when the unload returns nothing lives,
/// and nothing comes back.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_start_slips_into_no_unload() {
    let host = bench_host(|builder| builder).await;
    for _ in 0..10 {
        let session = host.run(Rig::new("").package(RIG)).await;
        let id = session.id();
        let mut starters = tokio::task::JoinSet::new();
        for _ in 0..4 {
            let session = session.clone();
            starters.spawn(async move {
                while session.set_active_state(ActiveState::Active).await.is_ok() {
                    tokio::task::yield_now().await;
                }
            });
        }
        within(host.unload(id)).await;
        assert!(alive_with(&id.to_string()).is_empty());
        while let Some(done) = within(starters.join_next()).await {
            done.unwrap();
        }
        assert_eq!(session.status().borrow().state, Inactive);
        assert!(alive_with(&id.to_string()).is_empty());
        // Loaded at once, it is one that works.
        let again = host
            .load(Spec::supervised(id, Rig::new("").package(RIG)))
            .unwrap();
        again.set_active_state(ActiveState::Active).await.unwrap();
        within(again.ready()).await.unwrap();
        within(host.uninstall(id)).await.unwrap();
    }
}

/// Uninstalled while its files are on their way: they do not come back.
#[tokio::test]
async fn an_uninstall_during_a_start_leaves_nothing() {
    let host = bench_host(|builder| builder).await;
    let files: Vec<(String, Vec<u8>)> = (0..400)
        .map(|n| (format!("folder{}/file{n}", n % 7), vec![b'x'; 2000]))
        .collect();
    let files: Vec<(&str, &[u8])> = files.iter().map(|(n, b)| (n.as_str(), &b[..])).collect();
    let package = jackfield_testkit::package(&manifest(json!({"command": RIG})), &files);
    for _ in 0..5 {
        let session = host.start(package.clone()).await;
        until_state(&session, jackfield::ReportedState::Starting).await;
        let id = session.id().to_string();
        within(host.uninstall(session.id())).await.unwrap();
        let left = std::fs::read_dir(host.folder().join("plugins")).unwrap();
        let left = left.filter(|entry| entry.as_ref().unwrap().file_name() == *id);
        assert_eq!(left.count(), 0);
    }
    within(host.shutdown(Duration::from_secs(5))).await;
    assert_eq!(
        std::fs::read_dir(host.folder().join("plugins"))
            .unwrap()
            .count(),
        0
    );
}

/// What an embedder prints of a builder and its errors has no secrets in it.
#[tokio::test]
async fn builders_tell_no_secrets() {
    let builder = Host::builder().env("DATABASE_URL", "postgres://user:secret@host");
    assert!(!format!("{builder:?}").contains("secret"));
    let folder = tempfile::tempdir().unwrap();
    let builder = builder
        .data_folder(folder.path())
        .public_url("http://user:secret@host");
    let error = builder.build().await.unwrap_err();
    assert!(!format!("{error:?} {error}").contains("secret"), "{error}");
}

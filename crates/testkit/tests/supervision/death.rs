//! Nothing outlives the host, however it ends.

use std::path::PathBuf;
use std::time::Duration;

use jackfield::ReportedState::Active;
use jackfield::{ActiveState, BuildError, CallOptions, Host, InstallationId, Session, Spec};
use jackfield_testkit::{
    Again, Rig, alive, alive_with, as_program, bench_host, eventually, host_in, shell, tell,
    until_file, until_state, within,
};
use serde_json::json;
use tokio_util::task::TaskTracker;

use crate::RIG;

/// Not a test of its own: a host with plugins of all kinds, until it is killed.
#[tokio::test]
async fn host_to_be_killed() {
    let Some(folder) = as_program() else { return };
    let host = host_in(&folder, |builder| builder).await;
    let file = folder.join("grandchild");
    let orders = format!("--grandchild {} --deaf --stay", file.display());
    let packages = [
        Rig::new(&orders).package(RIG),
        Rig::new("--stay").package(RIG),
        Rig::new("--never-dial").package(RIG),
        shell("trap '' INT TERM HUP; while :; do setsid sleep 1000 & sleep 0.1; done"),
    ];
    let mut sessions = Vec::new();
    for package in packages {
        let session = host.load(Spec::supervised(InstallationId::new(), package));
        let session = session.unwrap();
        session.set_active_state(ActiveState::Active).await.unwrap();
        sessions.push(session);
    }
    within(sessions[0].ready()).await.unwrap();
    within(sessions[1].ready()).await.unwrap();
    let grandchild: u32 = until_file(&file).await.trim().parse().unwrap();
    let mark = folder.display().to_string();
    eventually(Duration::from_secs(20), "all of it", || {
        alive_with(&mark).len() >= 10
    })
    .await;
    tell(&json!({"grandchild": grandchild}));
    std::future::pending::<()>().await;
}

/// Killed without a word: one second later nothing of any plugin is alive, not even what called
/// `setsid`. And the next host over its folder starts as if nothing had been.
#[tokio::test]
async fn nothing_outlives_a_host_that_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let mark = folder.path().display().to_string();
    let mut program = Again::run("death::host_to_be_killed", folder.path(), |_| {});
    let told = program.told().await;
    let grandchild = u32::try_from(told["grandchild"].as_u64().unwrap()).unwrap();
    assert!(alive(grandchild));
    // Another host keeps its hands off the folder.
    let second = Host::builder().data_folder(folder.path()).build().await;
    let error = second.unwrap_err();
    assert!(matches!(error, BuildError::InUse { pid, .. } if pid == Some(program.pid())));
    assert!(
        error.to_string().contains("in use by another host"),
        "{error}"
    );
    let host_pid = program.pid();
    program.kill().await;
    let all_but_host = || {
        let mut left = alive_with(&mark);
        left.retain(|pid| *pid != host_pid);
        left
    };
    let gone = tokio::time::Instant::now() + Duration::from_secs(1);
    while !all_but_host().is_empty() || alive(grandchild) {
        assert!(
            tokio::time::Instant::now() < gone,
            "alive a second later: {:?}",
            all_but_host()
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // The next one.
    let host = host_in(folder.path(), |builder| builder).await;
    assert!(host.sessions().is_empty());
    let spec = Spec::supervised(InstallationId::new(), Rig::new("").package(RIG));
    let session = host.load(spec).unwrap();
    session.set_active_state(ActiveState::Active).await.unwrap();
    within(session.ready()).await.unwrap();
    within(host.shutdown(Duration::from_secs(5))).await;
    assert!(alive_with(&mark).is_empty());
}

/// Not a test of its own: a host that starts, stops and loses plugins all the time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn restless_host_to_be_killed() {
    let Some(folder) = as_program() else { return };
    let host = host_in(&folder, |builder| builder).await;
    let packages = [
        Rig::new("--stay").package(RIG),
        shell("setsid sleep 1000 & sleep 0.05; exit 1"),
        shell("(setsid sh -c 'setsid sleep 1000 & sleep 1000' &); exec sleep 1000"),
        shell("exit 0"),
    ];
    let mut restless = tokio::task::JoinSet::new();
    for n in 0..12 {
        let package = packages[n % packages.len()].clone();
        let session = host
            .load(Spec::supervised(InstallationId::new(), package))
            .unwrap();
        restless.spawn(async move {
            loop {
                session.set_active_state(ActiveState::Active).await.unwrap();
                let wait = Duration::from_millis(10 * n as u64);
                let _ = tokio::time::timeout(wait, session.ready()).await;
                session
                    .set_active_state(ActiveState::Inactive)
                    .await
                    .unwrap();
            }
        });
    }
    tell(&json!("restless"));
    restless.join_next().await;
}

/// Killed in the middle of starting and stopping, again and again over one folder: nothing is
/// alive a second later, whatever was being done, and the next host takes over.
#[tokio::test]
async fn a_host_may_be_killed_at_any_moment() {
    let folder = tempfile::tempdir().unwrap();
    let mark = folder.path().display().to_string();
    for round in 0..6u64 {
        let mut program = Again::run("death::restless_host_to_be_killed", folder.path(), |_| {});
        program.told().await;
        eventually(Duration::from_secs(20), "much goes on", || {
            alive_with(&mark).len() > 5
        })
        .await;
        // Some moment or other.
        tokio::time::sleep(Duration::from_millis(50 + 37 * round)).await;
        program.kill().await;
        eventually(Duration::from_secs(1), "nothing is left", || {
            alive_with(&mark).is_empty()
        })
        .await;
    }
    let host = host_in(folder.path(), |builder| builder).await;
    let leases = folder.path().join("leases");
    assert_eq!(std::fs::read_dir(leases).unwrap().count(), 0, "swept");
    within(host.shutdown(Duration::from_secs(5))).await;
}

/// A folder has one host, also within one process; when that is gone the next may have it.
#[tokio::test]
async fn a_folder_has_one_host() {
    let folder = tempfile::tempdir().unwrap();
    let first = host_in(folder.path(), |builder| builder).await;
    let refused = Host::builder().data_folder(folder.path()).build().await;
    assert!(matches!(refused, Err(BuildError::InUse { .. })));
    // By another name too.
    let roundabout: PathBuf = folder
        .path()
        .join("..")
        .join(folder.path().file_name().unwrap());
    let refused = Host::builder().data_folder(roundabout).build().await;
    assert!(matches!(refused, Err(BuildError::InUse { .. })));
    within(first.shutdown(Duration::from_secs(5))).await;
    drop(first);
    host_in(folder.path(), |builder| builder).await;
}

/// Dropped, not shut down: all plugins go at once, and sessions that somebody still holds say so.
#[tokio::test]
async fn a_host_that_is_dropped_takes_its_plugins_along() {
    let host = bench_host(|builder| builder).await;
    let mark = host.mark();
    let file = host.folder().join("grandchild");
    let orders = format!("--grandchild {} --deaf --stay", file.display());
    let session = host.run(Rig::new(&orders).package(RIG)).await;
    let other = host.start(Rig::new("--never-dial").package(RIG)).await;
    let grandchild: u32 = until_file(&file).await.trim().parse().unwrap();
    let address = host.local_addr().unwrap();
    drop(host);
    eventually(Duration::from_secs(5), "all are gone", || {
        alive_with(&mark).is_empty() && !alive(grandchild)
    })
    .await;
    assert!(within(session.ready()).await.is_err());
    assert!(
        within(session.set_active_state(ActiveState::Active))
            .await
            .is_err()
    );
    assert!(
        within(other.set_active_state(ActiveState::Inactive))
            .await
            .is_err()
    );
    eventually(Duration::from_secs(5), "the door is closed", || {
        std::net::TcpStream::connect(address).is_err()
    })
    .await;
}

/// A runtime that ends with a host in it: nothing is left either.
#[test]
fn a_runtime_that_ends_takes_its_plugins_along() {
    let folder = tempfile::tempdir().unwrap();
    let mark = folder.path().display().to_string();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let host = runtime.block_on(async {
        let host = host_in(folder.path(), |builder| builder).await;
        let spec = Spec::supervised(
            InstallationId::new(),
            Rig::new("--deaf --stay").package(RIG),
        );
        let session = host.load(spec).unwrap();
        session.set_active_state(ActiveState::Active).await.unwrap();
        until_state(&session, Active).await;
        host
    });
    drop(runtime);
    gone(&mark);
    drop(host);
}

/// The same at all moments of a plugin's life: while it is launched, connects, is called and told of
/// events, and is stopped. Some of them kept the runtime from ending, for ever: see the tests of
/// `Heart` in the crate `jackfield-rpc`.
#[test]
fn a_runtime_may_end_at_any_moment() {
    let rig = || {
        Rig::new("")
            .manifest(json!({"events_consumed": ["EventPostLiked"]}))
            .package(RIG)
    };
    for moment in (0..12).map(|step| Duration::from_millis(2 * step)) {
        let folder = tempfile::tempdir().unwrap();
        let mark = folder.path().display().to_string();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let host = runtime.block_on(async {
            let host = host_in(folder.path(), |builder| builder).await;
            let tasks = TaskTracker::new();
            for _ in 0..3 {
                let spec = Spec::supervised(InstallationId::new(), rig());
                tasks.spawn(live(host.load(spec).unwrap()));
            }
            tokio::time::sleep(moment).await;
            host
        });
        let (end, ended) = std::sync::mpsc::channel();
        let ending = std::thread::spawn(move || {
            drop(runtime);
            end.send(()).unwrap();
        });
        let mut waited = 0;
        while ended.recv_timeout(Duration::from_millis(1)).is_err() {
            // From outside it, which the host cannot know to be ending.
            host.publish("EventPostLiked", json!({"n": waited}))
                .unwrap();
            waited += 1;
            assert!(waited < 20_000, "it does not end, from {moment:?} on");
        }
        ending.join().unwrap();
        assert!(host.sessions().len() == 3, "the host is still there");
        drop(host);
        gone(&mark);
    }
}

/// Waits without a runtime until nothing with this mark is alive.
fn gone(mark: &str) {
    let deadline = std::time::SystemTime::now() + Duration::from_secs(10);
    while !alive_with(mark).is_empty() {
        let now = std::time::SystemTime::now();
        assert!(now < deadline, "{:?}", alive_with(mark));
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Starts it, calls it and stops it, over and over.
async fn live(session: Session) {
    loop {
        let _ = session.set_active_state(ActiveState::Active).await;
        let _ = session.ready().await;
        let options = CallOptions::default();
        let _ = session.call_raw("echo", None, options).await;
        let _ = session.set_active_state(ActiveState::Inactive).await;
        tokio::task::yield_now().await;
    }
}

/// Shut down by the book: asked, waited for, and what was deaf is named.
#[tokio::test]
async fn shutdown_names_what_did_not_stop() {
    let host = bench_host(|builder| {
        builder.policy(jackfield::Policy {
            stop_grace: Duration::from_secs(60),
            ..jackfield_testkit::quick()
        })
    })
    .await;
    let meek = host.run(Rig::new("").package(RIG)).await;
    let deaf = host.run(Rig::new("--deaf --stay").package(RIG)).await;
    let idle = host.install(Rig::new("").package(RIG));
    let began = tokio::time::Instant::now();
    let left = within(host.shutdown(Duration::from_millis(700))).await;
    assert!(
        began.elapsed() < Duration::from_secs(10),
        "{:?}",
        began.elapsed()
    );
    assert_eq!(left.killed, [deaf.id()]);
    assert!(alive_with(&host.mark()).is_empty());
    for session in [meek, deaf, idle] {
        assert!(
            within(session.set_active_state(ActiveState::Active))
                .await
                .is_err()
        );
    }
    assert!(host.sessions().is_empty());
    let again = within(host.shutdown(Duration::from_secs(1))).await;
    assert!(again.killed.is_empty());
    let late = Spec::supervised(InstallationId::new(), Rig::new("").package(RIG));
    assert!(host.load(late).is_err());
}

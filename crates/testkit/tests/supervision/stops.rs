//! A stop is answered in every state, at once where nothing is to be waited for.

use std::sync::Arc;
use std::time::Duration;

use jackfield::ReportedState::{
    Active, Connecting, Errored, Inactive, Restarting, Starting, Stopping,
};
use jackfield::package::Package;
use jackfield::runtime::{BoxFuture, Deployment, Launch, Running, Runtime};
use jackfield::{ActiveState, Failure, InstallationId, Policy, RuntimeProvider, Session, Stage};
use jackfield_testkit::{
    Rig, alive, alive_with, bench_host, eventually, quick, shell, states, until, until_state,
    within,
};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::RIG;

/// Longer than a scheduler's whim, far shorter than any deadline.
const PROMPT: Duration = Duration::from_secs(3);

/// Stops, and checks that it did not take longer than `most`.
async fn stop(session: &Session, most: Duration) {
    let stop = session.set_active_state(ActiveState::Inactive);
    let stopped = tokio::time::timeout(most, stop).await;
    stopped.expect("a stop is answered").unwrap();
}

fn patient() -> Policy {
    Policy {
        delay: Duration::from_secs(60),
        delay_cap: Duration::from_secs(60),
        ..quick()
    }
}

#[tokio::test]
async fn while_inactive() {
    let host = bench_host(|builder| builder).await;
    let session = host.install(Rig::new("").package(RIG));
    stop(&session, PROMPT).await;
    stop(&session, PROMPT).await;
    assert_eq!(session.status().borrow().state, Inactive);
    assert!(states(&session).is_empty(), "nothing happened");
}

/// Right behind the start, before there is a process: the original could never be stopped again.
#[tokio::test]
async fn before_the_process_exists() {
    let host = bench_host(|builder| builder).await;
    for _ in 0..20 {
        let session = host.start(Rig::new("").package(RIG)).await;
        stop(&session, PROMPT).await;
        assert_eq!(session.status().borrow().state, Inactive);
        // And it is as good as new.
        session.set_active_state(ActiveState::Active).await.unwrap();
        within(session.ready()).await.unwrap();
        stop(&session, PROMPT).await;
        assert!(alive_with(&session.id().to_string()).is_empty());
    }
}

/// The same with both calls under way at once.
#[tokio::test]
async fn start_and_stop_race() {
    let host = bench_host(|builder| builder).await;
    let session = host.install(Rig::new("").package(RIG));
    for round in 0..30 {
        let (start, stop) = (
            session.set_active_state(ActiveState::Active),
            session.set_active_state(ActiveState::Inactive),
        );
        let both = async {
            if round % 2 == 0 {
                tokio::join!(start, stop)
            } else {
                let (stop, start) = tokio::join!(stop, start);
                (start, stop)
            }
        };
        let (started, stopped) = within(both).await;
        started.unwrap();
        stopped.unwrap();
    }
    stop(&session, PROMPT).await;
    assert_eq!(session.status().borrow().state, Inactive);
    assert!(alive_with(&host.mark()).is_empty());
}

#[tokio::test]
async fn while_connecting() {
    let host = bench_host(|builder| builder).await;
    let session = host.start(Rig::new("--never-dial").package(RIG)).await;
    let pid = until_state(&session, Connecting).await.pid;
    stop(&session, PROMPT).await;
    assert_eq!(states(&session), [Starting, Connecting, Stopping, Inactive]);
    assert!(pid.is_none_or(|pid| !alive(pid)));
}

/// In back-off: the original went on sleeping, started the process anew and was then deaf to
/// every further stop.
#[tokio::test]
async fn during_back_off() {
    let host = bench_host(|builder| builder.policy(patient())).await;
    let session = host.start(Rig::new("--exit 42").package(RIG)).await;
    let status = until_state(&session, Restarting).await;
    assert!(status.next_attempt_at.is_some());
    stop(&session, PROMPT).await;
    let status = session.status().borrow().clone();
    assert_eq!(status.state, Inactive);
    assert!(status.error.is_none() && status.next_attempt_at.is_none());
    assert!(alive_with(&host.mark()).is_empty());
}

/// A start in back-off does not wait for the delay.
#[tokio::test]
async fn a_start_during_back_off_is_at_once() {
    let host = bench_host(|builder| builder.policy(patient())).await;
    let marker = host.folder().join("marker");
    let orders = format!("--once {} --exit 42", marker.display());
    let session = host.start(Rig::new(&orders).package(RIG)).await;
    until_state(&session, Restarting).await;
    session.set_active_state(ActiveState::Active).await.unwrap();
    let ready = tokio::time::timeout(Duration::from_secs(20), session.ready()).await;
    ready.expect("not after a minute").unwrap();
}

/// Given up: a stop is answered, and a start works after it.
#[tokio::test]
async fn while_errored() {
    let host = bench_host(|builder| {
        builder.policy(Policy {
            restarts: 0,
            ..quick()
        })
    })
    .await;
    let marker = host.folder().join("marker");
    let orders = format!("--once {} --exit 42", marker.display());
    let session = host.start(Rig::new(&orders).package(RIG)).await;
    until_state(&session, Errored).await;
    stop(&session, PROMPT).await;
    stop(&session, PROMPT).await;
    session.set_active_state(ActiveState::Active).await.unwrap();
    within(session.ready()).await.unwrap();
    stop(&session, PROMPT).await;
    assert_eq!(session.status().borrow().state, Inactive);
}

/// Deaf: asked, and after the grace made to.
#[tokio::test]
async fn a_deaf_plugin_is_killed_after_the_grace() {
    let host = bench_host(|builder| builder).await;
    let session = host.run(Rig::new("--deaf --stay").package(RIG)).await;
    let pid = session.status().borrow().pid.unwrap();
    let began = Instant::now();
    stop(&session, Duration::from_secs(10)).await;
    let took = began.elapsed();
    assert!(took >= quick().stop_grace, "killed without grace: {took:?}");
    assert!(took < quick().stop_grace + PROMPT, "{took:?}");
    assert!(!alive(pid));
    assert_eq!(
        states(&session),
        [Starting, Connecting, Active, Stopping, Inactive]
    );
}

/// The interrupt is heard: a plugin that ends on it ends long before the grace does.
#[tokio::test]
async fn a_plugin_may_end_by_itself() {
    let host = bench_host(|builder| {
        builder.policy(Policy {
            stop_grace: Duration::from_secs(30),
            ..quick()
        })
    })
    .await;
    let script = r#"trap 'echo bye > "$JACKFIELD_STATE_DIR/bye"; exit 0' INT
        touch "$JACKFIELD_STATE_DIR/ready"
        while :; do sleep 0.05; done"#;
    let session = host.start(shell(script)).await;
    let pid = until(&session, |status| status.pid.is_some()).await.pid;
    let folder = jackfield_testkit::environment(pid.unwrap()).await["JACKFIELD_STATE_DIR"].clone();
    jackfield_testkit::until_file(format!("{folder}/ready")).await;
    stop(&session, Duration::from_secs(10)).await;
    let said = std::fs::read_to_string(format!("{folder}/bye")).expect("the trap ran");
    assert_eq!(said, "bye\n");
}

/// Stops by many at once, on a plugin that makes them wait: each is answered, once all is gone.
#[tokio::test]
async fn many_stops_are_all_answered() {
    let host = bench_host(|builder| builder).await;
    let session = host.run(Rig::new("--deaf --stay").package(RIG)).await;
    let pid = session.status().borrow().pid.unwrap();
    let mut stops = tokio::task::JoinSet::new();
    for n in 0..16 {
        let session = session.clone();
        stops.spawn(async move {
            if n % 2 == 0 {
                session.set_active_state(ActiveState::Inactive).await
            } else {
                session.supervised().unwrap().stop().await
            }
        });
    }
    while let Some(stopped) = within(stops.join_next()).await {
        stopped.unwrap().unwrap();
        assert!(!alive(pid), "answered before it was gone");
    }
    let stoppings = states(&session).iter().filter(|s| **s == Stopping).count();
    assert_eq!(stoppings, 1);
}

/// A start while it stops is a restart: the stop is answered, the old process goes first.
#[tokio::test]
async fn a_start_while_stopping_comes_after_it() {
    let host = bench_host(|builder| builder).await;
    let session = host.run(Rig::new("--deaf --stay").package(RIG)).await;
    let old = session.status().borrow().pid.unwrap();
    let stop = session.set_active_state(ActiveState::Inactive);
    let start = async {
        until_state(&session, Stopping).await;
        session.set_active_state(ActiveState::Active).await
    };
    let (stopped, started) = within(async { tokio::join!(stop, start) }).await;
    stopped.unwrap();
    started.unwrap();
    let new = until_state(&session, Active).await.pid.unwrap();
    assert_ne!(old, new);
    assert!(!alive(old));
    let seen = states(&session);
    assert_eq!(seen[..4], [Starting, Connecting, Active, Stopping]);
    assert_eq!(seen[seen.len() - 3..], [Starting, Connecting, Active]);
}

/// And a stop after that start counts: what was said last holds.
#[tokio::test]
async fn what_was_said_last_holds() {
    let host = bench_host(|builder| builder).await;
    let session = host.run(Rig::new("--deaf --stay").package(RIG)).await;
    let all = async {
        let first = session.set_active_state(ActiveState::Inactive);
        let rest = async {
            until_state(&session, Stopping).await;
            session.set_active_state(ActiveState::Active).await.unwrap();
            session.set_active_state(ActiveState::Inactive).await
        };
        tokio::join!(first, rest)
    };
    let (first, last) = within(all).await;
    first.unwrap();
    last.unwrap();
    assert_eq!(session.status().borrow().state, Inactive);
    assert!(alive_with(&host.mark()).is_empty());
    assert_eq!(states(&session).last(), Some(&Inactive));
}

/// Whoever asked for a stop and did not wait: it happens all the same.
#[tokio::test]
async fn a_stop_that_nobody_waits_for_happens() {
    let host = bench_host(|builder| builder).await;
    let session = host.run(Rig::new("").package(RIG)).await;
    let stop = session.set_active_state(ActiveState::Inactive);
    let _ = tokio::time::timeout(Duration::ZERO, stop).await;
    until_state(&session, Inactive).await;
    assert!(alive_with(&host.mark()).is_empty());
}

/// A place that takes its time, to be in `starting` for as long as a test likes.
#[derive(Debug)]
struct Slow {
    deployed: watch::Sender<bool>,
    at: Stage,
}

impl Slow {
    async fn pass(&self) {
        let mut deployed = self.deployed.subscribe();
        deployed.wait_for(|deployed| *deployed).await.expect("open");
    }
}

impl Runtime for Slow {
    fn provider(&self) -> RuntimeProvider {
        RuntimeProvider::Local
    }

    fn deploy(
        &self,
        _: InstallationId,
        _: Arc<Package>,
    ) -> BoxFuture<'_, Result<Deployment, Failure>> {
        Box::pin(async {
            if self.at == Stage::Deploy {
                self.pass().await;
            }
            Ok(Deployment {
                folder: "/".to_owned(),
                state: "/".to_owned(),
                command: "true".to_owned(),
                args: Vec::new(),
            })
        })
    }

    fn launch(
        &self,
        _: InstallationId,
        _: &Deployment,
        _: Launch,
    ) -> BoxFuture<'_, Result<Box<dyn Running>, Failure>> {
        Box::pin(async {
            self.pass().await;
            Err(Failure::new(self.provider(), Stage::Start, "no such place"))
        })
    }

    fn remove(&self, _: InstallationId) -> BoxFuture<'_, Result<(), Failure>> {
        Box::pin(async { Ok(()) })
    }
}

/// While its files are on their way, which may take minutes: the stop does not wait for them.
#[tokio::test]
async fn while_starting() {
    let (deployed, _) = watch::channel(false);
    let slow = Arc::new(Slow {
        deployed,
        at: Stage::Deploy,
    });
    let host = bench_host(|builder| builder.runtime(slow.clone()).policy(quick())).await;
    let session = host.start(Rig::new("").package(RIG)).await;
    until_state(&session, Starting).await;
    stop(&session, PROMPT).await;
    assert_eq!(states(&session), [Starting, Stopping, Inactive]);
    slow.deployed.send_replace(true);
}

/// While the process is being started: the stop is answered once that has failed, and the failure
/// is not shown for an error.
#[tokio::test]
async fn while_the_process_comes_to_be() {
    let (deployed, _) = watch::channel(false);
    let slow = Arc::new(Slow {
        deployed,
        at: Stage::Start,
    });
    let host = bench_host(|builder| builder.runtime(slow.clone()).policy(quick())).await;
    let session = host.start(Rig::new("").package(RIG)).await;
    until_state(&session, Starting).await;
    let stopping = async {
        until_state(&session, Stopping).await;
        slow.deployed.send_replace(true);
    };
    tokio::join!(stop(&session, PROMPT), stopping);
    assert_eq!(states(&session), [Starting, Stopping, Inactive]);
    assert!(session.status().borrow().error.is_none());
}

/// A launch that hangs is given up at its deadline, not before.
#[tokio::test]
async fn a_launch_has_a_deadline() {
    let (deployed, _) = watch::channel(false);
    let slow = Arc::new(Slow {
        deployed,
        at: Stage::Deploy,
    });
    let policy = Policy {
        launch_deadline: Duration::from_millis(100),
        restarts: 0,
        ..quick()
    };
    let host = bench_host(|builder| builder.runtime(slow).policy(policy)).await;
    let session = host.start(Rig::new("").package(RIG)).await;
    let status = until_state(&session, Errored).await;
    assert_eq!(status.error.unwrap().details.stage, Stage::Deploy);
}

/// Stopping takes the tree with it, whatever it is doing: even one that forks all the time.
#[tokio::test]
async fn a_plugin_that_forks_all_the_time_is_stopped() {
    let host = bench_host(|builder| builder).await;
    let script = r#"trap '' INT TERM
        while :; do setsid sleep 100 & sleep 0.01; done"#;
    let session = host.start(shell(script)).await;
    let mark = host.mark();
    eventually(Duration::from_secs(20), "some sleepers", || {
        alive_with(&mark).len() > 10
    })
    .await;
    stop(&session, Duration::from_secs(10)).await;
    assert!(alive_with(&mark).is_empty());
}

/// Whoever starts it while it stops, and waits for it, gets it.
#[tokio::test]
async fn ready_outlasts_a_stop_that_was_overtaken() {
    let host = bench_host(|builder| builder).await;
    let session = host.run(Rig::new("--deaf --stay").package(RIG)).await;
    let stop = session.set_active_state(ActiveState::Inactive);
    let start = async {
        until_state(&session, Stopping).await;
        session.set_active_state(ActiveState::Active).await.unwrap();
        session.ready().await
    };
    let (stopped, ready) = within(async { tokio::join!(stop, start) }).await;
    stopped.unwrap();
    ready.unwrap();
}

//! Plugins that do not start: nothing of them is left, and the error says what there is to know.

mod common;

use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::{Bed, Client, fail, until, within};
use jackfield_grpc::{ExitStatus, Level, NotReady, ProcessState, SpawnError};

/// Long enough for a program to come up on a machine that has much to do.
const SHORT: Duration = Duration::from_secs(3);

#[tokio::test]
async fn no_executable_no_folder() {
    let bed = Bed::new();
    let error = fail(bed.spawn("./missing")).await;
    assert!(matches!(&error, SpawnError::Process(_)), "{error:?}");
    assert!(error.is_permanent());
    assert!(bed.leases().is_empty());
    let error = fail(bed.sh("true").folder(bed.folder.path().join("none"))).await;
    assert!(
        matches!(&error, SpawnError::WorkingFolder { .. }),
        "{error:?}"
    );
    assert!(error.to_string().contains("none/.ftl"), "{error}");
    let error = fail(
        bed.sh("true")
            .folder(bed.folder.path().join("none"))
            .no_working_folder(),
    )
    .await;
    assert!(matches!(&error, SpawnError::Process(_)), "{error:?}");
}

#[tokio::test]
async fn it_exits_with_last_words() {
    let bed = Bed::new();
    let error = fail(bed.sh("echo starting; echo 'no database' >&2; exit 3")).await;
    let SpawnError::Exited { exit, reason, .. } = &error else {
        panic!("{error:?}");
    };
    assert_eq!((exit.status, exit.asked), (ExitStatus::Code(3), false));
    assert!(exit.tail.contains(&"no database".to_owned()));
    assert_eq!(*reason, None);
    let text = error.to_string();
    assert!(
        text.contains("exit status 3") && text.contains("no database"),
        "{text}"
    );
    let mut levels: Vec<_> = bed
        .records()
        .into_iter()
        .map(|it| (it.level, it.message))
        .collect();
    levels.sort();
    let expected = [
        (Level::Info, "starting".to_owned()),
        (Level::Error, "no database".to_owned()),
    ];
    assert_eq!(levels, expected);
    assert!(bed.leases().is_empty());
}

#[tokio::test]
async fn a_signal_ends_it() {
    let bed = Bed::new();
    let error = fail(bed.sh("kill -SEGV $$")).await;
    assert_eq!(error.exit().unwrap().status, ExitStatus::Signal(11));
}

#[tokio::test]
async fn it_dies_while_it_says_why_it_is_not_ready() {
    let bed = Bed::new();
    let spawn = bed.rig("--unready 1000000");
    let mut run = tokio::task::JoinSet::new();
    run.spawn(async move { spawn.spawn::<Client>().await });
    until("it runs", || !bed.messages().is_empty()).await;
    let pid = bed.alive().into_iter().max().unwrap().to_string();
    let killed = std::process::Command::new("kill")
        .args(["-KILL", &pid])
        .status()
        .unwrap();
    assert!(killed.success());
    let error = within(run.join_next()).await.unwrap().unwrap().unwrap_err();
    assert_eq!(error.exit().unwrap().status, ExitStatus::Signal(9));
    assert!(!error.exit().unwrap().asked);
}

#[tokio::test]
async fn it_never_listens() {
    let bed = Bed::new();
    let error = fail(bed.rig("--never --deaf").start_timeout(SHORT)).await;
    let SpawnError::NotReady {
        not_ready,
        state,
        tail,
        ..
    } = &error
    else {
        panic!("{error:?}");
    };
    let NotReady::TimedOut { within, reason } = not_ready else {
        panic!("{error:?}");
    };
    assert!(*within <= SHORT && *state == ProcessState::Running);
    assert!(
        reason
            .as_ref()
            .unwrap()
            .contains("nothing listens on 127.0.0.1:"),
        "{reason:?}"
    );
    assert!(
        tail.iter().any(|line| line.starts_with("port ")),
        "{tail:?}"
    );
    assert!(bed.alive().is_empty(), "nothing is left");
    assert!(bed.leases().is_empty());
}

#[tokio::test]
async fn it_is_stopped_by_a_signal() {
    let bed = Bed::new();
    let error = fail(bed.rig("--paused").start_timeout(SHORT)).await;
    let SpawnError::NotReady { state, .. } = &error else {
        panic!("{error:?}");
    };
    assert_eq!(*state, ProcessState::Stopped);
    assert!(error.to_string().contains("stopped by a signal"), "{error}");
}

#[tokio::test]
async fn it_takes_connections_and_says_nothing() {
    let bed = Bed::new();
    let spawn = |orders| fail(bed.rig(orders).start_timeout(SHORT));
    let (port, socket) = tokio::join!(spawn("--silent"), spawn("--silent --socket"));
    for error in [port, socket] {
        let SpawnError::NotReady {
            not_ready: NotReady::TimedOut { reason, .. },
            ..
        } = &error
        else {
            panic!("{error:?}");
        };
        assert!(reason.as_ref().unwrap().contains("no answer"), "{reason:?}");
    }
}

#[tokio::test]
async fn it_is_never_ready_and_says_why() {
    let bed = Bed::new();
    let spawn = |orders| fail(bed.rig(orders).start_timeout(SHORT));
    let never = "--unready 1000000";
    let (port, socket) = tokio::join!(spawn(never), spawn("--unready 1000000 --socket"));
    for error in [port, socket] {
        assert!(error.to_string().contains("warming up"), "{error}");
    }
}

#[tokio::test]
async fn it_does_not_have_the_service() {
    let bed = Bed::new();
    let error = fail(bed.rig("--unimplemented")).await;
    let SpawnError::Unimplemented { service, .. } = &error else {
        panic!("{error:?}");
    };
    assert_eq!(service, "rig.v1.RigService");
    assert!(bed.alive().is_empty());
}

#[tokio::test]
async fn a_stranger_takes_its_port() {
    let bed = Bed::new();
    let stranger: Arc<Mutex<Option<TcpListener>>> = Arc::default();
    let taken = Arc::clone(&stranger);
    let spawn = bed
        .rig("--never")
        .start_timeout(SHORT)
        .on_record(move |record| {
            if let Some(port) = record.message.strip_prefix("port ") {
                let port: u16 = port.parse().unwrap();
                *taken.lock().unwrap() = Some(TcpListener::bind(("127.0.0.1", port)).unwrap());
            }
        });
    let error = fail(spawn).await;
    assert!(
        error
            .to_string()
            .contains("a process that is not the plugin's listens"),
        "{error}"
    );
    let stranger = stranger.lock().unwrap().take().unwrap();
    stranger.set_nonblocking(true).unwrap();
    assert!(stranger.accept().is_err(), "nobody has even knocked");
}

#[tokio::test]
async fn nobody_wants_it_any_more() {
    let bed = Bed::new();
    let mut spawn = Box::pin(bed.rig("--never --grandchild --deaf").spawn::<Client>());
    let both = async {
        until("it runs", || {
            bed.messages().iter().any(|line| line.starts_with("port "))
        })
        .await;
    };
    tokio::select! {
        _ = &mut spawn => panic!("it is never ready"),
        () = both => {}
    }
    assert!(!bed.alive().is_empty());
    drop(spawn);
    until("nothing is left", || {
        bed.alive().is_empty() && bed.leases().is_empty()
    })
    .await;
}

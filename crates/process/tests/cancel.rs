//! A spawn that is given up. A test program of its own, because it looks at all that is being spawned.

mod common;

use common::{mark, sh};

/// What forks works on a thread of its own, which does not hear that nobody waits any more: it let the program run, and
/// only then was it killed; where nobody drove the runtime any more, not even that.
#[test]
fn a_program_that_nobody_waits_for_does_not_run() {
    let (mark, folder) = (mark(), tempfile::tempdir().unwrap());
    let file = folder.path().join("it-ran");
    let script = format!("echo > {}; exec sleep 1000", file.display());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .max_blocking_threads(1)
        .enable_all()
        .build()
        .unwrap();
    for _ in 0..20 {
        // Nothing is done within the poll, however the machine takes turns: else the program was waited for.
        let (polled, wait) = std::sync::mpsc::channel::<()>();
        drop(runtime.spawn_blocking(move || wait.recv()));
        let mut spawn = Box::pin(sh(&mark, &script).spawn());
        let poll = std::future::poll_fn(|context| {
            assert!(spawn.as_mut().poll(context).is_pending());
            std::task::Poll::Ready(())
        });
        runtime.block_on(poll);
        drop(polled);
        // It is begun with. Nobody drives the runtime meanwhile.
        let until = tokio::time::Instant::now() + common::LONG;
        while common::waiting_programs().is_empty() {
            assert!(tokio::time::Instant::now() < until, "it is not forked");
            std::thread::yield_now();
        }
        drop(spawn);
        runtime.block_on(async {
            while !common::waiting_programs().is_empty() || !common::with_mark(&mark).is_empty() {
                assert!(tokio::time::Instant::now() < until, "it is not put down");
                tokio::task::yield_now().await;
            }
        });
        assert!(!file.exists(), "it ran");
    }
}

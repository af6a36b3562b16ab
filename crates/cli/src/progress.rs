//! Blocking work, off the runtime's threads, with a word to people when it takes long.

use std::io::{self, Write as _};
use std::time::Duration;

use tokio::time::Instant;

use crate::out::Out;

/// Work that is done before this needs no words.
const QUICK: Duration = Duration::from_millis(700);

/// Does blocking work. On a terminal a line says what and for how long, and goes away at the end;
/// elsewhere it is said once.
///
/// # Panics
/// When the work does.
pub(crate) async fn blocking<T: Send + 'static>(
    out: &Out,
    doing: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> T {
    let mut work = tokio::task::spawn_blocking(work);
    let began = Instant::now();
    let mut tick = tokio::time::interval_at(began + QUICK, Duration::from_millis(200));
    let mut shown = false;
    let done = loop {
        tokio::select! {
            done = &mut work => break done,
            _ = tick.tick() => {
                if out.is_live() {
                    let _ = write!(io::stderr(), "\r{doing} … {:.0?}", began.elapsed());
                } else if !shown {
                    out.say(format_args!("{doing} …"));
                }
                shown = true;
            }
        }
    };
    if shown && out.is_live() {
        let _ = write!(io::stderr(), "\r\x1b[K");
    }
    match done {
        Ok(done) => done,
        Err(failed) => std::panic::resume_unwind(failed.into_panic()),
    }
}

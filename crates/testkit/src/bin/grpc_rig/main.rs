//! A plugin that serves gRPC and misbehaves on order.
//!
//! It knows nothing but `FTL_BIND`, and serves `kv.v1.KvService` from bare HTTP/2 and bytes, so that nothing stands
//! between a test and the wire. Orders come as arguments and are followed one after the other, see [`HELP`]; once it
//! serves, keys and prefixes give further ones.

mod answer;
mod messages;
mod orders;
mod serve;
mod service;
mod state;

use std::process::exit;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

pub(crate) const HELP: &str = "\
at once:       --say TEXT (stderr)  --say-out TEXT  --err FILE (its bytes to stderr)  --out FILE
               --flood N (numbered records on stderr)  --flood-both N (in turn on both)
               --exit CODE  --die SIGNAL  --never-listen  --deaf (ignores SIGINT and SIGTERM)
               --constructor MS  --wait FILE (goes on when it is there)  --touch FILE
               --birth FILE (environment, folder and arguments as JSON)
               --grandchild FILE (a sleeper, its pid in FILE)  --grandchild-session FILE (after setsid)
               --once FILE (the next order only where FILE is not there yet; makes it)
where:         --bind ADDRESS (with a port, or with that of FTL_BIND)  --no-reuse (binds without SO_REUSEADDR)  --reuse-port
               --accept-after MS (of listening)
how:           --silent (accepts, says nothing)  --hang-up (accepts, closes)  --http1 (400 to all)
               --identity TEXT  --service NAME (instead of kv.v1.KvService)
               --unknown-is-404 (plain text, as Go does; else UNIMPLEMENTED)
pings:         --ping-hangs  --first-pings-hang N  --not-ready REASON  --ready-when FILE  --ready-after MS
               --ping-fails CODE  --ping-exits CODE
               --pinged FILE (is there from the third ping on)  --touched FILE (from the first request on)
keys of Get:   identity, pid, headers, connections, signals, echo of what Put stored, slow:MS, never,
               hold:FOLDER (writes began there, waits for go), exit:CODE, die:SIGNAL, stop (SIGSTOP to itself),
               fail:CODE:MESSAGE, big:BYTES, cut (all connections), goaway (to all), say:TEXT, deafen-door (stops listening)
List:          count:N, tick (for ever), hold:FOLDER (an entry, then as above, then one more), crash:CODE
Load, Sync:    as the service says";

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let mut orders = orders::Orders::default();
    let signals = std::sync::Arc::clone(&orders.signals);
    let mut interrupt = signal(SignalKind::interrupt()).expect("a signal");
    let mut terminate = signal(SignalKind::terminate()).expect("a signal");
    let serving = async move {
        orders.follow(std::env::args().skip(1)).await;
        serve::serve(orders).await;
    };
    tokio::pin!(serving);
    loop {
        let name = tokio::select! {
            () = &mut serving => return,
            _ = interrupt.recv() => "INT",
            _ = terminate.recv() => "TERM",
        };
        signals.came(name);
        if !signals.deaf() {
            eprintln!(
                "{}",
                serde_json::json!({"level": "info", "message": format!("signal {name}")})
            );
            exit(0);
        }
    }
}

/// Waits for a file.
pub(crate) async fn until_there(file: &str) {
    while !std::fs::exists(file).is_ok_and(|there| there) {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

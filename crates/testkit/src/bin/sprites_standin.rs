//! The stand-in of the Sprites service as a program, for clients in any language.
//!
//! The first line that it prints is its address, the second one the API key. It ends, with all
//! that it started, when its standard input does, or by SIGINT or SIGTERM.

use std::io::Read as _;

use jackfield_testkit::sprites::Service;
use tokio::signal::unix::{SignalKind, signal};

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let mut terminated = signal(SignalKind::terminate()).expect("a signal's handler");
    let service = Service::start().await;
    println!("{}\n{}", service.base_url(), service.api_key());
    let (ended, end) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        let _ = ended.send(());
    });
    tokio::select! {
        _ = end => {}
        _ = terminated.recv() => {}
        _ = tokio::signal::ctrl_c() => {}
    }
    drop(service);
}

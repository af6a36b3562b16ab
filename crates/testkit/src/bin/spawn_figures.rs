//! How long it takes from nothing to a typed client, beside the bare floor: fork, exec, connect, ping of the same
//! executable, with nothing watched, nothing proven and no pause between the attempts.
//!
//! `cargo run --release -p jackfield-testkit --bin spawn_figures [rounds]`, after `cargo build --release -p kv -p
//! jackfield-testkit`. All four are measured in turn, so that whatever else the machine does hits all alike.

use std::error::Error;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use connectrpc::Protocol;
use connectrpc::client::{ClientConfig, Http2Connection};
use jackfield_grpc::{Channel, Spawn};
use kv::{KvServiceClient, PingRequest};
use tokio::time::Instant;

type Client = KvServiceClient<connectrpc::client::ServiceTransport<Channel>>;
jackfield_grpc::connect_client!(pub struct Kv(Client));

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let rounds = match std::env::args().nth(1) {
        Some(rounds) => rounds.parse()?,
        None => 100,
    };
    let beside = std::env::current_exe()?;
    let program = |name: &str| -> PathBuf { beside.with_file_name(name) };
    let mut figures = Vec::new();
    for (label, program) in [
        ("socket handed over", program("kv-plugin")),
        ("FTL_BIND only", program("grpc_rig")),
    ] {
        figures.push((label, program, Vec::new(), Vec::new()));
    }
    let folder = tempfile::tempdir()?;
    // The first ones are for the caches.
    for round in 0..rounds + 3 {
        for (_, program, floor, ours) in &mut figures {
            let (bare, spawned) = (bare(program).await?, spawned(program, folder.path()).await?);
            if round >= 3 {
                floor.push(bare);
                ours.push(spawned);
            }
        }
    }
    println!("{rounds} rounds, milliseconds: median (10th to 90th percentile)");
    for (label, _, floor, ours) in &mut figures {
        let (floor, ours) = (Figure::of(floor), Figure::of(ours));
        println!(
            "{label:20} bare {floor}   Spawn {ours}   ratio of the medians {:.2}",
            ours.median / floor.median
        );
    }
    Ok(())
}

/// With our `Spawn`, everything on.
async fn spawned(program: &Path, folder: &Path) -> Result<Duration, Box<dyn Error>> {
    let began = Instant::now();
    let plugin = Spawn::new("kv", program)
        .folder(folder)
        .spawn::<Kv>()
        .await?;
    let took = began.elapsed();
    plugin.child.kill();
    plugin.child.exited().await;
    Ok(took)
}

/// The floor.
async fn bare(program: &Path) -> Result<Duration, Box<dyn Error>> {
    let began = Instant::now();
    let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let mut child = Command::new(program)
        .env("FTL_BIND", format!("http://{address}"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let ready = ready(address).await;
    let took = began.elapsed();
    child.kill()?;
    child.wait()?;
    ready.map(|()| took)
}

async fn ready(address: SocketAddr) -> Result<(), Box<dyn Error>> {
    while tokio::net::TcpStream::connect(address).await.is_err() {}
    let uri: http::Uri = format!("http://{address}").parse()?;
    let connection = Http2Connection::connect_plaintext(uri.clone()).await?;
    let config = ClientConfig::new(uri).with_protocol(Protocol::Grpc);
    let client = KvServiceClient::new(connection.shared(16), config);
    while client
        .ping(PingRequest::default())
        .await?
        .into_owned()
        .not_ready
        .is_some()
    {}
    Ok(())
}

/// Milliseconds.
struct Figure {
    median: f64,
    low: f64,
    high: f64,
}

impl Figure {
    fn of(times: &mut [Duration]) -> Self {
        times.sort_unstable();
        let at = |part: f64| {
            let index = ((times.len().saturating_sub(1)) as f64 * part).round();
            times
                .get(index as usize)
                .map_or(f64::NAN, |time| time.as_secs_f64() * 1000.0)
        };
        Self {
            median: at(0.5),
            low: at(0.1),
            high: at(0.9),
        }
    }
}

impl std::fmt::Display for Figure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{:5.2} ({:.2} to {:.2})",
            self.median, self.low, self.high
        )
    }
}

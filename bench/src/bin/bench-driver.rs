//! The drivers in Rust: one process each, told what to do by the benchmark.

use std::path::PathBuf;

use clap::{Parser, Subcommand};
use jackfield_bench::bare::crowd::BareCrowd;
use jackfield_bench::bare::frames::BareFrames;
use jackfield_bench::bare::grpc::BareGrpc;
use jackfield_bench::bare::spawn::{BareSpawn, Kind};
use jackfield_bench::bare::tasks::BareTasks;
use jackfield_bench::bare::ws::BareWs;
use jackfield_bench::ours::{
    Channelled, OurCrowd, Restarted, Sessions, Spawned, Stops, Unpacking, Way,
};
use jackfield_bench::protocol::{Failure, serve};

/// A driver of the benchmark: reads commands, one line of JSON each, and answers with how long they took
#[derive(Debug, Parser)]
struct Options {
    /// MiB of memory that this process has besides, as a large application would
    #[arg(long, default_value_t = 0)]
    ballast: usize,
    #[command(subcommand)]
    driver: Which,
}

#[derive(Debug, Subcommand)]
enum Which {
    /// The bare WebSocket library
    BareWs,
    /// The bare WebSocket library between tasks
    BareTasks,
    /// Bare frames on a Unix socket
    BareFrames,
    /// The bare gRPC client
    BareGrpc,
    /// Fork, exec, connect, of a plugin that dials
    BareSpawnWs,
    /// Fork, exec, of a plugin with a socket
    BareSpawnLocal,
    /// Fork, exec, connect, ping, of a gRPC plugin
    BareSpawnGrpc,
    /// Fork, exec, connect, ping, of a gRPC plugin that knows only FTL_BIND
    BareSpawnBind,
    /// Many connections at a bare accept loop
    BareCrowd { connections: usize },
    /// A session of a plugin that dials
    Ws,
    /// A session of a plugin that is handed a socket
    Local,
    /// A plugin by `Spawn`
    Spawn,
    /// A plugin by `Spawn` that knows only FTL_BIND
    SpawnBind,
    /// A session's gRPC channel
    Channel,
    /// A plugin that dials, is killed and comes back
    RestartWs,
    /// A plugin that is handed a socket, is killed and comes back
    RestartLocal,
    /// Plugins that stop when they are told
    Stops { count: usize },
    /// Plugins that do not
    DeafStops { count: usize },
    /// Many sessions
    Crowd { connections: usize },
    /// A package that is checked and unpacked
    Package { archive: PathBuf },
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let beside = std::env::current_exe()?;
    let program = |name: &str| beside.with_file_name(name);
    let (peer, plugin) = (program("bench-peer"), program("bench-plugin"));
    let (kv, bind) = (program("bench-kv"), program("bench-bind"));
    let options = Options::parse();
    let _ballast: Vec<_> = (0..options.ballast).map(|_| vec![1_u8; 1 << 20]).collect();
    match options.driver {
        Which::BareWs => serve("bare WebSocket", BareWs::start(&peer).await?).await,
        Which::BareTasks => serve("bare WebSocket", BareTasks::start(&peer).await?).await,
        Which::BareFrames => serve("bare frames", BareFrames::start(&peer)?).await,
        Which::BareGrpc => serve("bare gRPC", BareGrpc::start(&kv).await?).await,
        Which::BareSpawnWs => serve("bare spawn", BareSpawn::new(Kind::Ws, &plugin)).await,
        Which::BareSpawnLocal => serve("bare spawn", BareSpawn::new(Kind::Local, &plugin)).await,
        Which::BareSpawnGrpc => serve("bare spawn", BareSpawn::new(Kind::Grpc, &kv)).await,
        Which::BareSpawnBind => serve("bare spawn", BareSpawn::new(Kind::Grpc, &bind)).await,
        Which::BareCrowd { connections } => {
            serve("bare crowd", BareCrowd::start(&peer, connections).await?).await
        }
        Which::Ws => serve("Jackfield", Sessions::start(&plugin, Way::Dial).await?).await,
        Which::Local => serve("Jackfield", Sessions::start(&plugin, Way::Local).await?).await,
        Which::Spawn => serve("Jackfield", Spawned::start(&kv, true).await?).await,
        Which::SpawnBind => serve("Jackfield", Spawned::start(&bind, false).await?).await,
        Which::Channel => serve("Jackfield", Channelled::start(&kv).await?).await,
        Which::RestartWs => serve("Jackfield", Restarted::start(&plugin, Way::Dial).await?).await,
        Which::RestartLocal => {
            serve("Jackfield", Restarted::start(&plugin, Way::Local).await?).await
        }
        Which::Stops { count } => {
            serve(
                "Jackfield",
                Stops::start(&plugin, &["--dial"], count).await?,
            )
            .await
        }
        Which::DeafStops { count } => {
            let args = ["--dial", "--deaf"];
            serve("Jackfield", Stops::start(&plugin, &args, count).await?).await
        }
        Which::Crowd { connections } => {
            serve("Jackfield", OurCrowd::start(&peer, connections).await?).await
        }
        Which::Package { archive } => serve("Jackfield", Unpacking::new(&archive)).await,
    }
}

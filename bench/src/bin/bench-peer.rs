//! The other end of what is bare: echoes, and the crowd.

use jackfield_bench::bare::{frames, ws};
use jackfield_bench::crowd;
use jackfield_bench::protocol::Failure;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match *args {
        ["ws", address] => ws::echo(address).await,
        ["frames"] => frames::echo().await,
        ["crowd"] => crowd::run().await,
        _ => Err("usage: bench-peer ws ADDRESS | frames | crowd".into()),
    }
}

//! A gRPC plugin that knows only `FTL_BIND`.

use jackfield_bench::bare::bind;
use jackfield_bench::protocol::Failure;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    bind::serve().await
}

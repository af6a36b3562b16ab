//! A plugin as its author would write it. `--dial`: it dials, whatever else it is given. `--deaf`: it does not end when
//! it is told to.

use jackfield_bench::payload::{Echo, RAW_ECHO, Text};
use jackfield_bench::protocol::Failure;
use jackfield_plugin::{Call, Fault, Plugin, RawJson};
use tokio::signal::unix::{SignalKind, signal};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let has = |option: &str| std::env::args().any(|arg| arg == option);
    let plugin = if has("--dial") {
        Plugin::new(std::env::var("JACKFIELD_RPC_URL")?)
    } else {
        Plugin::from_env()?
    };
    let plugin = plugin
        .method::<Echo, _>(async |_call: Call, text: Text| Ok::<_, Fault>(text))
        .raw_method(RAW_ECHO, async |_call: Call, params: Option<RawJson>| {
            params.ok_or_else(|| Fault::invalid_params("nothing to echo"))
        });
    if !has("--deaf") {
        return Ok(plugin.run().await?);
    }
    // Caught and not obeyed.
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let deaf = async move {
        loop {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
        }
    };
    let ran = async {
        let _ = plugin.run_until(std::future::pending()).await;
        std::future::pending::<()>().await;
    };
    tokio::join!(ran, deaf);
    Ok(())
}

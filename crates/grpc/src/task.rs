//! The one place where tasks of our own begin.

use tokio::task::JoinHandle;

/// Runs a task that ends by itself when those it works for are gone.
#[expect(
    clippy::disallowed_methods,
    reason = "the one place: each task says what it ends with"
)]
pub(crate) fn spawn(task: impl Future<Output = ()> + Send + 'static) -> JoinHandle<()> {
    tokio::spawn(task)
}

//! What a plugin's own tasks are told of its end.

use tokio_util::sync::CancellationToken;

/// Tells when the plugin was asked to end. Cheap to clone; a clone tells the same.
///
/// Calls in flight still have the grace ([`Start::grace`](super::Start::grace)) to finish; streams without an end of
/// their own should end when this does, or they are cut off.
#[derive(Debug, Clone, Default)]
pub struct Stopping(CancellationToken);

impl Stopping {
    /// Waits for the first signal. Cancel safe.
    pub async fn requested(&self) {
        self.0.cancelled().await;
    }

    /// Whether there was one.
    #[must_use]
    pub fn is_requested(&self) -> bool {
        self.0.is_cancelled()
    }

    pub(crate) fn request(&self) {
        self.0.cancel();
    }
}

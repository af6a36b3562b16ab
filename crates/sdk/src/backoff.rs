//! How long to wait before dialling again.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::time::Duration;

/// Growing delays, doubled each time, each shortened by chance by up to a quarter so that many
/// plugins of one host do not come back at once.
#[derive(Debug)]
pub(crate) struct Backoff {
    first: Duration,
    most: Duration,
    next: Duration,
}

impl Backoff {
    pub(crate) fn new(first: Duration, most: Duration) -> Self {
        Self {
            first,
            most,
            next: first,
        }
    }

    /// The next delay.
    pub(crate) fn delay(&mut self) -> Duration {
        let delay = self.next;
        self.next = (delay * 2).min(self.most);
        let shorter = RandomState::new().build_hasher().finish() % 256;
        delay - delay * u32::try_from(shorter).unwrap_or(0) / 1024
    }

    /// Begins anew with the first delay.
    pub(crate) fn reset(&mut self) {
        self.next = self.first;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_the_most_and_vary() {
        let mut backoff = Backoff::new(Duration::from_millis(250), Duration::from_secs(10));
        for expected in [250, 500, 1000, 2000, 4000, 8000, 10_000, 10_000] {
            let delay = backoff.delay().as_millis();
            assert!(delay <= expected && delay * 4 >= expected * 3, "{delay}");
        }
        backoff.reset();
        assert!(backoff.delay().as_millis() <= 250);
        let delays: std::collections::HashSet<_> = (0..50)
            .map(|_| {
                backoff.reset();
                backoff.delay()
            })
            .collect();
        assert!(delays.len() > 5);
    }
}

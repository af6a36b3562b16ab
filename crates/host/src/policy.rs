//! How patient the host is with its plugins.

use std::time::Duration;

/// Deadlines, delays and limits of supervision. Every value may be below a second.
///
/// Counterparts in Storyden's plugin runner: `restarts` is `PLUGIN_MAX_RESTART_ATTEMPTS`,
/// `delay_cap` is `PLUGIN_MAX_BACKOFF_DURATION`, `settle` is `PLUGIN_RUNTIME_CRASH_THRESHOLD`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// Restarts in a row after crashes before a plugin is `errored`. Default 3, that is four runs.
    pub restarts: u32,
    /// Delay before the first restart; it doubles with each crash in a row. Default 1 s.
    pub delay: Duration,
    /// Longest delay. Default 60 s.
    pub delay_cap: Duration,
    /// How long a line has to last before earlier crashes are forgotten. Default 30 s.
    pub settle: Duration,
    /// Time to unpack the files and start the process. Default 5 min.
    pub launch_deadline: Duration,
    /// Time a running process has to dial, at first and again after its line was lost. Default
    /// 30 s.
    pub dial_deadline: Duration,
    /// Time between the interrupt and the kill when a plugin is stopped. Default 3 s.
    pub stop_grace: Duration,
    /// Deadline of a call for which none is given. Default 30 s.
    pub call_deadline: Duration,
    /// How long a line may be silent before a second dial may take its place. Default 2 s.
    pub probe: Duration,
    /// Interval of heartbeats: WebSocket pings, or those of HTTP/2 to a plugin that serves gRPC. Default 10 s.
    pub heartbeat: Duration,
    /// Silence after which a line is taken for dead. Default 25 s.
    pub dead_after: Duration,
    /// Calls of one plugin into the host that may be in flight at once. Default 64.
    pub inbound_calls: usize,
    /// Largest message taken from a plugin, in bytes; for one that serves gRPC, what clients made over an
    /// [`Endpoint`](crate::grpc::Endpoint) keep to. Default 16 MiB.
    pub max_message: usize,
    /// Events that may wait for one plugin. Default 1024.
    pub event_queue: usize,
    /// Unpacked packages kept beside the current one, for a rollback. Default 2.
    pub keep_packages: usize,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            restarts: 3,
            delay: Duration::from_secs(1),
            delay_cap: Duration::from_secs(60),
            settle: Duration::from_secs(30),
            launch_deadline: Duration::from_secs(300),
            dial_deadline: Duration::from_secs(30),
            stop_grace: Duration::from_secs(3),
            call_deadline: Duration::from_secs(30),
            probe: Duration::from_secs(2),
            heartbeat: Duration::from_secs(10),
            dead_after: Duration::from_secs(25),
            inbound_calls: 64,
            max_message: 16 << 20,
            event_queue: 1024,
            keep_packages: 2,
        }
    }
}

impl Policy {
    /// The delay before the restart after `earlier` crashes in a row: 1, 2, 4 … times
    /// [`Policy::delay`], at most [`Policy::delay_cap`].
    #[must_use]
    pub fn delay(&self, earlier: u32) -> Duration {
        self.delay
            .saturating_mul(1u32 << earlier.min(31))
            .min(self.delay_cap)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The original cut its longest delay down to whole seconds: 100 ms became none at all, and a
    /// crashing plugin a hot loop.
    #[test]
    fn delays_below_a_second_are_kept() {
        let policy = Policy {
            delay: Duration::from_millis(10),
            delay_cap: Duration::from_millis(100),
            ..Policy::default()
        };
        let delays: Vec<_> = (0..6).map(|n| policy.delay(n).as_millis()).collect();
        assert_eq!(delays, [10, 20, 40, 80, 100, 100]);
    }

    #[test]
    fn the_defaults_are_1_2_4_to_60() {
        let policy = Policy::default();
        let delays: Vec<_> = [0, 1, 2, 5, 6, 40, u32::MAX]
            .map(|n| policy.delay(n).as_secs())
            .into();
        assert_eq!(delays, [1, 2, 4, 32, 60, 60, 60]);
    }
}

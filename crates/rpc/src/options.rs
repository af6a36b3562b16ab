//! What can be set for a line.

use std::time::Duration;

use jackfield_wire::Client;

use crate::heart::Heart;

/// How a line behaves. The defaults suit both ends.
#[derive(Debug, Clone)]
pub struct Options {
    /// The bounds.
    pub limits: Limits,
    /// How a dead line is noticed; `None` for not at all.
    pub heartbeat: Option<Heartbeat>,
    /// What beats. One of the line's own; lines that are given clones of one share its timer.
    pub heart: Heart,
    /// The deadline of calls that bring none. 30 s.
    pub default_deadline: Duration,
    /// The program at the other end. Only where it speaks `jackfield.v1` is more than the original
    /// contract used.
    pub client: Client,
    /// How long the end of a line may take, from saying why to the other side's hanging up. 2 s.
    pub close_grace: Duration,
}

/// The bounds of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Calls of the other side that run beside each other; one more is refused as busy. 64.
    pub inbound_calls: usize,
    /// Messages that wait to be written; a call that finds no place waits, within its deadline.
    /// 256.
    pub queue: usize,
    /// The largest message that is taken, in bytes. A larger one is answered with an error, and
    /// the line stays. 16 MiB.
    pub max_in: usize,
    /// The largest message that is sent, in bytes, unless the other side says what it takes.
    /// 1 MiB, which is what common WebSocket libraries take by default.
    pub max_out: usize,
    /// The largest message that is read at all, in bytes. A larger one ends the line with close
    /// code 1009. 64 MiB.
    pub hard_max_in: usize,
}

/// How a dead line is noticed. [`Duration::MAX`] is never.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heartbeat {
    /// After this much silence the other side is asked for a sign of life. 10 s.
    pub every: Duration,
    /// After this much silence the line is closed. 25 s.
    pub dead_after: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            heartbeat: Some(Heartbeat::default()),
            heart: Heart::new(),
            default_deadline: Duration::from_secs(30),
            client: Client::default(),
            close_grace: Duration::from_secs(2),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            inbound_calls: 64,
            queue: 256,
            max_in: 16 << 20,
            max_out: 1 << 20,
            hard_max_in: 64 << 20,
        }
    }
}

impl Default for Heartbeat {
    fn default() -> Self {
        Self {
            every: Duration::from_secs(10),
            dead_after: Duration::from_secs(25),
        }
    }
}

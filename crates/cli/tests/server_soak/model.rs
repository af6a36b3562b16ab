//! What has to be there: what was acknowledged, and either of both where the answer was lost.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::Value;

use crate::dialer::Dialer;

/// A value, or what it may be.
#[derive(Debug, Clone)]
pub(crate) struct Either<T>(Vec<T>);

impl<T: Clone + PartialEq + std::fmt::Debug> Either<T> {
    pub(crate) fn is(value: T) -> Self {
        Self(vec![value])
    }

    /// It was acknowledged.
    pub(crate) fn set(&mut self, value: T) {
        self.0 = vec![value];
    }

    /// Nobody knows whether it became this.
    pub(crate) fn perhaps(&mut self, value: T) {
        if !self.0.contains(&value) {
            self.0.push(value);
        }
    }

    /// What it is, if that is known.
    pub(crate) fn known(&self) -> Option<&T> {
        match &self.0[..] {
            [value] => Some(value),
            _ => None,
        }
    }

    /// It is this: is that possible?
    #[track_caller]
    pub(crate) fn settle(&mut self, value: T, what: &str) {
        assert!(
            self.0.contains(&value),
            "{what} is {value:?}, and should be {:?}",
            self.0
        );
        self.set(value);
    }
}

/// An installation, as somebody knows it who made it.
pub(crate) struct Installed {
    pub(crate) id: String,
    /// Of its manifest: no other one has it.
    pub(crate) name: String,
    pub(crate) exists: Either<bool>,
    pub(crate) active: Either<bool>,
    pub(crate) version: Either<String>,
    /// Every version that counted, or may have.
    pub(crate) versions: Vec<String>,
    pub(crate) configuration: Either<Value>,
    pub(crate) granted: Either<Vec<String>>,
    /// Of an external one: who dials. It is asleep until its token is known.
    pub(crate) dialer: Option<Dialer>,
    pub(crate) token_lost: bool,
    /// Upgrades in a row whose answer was lost: perhaps before old versions were forgotten.
    pub(crate) unpruned: usize,
    /// When its installation was asked for, and when that was answered.
    pub(crate) asked: u64,
    pub(crate) answered: u64,
}

/// An installation whose answer was lost.
pub(crate) struct Lost {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) external: bool,
    pub(crate) asked: u64,
}

/// An event that was published, perhaps.
#[derive(Debug, Clone)]
pub(crate) struct Published {
    pub(crate) payload: String,
    pub(crate) key: Option<String>,
    /// Its number, if that was told.
    pub(crate) number: Option<u64>,
    pub(crate) asked: u64,
    pub(crate) answered: Option<u64>,
}

/// What all clients share.
#[derive(Default)]
pub(crate) struct World {
    clock: AtomicU64,
    pub(crate) events: Mutex<Vec<Published>>,
    pub(crate) figures: Mutex<Figures>,
}

/// What is told at the end.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    /// How often what was answered, and how long that took in all and at most.
    pub(crate) answered: BTreeMap<&'static str, (u32, Duration, Duration)>,
    pub(crate) lost: u32,
    pub(crate) not_sent: u32,
}

impl World {
    /// A moment after all that were asked for before.
    pub(crate) fn now(&self) -> u64 {
        self.clock.fetch_add(1, Ordering::Relaxed)
    }

    pub(crate) fn answered(&self, what: &'static str, took: Duration) {
        let mut figures = self.figures.lock().unwrap();
        let (count, all, most) = figures.answered.entry(what).or_default();
        *count += 1;
        *all += took;
        *most = took.max(*most);
    }
}

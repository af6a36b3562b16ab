//! What a driver is told and what it answers: one line of JSON each, over its standard input and output.
//!
//! The drivers in other languages (`peers/`) speak the same. A driver says [`Ready`] when its plugin has answered once; after
//! that it does what it is told, one command after the other, and ends with its input.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::task::JoinSet;
use tokio::time::Instant;

/// Whatever went wrong; a benchmark can only tell it.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// One thing to do.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// Calls over the one connection.
    Calls(Calls),
    /// Fresh plugins, one after the other.
    Spawns {
        /// How many.
        count: u64,
    },
    /// Anything else that a driver can time that many times.
    Times {
        /// How many.
        count: u64,
    },
    /// Calls at a fixed rate, spread over all connections.
    Load(Load),
    /// What it takes of the machine now.
    Look,
}

/// Calls at a fixed rate, spread over all connections.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Load {
    /// How many a second.
    pub per_second: u64,
    /// How many in all.
    pub count: u64,
    /// The size of the parameters.
    pub bytes: usize,
}

/// Calls over the one connection.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Calls {
    /// How many.
    pub count: u64,
    /// So many at a time.
    pub in_flight: u64,
    /// The size of the parameters, and of the answer.
    pub bytes: usize,
}

/// The first line of a driver.
#[derive(Debug, Serialize, Deserialize)]
pub struct Ready {
    /// What it is.
    pub ready: About,
}

/// What a driver is.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct About {
    /// Its name.
    pub name: String,
    /// What it is made of.
    #[serde(default)]
    pub versions: BTreeMap<String, String>,
}

/// What came of a command.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Answer {
    /// From the first call to the last answer, in nanoseconds.
    #[serde(default)]
    pub elapsed_ns: u64,
    /// Each in nanoseconds, where they came one after the other.
    #[serde(default, deserialize_with = "nullable")]
    pub each_ns: Vec<u64>,
    /// Figures with names of their own.
    #[serde(default)]
    pub figures: BTreeMap<String, f64>,
    /// What went wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

fn nullable<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Vec<u64>, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

/// What a driver of ours drives.
pub trait Driven: Sized + Send + Sync + 'static {
    /// One call with so many bytes each way. It checks the answer.
    fn call(&self, bytes: usize) -> impl Future<Output = Result<(), Failure>> + Send {
        let _ = bytes;
        async { Err("this driver makes no calls".into()) }
    }

    /// Calls, so many at a time. By default as many tasks as that.
    fn calls(
        self: Arc<Self>,
        calls: Calls,
    ) -> impl Future<Output = Result<Answer, Failure>> + Send {
        at_a_time(self, calls)
    }

    /// From before a fresh plugin is started to its first answer.
    fn spawn(&self) -> impl Future<Output = Result<u64, Failure>> + Send {
        async { Err("this driver spawns nothing".into()) }
    }

    /// Calls at a fixed rate; the figures say what they took of the processor.
    fn load(&self, load: Load) -> impl Future<Output = Result<Answer, Failure>> + Send {
        let _ = load;
        async { Err("this driver carries no load".into()) }
    }

    /// What it takes of the machine now.
    fn look(&self) -> impl Future<Output = Result<Answer, Failure>> + Send {
        async { Err("this driver has nothing to show".into()) }
    }

    /// Whatever else it times, with figures.
    fn time(&self) -> impl Future<Output = Result<Answer, Failure>> + Send {
        async { Err("this driver times nothing else".into()) }
    }
}

async fn at_a_time<D: Driven>(driven: Arc<D>, calls: Calls) -> Result<Answer, Failure> {
    if calls.in_flight == 1 {
        let mut each_ns = Vec::with_capacity(usize::try_from(calls.count)?);
        let began = Instant::now();
        for _ in 0..calls.count {
            let one = Instant::now();
            driven.call(calls.bytes).await?;
            each_ns.push(nanos(one));
        }
        let elapsed_ns = nanos(began);
        return Ok(Answer {
            elapsed_ns,
            each_ns,
            ..Answer::default()
        });
    }
    let left = Arc::new(AtomicU64::new(calls.count));
    let began = Instant::now();
    let mut callers = JoinSet::new();
    for _ in 0..calls.in_flight {
        let (driven, left) = (Arc::clone(&driven), Arc::clone(&left));
        callers.spawn(async move {
            let taken = |left: u64| left.checked_sub(1);
            while left
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, taken)
                .is_ok()
            {
                driven.call(calls.bytes).await?;
            }
            Ok::<_, Failure>(())
        });
    }
    while let Some(caller) = callers.join_next().await {
        caller??;
    }
    Ok(Answer {
        elapsed_ns: nanos(began),
        ..Answer::default()
    })
}

/// The time since then.
#[must_use]
pub fn nanos(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

/// Says that it is ready and does what it is told, until its input ends.
///
/// # Errors
/// When nobody reads its answers.
pub async fn serve<D: Driven>(name: &str, driven: D) -> Result<(), Failure> {
    let driven = Arc::new(driven);
    let ready = About {
        name: name.to_owned(),
        versions: BTreeMap::new(),
    };
    println!("{}", serde_json::to_string(&Ready { ready })?);
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    // On a worker, where an application's own tasks would be.
    let mut worker = JoinSet::new();
    while let Some(line) = lines.next_line().await? {
        let driven = Arc::clone(&driven);
        worker.spawn(async move { follow(driven, serde_json::from_str(&line)?).await });
        let answer = match worker.join_next().await {
            Some(Ok(Ok(answer))) => answer,
            Some(Ok(Err(error))) => wrong(&error),
            Some(Err(panic)) => wrong(&panic),
            None => wrong(&"nothing was done"),
        };
        println!("{}", serde_json::to_string(&answer)?);
    }
    Ok(())
}

fn wrong(error: &dyn std::fmt::Display) -> Answer {
    Answer {
        error: Some(error.to_string()),
        ..Answer::default()
    }
}

async fn follow<D: Driven>(driven: Arc<D>, command: Command) -> Result<Answer, Failure> {
    match command {
        Command::Calls(calls) => driven.calls(calls).await,
        Command::Spawns { count } => {
            let mut answer = Answer::default();
            for _ in 0..count {
                answer.each_ns.push(driven.spawn().await?);
            }
            Ok(answer)
        }
        Command::Load(load) => driven.load(load).await,
        Command::Look => driven.look().await,
        Command::Times { count } => {
            let mut answer = Answer::default();
            for _ in 0..count {
                let one = driven.time().await?;
                answer.each_ns.extend(one.each_ns);
                answer.figures.extend(one.figures);
            }
            Ok(answer)
        }
    }
}

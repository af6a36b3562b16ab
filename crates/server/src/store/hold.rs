//! One server at a time uses a database.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use sqlx::{AnyConnection, Connection as _};
use tokio::time::{Instant, sleep, timeout};

use super::OpenError;
use super::open::{Place, connect, place};
use crate::secret::shown;

/// The right to be the only server of a database, for as long as this is held.
///
/// Two servers would deliver every event twice, start every plugin twice, and take archives away
/// under one another.
#[derive(Debug)]
pub(crate) struct Hold {
    kept: Kept,
}

#[derive(Debug)]
enum Kept {
    /// A lock on a file beside the database.
    Sqlite { _lock: File },
    /// A lock of a session, on a connection of its own.
    Postgres {
        url: String,
        /// `None` while it is being looked after, or lost.
        connection: Mutex<Option<AnyConnection>>,
    },
}

/// How long another server may take to end: one that is replaced by this one, for a start.
const PATIENCE: Duration = Duration::from_secs(10);
/// Pause between two tries.
const AGAIN: Duration = Duration::from_millis(250);
/// How often the connection is looked after, and how long it may take to answer.
const LOOK: Duration = Duration::from_secs(10);
/// The first half of the lock's name; the schema is the other.
const NAME: i32 = 0x6a61_636b;

impl Hold {
    /// Takes the database, which was opened before; waits a moment for a server that is ending.
    ///
    /// # Errors
    /// [`OpenError::InUse`], or as at opening it.
    pub(crate) async fn take(url: &str) -> Result<Self, OpenError> {
        Self::take_within(url, PATIENCE).await
    }

    /// The same, with this much patience.
    pub(super) async fn take_within(url: &str, patience: Duration) -> Result<Self, OpenError> {
        let failed = |source| OpenError::Open {
            url: shown(url),
            source,
        };
        let kept = match place(url)? {
            Place::Sqlite(path) => {
                let lock = lock(&path, patience).await.map_err(failed)?;
                lock.map(|_lock| Kept::Sqlite { _lock })
            }
            Place::Postgres => {
                let connection = ask_for(url, patience).await.map_err(failed)?;
                connection.map(|connection| Kept::Postgres {
                    url: url.to_owned(),
                    connection: Mutex::new(Some(connection)),
                })
            }
        };
        let kept = kept.ok_or(OpenError::InUse)?;
        Ok(Self { kept })
    }

    /// Looks after it. Returns when another server has taken the database while the connection to it was
    /// lost: this one has to end then. When it is dropped, the database is kept all the same.
    pub(crate) async fn keep(&self) {
        let Kept::Postgres { url, connection } = &self.kept else {
            return std::future::pending().await;
        };
        loop {
            sleep(LOOK).await;
            let held = connection
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take();
            if let Some(mut held) = held
                && matches!(timeout(LOOK, held.ping()).await, Ok(Ok(())))
            {
                *connection.lock().unwrap_or_else(PoisonError::into_inner) = Some(held);
                continue;
            }
            // The lock went with its connection. The database may not know yet that it is gone.
            let again = match ask_for(url, PATIENCE).await {
                Ok(again) => again,
                Err(error) => {
                    tracing::warn!(%error, "the database cannot be reached");
                    continue;
                }
            };
            let Some(again) = again else {
                tracing::error!("another server has taken the database");
                return;
            };
            tracing::info!("the database is this server's again");
            *connection.lock().unwrap_or_else(PoisonError::into_inner) = Some(again);
        }
    }
}

/// `None`: somebody else has it. A lock goes with the process that holds it.
async fn lock(database: &Path, patience: Duration) -> Result<Option<File>, sqlx::Error> {
    let mut path = database.as_os_str().to_owned();
    path.push(".lock");
    let mut file = OpenOptions::new();
    let file = file.write(true).create(true).truncate(false).mode(0o600);
    let file = file.open(Path::new(&path)).map_err(sqlx::Error::Io)?;
    let until = Instant::now() + patience;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(Some(file)),
            Err(TryLockError::WouldBlock) if Instant::now() < until => sleep(AGAIN).await,
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(sqlx::Error::Io(error)),
        }
    }
}

/// A connection that has the lock. `None`: somebody else has it.
async fn ask_for(url: &str, patience: Duration) -> Result<Option<AnyConnection>, sqlx::Error> {
    const LOCK: &str = "SELECT pg_try_advisory_lock($1, hashtext(current_schema()))";
    let until = Instant::now() + patience;
    let mut connection = connect(url).await?;
    let late = |_| sqlx::Error::Io(io::ErrorKind::TimedOut.into());
    loop {
        let ask = sqlx::query_scalar(LOCK).bind(NAME);
        let mine: bool = timeout(LOOK, ask.fetch_one(&mut connection))
            .await
            .map_err(late)??;
        if mine {
            return Ok(Some(connection));
        }
        if Instant::now() >= until {
            return Ok(None);
        }
        sleep(AGAIN).await;
    }
}

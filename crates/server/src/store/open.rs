//! The database, opened and brought up to date.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::any::{AnyConnectOptions, AnyPoolOptions, install_default_drivers};
use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};
use sqlx::{
    Any, AnyConnection, AnyPool, Connection as _, Executor as _, SqlSafeStr as _, Transaction,
};
use tokio::time::timeout;

use crate::secret::shown;

/// Number, name and text of each step of the schema. One that was released never changes again.
pub(super) const MIGRATIONS: &[(i64, &str, &str)] = &[
    (
        1,
        "installations",
        include_str!("../../migrations/0001_installations.sql"),
    ),
    (
        2,
        "places",
        include_str!("../../migrations/0002_places.sql"),
    ),
];

/// How long the first connection may take: a wrong address is told soon.
const CONNECT: Duration = Duration::from_secs(15);
/// How long somebody waits for a connection that others use.
const ACQUIRE: Duration = Duration::from_secs(30);
/// How long the question whether it answers may take.
const PING: Duration = Duration::from_secs(5);

/// The database. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Store {
    pub(super) pool: AnyPool,
    kind: Kind,
    fresh: bool,
}

/// Why the database cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenError {
    /// The URL names no database that is known here.
    #[error("{0:?} is no database that is known here: sqlite:… or postgres://… is expected")]
    Url(String),
    /// A newer server has been here.
    #[error(
        "the database has schema {found}, and this server knows schemas up to {known}: run the newer server again, or restore a backup"
    )]
    Newer {
        /// The schema that is there.
        found: i64,
        /// The newest one that is known.
        known: i64,
    },
    /// It cannot be reached or opened.
    #[error("cannot open the database {url}")]
    Open {
        /// Without its password.
        url: String,
        /// Why.
        source: sqlx::Error,
    },
    /// Another server uses it.
    #[error("another server uses the database: one at a time may")]
    InUse,
    /// It cannot be brought up to date.
    #[error("cannot bring the database up to date")]
    Migrate(#[source] MigrateError),
}

/// Why something could not be read or written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreError {
    /// The database said so.
    #[error("the database does not answer")]
    Database(#[from] sqlx::Error),
    /// A row is not what was written.
    #[error("a row of the database cannot be read: {what}")]
    Row {
        /// Which, and why.
        what: String,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Sqlite,
    Postgres,
}

impl Store {
    /// Opens or makes the database, and migrates it. `sqlite:<path>` or `postgres://…`.
    ///
    /// The path is taken as it is written: nothing in it is decoded, and it has no parameters. File
    /// and folder are made. A PostgreSQL database has to exist.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub(crate) async fn open(url: &str) -> Result<Self, OpenError> {
        install_default_drivers();
        let (kind, options) = options(url)?;
        let failed = |source| OpenError::Open {
            url: shown(url),
            source,
        };
        // On a connection of its own, for a pool hides why it cannot connect, and the migrator's lock
        // goes with its connection.
        let mut first = connect_to(kind, &options).await.map_err(failed)?;
        let known = sqlx::query("SELECT value FROM counters").fetch_one(&mut first);
        let fresh = known.await.is_err();
        migrate(kind, first).await?;
        let pool = AnyPoolOptions::new().acquire_timeout(ACQUIRE);
        let pool = match kind {
            // One writer is all that SQLite has. Who waits for this connection waits in order;
            // who waits for the file's lock does not.
            Kind::Sqlite => pool
                .max_connections(1)
                .min_connections(1)
                .idle_timeout(None)
                .max_lifetime(None)
                .test_before_acquire(false),
            Kind::Postgres => pool.max_connections(10),
        };
        let pool = pool
            .after_connect(move |connection, _| Box::pin(prepare(kind, connection)))
            .connect_lazy_with(options);
        Ok(Self { pool, kind, fresh })
    }

    /// Whether nothing was there when it was opened: what lies elsewhere is none of its leavings.
    pub(crate) fn is_fresh(&self) -> bool {
        self.fresh
    }

    /// Whether it answers.
    pub(crate) async fn ping(&self) -> Result<(), StoreError> {
        let ask = sqlx::query("SELECT value FROM counters WHERE name = 'events'");
        let asked = timeout(PING, ask.fetch_one(&self.pool)).await;
        asked.map_err(|_| sqlx::Error::PoolTimedOut)??;
        Ok(())
    }

    /// Waits for what is being written, and closes.
    pub(crate) async fn close(&self) {
        self.pool.close().await;
    }

    /// A transaction that is going to write.
    pub(super) async fn write(&self) -> Result<Transaction<'static, Any>, sqlx::Error> {
        self.pool.begin_with(begin(self.kind)).await
    }
}

/// One that reads first and writes later is refused by SQLite if somebody else wrote in between,
/// however patient it is; one that says at once that it will write waits.
fn begin(kind: Kind) -> &'static str {
    match kind {
        Kind::Sqlite => "BEGIN IMMEDIATE",
        Kind::Postgres => "BEGIN",
    }
}

fn options(url: &str) -> Result<(Kind, AnyConnectOptions), OpenError> {
    let unknown = || OpenError::Url(shown(url));
    let failed = |source| OpenError::Open {
        url: shown(url),
        source,
    };
    if let Some(path) = file(url)? {
        let encoded = url::Url::from_file_path(&path).map_err(|()| unknown())?;
        let options = format!("sqlite://{}", encoded.path()).parse();
        return Ok((Kind::Sqlite, options.map_err(failed)?));
    }
    if url.starts_with("postgres://") || url.starts_with("postgresql://") {
        let options = url.parse().map_err(failed)?;
        return Ok((Kind::Postgres, options));
    }
    Err(unknown())
}

/// The file of a database that is one, made.
fn file(url: &str) -> Result<Option<PathBuf>, OpenError> {
    let Some(path) = url.strip_prefix("sqlite:") else {
        return Ok(None);
    };
    let path = path.strip_prefix("//").unwrap_or(path);
    if path.is_empty() || path.starts_with(":memory:") {
        return Err(OpenError::Url(shown(url)));
    }
    let made = make(Path::new(path)).map_err(|source| OpenError::Open {
        url: shown(url),
        source: sqlx::Error::Io(source),
    });
    made.map(Some)
}

/// Makes file and folder, as SQLite would, but for nobody else to read. SQLite gives what it puts
/// beside the file the mode of the file.
fn make(path: &Path) -> io::Result<PathBuf> {
    let path = std::path::absolute(path)?;
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut file = OpenOptions::new();
    file.write(true).create(true).mode(0o600).open(&path)?;
    Ok(path)
}

/// Where a database is.
pub(super) enum Place {
    /// In this file.
    Sqlite(PathBuf),
    /// In a server.
    Postgres,
}

/// Where the database of this URL is. Makes the file.
pub(super) fn place(url: &str) -> Result<Place, OpenError> {
    match file(url)? {
        Some(path) => Ok(Place::Sqlite(path)),
        None => Ok(Place::Postgres),
    }
}

/// A connection of its own to what can be opened.
pub(super) async fn connect(url: &str) -> Result<AnyConnection, sqlx::Error> {
    let (kind, options) = options(url).map_err(|error| match error {
        OpenError::Open { source, .. } => source,
        other => sqlx::Error::Configuration(other.into()),
    })?;
    connect_to(kind, &options).await
}

async fn connect_to(kind: Kind, options: &AnyConnectOptions) -> Result<AnyConnection, sqlx::Error> {
    let connect = async {
        let mut connection = AnyConnection::connect_with(options).await?;
        prepare(kind, &mut connection).await?;
        Ok(connection)
    };
    let timed_out = |_| sqlx::Error::Io(io::ErrorKind::TimedOut.into());
    timeout(CONNECT, connect).await.map_err(timed_out)?
}

async fn prepare(kind: Kind, connection: &mut AnyConnection) -> Result<(), sqlx::Error> {
    let settings = match kind {
        // FULL: what is acknowledged survives a power cut, too. It costs a commit half a millisecond
        // and what the disk takes to be sure.
        Kind::Sqlite => {
            "PRAGMA busy_timeout = 10000; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; \
             PRAGMA foreign_keys = ON"
        }
        Kind::Postgres => {
            "SET statement_timeout = '30s'; SET idle_in_transaction_session_timeout = '60s'; \
             SET default_transaction_isolation = 'read committed'; SET synchronous_commit = on"
        }
    };
    connection.execute(settings).await?;
    Ok(())
}

async fn migrate(kind: Kind, mut connection: AnyConnection) -> Result<(), OpenError> {
    let migrator = migrator();
    let migrated = match kind {
        // The migrator knows no lock for SQLite, but a transaction around all of it is one.
        Kind::Sqlite => in_transaction(&migrator, &mut connection).await,
        Kind::Postgres => migrator.run_direct(None, &mut connection, false).await,
    };
    let outcome = match migrated {
        Err(MigrateError::VersionMissing(missing)) => {
            let known = migrator.iter().map(|migration| migration.version).max();
            let known = known.unwrap_or_default();
            let newest = sqlx::query_scalar("SELECT MAX(version) FROM _sqlx_migrations");
            let found = newest.fetch_one(&mut connection).await.unwrap_or(missing);
            Err(if found > known {
                OpenError::Newer { found, known }
            } else {
                OpenError::Migrate(MigrateError::VersionMissing(missing))
            })
        }
        other => other.map_err(OpenError::Migrate),
    };
    // It did what it is for, or failed for a reason that says more.
    let _ = connection.close().await;
    outcome
}

fn migrator() -> Migrator {
    let step = |(number, name, text): &(i64, &'static str, &'static str)| {
        let text = text.into_sql_str();
        Migration::new(*number, (*name).into(), MigrationType::Simple, text, false)
    };
    Migrator::with_migrations(MIGRATIONS.iter().map(step).collect())
}

async fn in_transaction(
    migrator: &Migrator,
    connection: &mut AnyConnection,
) -> Result<(), MigrateError> {
    let mut transaction = connection.begin_with(begin(Kind::Sqlite)).await?;
    migrator.run_direct(None, &mut *transaction, false).await?;
    transaction.commit().await?;
    Ok(())
}

//! The database, opened and brought up to date.

/// The database. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Store {
    pub(super) pool: sqlx::AnyPool,
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
    /// It cannot be brought up to date.
    #[error("cannot bring the database up to date")]
    Migrate(#[source] sqlx::migrate::MigrateError),
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

impl Store {
    /// Opens or makes the database, and migrates it. `sqlite:<path>` or `postgres://…`.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub(crate) async fn open(_url: &str) -> Result<Self, OpenError> {
        todo!()
    }

    /// Whether it answers.
    pub(crate) async fn ping(&self) -> Result<(), StoreError> {
        todo!()
    }

    /// Waits for what is being written, and closes.
    pub(crate) async fn close(&self) {
        todo!()
    }
}

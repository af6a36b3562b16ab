//! A look into the database behind the server's back.

use std::path::Path;

use sqlx::{
    AssertSqlSafe, Connection as _, Executor as _, PgConnection, Row as _, SqliteConnection,
};

use crate::rig::Rig;

/// A connection to the database of a server, whichever it is.
pub(crate) enum Look {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
}

impl Look {
    pub(crate) async fn at(rig: &Rig) -> Self {
        match rig.database_url() {
            Some(url) => Self::Postgres(PgConnection::connect(url).await.unwrap()),
            None => Self::file(&rig.data().join("jackfield.db")).await,
        }
    }

    async fn file(path: &Path) -> Self {
        let url = format!("sqlite://{}", path.display());
        Self::Sqlite(SqliteConnection::connect(&url).await.unwrap())
    }

    /// The names of all tables.
    pub(crate) async fn tables(&mut self) -> Vec<String> {
        let sql = match self {
            Self::Sqlite(_) => "SELECT name FROM sqlite_master WHERE type = 'table'",
            Self::Postgres(_) => {
                "SELECT tablename::text FROM pg_tables WHERE schemaname = 'public'"
            }
        };
        self.column(sql).await
    }

    /// The names of the columns of a table.
    pub(crate) async fn columns(&mut self, table: &str) -> Vec<String> {
        let sql = match self {
            Self::Sqlite(_) => format!("SELECT name FROM pragma_table_info('{table}')"),
            Self::Postgres(_) => format!(
                "SELECT column_name::text FROM information_schema.columns WHERE table_name = '{table}'"
            ),
        };
        self.column(&sql).await
    }

    /// All rows of a table as text, each with all of its columns.
    pub(crate) async fn rows(&mut self, table: &str) -> Vec<String> {
        let columns = self.columns(table).await;
        let text = |column: &String| match self {
            Self::Sqlite(_) => format!(
                "CASE typeof(\"{column}\") WHEN 'blob' THEN hex(\"{column}\") \
                 ELSE coalesce(cast(\"{column}\" AS TEXT), '') END"
            ),
            Self::Postgres(_) => format!("coalesce(\"{column}\"::text, '')"),
        };
        let columns: Vec<String> = columns.iter().map(text).collect();
        let sql = format!("SELECT {} FROM \"{table}\"", columns.join(" || '|' || "));
        self.column(&sql).await
    }

    /// Everything in it as text, a table's name before each row.
    pub(crate) async fn everything(&mut self) -> Vec<String> {
        let mut all = Vec::new();
        for table in self.tables().await {
            let rows = self.rows(&table).await;
            all.extend(rows.into_iter().map(|row| format!("{table}: {row}")));
        }
        all
    }

    /// The first column of what is found, which is text.
    pub(crate) async fn column(&mut self, sql: &str) -> Vec<String> {
        let sql = AssertSqlSafe(sql.to_owned());
        match self {
            Self::Sqlite(connection) => {
                let rows = connection.fetch_all(sql).await.unwrap();
                rows.iter().map(|row| row.get::<String, _>(0)).collect()
            }
            Self::Postgres(connection) => {
                let rows = connection.fetch_all(sql).await.unwrap();
                rows.iter().map(|row| row.get::<String, _>(0)).collect()
            }
        }
    }

    /// Changes something: how many rows.
    pub(crate) async fn change(&mut self, sql: &str) -> Result<u64, sqlx::Error> {
        let sql = AssertSqlSafe(sql.to_owned());
        Ok(match self {
            Self::Sqlite(connection) => connection.execute(sql).await?.rows_affected(),
            Self::Postgres(connection) => connection.execute(sql).await?.rows_affected(),
        })
    }

    /// Makes the manifest of an installation something that nobody can read: how many rows that took.
    pub(crate) async fn spoil_manifest(&mut self, id: &str) -> u64 {
        let mut spoilt = 0;
        for table in self.tables().await {
            let columns = self.columns(&table).await;
            if !columns.iter().any(|column| column == "manifest") {
                continue;
            }
            for key in [
                "id",
                "installation",
                "installation_id",
                "plugin",
                "plugin_id",
            ] {
                if !columns.iter().any(|column| column == key) {
                    continue;
                }
                for garbage in ["{\"id\": ", "17"] {
                    let sql = format!(
                        "UPDATE \"{table}\" SET manifest = '{garbage}' WHERE \"{key}\" = '{id}'"
                    );
                    // The key may be of another type, and then it is not the one.
                    if let Ok(rows) = self.change(&sql).await {
                        spoilt += rows;
                        break;
                    }
                }
            }
        }
        spoilt
    }
}

/// The files below a folder in which one of these texts stands.
pub(crate) fn files_with(folder: &Path, texts: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            let kind = entry.file_type().unwrap();
            if kind.is_dir() {
                folders.push(path);
            } else if kind.is_file() {
                let bytes = std::fs::read(&path).unwrap_or_default();
                for text in texts {
                    if bytes
                        .windows(text.len())
                        .any(|part| part == text.as_bytes())
                    {
                        found.push(format!("{}: {text}", path.display()));
                    }
                }
            }
        }
    }
    found
}

/// The files and folders in whose path this text stands.
pub(crate) fn paths_with(folder: &Path, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.to_string_lossy().contains(text) {
                found.push(path.display().to_string());
            } else if entry.file_type().unwrap().is_dir() {
                folders.push(path);
            }
        }
    }
    found
}

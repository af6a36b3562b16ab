//! `jackfield serve` from outside: over HTTP, as clients know it, with real plugins, databases and applications.
//!
//! Reading order: [`rig`] is a server of a test's own, [`plugin`] a plugin that does as it is ordered, [`packages`]
//! what is installed; then the stories. Where a database matters they are told on both.

#![expect(clippy::unwrap_used, reason = "tests may")]

mod answer;
mod application;
mod database;
mod peers;
mod rig;
mod web;

mod packages;
mod plugin;

/// Tells each story on SQLite and on PostgreSQL.
macro_rules! on_both {
    ($($(#[$meta:meta])* async fn $name:ident($database:ident) $story:block)*) => { $(
        $(#[$meta])*
        mod $name {
            use super::*;

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn sqlite() {
                story(Database::Sqlite).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn postgres() {
                story(Database::Postgres).await;
            }

            async fn story($database: Database) $story
        }
    )* };
}
mod scenarios;

mod configuration;
mod defects;
mod events;
mod languages;
mod life;
mod logs;
mod mapped;
mod packages_store;
mod tokens;
mod versions;

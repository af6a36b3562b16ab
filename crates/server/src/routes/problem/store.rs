//! Of the database.

use super::Problem;
use crate::registry::chain;
use crate::store::StoreError;

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match &error {
            StoreError::Database(cause) if passes(cause) => Self::unavailable(
                "database-away",
                "the database does not answer; try again in a moment",
            )
            .hiding(&error),
            StoreError::Row { .. } => Self::conflict("unreadable", error.to_string()),
            StoreError::Database(_) => Self::internal(&error),
        }
    }
}

/// Whether a later try may succeed: the database is away, or busy.
fn passes(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed => true,
        sqlx::Error::Database(error) => passing_code(&error.code().unwrap_or_default()),
        other => chain(other).contains("pool"),
    }
}

/// Those of PostgreSQL have five characters, those of SQLite are numbers.
fn passing_code(code: &str) -> bool {
    if code.len() == 5 {
        let (class, rest) = code.split_at_checked(2).unwrap_or_default();
        return match class {
            // Connections, logins and databases that are refused; resources; an operator's doing.
            "08" | "28" | "3D" | "53" | "57" | "58" => true,
            // Takes no connections; has become a standby; lost a race.
            "55" => matches!(rest, "000" | "P03"),
            "25" => rest == "006",
            "40" => true,
            _ => false,
        };
    }
    // Busy, locked, the disk: in the lowest byte, above it what exactly.
    let primary = code.parse::<u32>().ok().map(|code| code & 0xff);
    matches!(primary, Some(5 | 6 | 10 | 13))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_that_takes_no_connections_is_away() {
        for (code, passes) in [
            ("55000", true),
            ("57P01", true),
            ("53300", true),
            ("28P01", true),
            ("25006", true),
            ("40001", true),
            ("5", true),
            ("517", true),
            ("13", true),
            ("23505", false),
            ("42P01", false),
            ("1", false),
            ("787", false),
            ("", false),
        ] {
            assert_eq!(passing_code(code), passes, "{code}");
        }
    }
}

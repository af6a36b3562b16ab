//! All measures, in the order of the page.

use std::pin::Pin;

use super::{calls, crashes, crowds, messages, packages, server, spawns, stops};
use crate::lab::Lab;
use crate::protocol::Failure;
use crate::results::Row;

type Running<'a> = Pin<Box<dyn Future<Output = Result<Vec<Row>, Failure>> + 'a>>;

/// One measure, with all its rows.
pub struct Measure {
    /// Its name on the command line.
    pub name: &'static str,
    /// What it measures, for people.
    pub title: &'static str,
    run: for<'a> fn(&'a Lab) -> Running<'a>,
}

impl Measure {
    /// Measures.
    ///
    /// # Errors
    /// When somebody who takes part fails.
    pub async fn run(&self, lab: &Lab) -> Result<Vec<Row>, Failure> {
        (self.run)(lab).await
    }
}

impl std::fmt::Debug for Measure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Measure")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// All of them.
#[must_use]
pub fn all() -> Vec<Measure> {
    vec![
        Measure {
            name: calls::NAME,
            title: "Calls",
            run: |lab| Box::pin(calls::run(lab)),
        },
        Measure {
            name: messages::NAME,
            title: "Big messages",
            run: |lab| Box::pin(messages::run(lab)),
        },
        Measure {
            name: crowds::NAME,
            title: "Many plugins",
            run: |lab| Box::pin(crowds::run(lab)),
        },
        Measure {
            name: spawns::NAME,
            title: "Spawn to ready",
            run: |lab| Box::pin(spawns::run(lab)),
        },
        Measure {
            name: crashes::NAME,
            title: "Crash to active again",
            run: |lab| Box::pin(crashes::run(lab)),
        },
        Measure {
            name: stops::NAME,
            title: "Stop",
            run: |lab| Box::pin(stops::run(lab)),
        },
        Measure {
            name: packages::NAME,
            title: "Packages",
            run: |lab| Box::pin(packages::run(lab)),
        },
        Measure {
            name: server::NAME,
            title: "Start of the server",
            run: |lab| Box::pin(server::run(lab)),
        },
    ]
}

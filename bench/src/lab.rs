//! What the measures have in common: where the programs are, how long to measure, and everybody in turn.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use crate::driver::Driver;
use crate::protocol::Failure;

/// The place where it is measured.
#[derive(Debug)]
pub struct Lab {
    /// Whether it is only to see that everything works.
    pub quick: bool,
    /// The programs of this package.
    programs: PathBuf,
    /// The drivers of others; none where they were not built.
    peers: Option<PathBuf>,
    /// The command line, for the measure of the server.
    pub jackfield: Option<PathBuf>,
    versions: Mutex<BTreeMap<String, String>>,
    left_out: Mutex<Vec<String>>,
}

impl Lab {
    /// Programs are looked for beside this one.
    ///
    /// # Errors
    /// When this program does not know where it is.
    pub fn new(quick: bool, peers: Option<PathBuf>) -> Result<Self, Failure> {
        let this = std::env::current_exe()?;
        let mut programs = this.parent().ok_or("a program is in a folder")?.to_owned();
        // Tests are one folder deeper.
        if programs.ends_with("deps") {
            programs.pop();
        }
        let jackfield = Some(programs.join("jackfield")).filter(|path| path.exists());
        Ok(Self {
            quick,
            jackfield,
            programs,
            peers: peers.filter(|path| path.exists()),
            versions: Mutex::default(),
            left_out: Mutex::default(),
        })
    }

    /// So many rounds, or two where it is only to see that it works.
    #[must_use]
    pub fn rounds(&self, rounds: usize) -> usize {
        self.least(rounds, 2)
    }

    /// So many, or so few where it is only to see that it works.
    #[must_use]
    pub fn least(&self, many: usize, few: usize) -> usize {
        if self.quick { few } else { many }
    }

    /// A program of this package.
    #[must_use]
    pub fn program(&self, name: &str) -> PathBuf {
        self.programs.join(name)
    }

    /// A driver of this package.
    ///
    /// # Errors
    /// When it does not become ready.
    pub async fn driver(&self, label: &str, args: &[&str]) -> Result<Driver, Failure> {
        self.started(label, &self.program("bench-driver"), args)
            .await
    }

    /// A driver of somebody else's; none where it is not there, which is noted.
    ///
    /// # Errors
    /// When it does not become ready.
    pub async fn peer(
        &self,
        label: &str,
        name: &str,
        args: &[&str],
    ) -> Result<Option<Driver>, Failure> {
        match self.peers.as_ref().map(|peers| peers.join(name)) {
            Some(program) if program.exists() => {
                Ok(Some(self.started(label, &program, args).await?))
            }
            _ => {
                self.left_out(format!("{label}: its program was not built"));
                Ok(None)
            }
        }
    }

    async fn started(&self, label: &str, program: &Path, args: &[&str]) -> Result<Driver, Failure> {
        let driver = Driver::start(label, program, args).await?;
        let mut versions = self.versions.lock().unwrap_or_else(PoisonError::into_inner);
        versions.extend(driver.about.versions.clone());
        Ok(driver)
    }

    /// Notes what could not be measured.
    pub fn left_out(&self, what: String) {
        let mut left_out = self.left_out.lock().unwrap_or_else(PoisonError::into_inner);
        if !left_out.contains(&what) {
            eprintln!("  left out: {what}");
            left_out.push(what);
        }
    }

    /// What was measured, and what was not.
    #[must_use]
    pub fn noted(self) -> (BTreeMap<String, String>, Vec<String>) {
        let into = PoisonError::into_inner;
        (
            self.versions.into_inner().unwrap_or_else(into),
            self.left_out
                .into_inner()
                .unwrap_or_else(PoisonError::into_inner),
        )
    }
}

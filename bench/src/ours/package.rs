//! A package that is checked and unpacked.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use jackfield::package::{Limits, Package, UnpackOptions};
use tokio::task::spawn_blocking;
use tokio::time::Instant;

use crate::protocol::{Answer, Driven, Failure, nanos};
use crate::usage;

/// An archive on disk.
#[derive(Debug)]
pub struct Unpacking {
    archive: PathBuf,
}

impl Unpacking {
    /// Of this archive.
    #[must_use]
    pub fn new(archive: &Path) -> Self {
        Self {
            archive: archive.to_owned(),
        }
    }
}

impl Driven for Unpacking {
    /// Checks and unpacks it into a new folder beside it. `held_kib`: what more is in memory while the package is held
    /// than before it was opened; `peak_kib`: the most that this process ever took.
    async fn time(&self) -> Result<Answer, Failure> {
        let archive = self.archive.clone();
        let beside = archive.parent().ok_or("an archive is in a folder")?;
        let folder = tempfile::tempdir_in(beside)?;
        let into = folder.path().to_owned();
        let rss = || usage::of_self().get("rss_kib").copied().unwrap_or(f64::NAN);
        let before = rss();
        let began = Instant::now();
        let package = spawn_blocking(move || {
            let package = Package::open(&archive, &Limits::default())?;
            package.unpack(&into, &UnpackOptions::default())?;
            Ok::<_, Failure>(package)
        })
        .await??;
        let took = nanos(began);
        let mut figures = BTreeMap::from([("held_kib".to_owned(), rss() - before)]);
        let peak = usage::of_self().get("peak_kib").copied();
        figures.extend(peak.map(|peak| ("peak_kib".to_owned(), peak)));
        drop(package);
        spawn_blocking(move || folder.close()).await??;
        Ok(Answer {
            each_ns: vec![took],
            figures,
            ..Answer::default()
        })
    }
}

//! From a package to a sprite that has it: look, create, upload, mark, prune.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use jackfield::package::{Package, UnpackError, UnpackOptions};
use jackfield::{Failure, Stage};

use super::place::Place;
use super::{large, upload};
use crate::client::{Client, Upload};
use crate::error::{ServiceError, failure};
use crate::exec::{Doubt, Way};
use crate::settings::Channel;

/// Where a package is to go, and how.
pub(crate) struct Deploy<'a> {
    pub(crate) client: &'a Arc<Client>,
    pub(crate) sprite: &'a str,
    pub(crate) channel: Channel,
    pub(crate) doubt: &'a Doubt,
    /// Of commands of our own.
    pub(crate) env: &'a BTreeMap<String, String>,
    pub(crate) place: &'a Place,
    pub(crate) uploads: usize,
    pub(crate) scratch: Option<PathBuf>,
}

impl Deploy<'_> {
    /// Makes the sprite if need be, and uploads what it lacks. The marker goes first and comes last.
    pub(crate) async fn run(&self, package: &Package) -> Result<(), Failure> {
        let service = |error: ServiceError| error.failure(Stage::Deploy);
        let (client, sprite) = (self.client, self.sprite);
        let exists = client.has_sprite(sprite).await.map_err(service)?;
        if exists {
            if self.is_deployed(package).await.map_err(service)? {
                return Ok(());
            }
            let marker = self.place.marker();
            client
                .delete_files(sprite, &marker)
                .await
                .map_err(service)?;
        } else {
            client.create_sprite(sprite).await.map_err(service)?;
        }
        let there = match exists {
            true => upload::there(self, package).await.map_err(service)?,
            false => upload::There::default(),
        };
        let unpacked = unpack(package, self.scratch.clone()).await?;
        let jobs = upload::plan(package, self.place, &unpacked.folder, &there).map_err(service)?;
        let (jobs, joins) = large::split(jobs, &self.place.parts(), &there);
        tracing::debug!(sprite, files = jobs.len(), digest = %package.digest(), "uploading a package");
        stream::iter(jobs)
            .map(|job| self.put(job))
            .buffer_unordered(self.uploads)
            .try_collect::<()>()
            .await
            .map_err(service)?;
        self.join(&joins).await.map_err(service)?;
        let marker = upload::Job {
            path: self.place.marker(),
            mode: 0o644,
            upload: Upload::Bytes(Bytes::from(format!("{}\n", package.digest()))),
        };
        self.put(marker).await.map_err(service)?;
        if exists && let Err(error) = self.prune().await {
            // In the way of nobody: the plugin can run.
            tracing::warn!(sprite, %error, "cannot remove old packages");
        }
        Ok(())
    }

    /// Whether the marker is there and says this package, and the program still is.
    async fn is_deployed(&self, package: &Package) -> Result<bool, ServiceError> {
        let path = self.place.marker();
        let marker = self.client.read_file(self.sprite, &path).await?;
        let marker = marker.unwrap_or_default();
        if marker.trim_ascii() != package.digest().to_string().as_bytes() {
            return Ok(false);
        }
        let Some(command) = package.command_file() else {
            return Ok(true);
        };
        let size = package.files().iter().find(|file| file.name() == command);
        let size = size.map(|file| file.size());
        let path = self.place.file(command);
        let found = self.client.list_files(self.sprite, &path).await?;
        let found = found.unwrap_or_default();
        Ok(found
            .first()
            .is_some_and(|entry| !entry.is_dir && size.is_none_or(|size| entry.size == size)))
    }

    /// One file, with two more attempts where the network is to blame.
    async fn put(&self, job: upload::Job) -> Result<(), ServiceError> {
        let mut attempt = 0;
        loop {
            let written = self
                .client
                .write_file(self.sprite, &job.path, job.mode, &job.upload)
                .await;
            match written {
                Err(error) if error.passes() && attempt < 2 => {
                    attempt += 1;
                    tracing::debug!(sprite = self.sprite, %error, attempt, "uploading a file again");
                    tokio::time::sleep(std::time::Duration::from_millis(200 << attempt)).await;
                }
                done => return done,
            }
        }
    }

    /// How commands of our own are run.
    pub(super) fn way(&self) -> Way {
        Way {
            client: Arc::clone(self.client),
            sprite: self.sprite.to_owned(),
            channel: self.channel,
            doubt: self.doubt.clone(),
        }
    }

    /// Keeps this package and the one before.
    async fn prune(&self) -> Result<(), ServiceError> {
        let path = self.place.packages();
        let entries = self.client.list_files(self.sprite, &path).await?;
        let entries = entries.unwrap_or_default();
        for path in self.place.outdated(&entries) {
            self.client.delete_files(self.sprite, &path).await?;
        }
        Ok(())
    }
}

/// A package's files on this machine, until it is dropped.
struct Unpacked {
    folder: PathBuf,
    _root: tempfile::TempDir,
}

async fn unpack(package: &Package, scratch: Option<PathBuf>) -> Result<Unpacked, Failure> {
    let package = package.clone();
    let work = move || {
        let root = match &scratch {
            Some(folder) => {
                std::fs::create_dir_all(folder).and_then(|()| tempfile::tempdir_in(folder))
            }
            None => tempfile::tempdir(),
        };
        let root = root.map_err(|error| {
            failure(
                Stage::Deploy,
                format!("cannot make a folder to unpack in: {error}"),
            )
        })?;
        let options = UnpackOptions {
            sync: false,
            ..UnpackOptions::default()
        };
        let unpacked = package.unpack(root.path(), &options).map_err(|error| {
            let failed = failure(Stage::Deploy, chain(&error));
            match error {
                UnpackError::Changed { .. } | UnpackError::Gone { .. } => failed
                    .hint("load the plugin anew, from an archive that stays where it is")
                    .hopeless(),
                _ => failed,
            }
        })?;
        Ok(Unpacked {
            folder: unpacked.folder,
            _root: root,
        })
    };
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|panic| Err(failure(Stage::Deploy, format!("unpacking failed: {panic}"))))
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

//! When something in a folder was changed that the plugin is made of.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use notify::event::ModifyKind;
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::mpsc;

/// Watches a folder and those below it, but for those that builds and editors fill.
#[derive(Debug)]
pub(super) struct Watch {
    watcher: RecommendedWatcher,
    changes: mpsc::Receiver<PathBuf>,
    ignored: HashSet<String>,
    /// The program itself, which counts also where it lies in a folder that does not.
    program: Option<PathBuf>,
    watched: HashSet<PathBuf>,
}

/// Names that are no part of a plugin.
const IGNORED: &[&str] = &[
    "target",
    "node_modules",
    "__pycache__",
    "venv",
    "coverage",
    "logs",
    "tmp",
];

/// Endings of files that programs and editors write on the way.
const ENDINGS: &[&str] = &[
    "log",
    "pyc",
    "swp",
    "swx",
    "tmp",
    "db",
    "sqlite",
    "sqlite3",
    "db-wal",
    "db-shm",
    "db-journal",
];

/// Folders beyond this are not watched.
const FOLDERS: usize = 2000;

impl Watch {
    /// Watches from now on. `program` is the file that the manifest's command is, where it is one of the folder.
    pub(super) fn new(
        folder: &Path,
        program: Option<PathBuf>,
        ignore: &[String],
    ) -> notify::Result<Self> {
        // Whoever is told of one change looks at everything: what does not fit is not missed.
        let (send, changes) = mpsc::channel(64);
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            let Ok(event) = event else { return };
            if counts(event.kind) {
                for path in event.paths {
                    let _ = send.try_send(path);
                }
            }
        })?;
        let names = IGNORED.iter().map(|name| (*name).to_owned());
        let mut watch = Self {
            watcher,
            changes,
            ignored: names.chain(ignore.iter().cloned()).collect(),
            program,
            watched: HashSet::new(),
        };
        watch.add(folder)?;
        // A build puts it there.
        if let Some(place) = watch.program.as_deref().and_then(Path::parent)
            && place.is_dir()
            && !watch.watched.contains(place)
        {
            watch.watcher.watch(place, RecursiveMode::NonRecursive)?;
        }
        Ok(watch)
    }

    /// The next file that was changed. Cancel safe.
    pub(super) async fn changed(&mut self) -> Option<PathBuf> {
        loop {
            let path = self.changes.recv().await?;
            if path.is_dir() {
                if self.wanted(&path) && !self.watched.contains(&path) {
                    // It was made just now; what lies in it counts.
                    let _ = self.add(&path);
                    return Some(path);
                }
                continue;
            }
            let place_is_watched = path
                .parent()
                .is_some_and(|place| self.watched.contains(place));
            if self.program.as_ref() == Some(&path) || place_is_watched && self.wanted(&path) {
                return Some(path);
            }
        }
    }

    fn wanted(&self, path: &Path) -> bool {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let ending = path.extension().unwrap_or_default().to_string_lossy();
        // Hidden ones: .git, .venv, drafts of editors.
        !name.starts_with('.')
            && !name.ends_with('~')
            && !self.ignored.contains(name.as_ref())
            && !ENDINGS.contains(&ending.as_ref())
    }

    fn add(&mut self, folder: &Path) -> notify::Result<()> {
        if self.watched.len() >= FOLDERS {
            return Ok(());
        }
        self.watcher.watch(folder, RecursiveMode::NonRecursive)?;
        self.watched.insert(folder.to_owned());
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            // Links lead elsewhere, and in circles.
            let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
            if is_folder && self.wanted(&path) {
                // One that is gone by now is none.
                let _ = self.add(&path);
            }
        }
        Ok(())
    }
}

/// Reading a file changes nothing, nor do its times.
fn counts(kind: EventKind) -> bool {
    match kind {
        EventKind::Create(_) | EventKind::Remove(_) => true,
        EventKind::Modify(kind) => !matches!(kind, ModifyKind::Metadata(_)),
        EventKind::Any | EventKind::Access(_) | EventKind::Other => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::time::Duration;
    use tokio::time::timeout;

    /// The changed file, among the many events of a change, that bears this name.
    async fn until(watch: &mut Watch, name: &str) {
        let found =
            async { while watch.changed().await.unwrap().file_name() != Some(name.as_ref()) {} };
        timeout(Duration::from_secs(20), found).await.unwrap();
    }

    #[tokio::test]
    async fn changes_of_the_plugin_are_told_and_those_of_builds_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        for name in ["src/deep", "target/debug", "node_modules", ".git"] {
            fs::create_dir_all(folder.join(name)).unwrap();
        }
        let program = folder.join("target/debug/plugin");
        let ignore = ["data.json".to_owned()];
        let mut watch = Watch::new(folder, Some(program.clone()), &ignore).unwrap();
        for noise in [
            "target/debug/other",
            "node_modules/x.js",
            ".git/index",
            "run.log",
            "data.json",
            "a.py~",
            ".a.swp",
        ] {
            fs::write(folder.join(noise), "x").unwrap();
        }
        fs::write(folder.join("src/deep/a.py"), "x").unwrap();
        let first = timeout(Duration::from_secs(20), watch.changed())
            .await
            .unwrap();
        assert_eq!(first.unwrap(), folder.join("src/deep/a.py"));
        fs::write(&program, "x").unwrap();
        until(&mut watch, "plugin").await;
        fs::create_dir(folder.join("fresh")).unwrap();
        until(&mut watch, "fresh").await;
        fs::write(folder.join("fresh/b.py"), "x").unwrap();
        until(&mut watch, "b.py").await;
        fs::remove_file(folder.join("src/deep/a.py")).unwrap();
        until(&mut watch, "a.py").await;
    }
}

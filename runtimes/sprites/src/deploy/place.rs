//! Where things are in a sprite.
//!
//! ```text
//! <root>/packages/<digest>/       a package's files
//! <root>/packages/<digest>.parts/ parts of large files, until they are put together
//! <root>/packages/<digest>.ok     all of them are there; its text is the digest
//! <root>/state/                   the plugin's own, which no upload touches
//! ```

use jackfield::package::Digest;

use crate::client::Entry;

/// Where one package is, or will be.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    root: String,
    digest: Digest,
}

impl Place {
    pub(crate) fn new(root: &str, digest: Digest) -> Self {
        Self {
            root: root.to_owned(),
            digest,
        }
    }

    pub(crate) fn packages(&self) -> String {
        format!("{}/packages", self.root)
    }

    pub(crate) fn folder(&self) -> String {
        format!("{}/packages/{}", self.root, self.digest)
    }

    pub(crate) fn file(&self, name: &str) -> String {
        format!("{}/{name}", self.folder())
    }

    pub(crate) fn marker(&self) -> String {
        format!("{}/packages/{}.ok", self.root, self.digest)
    }

    /// Parts of files that are too large for one piece.
    pub(crate) fn parts(&self) -> String {
        format!("{}/packages/{}.parts", self.root, self.digest)
    }

    pub(crate) fn state(&self) -> String {
        format!("{}/state", self.root)
    }

    /// Of what is in the folder of packages: all but this one and the newest of the others that are whole. Markers
    /// come before the folders that they speak for.
    pub(crate) fn outdated(&self, entries: &[Entry]) -> Vec<String> {
        let marker = |entry: &&Entry| !entry.is_dir && entry.name.ends_with(".ok");
        let current = self.digest.to_string();
        let digest = |entry: &Entry| match entry.name.split_once('.') {
            Some((digest, "ok" | "parts")) => digest.to_owned(),
            _ => entry.name.clone(),
        };
        let last = entries
            .iter()
            .filter(marker)
            .filter(|entry| digest(entry) != current)
            .max_by(|a, b| a.mod_time.cmp(&b.mod_time))
            .map(&digest);
        let mut old: Vec<&Entry> = entries
            .iter()
            .filter(|entry| digest(entry) != current && Some(digest(entry)) != last)
            // What is not ours stays.
            .filter(|entry| digest(entry).parse::<Digest>().is_ok())
            .collect();
        old.sort_by_key(|entry| entry.is_dir);
        old.into_iter()
            .map(|entry| format!("{}/{}", self.packages(), entry.name))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_package_and_the_last_one_are_kept() {
        let digests: Vec<Digest> = (0..4_u8).map(|byte| Digest::of(&[byte])).collect();
        let entry = |name: String, day: usize, is_dir| Entry {
            name,
            size: 0,
            mode: String::new(),
            mod_time: format!("2026-01-0{day}T00:00:00Z"),
            is_dir,
        };
        let mut entries = vec![entry("notes".to_owned(), 9, true)];
        for (day, digest) in digests.iter().enumerate() {
            entries.push(entry(digest.to_string(), day, true));
            // The third was never finished.
            if day != 2 {
                entries.push(entry(format!("{digest}.ok"), day, false));
            }
        }
        let place = Place::new("/place", digests[3]);
        let old = |what: String| format!("/place/packages/{what}");
        assert_eq!(
            place.outdated(&entries),
            [
                old(format!("{}.ok", digests[0])),
                old(digests[0].to_string()),
                old(digests[2].to_string()),
            ]
        );
        assert_eq!(place.marker(), old(format!("{}.ok", digests[3])));
        assert_eq!(place.file("a/b"), old(format!("{}/a/b", digests[3])));
    }
}

//! Files that the service does not take in one piece. They go up in parts, which a command in the sprite puts together.

use std::time::Duration;

use super::Deploy;
use super::upload::{Job, There};
use crate::client::Upload;
use crate::environment::lines;
use crate::error::ServiceError;
use crate::exec::{Command, once};

/// The service takes 16 MiB.
pub(super) const PART: u64 = 8 * 1024 * 1024;

/// `target mode part…`: whole or not at all.
const JOIN: &str = r#"set -e
target="$1" mode="$2"
shift 2
cat "$@" > "$target.joining"
chmod "$mode" "$target.joining"
mv -f "$target.joining" "$target"
"#;

/// A file that is made of parts.
#[derive(Debug)]
pub(super) struct Join {
    target: String,
    mode: u32,
    parts: Vec<String>,
    size: u64,
}

/// Replaces every job that is too large by jobs for its parts; of those that are there already there is none.
pub(super) fn split(jobs: Vec<Job>, parts_folder: &str, there: &There) -> (Vec<Job>, Vec<Join>) {
    let (mut small, mut joins) = (Vec::new(), Vec::new());
    for job in jobs {
        let (from, size) = match &job.upload {
            Upload::File { from, size, .. } if *size > PART => (from.clone(), *size),
            _ => {
                small.push(job);
                continue;
            }
        };
        let mut join = Join {
            target: job.path,
            mode: job.mode,
            parts: Vec::new(),
            size,
        };
        for (index, offset) in (0..size).step_by(PART as usize).enumerate() {
            let name = format!("{}-{index}", joins.len());
            let path = format!("{parts_folder}/{name}");
            join.parts.push(path.clone());
            let size = PART.min(size - offset);
            if !there.has_part(&name, size) {
                small.push(Job {
                    path,
                    mode: 0o644,
                    upload: Upload::File {
                        from: from.clone(),
                        offset,
                        size,
                    },
                });
            }
        }
        joins.push(join);
    }
    (small, joins)
}

impl Deploy<'_> {
    /// Puts the parts together, and removes them.
    pub(super) async fn join(&self, joins: &[Join]) -> Result<(), ServiceError> {
        for join in joins {
            // There is no folder for a file all of whose siblings are large.
            let (folder, _) = join.target.rsplit_once('/').unwrap_or_default();
            let keep = Upload::Bytes(bytes::Bytes::new());
            let keeper = format!("{folder}/.keep");
            self.client
                .write_file(self.sprite, &keeper, 0o644, &keep)
                .await?;
            let mut cmd: Vec<String> = ["/bin/sh", "-c", JOIN, "sh", &join.target]
                .map(str::to_owned)
                .into();
            cmd.push(format!("{:04o}", join.mode));
            cmd.extend(join.parts.iter().cloned());
            let command = Command {
                cmd,
                env: lines(self.env),
                dir: self.place.packages(),
                orphaned: self.client.timing.orphaned,
            };
            let deadline = Duration::from_secs(60 + join.size / (1024 * 1024));
            once(&self.way(), &command, "put a large file together", deadline).await?;
        }
        if !joins.is_empty() {
            let parts = self.place.parts();
            self.client.delete_files(self.sprite, &parts).await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_large_goes_in_parts() {
        let job = |path: &str, size| Job {
            path: path.to_owned(),
            mode: 0o755,
            upload: Upload::File {
                from: "here".into(),
                offset: 0,
                size,
            },
        };
        let jobs = vec![job("/p/small", PART), job("/p/large", 2 * PART + 5)];
        let (jobs, joins) = split(jobs, "/parts", &There::default());
        let sizes: Vec<_> = jobs
            .iter()
            .map(|job| match &job.upload {
                Upload::File { offset, size, .. } => (job.path.as_str(), *offset, *size),
                Upload::Bytes(_) => unreachable!(),
            })
            .collect();
        assert_eq!(
            sizes,
            [
                ("/p/small", 0, PART),
                ("/parts/0-0", 0, PART),
                ("/parts/0-1", PART, PART),
                ("/parts/0-2", 2 * PART, 5),
            ]
        );
        assert_eq!(joins[0].parts, ["/parts/0-0", "/parts/0-1", "/parts/0-2"]);
        assert_eq!((&*joins[0].target, joins[0].mode), ("/p/large", 0o755));
    }
}

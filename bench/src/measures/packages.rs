//! An archive that is checked and unpacked, beside `unzip`.

use std::path::Path;
use std::process::Stdio;

use jackfield::package::{PackOptions, pack};
use tokio::process::Command as Process;
use tokio::time::Instant;

use crate::lab::Lab;
use crate::protocol::{Command, Failure};
use crate::results::{Role, Row};

pub(super) const NAME: &str = "packages";

/// With its manifest it has as many files as a package may have by default.
const FILES: usize = 2047;
/// With its manifest no more than a package may have by default.
const BYTES: usize = (200 << 20) - (4 << 10);
const MIB: f64 = (1 << 20) as f64;

pub(super) async fn run(lab: &Lab) -> Result<Vec<Row>, Failure> {
    let (files, bytes) = (lab.least(FILES, 40), lab.least(BYTES, 1 << 20));
    let folder = tempfile::tempdir()?;
    let archive = folder.path().join("plugin.zip");
    let into = archive.clone();
    let size = tokio::task::spawn_blocking(move || write(&into, files, bytes)).await??;
    let mib = size as f64 / MIB;
    let path = archive.to_string_lossy().into_owned();
    let mut driver = lab.driver("Jackfield", &["package", &path]).await?;
    let unzip = Process::new("unzip")
        .arg("-v")
        .stdout(Stdio::null())
        .status()
        .await
        .is_ok();
    if !unzip {
        lab.left_out("unzip: it is not installed (on Debian: apt-get install unzip)".to_owned());
    }
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    let (mut peak, mut held) = (Vec::new(), Vec::new());
    for round in 0..lab.rounds(11) + 1 {
        let answer = driver.tell(Command::Times { count: 1 }).await?;
        let took = answer.each_ns.first().ok_or("no time")?;
        let theirs_took = if unzip {
            Some(unzipped(&archive, folder.path()).await?)
        } else {
            None
        };
        if round > 0 {
            ours.push(mib / (*took as f64 / 1e9));
            theirs.extend(theirs_took.map(|seconds| mib / seconds));
            let figure = |name: &str| {
                answer
                    .figures
                    .get(name)
                    .map_or(f64::NAN, |kib| kib / 1024.0)
            };
            peak.push(figure("peak_kib"));
            held.push(figure("held_kib"));
        }
    }
    driver.end().await?;
    let what = format!("Check and unpack {} files, {mib:.0} MiB", files + 1);
    let mut row = Row::new(NAME, "unpack", &what, "MiB/s").more_is_better();
    row.add("Jackfield", Role::Ours, ours);
    if unzip {
        row.add("unzip", Role::Peer, theirs);
    }
    let what = "Memory of the process that unpacks it: the most, and what is held afterwards";
    let mut memory = Row::new(NAME, "unpack-memory", what, "MiB");
    memory.add("the most", Role::Ours, peak);
    memory.add("held", Role::Ours, held);
    Ok(vec![row.target("Jackfield", "unzip", 0.8), memory])
}

/// A plugin of that many files in folders: text, and one in eight of what does not compress.
fn write(archive: &Path, files: usize, bytes: usize) -> Result<usize, Failure> {
    let folder = tempfile::tempdir()?;
    let each = bytes / files;
    let manifest = r#"{"id": "large", "author": "jackfield", "name": "Large", "description": "", "version": "1.0.0",
        "command": "false"}"#;
    std::fs::write(folder.path().join("manifest.json"), manifest)?;
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    for file in 0..files {
        let place = folder.path().join(format!("folder-{}", file % 64));
        std::fs::create_dir_all(&place)?;
        let mut content = Vec::with_capacity(each + 8);
        while content.len() < each {
            let number = random();
            if file.is_multiple_of(8) {
                content.extend_from_slice(&number.to_le_bytes());
            } else {
                content
                    .extend_from_slice(format!("line {} of the file\n", number % 1000).as_bytes());
            }
        }
        content.truncate(each);
        std::fs::write(place.join(format!("file-{file}.txt")), content)?;
    }
    let packed = pack(folder.path(), &PackOptions::default())?;
    std::fs::write(archive, &packed.bytes)?;
    Ok(each * files)
}

async fn unzipped(archive: &Path, beside: &Path) -> Result<f64, Failure> {
    let folder = tempfile::tempdir_in(beside)?;
    let began = Instant::now();
    let status = Process::new("unzip")
        .arg("-q")
        .arg(archive)
        .arg("-d")
        .arg(folder.path())
        .status()
        .await?;
    let took = began.elapsed().as_secs_f64();
    match status.success() {
        true => Ok(took),
        false => Err(format!("unzip: {status}").into()),
    }
}

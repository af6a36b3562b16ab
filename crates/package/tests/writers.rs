//! Archives as people's tools write them: Python's zipfile, Info-ZIP, tar, PowerShell, and our own.

#![expect(clippy::unwrap_used, reason = "a test may")]

mod support;

use std::fs;
use std::path::Path;
use std::process::Command;

use jackfield_package::{Limits, Package};
use support::{Raw, accepted, archive, file, folder, names};

/// Runs a tool in a folder; `false` where it is not installed.
fn ran(tool: &str, args: &[&str], folder: &Path) -> bool {
    let output = match Command::new(tool).args(args).current_dir(folder).output() {
        Ok(output) => output,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            eprintln!("{tool} is not installed: its archives are not tried");
            return false;
        }
        Err(error) => panic!("{tool}: {error}"),
    };
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{tool} {args:?}: {said}");
    true
}

fn plugin_folder() -> tempfile::TempDir {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir_all(folder.path().join("src/lib/empty")).unwrap();
    fs::write(folder.path().join("src/manifest.json"), support::MANIFEST).unwrap();
    fs::write(folder.path().join("src/run.sh"), "#!/bin/sh\nexit 0\n").unwrap();
    fs::set_permissions(
        folder.path().join("src/run.sh"),
        fs::Permissions::from_mode(0o755),
    )
    .unwrap();
    fs::write(folder.path().join("src/lib/größe.txt"), "x".repeat(5000)).unwrap();
    folder
}

fn open(folder: &Path) -> Package {
    Package::open(&folder.join("out.zip"), &Limits::default())
        .unwrap_or_else(|error| panic!("{error}"))
}

const FILES: [&str; 3] = ["lib/größe.txt", "manifest.json", "run.sh"];

#[test]
fn info_zip() {
    let folder = plugin_folder();
    let inside = folder.path().join("src");
    if !ran("zip", &["-qr", "../out.zip", "."], &inside) {
        return;
    }
    assert_eq!(names(&open(folder.path())), FILES);
    // With the enclosing folder, and streamed: sizes after the data, zip64 in the headers.
    fs::remove_file(folder.path().join("out.zip")).unwrap();
    assert!(ran(
        "sh",
        &["-c", "zip -qr - src | cat > out.zip"],
        folder.path()
    ));
    let package = open(folder.path());
    assert_eq!(names(&package), FILES);
    assert_eq!(support::warnings(&package), [""; 0]);
    // With a password, and with a link.
    assert!(ran(
        "zip",
        &["-q", "-P", "secret", "out.zip", "src/run.sh"],
        folder.path()
    ));
    std::os::unix::fs::symlink("/etc/passwd", inside.join("link")).unwrap();
    assert!(ran("zip", &["-qy", "out.zip", "src/link"], folder.path()));
    let error = Package::open(&folder.path().join("out.zip"), &Limits::default()).unwrap_err();
    let error = error.to_string();
    assert!(error.contains("\"src/run.sh\" is encrypted"), "{error}");
    assert!(error.contains("\"src/link\" is a symbolic link"), "{error}");
}

#[test]
fn python() {
    let folder = plugin_folder();
    let script = "
import os, sys, zipfile
with zipfile.ZipFile('out.zip', 'w', zipfile.ZIP_DEFLATED) as archive:
    for name in ['manifest.json', 'run.sh', 'lib', 'lib/größe.txt']:
        archive.write('src/' + name, name)
# As many scripts do it: no modes but 0600, and no command that could be executed.
with zipfile.ZipFile('plain.zip', 'w') as archive:
    for name in ['manifest.json', 'run.sh', 'lib/größe.txt']:
        archive.writestr(name, open('src/' + name, 'rb').read())
# Not seekable: the sizes come after the data.
class Pipe:
    def __init__(self, to): self.to = to
    def write(self, data): return self.to.write(data)
    def flush(self): pass
with open('stream.zip', 'wb') as to, zipfile.ZipFile(Pipe(to), 'w', zipfile.ZIP_DEFLATED) as archive:
    for name in ['manifest.json', 'run.sh', 'lib/größe.txt']:
        with archive.open(name, 'w', force_zip64=True) as entry:
            entry.write(open('src/' + name, 'rb').read())
";
    if !ran("python3", &["-c", script], folder.path()) {
        return;
    }
    for (name, warns) in [
        ("out.zip", false),
        ("plain.zip", true),
        ("stream.zip", true),
    ] {
        let path = folder.path().join(name);
        let package =
            Package::open(&path, &Limits::default()).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(names(&package), FILES, "{name}");
        assert_eq!(
            !package.warnings().is_empty(),
            warns,
            "{name}: {:?}",
            package.warnings()
        );
        let run = package
            .files()
            .iter()
            .find(|file| file.name() == "run.sh")
            .unwrap();
        assert!(run.is_executable(), "{name}");
    }
}

/// Shapes that the `zip` crate does not write and Python's zipfile does.
#[test]
fn python_with_bad_intent() {
    let folder = plugin_folder();
    let script = "
import zipfile, warnings
warnings.simplefilter('ignore')
def make(path, entries):
    with zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED) as archive:
        for name in ['manifest.json', 'run.sh']:
            archive.write('src/' + name, name)
        for name, attributes in entries:
            info = zipfile.ZipInfo(name)
            info.filename = name
            info.external_attr = attributes << 16
            archive.writestr(info, b'/etc/passwd')
make('escape.zip', [('../../escape', 0o644)])
make('absolute.zip', [('/absolute', 0o644)])
make('backslash.zip', [('a\\\\b', 0o644)])
make('link.zip', [('link', 0o120777)])
make('device.zip', [('device', 0o020666)])
make('twice.zip', [('twice', 0o644), ('twice', 0o644)])
make('setid.zip', [('setid', 0o106755)])
with zipfile.ZipFile('bzip2.zip', 'w', zipfile.ZIP_BZIP2) as archive:
    archive.write('src/manifest.json', 'manifest.json')
";
    if !ran("python3", &["-c", script], folder.path()) {
        return;
    }
    for (name, expected) in [
        (
            "escape",
            "\"../../escape\" leads out of the folder: it has a `..`",
        ),
        ("absolute", "\"/absolute\" is an absolute path"),
        (
            "backslash",
            "\"a\\\\b\" has a backslash; names in an archive are separated by slashes",
        ),
        (
            "link",
            "\"link\" is a symbolic link; a package holds files and folders only",
        ),
        (
            "device",
            "\"device\" is a device; a package holds files and folders only",
        ),
        ("twice", "\"twice\" is there twice"),
        (
            "bzip2",
            "\"manifest.json\" is compressed by method 12; stored and deflated files are read",
        ),
    ] {
        let bytes = fs::read(folder.path().join(format!("{name}.zip"))).unwrap();
        assert!(
            support::refused(bytes).contains(&expected.to_owned()),
            "{name}"
        );
    }
    let bytes = fs::read(folder.path().join("setid.zip")).unwrap();
    assert_eq!(
        support::warnings(&accepted(bytes)),
        ["setid: set-id bits are dropped (1 files)"]
    );
}

/// `tar -a -cf out.zip .`, on a Mac and on Windows: everything begins with `./`.
#[test]
fn tar() {
    let package = accepted(archive([
        folder("./"),
        file("./manifest.json", support::MANIFEST),
        Raw {
            name: b"./run.sh".to_vec(),
            ..support::program()
        },
        folder("./lib/"),
    ]));
    assert_eq!(names(&package), ["manifest.json", "run.sh"]);
    assert_eq!(package.folders(), ["lib"]);
}

/// PowerShell's `Compress-Archive`, which the original's tutorial recommends: no modes at all.
#[test]
fn power_shell() {
    let dos = |raw: Raw| Raw {
        host: 0,
        attributes: 0,
        ..raw
    };
    let package = accepted(archive([
        dos(file("manifest.json", support::MANIFEST)),
        dos(file("run.sh", "exec ./tool\n")),
        dos(file("tool", "#!/bin/sh\n")),
        dos(file("binary", b"\x7fELF\x02\x01")),
        dos(file("data", "#")),
        Raw {
            host: 0,
            attributes: 0x10,
            ..file("empty/", "")
        },
    ]));
    let programs: Vec<_> = package
        .files()
        .iter()
        .filter(|file| file.is_executable())
        .collect();
    let programs: Vec<_> = programs.iter().map(|file| file.name()).collect();
    assert_eq!(programs, ["binary", "run.sh", "tool"]);
}

//! A folder as its author has it, to a package.

#![expect(clippy::unwrap_used, reason = "a test may")]

mod support;

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use jackfield_package::{Limits, PackError, PackOptions, Package, UnpackOptions, pack};

const YAML: &str = "id: hello\nauthor: ann\nname: Hello\ndescription: Says hello\nversion: 1.0.0\ncommand: ./run.sh\n";

fn write(folder: &Path, files: &[(&str, &str)]) {
    for (name, content) in files {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
}

fn plugin() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    write(
        folder.path(),
        &[
            ("manifest.yaml", YAML),
            ("run.sh", "#!/bin/sh\n"),
            ("lib/a.txt", "a"),
        ],
    );
    executable(&folder.path().join("run.sh"));
    folder
}

fn executable(path: &Path) {
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

fn warnings(packed: &jackfield_package::Packed) -> Vec<String> {
    packed.warnings.iter().map(ToString::to_string).collect()
}

#[test]
fn a_folder_becomes_a_package_and_a_folder_again() {
    let folder = plugin();
    let packed = pack(folder.path(), &PackOptions::default()).unwrap();
    assert_eq!(packed.files, ["manifest.json", "lib/a.txt", "run.sh"]);
    assert_eq!(warnings(&packed), [""; 0]);
    let root = tempfile::tempdir().unwrap();
    let unpacked = packed
        .package
        .unpack(root.path(), &UnpackOptions::default())
        .unwrap();
    let manifest = fs::read(unpacked.folder.join("manifest.json")).unwrap();
    let read = jackfield_wire::Manifest::check_json(&manifest)
        .manifest
        .unwrap();
    assert_eq!(read.version, "1.0.0");
    assert!(manifest.ends_with(b"}\n"));
    let run = fs::metadata(unpacked.folder.join("run.sh")).unwrap();
    assert_eq!(run.permissions().mode() & 0o777, 0o555);
    let again = Package::from_folder(folder.path(), &PackOptions::default()).unwrap();
    assert_eq!(again.digest(), packed.package.digest());
}

#[test]
fn the_same_files_make_the_same_bytes() {
    let (one, two) = (plugin(), plugin());
    let old = std::time::SystemTime::UNIX_EPOCH;
    fs::File::open(two.path().join("run.sh"))
        .unwrap()
        .set_modified(old)
        .unwrap();
    fs::set_permissions(
        two.path().join("lib/a.txt"),
        fs::Permissions::from_mode(0o600),
    )
    .unwrap();
    let pack = |folder: &Path| pack(folder, &PackOptions::default()).unwrap().bytes;
    assert_eq!(pack(one.path()), pack(two.path()));
}

#[test]
fn an_own_manifest_json_is_packed_as_it_is() {
    let folder = plugin();
    fs::remove_file(folder.path().join("manifest.yaml")).unwrap();
    write(folder.path(), &[("manifest.json", support::MANIFEST)]);
    let packed = pack(folder.path(), &PackOptions::default()).unwrap();
    let find = packed.bytes.windows(5).any(|it| it == b"hello");
    assert!(find || packed.package.manifest().id == "hello");
    assert_eq!(packed.files[0], "manifest.json");
    // Next to a manifest.yaml it is taken for one that was made of it.
    write(
        folder.path(),
        &[
            ("manifest.yaml", &YAML.replace("1.0.0", "2.0.0")),
            ("manifest.yml", "x"),
        ],
    );
    let packed = pack(folder.path(), &PackOptions::default()).unwrap();
    assert_eq!(packed.package.manifest().version, "2.0.0");
    assert_eq!(
        warnings(&packed),
        [
            "manifest.yml: is left out: manifest.yaml is there too and counts",
            "manifest.json: is left out: manifest.yaml is there too and counts",
        ]
    );
}

#[test]
fn what_is_left_out_is_named() {
    let folder = plugin();
    let at = |name: &str| folder.path().join(name);
    write(
        folder.path(),
        &[
            (".git/config", ""),
            ("lib/__pycache__/a.pyc", ""),
            ("sub/.venv/x", ""),
            (".DS_Store", ""),
            ("Cargo.toml", ""),
            ("target/debug/x", ""),
            ("lib/target/kept", ""),
            ("node_modules/ws/index.js", ""),
            ("out.zip", "old"),
            ("sub/manifest.json", "{}"),
        ],
    );
    fs::create_dir_all(at("node_modules/.bin")).unwrap();
    symlink("../ws/index.js", at("node_modules/.bin/ws")).unwrap();
    symlink("../ws/index.js", at("node_modules/.bin/wt")).unwrap();
    symlink("/etc/passwd", at("lib/link")).unwrap();
    let options = PackOptions {
        skip: vec![at("out.zip")],
        ..PackOptions::default()
    };
    let packed = pack(folder.path(), &options).unwrap();
    assert_eq!(
        packed.files,
        [
            "manifest.json",
            "Cargo.toml",
            "lib/a.txt",
            "lib/target/kept",
            "node_modules/ws/index.js",
            "run.sh",
            "sub/manifest.json"
        ]
    );
    assert_eq!(
        packed.skipped,
        [
            ".DS_Store",
            ".git",
            "lib/__pycache__",
            "out.zip",
            "sub/.venv",
            "target"
        ]
    );
    assert_eq!(
        warnings(&packed),
        [
            "lib/: a symbolic link is left out",
            "node_modules/.bin/: 2 symbolic links are left out"
        ]
    );
}

/// A Rust plugin's command lies where Cargo puts it.
#[test]
fn the_command_is_packed_wherever_it_is() {
    let folder = plugin();
    let yaml = YAML.replace("./run.sh", "target/release/hello");
    write(
        folder.path(),
        &[
            ("manifest.yaml", &yaml),
            ("Cargo.toml", ""),
            ("target/release/hello", "x"),
            ("target/other", ""),
        ],
    );
    let packed = pack(folder.path(), &PackOptions::default()).unwrap();
    assert_eq!(
        packed.files,
        [
            "manifest.json",
            "Cargo.toml",
            "lib/a.txt",
            "run.sh",
            "target/release/hello"
        ]
    );
    assert_eq!(packed.package.command_file(), Some("target/release/hello"));

    fs::remove_file(folder.path().join("target/release/hello")).unwrap();
    symlink("/bin/sh", folder.path().join("target/release/hello")).unwrap();
    let error = pack(folder.path(), &PackOptions::default())
        .unwrap_err()
        .to_string();
    assert_eq!(
        error,
        "the package is refused:\n  command: \"target/release/hello\" is not in the package"
    );
}

#[test]
fn a_command_that_cannot_be_executed_is_made_so() {
    let folder = plugin();
    fs::set_permissions(
        folder.path().join("run.sh"),
        fs::Permissions::from_mode(0o644),
    )
    .unwrap();
    let packed = pack(folder.path(), &PackOptions::default()).unwrap();
    assert_eq!(
        warnings(&packed),
        ["run.sh: is the command and is not executable; it is packed as if it were"]
    );
}

#[test]
fn a_folder_that_makes_no_package_says_why() {
    let error = |folder: &Path, options: &PackOptions| pack(folder, options).unwrap_err();
    let options = PackOptions::default();
    let empty = tempfile::tempdir().unwrap();
    assert!(matches!(
        error(empty.path(), &options),
        PackError::NoManifest { .. }
    ));
    assert!(matches!(
        error(&empty.path().join("x"), &options),
        PackError::Read { .. }
    ));

    let folder = plugin();
    let small = Limits {
        files: 2,
        ..Limits::default()
    };
    let limited = PackOptions {
        limits: small,
        ..PackOptions::default()
    };
    assert_eq!(
        error(folder.path(), &limited).to_string(),
        format!("{} holds more than 2 files", folder.path().display())
    );
    let small = Limits {
        total_bytes: 5,
        ..Limits::default()
    };
    let limited = PackOptions {
        limits: small,
        ..PackOptions::default()
    };
    assert!(matches!(
        error(folder.path(), &limited),
        PackError::TooMuch { what: "bytes", .. }
    ));

    write(
        folder.path(),
        &[("manifest.yaml", "id: a b\nversion: 1.0\n")],
    );
    let said = error(folder.path(), &options).to_string();
    let (_, problems) = said.split_once('\n').unwrap();
    assert_eq!(
        problems,
        "  author: is missing\n  id: takes letters, digits and hyphens, and neither begins nor ends with a hyphen\n  \
         name: is missing\n  version: must be a string, not a number; write it in quotes\n  \
         command: is missing; a package needs the command that starts the plugin"
    );
}

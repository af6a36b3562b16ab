//! Packages for tests.

use std::path::Path;
use std::sync::Arc;

use jackfield::package::{PackOptions, Package, Packed, pack};
use serde_json::{Value, json};

/// A package of the program `rig`, made to misbehave.
#[derive(Debug, Clone)]
pub struct Rig {
    args: Vec<String>,
    extra: Value,
}

impl Rig {
    /// A rig with these orders, see the program's `--help`.
    #[must_use]
    pub fn new(orders: &str) -> Self {
        Self {
            args: orders.split_whitespace().map(ToOwned::to_owned).collect(),
            extra: json!({}),
        }
    }

    /// More of the manifest.
    #[must_use]
    pub fn manifest(mut self, extra: Value) -> Self {
        self.extra = extra;
        self
    }

    /// The package. `program` is `env!("CARGO_BIN_EXE_rig")` of the test; it is run from where it
    /// is, so that a hundred packages do not copy it a hundred times.
    #[must_use]
    pub fn package(self, program: &str) -> Arc<Package> {
        let mut manifest = manifest(json!({"command": program, "args": self.args}));
        if let (Value::Object(manifest), Value::Object(extra)) = (&mut manifest, self.extra) {
            manifest.extend(extra);
        }
        package(&manifest, &[])
    }
}

/// A sound manifest with this in it.
#[must_use]
pub fn manifest(extra: Value) -> Value {
    let mut manifest = json!({
        "id": "rig", "author": "testkit", "name": "Rig", "description": "", "version": "1.0.0",
        "command": "false",
    });
    if let (Value::Object(manifest), Value::Object(extra)) = (&mut manifest, extra) {
        manifest.extend(extra);
    }
    manifest
}

/// A package that runs this script with `sh -c`; it never dials.
#[must_use]
pub fn shell(script: &str) -> Arc<Package> {
    package(
        &manifest(json!({"command": "sh", "args": ["-c", script]})),
        &[],
    )
}

/// A package of this manifest and these files, checked.
///
/// # Panics
/// When it is not accepted.
#[must_use]
pub fn package(manifest: &Value, files: &[(&str, &[u8])]) -> Arc<Package> {
    Arc::new(packed(manifest, files).package)
}

/// The same, with the archive.
///
/// # Panics
/// When it is not accepted.
#[must_use]
pub fn packed(manifest: &Value, files: &[(&str, &[u8])]) -> Packed {
    let folder = tempfile::tempdir().expect("a temporary folder");
    write(
        &folder.path().join("manifest.json"),
        manifest.to_string().as_bytes(),
    );
    for (name, bytes) in files {
        write(&folder.path().join(name), bytes);
    }
    pack(folder.path(), &PackOptions::default()).expect("the package is accepted")
}

fn write(path: &Path, bytes: &[u8]) {
    use std::os::unix::fs::PermissionsExt as _;
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).expect("a folder");
    }
    std::fs::write(path, bytes).expect("a file");
    if bytes.starts_with(b"#!") {
        let executable = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(path, executable).expect("a mode");
    }
}

//! Plugins in other languages, as `./test` prepares them below `target/peers`.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

use jackfield::package::{PackOptions, Package};
use serde_json::{Value, json};

/// A language that somebody writes plugins in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    /// Python, with `websockets`.
    Python,
    /// Node, with `ws`.
    Node,
    /// Go, with `github.com/coder/websocket`.
    Go,
}

/// A folder in which `python3` has the packages that the peers in Python need.
#[must_use]
pub fn python() -> PathBuf {
    prepared("python/bin")
}

/// The folder of the peers in Node, with their `node_modules`.
#[must_use]
pub fn node() -> PathBuf {
    prepared("node")
}

/// The folder of the programs in Go.
#[must_use]
pub fn go() -> PathBuf {
    prepared("go")
}

/// The sources of the peers.
#[must_use]
pub fn sources() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("peers")
}

/// A `PATH` on which all languages are found, those that `./test` prepared before others.
///
/// # Panics
/// When this process has no usable `PATH` of its own.
#[must_use]
pub fn path() -> String {
    let own = std::env::var_os("PATH").unwrap_or_default();
    let all = [python()].into_iter().chain(std::env::split_paths(&own));
    let joined: OsString = std::env::join_paths(all).expect("a PATH");
    joined.into_string().expect("a PATH in UTF-8")
}

impl Language {
    /// The peer as a package: what its author would hand to an operator. It is packed once.
    #[must_use]
    pub fn package(self) -> Arc<Package> {
        static PACKED: [LazyLock<Arc<Package>>; 3] = [
            LazyLock::new(|| Language::Python.pack(&Language::Python.manifest())),
            LazyLock::new(|| Language::Node.pack(&Language::Node.manifest())),
            LazyLock::new(|| Language::Go.pack(&Language::Go.manifest())),
        ];
        Arc::clone(&PACKED[self as usize])
    }

    /// The manifest of the peer, as JSON.
    #[must_use]
    pub fn manifest(self) -> Value {
        let (program, args) = self.command();
        let schema = json!({"type": "object"});
        let tool = |id| json!({"id": id, "name": id, "description": "", "input_schema": schema});
        json!({
            "id": "peer", "author": "testkit", "name": "Peer", "description": "", "version": "1.0.0",
            "command": program, "args": args,
            "events_consumed": ["EventThreadPublished"],
            "access": {"handle": "peer", "name": "Peer", "permissions": ["CREATE_POST"]},
            "configuration_schema": {"fields": [
                {"type": "string", "id": "colour", "label": "Colour", "description": ""},
            ]},
            "capabilities": [{
                "type": "robot.tool_provider", "id": "tools", "version": "1",
                "tools": [tool("hammer"), tool("broken")],
            }],
        })
    }

    /// What runs the peer in the folder of [`Language::install`].
    #[must_use]
    pub fn command(self) -> (&'static str, &'static [&'static str]) {
        match self {
            Self::Python => ("python3", &["plugin.py"]),
            Self::Node => ("node", &["plugin.mjs"]),
            Self::Go => ("./peer", &[]),
        }
    }

    /// Writes the files of the peer into a folder.
    ///
    /// # Panics
    /// When it was not prepared, or cannot be copied.
    pub fn install(self, folder: &Path) {
        match self {
            Self::Python => copy(&sources().join("python/plugin.py"), folder),
            Self::Node => {
                copy(&sources().join("node/plugin.mjs"), folder);
                copy(&sources().join("node/package.json"), folder);
                copy_tree(&node().join("node_modules"), &folder.join("node_modules"));
            }
            // A link and not a copy: a file that is being written while another thread forks
            // cannot be executed for a moment.
            Self::Go => {
                for source in ["main.go", "go.mod", "go.sum"] {
                    copy(&sources().join("go").join(source), folder);
                }
                let (from, to) = (go().join("peer"), folder.join("peer"));
                if fs::hard_link(&from, &to).is_err() {
                    copy(&from, folder);
                }
            }
        }
    }

    /// The same package, started by another command.
    ///
    /// # Panics
    /// When the command does not fit into a manifest.
    #[must_use]
    pub fn run_by(self, command: &str, args: &[&str]) -> Arc<Package> {
        let mut manifest = self.manifest();
        manifest["command"] = json!(command);
        manifest["args"] = json!(args);
        self.pack(&manifest)
    }

    fn pack(self, manifest: &Value) -> Arc<Package> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        self.install(folder.path());
        fs::write(folder.path().join("manifest.json"), manifest.to_string()).expect("a manifest");
        let package = Package::from_folder(folder.path(), &PackOptions::default());
        Arc::new(package.expect("the package is accepted"))
    }
}

/// What `./test` prepared under this path.
///
/// # Panics
/// When it did not.
#[must_use]
pub fn prepared(what: &str) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../../target/peers")
        .join(what);
    assert!(
        path.exists(),
        "{} is missing: run ./test once, or ./test prepare",
        path.display()
    );
    path.canonicalize().expect("a path that exists")
}

fn copy(file: &Path, folder: &Path) {
    let name = file.file_name().expect("a file");
    fs::copy(file, folder.join(name)).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
}

fn copy_tree(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        let kind = entry.file_type().expect("a kind");
        if kind.is_dir() {
            copy_tree(&entry.path(), &to.join(entry.file_name()));
        } else if kind.is_file() {
            copy(&entry.path(), to);
        }
    }
}

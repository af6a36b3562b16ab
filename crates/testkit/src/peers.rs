//! Plugins in other languages, as `./test` prepares them below `target/peers`.

use std::path::PathBuf;

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

fn prepared(what: &str) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../../target/peers")
        .join(what);
    assert!(
        path.exists(),
        "{} is missing: run ./test once, or ./test prepare",
        path.display()
    );
    path
}

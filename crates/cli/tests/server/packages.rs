//! What is installed in the tests.

use std::io::{Cursor, Write as _};

use serde_json::{Value, json};
use zip::write::SimpleFileOptions;

use crate::plugin::Orders;

/// An archive of these files, sound or not.
pub(crate) fn zip(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut archive = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in files {
        let mode = if bytes.starts_with(b"#!") {
            0o755
        } else {
            0o644
        };
        let options = SimpleFileOptions::default().unix_permissions(mode);
        archive.start_file(*name, options).unwrap();
        archive.write_all(bytes).unwrap();
    }
    archive.finish().unwrap().into_inner()
}

/// A manifest with this in it.
pub(crate) fn manifest(extra: Value) -> Value {
    let mut manifest = json!({
        "id": "rig", "author": "tests", "name": "Rig", "description": "For tests.",
        "version": "1.0.0", "command": "false",
        "events_consumed": ["EventThreadPublished", "EventThreadUpdated"],
    });
    merge(&mut manifest, extra);
    manifest
}

/// A package of a plugin that does as it is ordered, with this in its manifest.
pub(crate) fn package(orders: &Orders, extra: Value) -> Vec<u8> {
    let own = std::env::current_exe().unwrap();
    // With one thread the runner of tests would begin lines that the plugin ends.
    let mut manifest = manifest(json!({
        "command": own,
        "args": ["plugin::as_plugin", "--exact", "--nocapture", "--test-threads=2"],
    }));
    merge(&mut manifest, extra);
    let orders = serde_json::to_vec(orders).unwrap();
    zip(&[
        ("manifest.json", manifest.to_string().as_bytes()),
        ("orders.json", &orders),
    ])
}

/// A well-behaved plugin of this version, which it answers when it is asked for its `version`.
pub(crate) fn version(version: &str) -> Vec<u8> {
    ordered(version, Orders::default())
}

/// A plugin of this version that does as it is ordered.
pub(crate) fn ordered(version: &str, orders: Orders) -> Vec<u8> {
    let version_of_it = version.to_owned();
    let orders = Orders {
        version: version_of_it,
        ..orders
    };
    package(&orders, json!({"version": version}))
}

/// Three fields, as in the original's tests.
pub(crate) fn schema() -> Value {
    json!({"fields": [
        {"type": "string", "id": "greeting", "label": "Greeting", "description": "What to say"},
        {"type": "number", "id": "count", "label": "Count", "description": "How often"},
        {"type": "boolean", "id": "loud", "label": "Loud", "description": "How loud"},
    ]})
}

fn merge(manifest: &mut Value, extra: Value) {
    if let (Value::Object(manifest), Value::Object(extra)) = (manifest, extra) {
        manifest.extend(extra);
    }
}

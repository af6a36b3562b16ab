use serde_json::Value;

use super::model::{Access, Link};
use super::url;
use super::walk::{Object, Walk};

const KEYS: &[&str] = &["handle", "name", "permissions", "bio", "links", "metadata"];
const LINK_KEYS: &[&str] = &["text", "url"];

pub(super) fn check(root: &Object<'_>, walk: &mut Walk) -> Option<Access> {
    let access = walk.object(root.get("access")?, root.at("access"), KEYS)?;
    let handle = walk.wanted_text(&access, "handle");
    let name = walk.wanted_text(&access, "name");
    let permissions = walk.texts(&access, "permissions");
    let bio = walk.text(&access, "bio");
    let links = walk
        .list(&access, "links")
        .into_iter()
        .filter_map(|(path, value)| link(value, path, walk))
        .collect();
    Some(Access {
        handle,
        name,
        permissions,
        bio,
        links,
        metadata: access.get("metadata").cloned(),
    })
}

fn link(value: &Value, path: String, walk: &mut Walk) -> Option<Link> {
    let link = walk.object(value, path, LINK_KEYS)?;
    let text = walk.text(&link, "text").unwrap_or_default();
    let url = match link.get("url") {
        None => {
            walk.problem(link.at("url"), "is missing");
            return None;
        }
        Some(Value::String(url)) => url.clone(),
        Some(fields @ Value::Object(_)) => url::from_go(fields, link.at("url"), walk)?,
        Some(other) => {
            walk.wrong_kind(link.at("url"), "a string", other);
            return None;
        }
    };
    Some(Link { text, url })
}

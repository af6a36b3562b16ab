//! The sprites themselves.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use super::fault::Break;
use super::query::{self, rfc3339};
use super::state::{Inner, Sprite, State, sweep};

/// Makes one. `Err`: the status.
pub(super) fn create(state: &State, body: &[u8]) -> Result<Value, u16> {
    let body: Value = serde_json::from_slice(body).map_err(|_| 400u16)?;
    let name = body["name"].as_str().ok_or(400u16)?;
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if name.is_empty() || name.len() > 63 || !name.chars().all(fits) {
        return Err(400);
    }
    let mut inner = state.lock();
    if inner.sprites.contains_key(name) {
        return Err(409);
    }
    std::fs::create_dir_all(state.folder(name).join("home/sprite")).map_err(|_| 500u16)?;
    let sprite = Sprite {
        created: SystemTime::now(),
        sessions: BTreeMap::new(),
    };
    inner.sprites.insert(name.to_owned(), sprite);
    shown(&inner, name).ok_or(500)
}

/// What there is to say of one.
pub(super) fn shown(inner: &Inner, name: &str) -> Option<Value> {
    let sprite = inner.sprites.get(name)?;
    let created = rfc3339(sprite.created);
    Some(json!({
        "id": format!("sprite-{name}"), "name": name, "organization": "standin",
        "status": if runs(sprite) { "running" } else { "cold" },
        "url": format!("https://{name}.example.org"), "url_settings": {"auth": "sprite"},
        "created_at": created, "updated_at": created,
        "last_running_at": null, "last_warming_at": null, "version": super::route::VERSION,
    }))
}

/// A page of the list.
pub(super) fn list(state: &State, pairs: &[(String, String)]) -> Value {
    let text = |name| query::first(pairs, name).unwrap_or_default();
    let most: usize = text("max_results").parse().unwrap_or(50);
    let (prefix, after) = (text("prefix"), text("continuation_token"));
    let inner = state.lock();
    let names = inner.sprites.keys();
    let mut names: Vec<_> = names
        .filter(|name| name.starts_with(prefix) && name.as_str() > after)
        .collect();
    let more = names.len() > most;
    names.truncate(most);
    let running = |name: &&&String| inner.sprites.get(**name).is_some_and(runs);
    let running = names.iter().filter(running).count();
    let sprites: Vec<_> = names
        .iter()
        .filter_map(|name| shown(&inner, name))
        .collect();
    let mut page = json!({
        "cold": names.len() - running, "running": running, "warm": 0, "name": "standin",
        "sprites": sprites, "has_more": more,
    });
    if let (true, Some(last)) = (more, names.last()) {
        page["next_continuation_token"] = json!(last);
    }
    page
}

/// Ends what runs in one and removes it. `false`: there is none.
pub(super) async fn delete(state: &Arc<State>, name: &str) -> bool {
    let Some(sprite) = state.lock().sprites.remove(name) else {
        return false;
    };
    state.break_lines(name, Break::Close);
    for session in sprite.sessions.values() {
        if session.process.kill() {
            let mut code = session.code();
            let ended = code.wait_for(Option::is_some);
            let _ = tokio::time::timeout(Duration::from_secs(2), ended).await;
        }
    }
    let folder = state.folder(name);
    sweep(&folder);
    let _ = std::fs::remove_dir_all(&folder);
    true
}

fn runs(sprite: &Sprite) -> bool {
    let mut sessions = sprite.sessions.values();
    sessions.any(|session| !session.has_ended())
}

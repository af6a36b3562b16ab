//! The list of sessions, and the call that signals one.

use std::time::Duration;

use serde_json::{Value, json};

use super::process::signal;
use super::query::{self, rfc3339};
use super::state::State;

/// The sessions that live, as the official client reads them. The API's description has the bare
/// list as an example; its ids are numbers, too.
pub(super) fn list(state: &State, sprite: &str) -> Option<Value> {
    let sessions: Vec<_> = {
        let inner = state.lock();
        let sprite = inner.sprites.get(sprite)?;
        sprite.sessions.values().cloned().collect()
    };
    let live = sessions.iter().filter(|session| !session.has_ended());
    let list = live.map(|session| {
        json!({
            "id": session.id, "command": session.command, "workdir": session.workdir,
            "created": rfc3339(session.created), "bytes_per_second": 0, "is_active": true,
            "last_activity": rfc3339(session.last_activity()), "tty": false,
        })
    });
    Some(json!({"sessions": list.collect::<Vec<_>>()}))
}

/// Signals a session's group and, unless the time is zero, waits for its end, by force if it takes
/// longer. What happened, one JSON text per line; or the status of an error.
pub(super) async fn kill(
    state: &State,
    sprite: &str,
    id: &str,
    pairs: &[(String, String)],
) -> Result<String, u16> {
    let session = state.session(sprite, id).ok_or(404u16)?;
    let name = query::first(pairs, "signal").unwrap_or("SIGTERM");
    let number = signal(name).ok_or(400u16)?;
    let timeout = query::first(pairs, "timeout").map_or(Some(DEFAULT), query::duration);
    let timeout = timeout.ok_or(400u16)?;
    let mut code = session.code();
    let pid = session.process.pid().ok_or(410u16)?;
    if !session.process.signal(number) {
        return Err(410);
    }
    let mut events = vec![json!({
        "type": "signal", "message": format!("Signaling {name} to process group {pid}"),
        "signal": name, "pid": pid,
    })];
    if !timeout.is_zero() {
        let ended = tokio::time::timeout(timeout, code.wait_for(Option::is_some))
            .await
            .is_ok();
        if ended {
            events.push(json!({"type": "exited", "message": "Process exited"}));
        } else {
            let words = format!("Timeout after {timeout:?}, sending SIGKILL");
            events.push(json!({"type": "timeout", "message": words}));
            session.process.kill();
            let _ = tokio::time::timeout(DEFAULT, code.wait_for(Option::is_some)).await;
            events.push(json!({"type": "killed", "message": "Process killed"}));
        }
        let code = code.borrow().unwrap_or(-1);
        events.push(json!({"type": "complete", "exit_code": code}));
    }
    let lines = events.iter().map(|event| format!("{event}\n"));
    Ok(lines.collect())
}

const DEFAULT: Duration = Duration::from_secs(10);

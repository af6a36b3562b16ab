//! A plugin made with the SDK, as its author would write it; what it does is for tests to look at.
//!
//! Methods: `echo`, `me`, `shell {script}` (what it prints), `hang` (makes the files `begun` and, once it is
//! dropped, `dropped` in the state folder), `steps {count}` (reports progress), `ask {number}` (asks the host to
//! `double`), `exit {code}`. When it ends in order it makes the file `ended`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::exit;

use jackfield_plugin::{Call, Fault, Host, Method, Plugin, RunError};
use serde_json::{Value, json};
use tokio::process::Command;

macro_rules! methods {
    ($($name:ident = $text:literal),*) => {$(
        struct $name;
        impl Method for $name {
            const NAME: &'static str = $text;
            type Params = Value;
            type Output = Value;
        }
    )*};
}

methods!(
    Echo = "echo",
    Me = "me",
    Shell = "shell",
    Hang = "hang",
    Steps = "steps",
    Ask = "ask",
    Double = "double",
    Exit = "exit"
);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), RunError> {
    let plugin = Plugin::from_env()?
        .on_event("noted", async |host: Host, payload: Value| {
            std::fs::write(folder(&host).join("noted"), payload.to_string())?;
            Ok(())
        })
        .method::<Echo, _>(async |_call, params| Ok(json!({ "params": params })))
        .method::<Me, _>(async |_call, _params| {
            Ok(json!({
                "pid": std::process::id(),
                "files": files(),
                "env": std::env::vars().collect::<BTreeMap<_, _>>(),
            }))
        })
        .method::<Shell, _>(async |_call, params: Value| {
            let script = params["script"].as_str().unwrap_or_default();
            let output = Command::new("sh").args(["-c", script]).output().await;
            let output = output.map_err(|error| Fault::server(error.to_string()))?;
            Ok(json!({ "out": String::from_utf8_lossy(&output.stdout) }))
        })
        .method::<Hang, _>(async |call: Call, _params| {
            let folder = folder(&call.host);
            let _dropped = Note(folder.join("dropped"));
            drop(Note(folder.join("begun")));
            std::future::pending().await
        })
        .method::<Steps, _>(async |call: Call, params: Value| {
            let count = params["count"].as_u64().unwrap_or_default();
            for step in 0..count {
                call.progress(&json!({ "step": step }));
            }
            Ok(json!({ "steps": count }))
        })
        .method::<Ask, _>(async |call: Call, params| {
            let answer = call.host.call::<Double>(&params).await;
            answer.map_err(|error| Fault::server(error.to_string()))
        })
        .method::<Exit, _>(async |_call, params: Value| {
            exit(params["code"].as_i64().unwrap_or_default() as i32)
        });
    let state = plugin.state_dir();
    let ran = plugin.run().await;
    if let (Ok(()), Some(folder)) = (&ran, state) {
        drop(Note(folder.join("ended")));
    }
    ran
}

/// Makes a file when it is dropped.
struct Note(PathBuf);

impl Drop for Note {
    fn drop(&mut self) {
        let _ = std::fs::write(&self.0, "");
    }
}

fn folder(host: &Host) -> PathBuf {
    host.state_dir().expect("JACKFIELD_STATE_DIR")
}

/// Which descriptors stand for what.
fn files() -> BTreeMap<String, String> {
    let entries = std::fs::read_dir("/proc/self/fd").into_iter().flatten();
    entries
        .flatten()
        .filter_map(|entry| {
            let target = std::fs::read_link(entry.path()).ok()?;
            let number = entry.file_name().into_string().ok()?;
            Some((number, target.display().to_string()))
        })
        .collect()
}

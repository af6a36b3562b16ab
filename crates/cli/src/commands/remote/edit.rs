//! `jackfield config edit`: a draft in the editor, until it holds or is laid aside.

use std::io::{self, IsTerminal as _, Write as _};
use std::path::PathBuf;

use serde_json::{Map, Value};
use tempfile::NamedTempFile;

use super::config::{ConfigCommandError, put, read};
use crate::client::{Client, ClientError};
use crate::command_error::CommandError;
use crate::out::{Out, Style, plain};

/// Runs the editor until what it leaves is taken, nothing was changed, or somebody gives up; then what was written is
/// kept where it can be found.
pub(super) async fn run(client: &Client, id: &str, out: &Out) -> Result<(), CommandError> {
    let config = read(client, id).await?;
    let before = format!("{:#}\n", Value::Object(config.values.clone()));
    let mut draft = tempfile::Builder::new()
        .prefix("jackfield-config-")
        .suffix(".json")
        .tempfile()
        .map_err(|source| failed(std::env::temp_dir(), source))?;
    let path = draft.path().to_owned();
    let written = draft.write_all(before.as_bytes());
    written.map_err(|source| failed(path.clone(), source))?;
    if !config.secrets.is_empty() {
        let secrets = plain(&config.secrets.join(", "));
        out.say(format_args!(
            "secret, and not in the file: {secrets}; they stay as they are"
        ));
    }
    loop {
        editor(&path).await?;
        let text = std::fs::read_to_string(&path).map_err(|source| failed(path.clone(), source))?;
        let same = read_draft(&text).is_ok_and(|values| values == config.values);
        if same {
            out.say("nothing was changed");
            return Ok(());
        }
        let why = match read_draft(&text) {
            Err(why) => why,
            Ok(values) => match put(client, id, &values).await {
                Ok(now) => {
                    out.result(&now, "configured");
                    return Ok(());
                }
                Err(ClientError::NotTaken(problem)) => problem.to_string(),
                // Whatever else is in the way: what was written is kept.
                Err(error) => {
                    let kept = keep(draft)?;
                    out.say(format_args!("what you wrote is in {}", kept.display()));
                    return Err(error.into());
                }
            },
        };
        // Nobody to ask, or no wish to mend it.
        if !ask_again(&why, out).await {
            let path = keep(draft)?;
            return Err(ConfigCommandError::BadDraft { why, path }.into());
        }
    }
}

fn failed(path: PathBuf, source: io::Error) -> ConfigCommandError {
    ConfigCommandError::Draft { path, source }
}

fn keep(draft: NamedTempFile) -> Result<PathBuf, ConfigCommandError> {
    let path = draft.path().to_owned();
    match draft.keep() {
        Ok((_, path)) => Ok(path),
        Err(error) => Err(failed(path, error.error)),
    }
}

fn read_draft(text: &str) -> Result<Map<String, Value>, String> {
    match serde_json::from_str(text) {
        Ok(Value::Object(values)) => Ok(values),
        Ok(_) => Err("an object is wanted: a value for each key".to_owned()),
        Err(error) => Err(format!("this is not JSON: {error}")),
    }
}

async fn ask_again(why: &str, out: &Out) -> bool {
    if !io::stdin().is_terminal() || out.is_json() {
        return false;
    }
    let why: Vec<String> = why.lines().map(plain).collect();
    out.say(format_args!(
        "{} {}",
        out.style(Style::Bad, "not taken:"),
        why.join("\n")
    ));
    let _ = write!(io::stderr(), "edit it again? [Y/n] ");
    let read = tokio::task::spawn_blocking(|| {
        let mut line = String::new();
        io::stdin().read_line(&mut line).map(|_| line)
    });
    match read.await {
        Ok(Ok(line)) => !line.is_empty() && !line.trim().to_lowercase().starts_with('n'),
        _ => false,
    }
}

/// Runs the editor over the file, on this terminal.
async fn editor(path: &std::path::Path) -> Result<(), ConfigCommandError> {
    let var = |key| std::env::var(key).ok().filter(|value| !value.is_empty());
    let editor = var("VISUAL").or_else(|| var("EDITOR"));
    let editor = editor.unwrap_or_else(|| "vi".to_owned());
    // As a shell reads it: `code --wait` is an editor, too.
    let mut command = std::process::Command::new("/bin/sh");
    command
        .args(["-c", &format!("{editor} \"$1\""), "sh"])
        .arg(path);
    let status = tokio::task::spawn_blocking(move || command.status()).await;
    let status = status.map_err(io::Error::other).flatten();
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(ConfigCommandError::EditorEnded { editor, status }),
        Err(source) => Err(ConfigCommandError::Editor { editor, source }),
    }
}

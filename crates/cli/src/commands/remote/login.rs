//! `jackfield login`, `logout`, `whoami`

use std::io::{self, IsTerminal as _, Read as _, Write as _};

use reqwest::Url;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use serde_json::{Value, json};

use crate::client::show::{text, texts};
use crate::client::{Client, ClientError, Logins, Remote, base_url, is_local};
use crate::command_error::CommandError;
use crate::live::LiveError;
use crate::out::{Out, Style, plain};
use crate::setup::SetupError;
use crate::signals::Signals;

const HELP: &str = "\
Asks for the token, without showing it, tries it, and keeps both in jackfield/login.json in the folder for settings
($XDG_CONFIG_HOME or ~/.config), which nobody else can read. The server that was logged in to last is the one that is
meant; others are named with --server.

Examples:
  jackfield login http://127.0.0.1:7411
  jackfield login https://plugins.example.org < token   for scripts";

/// Remember a server and a token for it
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct Args {
    /// The address of the server, as `jackfield serve` says it
    url: String,
}

/// Forget a server and its token
#[derive(Debug, clap::Args)]
pub(crate) struct LogoutArgs {
    /// The address of the server [default: the one that is meant]
    url: Option<String>,
}

/// Say which server is meant, and what the token may do there
#[derive(Debug, clap::Args)]
pub(crate) struct WhoamiArgs {
    #[command(flatten)]
    remote: Remote,
}

/// Why nobody is logged in.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoginCommandError {
    #[error("cannot read the token")]
    Read(#[source] io::Error),
    #[error("no token was given")]
    Empty,
    #[error("nobody is logged in to {0}")]
    Unknown(String),
}

pub(crate) async fn login(args: Args, out: &Out) -> Result<(), CommandError> {
    let url = base_url(&args.url)?;
    // A file that cannot be read later is better known before a token is asked for.
    let mut logins = Logins::read()?;
    let token = ask(&url, out).await?;
    if url.scheme() == "http" && !is_local(&url) {
        crate::commands::run::warn(
            out,
            "the token travels unencrypted: https is for other machines",
        );
    }
    let client = Client::new(url.clone(), &token)?;
    let me = client.get(&["whoami"]).await?;
    logins.add(url.clone(), token);
    let path = logins.write()?;
    let object = json!({ "type": "login", "url": url.as_str(), "whoami": me, "file": path });
    let name = out.style_result(Style::Bold, plain(text(&me, "name")));
    let at = url.as_str().trim_end_matches('/');
    out.result(&object, format_args!("{name} at {at}: {}", may(&me)));
    out.say("next: jackfield list");
    Ok(())
}

pub(crate) fn logout(args: &LogoutArgs, out: &Out) -> Result<(), CommandError> {
    let mut logins = Logins::read()?;
    let url = match &args.url {
        Some(url) => base_url(url)?,
        None => logins.current().ok_or(ClientError::NoServer)?,
    };
    if !logins.remove(&url) {
        return Err(LoginCommandError::Unknown(url.to_string()).into());
    }
    logins.write()?;
    let object = json!({ "type": "logout", "url": url.as_str() });
    out.result(&object, format_args!("forgot {url}"));
    out.say("the token itself still holds: `jackfield tokens revoke` ends it");
    Ok(())
}

pub(crate) async fn whoami(args: &WhoamiArgs, out: &Out) -> Result<(), ClientError> {
    let client = args.remote.client()?;
    let me = client.get(&["whoami"]).await?;
    let name = out.style_result(Style::Bold, plain(text(&me, "name")));
    let at = client.base().as_str().trim_end_matches('/');
    out.result(&me, format_args!("{name} at {at}: {}", may(&me)));
    Ok(())
}

fn may(me: &Value) -> String {
    match texts(me, "permissions").as_slice() {
        [] => "may do nothing".to_owned(),
        permissions if permissions.contains(&"admin") => "may do everything".to_owned(),
        permissions => format!("may {}", plain(&permissions.join(", "))),
    }
}

/// The token: typed without being shown, or what comes in.
async fn ask(url: &Url, out: &Out) -> Result<String, CommandError> {
    let mut signals = Signals::listen().map_err(SetupError::Signals)?;
    let hidden = Hidden::new();
    if hidden.is_some() {
        let prompt = out.style(
            Style::Bold,
            format_args!("token for {}: ", url.as_str().trim_end_matches('/')),
        );
        let _ = write!(io::stderr(), "{prompt}");
    }
    let typed = hidden.is_some();
    let read = tokio::task::spawn_blocking(move || {
        let mut text = String::new();
        if typed {
            io::stdin().read_line(&mut text).map(|_| text)
        } else {
            // A token is short: what is not does not fill the memory.
            io::stdin()
                .take(4096)
                .read_to_string(&mut text)
                .map(|_| text)
        }
    });
    let read = tokio::select! {
        read = read => read.map_err(io::Error::other).flatten(),
        () = signals.next() => return Err(LiveError::Interrupted.into()),
    };
    if hidden.is_some() {
        let _ = writeln!(io::stderr());
    }
    drop(hidden);
    let text = read.map_err(LoginCommandError::Read)?;
    match text.trim() {
        "" => Err(LoginCommandError::Empty.into()),
        token => Ok(token.to_owned()),
    }
}

/// A terminal that does not show what is typed, as long as this lives.
struct Hidden(Termios);

impl Hidden {
    /// `None` where standard input is no terminal.
    fn new() -> Option<Self> {
        let stdin = io::stdin();
        if !stdin.is_terminal() {
            return None;
        }
        let before = tcgetattr(&stdin).ok()?;
        let mut now = before.clone();
        now.local_modes.remove(LocalModes::ECHO);
        tcsetattr(&stdin, OptionalActions::Flush, &now).ok()?;
        Some(Self(before))
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.0);
    }
}

impl From<LoginCommandError> for CommandError {
    fn from(error: LoginCommandError) -> Self {
        use crate::exit::Exit;
        let hint = match &error {
            LoginCommandError::Empty | LoginCommandError::Read(_) => {
                "`jackfield serve` tells an administrator token at its first start; --new-admin-token makes another"
            }
            LoginCommandError::Unknown(_) => "`jackfield whoami` says which server is meant",
        };
        Self::new(Exit::Refused, error).hint(hint)
    }
}

//! From a command, or the id of a process, to a connection with it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use serde_json::{Map, Value};

use super::frame::{self, Incoming};
use crate::client::{Client, Socket};
use crate::error::{ServiceError, Verdict, within};
use crate::settings::Channel;

/// What is to be run. Its environment holds secrets, so that there is no `Debug`.
pub(crate) struct Command {
    /// The program and its arguments; not empty.
    pub(crate) cmd: Vec<String>,
    /// `KEY=VALUE`, all of it.
    pub(crate) env: Vec<String>,
    pub(crate) dir: String,
    /// How long it runs without a connection.
    pub(crate) orphaned: Duration,
}

/// How processes of a sprite are reached.
#[derive(Debug, Clone)]
pub(crate) struct Way {
    pub(crate) client: Arc<Client>,
    pub(crate) sprite: String,
    pub(crate) channel: Channel,
    pub(crate) doubt: Doubt,
}

/// Whether the control channel does what it is for. Some versions of the service take the connection and then do not
/// answer on it; after two such starts nobody asks it any more.
#[derive(Debug, Clone, Default)]
pub(crate) struct Doubt(Arc<AtomicU32>);

/// A connection with a process.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(super) socket: Socket,
    /// Its id, and the second in which it was made.
    pub(super) session: Option<(String, Option<u64>)>,
    /// What came before that was known.
    pub(super) first: Vec<Incoming>,
}

/// What is asked for, in both forms.
struct Ask {
    doing: &'static str,
    id: Option<String>,
    /// Lists come several times in a query.
    args: Vec<(&'static str, Vec<String>)>,
}

impl Way {
    /// Starts a process. After an error it may run all the same, unless the service said no.
    pub(crate) async fn start(&self, command: &Command) -> Result<Opened, ServiceError> {
        let path = command.cmd.first().cloned().unwrap_or_default();
        let orphaned = format!("{}s", command.orphaned.as_secs());
        let ask = Ask {
            doing: "start the process",
            id: None,
            args: vec![
                ("cmd", command.cmd.clone()),
                ("path", vec![path]),
                ("env", command.env.clone()),
                ("dir", vec![command.dir.clone()]),
                ("max_run_after_disconnect", vec![orphaned]),
            ],
        };
        self.open(&ask).await
    }

    /// A connection with a process that runs.
    pub(crate) async fn attach(&self, id: &str) -> Result<Opened, ServiceError> {
        let ask = Ask {
            doing: "attach to the process",
            id: Some(id.to_owned()),
            args: Vec::new(),
        };
        self.open(&ask).await
    }

    async fn open(&self, ask: &Ask) -> Result<Opened, ServiceError> {
        let tried = match self.channel {
            Channel::Auto => !self.doubt.is_enough(),
            Channel::Control => true,
            Channel::Direct => false,
        };
        if tried {
            match self.client.control(&self.sprite).await {
                Ok(socket) => {
                    let opened = self.on_control(socket, ask).await;
                    self.doubt.learn(&opened);
                    return opened;
                }
                Err(error) if self.channel == Channel::Auto && is_unsupported(&error) => {
                    tracing::debug!(sprite = self.sprite, %error, "no control channel");
                }
                Err(error) => return Err(error),
            }
        }
        self.on_its_own(ask).await
    }

    async fn on_control(&self, mut socket: Socket, ask: &Ask) -> Result<Opened, ServiceError> {
        if !socket.send(frame::op_start(&ask.json())).await {
            return Err(broke_off(ask.doing));
        }
        self.opened(socket, ask.doing).await
    }

    async fn on_its_own(&self, ask: &Ask) -> Result<Opened, ServiceError> {
        let (client, sprite) = (&self.client, &self.sprite);
        let mut query = ask.query();
        let Some(id) = ask.id.as_deref() else {
            query.push(("stdin", "false".to_owned()));
            let mut socket = client.direct(sprite, None, &query).await?;
            if !socket.send(frame::no_input()).await {
                return Err(broke_off(ask.doing));
            }
            return self.opened(socket, ask.doing).await;
        };
        let socket = match client.direct(sprite, Some(id), &query).await {
            // As it was done of old.
            Err(error) if error.verdict() == Verdict::Missing => {
                query.push(("id", id.to_owned()));
                client.direct(sprite, None, &query).await?
            }
            opened => opened?,
        };
        self.opened(socket, ask.doing).await
    }

    /// Waits until the process is known to run.
    async fn opened(
        &self,
        mut socket: Socket,
        doing: &'static str,
    ) -> Result<Opened, ServiceError> {
        let wait = async {
            let mut first = Vec::new();
            loop {
                let Some(message) = socket.next().await else {
                    return Err(broke_off(doing));
                };
                let session = match Incoming::parse(&message) {
                    Incoming::Other => continue,
                    Incoming::Over => return Err(broke_off(doing)),
                    Incoming::Failed(words) => return Err(ServiceError::NotStarted { words }),
                    Incoming::Session { id, created } => Some((id, created)),
                    exit @ Incoming::Exit(_) => {
                        first.push(exit);
                        None
                    }
                    output @ Incoming::Output(..) => {
                        first.push(output);
                        // Some services of old say nothing of the session.
                        if first.len() < 64 {
                            continue;
                        }
                        None
                    }
                };
                return Ok(Opened {
                    socket,
                    session,
                    first,
                });
            }
        };
        within(doing, self.client.timing.request, Box::pin(wait)).await
    }
}

impl Doubt {
    const ENOUGH: u32 = 2;

    fn is_enough(&self) -> bool {
        self.0.load(Ordering::Relaxed) >= Self::ENOUGH
    }

    fn learn(&self, opened: &Result<Opened, ServiceError>) {
        match opened {
            Ok(_) => self.0.store(0, Ordering::Relaxed),
            Err(ServiceError::Late { .. } | ServiceError::Unreachable { .. }) => {
                if self.0.fetch_add(1, Ordering::Relaxed) + 1 == Self::ENOUGH {
                    tracing::warn!(
                        "the control channel of the Sprites service does not answer; doing without it"
                    );
                }
            }
            Err(_) => {}
        }
    }
}

impl Ask {
    /// For the control channel: every value is text, as it is in a query.
    fn json(&self) -> Value {
        let mut args = Map::new();
        if let Some(id) = &self.id {
            args.insert("id".to_owned(), id.as_str().into());
        }
        for (key, values) in &self.args {
            let value = match (*key, values.as_slice()) {
                ("cmd" | "env", values) => Value::from(values.to_vec()),
                (_, [value]) => value.as_str().into(),
                (_, values) => Value::from(values.to_vec()),
            };
            args.insert((*key).to_owned(), value);
        }
        Value::Object(args)
    }

    fn query(&self) -> Vec<(&'static str, String)> {
        let pairs = |(key, values): &(&'static str, Vec<String>)| {
            let key = *key;
            let pairs = values.iter().map(move |value| (key, value.clone()));
            pairs.collect::<Vec<_>>()
        };
        self.args.iter().flat_map(pairs).collect()
    }
}

/// Whether it is the channel that the service has not, rather than the sprite or the permission.
fn is_unsupported(error: &ServiceError) -> bool {
    matches!(error, ServiceError::Refused { .. })
        && !matches!(error.verdict(), Verdict::Hopeless | Verdict::Limited(_))
}

fn broke_off(doing: &'static str) -> ServiceError {
    ServiceError::unreachable(doing, "the connection broke off")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_channel_that_never_answers_is_given_up() {
        let doubt = Doubt::default();
        let failed = |error| Err::<Opened, _>(error);
        doubt.learn(&failed(broke_off("x")));
        doubt.learn(&failed(ServiceError::NotStarted {
            words: String::new(),
        }));
        assert!(!doubt.is_enough(), "an answer is an answer");
        doubt.learn(&failed(broke_off("x")));
        assert!(doubt.is_enough());
    }

    #[test]
    fn both_forms_say_the_same() {
        let ask = Ask {
            doing: "x",
            id: None,
            args: vec![
                ("cmd", vec!["./run".to_owned()]),
                ("env", vec!["A=1".to_owned(), "B=2".to_owned()]),
                ("dir", vec!["/x".to_owned()]),
            ],
        };
        assert_eq!(
            ask.json(),
            json!({"cmd": ["./run"], "env": ["A=1", "B=2"], "dir": "/x"})
        );
        let query: Vec<String> = ask
            .query()
            .iter()
            .map(|(k, v)| format!("{k}:{v}"))
            .collect();
        assert_eq!(query, ["cmd:./run", "env:A=1", "env:B=2", "dir:/x"]);
        let attach = Ask {
            id: Some("20".to_owned()),
            args: Vec::new(),
            ..ask
        };
        assert_eq!(attach.json(), json!({"id": "20"}));
    }
}

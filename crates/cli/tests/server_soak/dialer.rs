//! An external plugin that dials again whenever its line ends.

use std::time::Duration;

use serde_json::Value;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::plugin::{External, Orders, Seen, dial};

/// How long until it looks or dials again.
const AGAIN: Duration = Duration::from_millis(15);

/// It dials for as long as this is held, whenever it has a token.
pub(crate) struct Dialer {
    url: watch::Sender<Option<String>>,
    seen: Seen,
    _task: JoinSet<()>,
}

impl Dialer {
    /// Dials this address, once it is known.
    pub(crate) fn new(url: Option<String>) -> Self {
        let (url, told) = watch::channel(url);
        let seen = Seen::default();
        let mut task = JoinSet::new();
        task.spawn(run(told, seen.clone()));
        Self {
            url,
            seen,
            _task: task,
        }
    }

    /// It has another address from now on, or none.
    pub(crate) fn use_url(&self, url: Option<String>) {
        self.url.send_replace(url);
    }

    pub(crate) fn events(&self) -> Vec<Value> {
        self.seen.events_now()
    }
}

async fn run(mut url: watch::Receiver<Option<String>>, seen: Seen) {
    loop {
        let current = match url.wait_for(Option::is_some).await {
            Ok(current) => current.clone().unwrap_or_default(),
            Err(_) => return,
        };
        if let Ok(socket) = dial(&current).await {
            let line = External::on(socket, orders(), seen.clone());
            while line.is_open() {
                tokio::time::sleep(AGAIN).await;
            }
        }
        tokio::time::sleep(AGAIN).await;
    }
}

fn orders() -> Orders {
    Orders {
        take_all: true,
        ..Orders::default()
    }
}

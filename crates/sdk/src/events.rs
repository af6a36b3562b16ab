//! Who is told what happened.

use std::collections::HashMap;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use jackfield_wire::Fault;
use jackfield_wire::methods::EventParams;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::error::HandlerError;
use crate::host::Host;

type Told = Pin<Box<dyn Future<Output = Result<(), Fault>> + Send>>;
type Handler = Box<dyn Fn(Host, EventParams) -> Told + Send + Sync>;

/// The handlers of events, by name.
#[derive(Default)]
pub(crate) struct Events {
    by_name: HashMap<String, Handler>,
    any: Option<Handler>,
}

impl Events {
    pub(crate) fn on<P, F, Fut>(&mut self, name: String, handler: F)
    where
        P: DeserializeOwned + Send + 'static,
        F: Fn(Host, P) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), HandlerError>> + Send + 'static,
    {
        let handler = Arc::new(handler);
        let handler: Handler = Box::new(move |host, EventParams { event, payload }| {
            let handler = Arc::clone(&handler);
            Box::pin(async move {
                let payload = serde_json::from_value(Value::Object(payload)).map_err(|error| {
                    Fault::invalid_params(format!("the payload of {event} does not fit: {error}"))
                })?;
                handler(host, payload).await.map_err(|error| failed(&error))
            })
        });
        self.by_name.insert(name, handler);
    }

    pub(crate) fn on_any<F, Fut>(&mut self, handler: F)
    where
        F: Fn(Host, EventParams) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), HandlerError>> + Send + 'static,
    {
        let handler = Arc::new(handler);
        self.any = Some(Box::new(move |host, event| {
            let handler = Arc::clone(&handler);
            Box::pin(async move { handler(host, event).await.map_err(|error| failed(&error)) })
        }));
    }

    /// Tells whoever wants to know. Nobody is fine too.
    pub(crate) async fn tell(&self, host: Host, event: EventParams) -> Result<(), Fault> {
        match self.by_name.get(&event.event).or(self.any.as_ref()) {
            Some(handler) => handler(host, event).await,
            None => Ok(()),
        }
    }
}

fn failed(error: &HandlerError) -> Fault {
    Fault::server(format!("handler error: {error}"))
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Events")
            .field("names", &self.by_name.keys())
            .field("any", &self.any.is_some())
            .finish()
    }
}

//! What the other side may call.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use futures_util::FutureExt;
use jackfield_wire::{Asked, Client, Fault, Method, Traceparent, frame};
use serde_json::Value;
use serde_json::value::RawValue;
use tokio_util::sync::CancellationToken;

use crate::peer::Peer;
use crate::raw_json::RawJson;
use crate::served::Served;

/// The table of what the other side may call.
///
/// `C` is what each handler is told about who calls; every line brings its own.
pub struct Methods<C> {
    by_name: HashMap<Arc<str>, Registered<C>>,
    fallback: Option<Handler<C>>,
}

struct Registered<C> {
    handler: Handler<C>,
    in_order: bool,
}

/// A method that was called.
pub(crate) struct Found<C> {
    pub(crate) name: Arc<str>,
    pub(crate) handler: Handler<C>,
    pub(crate) in_order: bool,
}

/// One call of the other side, as its handler sees it.
pub struct Call<C> {
    /// What the line's owner said about who calls.
    pub context: C,
    /// The name that was called.
    pub method: Arc<str>,
    /// To call back. Does not keep the line open: that is up to the handle that
    /// [`open`](crate::open) returned and its clones.
    pub peer: Peer,
    pub(crate) served: Arc<Served>,
    pub(crate) traceparent: Option<Traceparent>,
}

/// What a call is answered with.
pub(crate) enum Answer {
    /// The result.
    Result(RawJson),
    /// The whole message.
    Text(String),
}

type Running = Pin<Box<dyn Future<Output = Result<Answer, Fault>> + Send>>;
pub(crate) type Handler<C> = Arc<dyn Fn(Call<C>, Option<RawJson>) -> Running + Send + Sync>;

impl<C: Clone + Send + Sync + 'static> Methods<C> {
    /// An empty table: every call is answered with -32601.
    #[must_use]
    pub fn new() -> Self {
        Self {
            by_name: HashMap::new(),
            fallback: None,
        }
    }

    /// Adds a method, in the place of one of the same name if there is one.
    ///
    /// Handlers of one line run beside each other. Parameters that do not fit are answered with
    /// -32602 and never reach the handler, its panic with -32603.
    #[must_use]
    pub fn method<M, F, Fut>(self, handler: F) -> Self
    where
        M: Method,
        F: Fn(Call<C>, M::Params) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<M::Output, Fault>> + Send + 'static,
    {
        let handler = Arc::new(handler);
        let answer = move |call: Call<C>, params: Option<RawJson>| {
            let handler = Arc::clone(&handler);
            async move {
                let decoded = M::decode_params(params.as_deref());
                // It may hold the memory of a large message.
                drop(params);
                let params = decoded.map_err(|error| {
                    let name = M::NAME;
                    Fault::invalid_params(format!("the parameters of {name:?} do not fit: {error}"))
                })?;
                let served = Arc::clone(&call.served);
                let peer = call.peer.clone();
                let output = handler(call, params).await?;
                let id = served.id.as_deref();
                let client = peer.client();
                frame::answer_with(id, M::NAME, |text| {
                    M::encode(&output, &Asked { id, client }, text)
                })
                .map(Answer::Text)
                .map_err(|error| {
                    Fault::internal(format!("the answer cannot be written as JSON: {error}"))
                })
            }
        };
        self.add(M::NAME.into(), erased(answer))
    }

    /// Adds a method in raw JSON. `None` stands for parameters that were missing or `null`. An answer
    /// that is an object without a `method` gets the method's name put in, as strict peers need it.
    #[must_use]
    pub fn raw<F, Fut>(self, name: impl Into<String>, handler: F) -> Self
    where
        F: Fn(Call<C>, Option<RawJson>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<RawJson, Fault>> + Send + 'static,
    {
        self.add(name.into().into(), raw(handler))
    }

    fn add(mut self, name: Arc<str>, handler: Handler<C>) -> Self {
        let registered = Registered {
            handler,
            in_order: false,
        };
        self.by_name.insert(name, registered);
        self
    }

    /// Has the calls of one method handled one at a time, in the order of their arrival on their
    /// line; calls of all other methods still pass by. For things that happened, whose order
    /// matters. A call that waits for its turn counts as one in flight.
    ///
    /// # Panics
    /// When no method of this name was added before.
    #[must_use]
    pub fn in_order(mut self, name: &str) -> Self {
        let method = self.by_name.get_mut(name);
        method.expect("the method was added before").in_order = true;
        self
    }

    /// What answers to every name that is not in the table; without it they get -32601.
    #[must_use]
    pub fn fallback<F, Fut>(mut self, handler: F) -> Self
    where
        F: Fn(Call<C>, Option<RawJson>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<RawJson, Fault>> + Send + 'static,
    {
        self.fallback = Some(raw(handler));
        self
    }

    /// The names in the table, sorted.
    #[must_use]
    pub fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.by_name.keys().map(AsRef::as_ref).collect();
        names.sort_unstable();
        names
    }

    pub(crate) fn find(&self, name: &str) -> Option<Found<C>> {
        if let Some((name, registered)) = self.by_name.get_key_value(name) {
            return Some(Found {
                name: Arc::clone(name),
                handler: Arc::clone(&registered.handler),
                in_order: registered.in_order,
            });
        }
        self.fallback.as_ref().map(|handler| Found {
            name: name.into(),
            handler: Arc::clone(handler),
            in_order: false,
        })
    }
}

fn erased<C, F, Fut>(handler: F) -> Handler<C>
where
    F: Fn(Call<C>, Option<RawJson>) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Answer, Fault>> + Send + 'static,
{
    Arc::new(move |call, params| Box::pin(handler(call, params)))
}

fn raw<C, F, Fut>(handler: F) -> Handler<C>
where
    F: Fn(Call<C>, Option<RawJson>) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<RawJson, Fault>> + Send + 'static,
{
    erased(move |call, params| handler(call, params).map(|result| result.map(Answer::Result)))
}

impl<C> Call<C> {
    /// The program that calls.
    #[must_use]
    pub fn client(&self) -> &Client {
        self.peer.client()
    }

    /// The call's id as it came; `None` where it had none.
    #[must_use]
    pub fn id(&self) -> Option<&RawValue> {
        self.served.id.as_deref()
    }

    /// Cancelled when the caller takes the call back (only peers that speak `jackfield.v1` can)
    /// and when the line ends. The handler's future is dropped at once then; the token is for what
    /// it has started elsewhere.
    #[must_use]
    pub fn cancelled(&self) -> CancellationToken {
        self.served.token(&self.peer.line.over)
    }

    /// The trace it belongs to, where the caller said so. The handler runs
    /// [within](crate::trace) it; this is for what it starts elsewhere.
    #[must_use]
    pub fn traceparent(&self) -> Option<Traceparent> {
        self.traceparent
    }

    /// Tells the caller how far this call is. Does nothing for callers that do not speak
    /// `jackfield.v1`; a report that finds the line's queue full is dropped.
    pub fn progress(&self, value: &Value) {
        if let Some(id) = self.id() {
            self.peer.report_progress(id, value);
        }
    }
}

impl<C: Clone + Send + Sync + 'static> Default for Methods<C> {
    fn default() -> Self {
        Self::new()
    }
}

impl<C> fmt::Debug for Methods<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Methods")
            .field("names", &self.by_name.keys())
            .field("fallback", &self.fallback.is_some())
            .finish()
    }
}

impl<C> fmt::Debug for Call<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call")
            .field("method", &self.method)
            .field("id", &self.id())
            .finish_non_exhaustive()
    }
}

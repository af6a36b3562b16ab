//! How a child that serves gRPC comes to have a line: by being asked until it says that it is ready.

use std::sync::{Arc, Weak};

use jackfield_grpc::{Endpoint, NotReady, Offer, Probe};
use jackfield_wire::{CloseCause, RuntimeProvider};
use tokio_util::sync::CancellationToken;

use crate::failure::{Failure, Stage};
use crate::held::{Line, Way};
use crate::lifecycle::Ending;
use crate::runtime::{BoxFuture, Running};

/// What is known of a child's endpoint before it is ready, and after its line was lost.
pub(crate) struct Serving {
    pub(crate) offer: Arc<Offer>,
    /// The service whose `Ping` counts; the health service where there is none.
    pub(crate) service: Option<String>,
    pub(crate) within: std::time::Duration,
    pub(crate) provider: RuntimeProvider,
}

/// What came of waiting for it.
pub(crate) type Ready = Result<Endpoint, (Ending, Failure)>;

impl Serving {
    /// Asks it until it is ready, for as long as a child may take to dial. Dropping the future ends the asking.
    pub(crate) fn ready(&self, running: Weak<dyn Running>) -> BoxFuture<'static, Ready> {
        let (offer, within, provider) = (Arc::clone(&self.offer), self.within, self.provider);
        let probe = match &self.service {
            Some(service) => Probe::ping(service),
            None => Probe::health(),
        };
        let processes = move || {
            running
                .upgrade()
                .map(|running| running.processes())
                .unwrap_or_default()
        };
        Box::pin(async move {
            let settled = offer.settle(processes, probe, within).await;
            settled.map_err(|not_ready| failed(provider, &not_ready))
        })
    }
}

fn failed(provider: RuntimeProvider, not_ready: &NotReady) -> (Ending, Failure) {
    let failure = Failure::new(provider, Stage::Dial, not_ready.to_string());
    match not_ready {
        NotReady::Unimplemented { .. } => (
            Ending::Hopeless,
            failure
                .hint("is `service` in its manifest the full name of a service that the program registers?")
                .hopeless(),
        ),
        _ => (
            Ending::Crash,
            failure.hint("it is to listen where FTL_BIND says when it starts, and its Ping is to answer without `not_ready`"),
        ),
    }
}

/// The line over an endpoint that is ready: open until its connection is lost or the token is cancelled.
pub(crate) fn line(endpoint: &Endpoint) -> Line {
    let (channel, hang_up) = (endpoint.channel(), CancellationToken::new());
    let told = hang_up.clone();
    Line {
        way: Way::Grpc { hang_up },
        closed: Box::pin(async move {
            tokio::select! {
                () = told.cancelled() => CloseCause::closed(),
                () = channel.lost() => CloseCause::failed("the connection to the plugin was lost"),
            }
        }),
    }
}

//! `grpc.health.v1`.

use std::sync::Arc;

use connectrpc::{ConnectError, Router};
use connectrpc_health::{
    Checker, HealthExt, HealthService, Status, StatusStream, apply_request_limits, request_limits,
};
use futures_util::{StreamExt, stream};
use tokio::sync::watch;

/// How far the plugin is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Stage {
    /// The constructor runs.
    Starting,
    /// These services are served.
    Ready(Arc<[String]>),
    /// Calls in flight are finished; there will be no others.
    Draining,
}

/// Health by stage.
struct Stages(watch::Receiver<Stage>);

/// Adds the health service.
pub(crate) fn add(router: Router, stage: watch::Receiver<Stage>) -> Router {
    let service = Arc::new(HealthService::new(Stages(stage)));
    apply_request_limits(service.register(router), request_limits())
}

/// None for a service that is not there. Which are there is not known before the constructor is done.
fn of(stage: &Stage, service: &str) -> Option<Status> {
    match stage {
        Stage::Starting | Stage::Draining => Some(Status::NotServing),
        Stage::Ready(names) => {
            let known = service.is_empty() || names.iter().any(|name| name == service);
            known.then_some(Status::Serving)
        }
    }
}

fn unknown(service: &str) -> ConnectError {
    ConnectError::not_found(format!("there is no service {service:?}"))
}

impl Checker for Stages {
    async fn check(&self, service: &str) -> Result<Status, ConnectError> {
        of(&self.0.borrow(), service).ok_or_else(|| unknown(service))
    }

    /// Ends when the plugin drains, so as not to be what it waits for.
    async fn watch(&self, service: &str) -> Result<StatusStream, ConnectError> {
        let mut stages = self.0.clone();
        stages.mark_changed();
        if of(&self.0.borrow(), service).is_none() {
            return Err(unknown(service));
        }
        let service = service.to_owned();
        let stream = stream::unfold(Some(stages), move |stages| {
            let service = service.clone();
            async move {
                let mut stages = stages?;
                stages.changed().await.ok()?;
                let stage = stages.borrow_and_update().clone();
                let status = of(&stage, &service)?;
                Some((status, (stage != Stage::Draining).then_some(stages)))
            }
        });
        Ok(StatusStream::new(stream.boxed()))
    }
}

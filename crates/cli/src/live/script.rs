//! What is done with a plugin once it is active, in order.

use std::cell::Cell;
use std::time::Duration;

use jackfield::rpc::CallError as RpcError;
use jackfield::wire::methods::{Configure, Event};
use jackfield::{CallError, CallOptions, Fault, Method as _, ReportedState, Session};
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Value, json};
use tokio::time::{Instant, timeout_at};

use super::options::Plan;
use super::tell::{self, Teller};
use crate::actions::Action;

/// How it went so far.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// What was done.
    pub(super) done: Cell<usize>,
    /// What of it was not taken.
    pub(super) failed: Cell<usize>,
}

/// The plugin did not become active in time.
#[derive(Debug)]
pub(super) struct TooLate {
    pub(super) after: Duration,
}

/// Configures the plugin whenever it becomes active and does what the plan says, once. Comes to an
/// end when that is all that is wanted, and never otherwise.
pub(super) async fn perform(
    session: &Session,
    plan: &Plan,
    tally: &Tally,
    teller: &Teller<'_>,
) -> Result<(), TooLate> {
    let mut actions = plan.actions.iter();
    let mut configured = None;
    loop {
        active(session, plan.patience).await?;
        let started_at = session.status().borrow().started_at;
        if let Some(config) = &plan.config
            && configured != started_at
        {
            configured = started_at;
            let config = to_raw_value(config).ok();
            one(session, plan, tally, teller, Configure::NAME, config).await;
            continue;
        }
        match actions.next() {
            Some(Action::Call { method, params }) => {
                one(session, plan, tally, teller, method, params.clone()).await;
            }
            Some(Action::Event { name, payload }) => {
                let mut params = payload.clone();
                params.insert("event".to_owned(), name.as_str().into());
                let params = to_raw_value(&params).ok();
                one(session, plan, tally, teller, Event::NAME, params).await;
            }
            None if plan.once => return Ok(()),
            None => changed(session, started_at).await,
        }
    }
}

/// Waits until the plugin is active. That it failed for good is seen by whoever follows it.
async fn active(session: &Session, patience: Option<Duration>) -> Result<(), TooLate> {
    let mut status = session.status();
    let active = status.wait_for(|status| status.state == ReportedState::Active);
    match patience {
        // An error means that the session has ended, and then we are on the way out.
        None => drop(active.await),
        Some(after) => match timeout_at(Instant::now() + after, active).await {
            Ok(active) => drop(active),
            Err(_) => return Err(TooLate { after }),
        },
    }
    Ok(())
}

/// Waits until the plugin became active anew.
async fn changed(session: &Session, started_at: Option<std::time::SystemTime>) {
    let mut status = session.status();
    let anew = status.wait_for(|status| status.started_at != started_at);
    if anew.await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// One call, told before and after.
async fn one(
    session: &Session,
    plan: &Plan,
    tally: &Tally,
    teller: &Teller<'_>,
    method: &str,
    params: Option<Box<RawValue>>,
) {
    teller.states();
    teller.calling(method, params.as_deref());
    let options = CallOptions {
        deadline: Some(plan.answer_within),
        ..CallOptions::default()
    };
    let began = Instant::now();
    let answer = session.call_raw(method, params.as_deref(), options).await;
    let took = began.elapsed();
    tally.done.set(tally.done.get() + 1);
    let taken = match &answer {
        Ok(answer) => {
            let answer = tell::answer(method, answer);
            let taken = answer["ok"] != false;
            teller.answered(method, &answer, took, taken);
            taken
        }
        Err(error) => {
            teller.refused(method, error, &error_json(error), hint(error, method), took);
            false
        }
    };
    if !taken {
        tally.failed.set(tally.failed.get() + 1);
    }
}

fn error_json(error: &CallError) -> Value {
    match error {
        CallError::Call(RpcError::Refused(fault)) => json!(fault),
        CallError::Call(_) | CallError::NotActive(_) | CallError::Grpc => {
            json!({ "message": error.to_string() })
        }
    }
}

/// What to do about it.
fn hint(error: &CallError, method: &str) -> Option<&'static str> {
    Some(match error {
        CallError::Call(RpcError::Refused(fault)) => match fault.code {
            Fault::METHOD_NOT_FOUND if method == Configure::NAME => {
                "the plugin takes no configuration: it has to answer `configure`"
            }
            Fault::METHOD_NOT_FOUND if method == Event::NAME => {
                "the manifest says that it consumes the event, and no handler takes it"
            }
            Fault::METHOD_NOT_FOUND => {
                "the plugin has no method of this name; compare it with the names in its source"
            }
            Fault::INVALID_PARAMS => "compare the JSON with what the method takes",
            Fault::INTERNAL_ERROR => "the method broke; what the plugin wrote says where",
            _ => return None,
        },
        CallError::Call(RpcError::Deadline { .. }) => "give it longer with --timeout",
        CallError::Call(RpcError::Closed(_)) | CallError::NotActive(_) => {
            "the plugin went down meanwhile; what it wrote may say why"
        }
        CallError::Call(RpcError::TooLarge { .. }) => "send less at once",
        CallError::Grpc => {
            "without --call, --event and --config it runs; to call it, embed the host and use Session::grpc_channel"
        }
        CallError::Call(_) => return None,
    })
}

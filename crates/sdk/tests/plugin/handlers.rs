//! What a plugin's handlers are told, and what its host is answered.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use jackfield_plugin::methods::{
    Configure, Event, EventParams, Ping, RobotToolCall, ToolCallParams, ToolCallResult,
};
use jackfield_plugin::{Call, Fault, Host, Method, Plugin};
use jackfield_rpc::{CallError, CallOptions, Peer};
use jackfield_wire::CloseCause;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use tokio::sync::{Semaphore, mpsc};

use crate::small_host::{SmallHost, soon};

#[derive(Deserialize)]
struct ThreadPublished {
    id: u64,
}

#[derive(Serialize, Deserialize)]
struct Greeting {
    name: String,
}

struct Greet;
impl Method for Greet {
    const NAME: &'static str = "greet";
    type Params = Greeting;
    type Output = String;
}

fn event(name: &str, payload: Value) -> EventParams {
    EventParams {
        event: name.to_owned(),
        payload: serde_json::from_value(payload).unwrap(),
    }
}

fn fault(error: CallError) -> Fault {
    match error {
        CallError::Refused(fault) => fault,
        error => panic!("{error}"),
    }
}

async fn hang_up(peer: Peer, host: SmallHost) {
    peer.close(CloseCause::closed());
    host.end().await;
}

#[tokio::test]
async fn events_reach_their_handlers_in_order() {
    let host = SmallHost::new().await;
    let (tell, mut told) = mpsc::channel(1000);
    let any = tell.clone();
    let plugin = Plugin::new(host.supervised_url())
        .on_event(
            "EventThreadPublished",
            move |_host: Host, thread: ThreadPublished| {
                let tell = tell.clone();
                async move {
                    tokio::task::yield_now().await;
                    tell.send(format!("thread {}", thread.id)).await?;
                    Ok(())
                }
            },
        )
        .on_event("EventBroken", async |_host: Host, _payload: Value| {
            Err("no luck".into())
        })
        .on_any_event(move |_host, event| {
            let tell = any.clone();
            async move {
                tell.send(format!("{} {}", event.event, event.payload["id"]))
                    .await?;
                Ok(())
            }
        });
    let running = host.run(plugin);
    let peer = host.accept().await;

    // Unbroken order even when the host does not wait for each.
    let events: Vec<_> = (0..40)
        .map(|id| match id % 2 {
            0 => event("EventThreadPublished", json!({"id": id})),
            _ => event("EventOther", json!({"id": id})),
        })
        .collect();
    for answer in join_all(events.iter().map(|event| peer.call::<Event>(event))).await {
        assert!(answer.unwrap().ok);
    }
    for id in 0..40 {
        let expected = match id % 2 {
            0 => format!("thread {id}"),
            _ => format!("EventOther {id}"),
        };
        assert_eq!(told.recv().await, Some(expected));
    }

    let broken = event("EventBroken", json!({}));
    let refused = fault(peer.call::<Event>(&broken).await.unwrap_err());
    assert_eq!(refused, Fault::new(-32000, "handler error: no luck"));
    let misfit = event("EventThreadPublished", json!({"id": "x"}));
    let refused = fault(peer.call::<Event>(&misfit).await.unwrap_err());
    assert_eq!(refused.code, Fault::INVALID_PARAMS);
    assert!(
        refused.message.contains("EventThreadPublished"),
        "{refused}"
    );

    hang_up(peer, host).await;
    assert!(soon(running).await.unwrap().is_ok());
}

#[tokio::test]
async fn what_is_not_handled_is_acknowledged_or_refused_as_the_contract_says() {
    for takes_v1 in [true, false] {
        let mut host = SmallHost::new().await;
        host.takes_v1 = takes_v1;
        let running = host.run(Plugin::new(host.supervised_url()));
        let peer = host.accept().await;
        assert!(
            peer.client()
                .user_agent
                .as_deref()
                .unwrap()
                .starts_with("jackfield-plugin/")
        );
        let raw = async |method: &str, params: Value| {
            let params = serde_json::value::to_raw_value(&params).unwrap();
            let answer = peer
                .call_raw(method, Some(&params), CallOptions::default())
                .await;
            answer.map(|raw| serde_json::from_str::<Value>(raw.get()).unwrap())
        };
        assert_eq!(
            raw("event", json!({"event": "EventNew", "id": "x"}))
                .await
                .unwrap(),
            json!({"method": "event", "ok": true})
        );
        assert_eq!(
            raw("configure", json!({"a": 1})).await.unwrap(),
            json!({"method": "configure", "ok": true})
        );
        let pong = peer.call::<Ping>(&None).await.unwrap();
        assert!(pong.pong && pong.uptime_seconds.unwrap() >= 0.0);
        assert_eq!(pong.status.as_deref(), Some("healthy"));
        for method in [
            "robot_tool_call",
            "robot_model_provider_list_models",
            "robot_model_provider_generate",
            "of-another-time",
        ] {
            let refused = fault(raw(method, json!({})).await.unwrap_err());
            assert_eq!(refused.code, Fault::METHOD_NOT_FOUND, "{method}");
        }
        hang_up(peer, host).await;
        assert!(soon(running).await.unwrap().is_ok());
    }
}

#[tokio::test]
async fn a_configuration_is_taken_or_not() {
    #[derive(Deserialize)]
    struct Settings {
        size: u32,
    }
    let host = SmallHost::new().await;
    let plugin =
        Plugin::new(host.supervised_url()).on_configure(async |_host: Host, settings: Settings| {
            match settings.size {
                0 => Err("a size of 0 makes no sense".into()),
                _ => Ok(()),
            }
        });
    let running = host.run(plugin);
    let peer = host.accept().await;
    for (config, ok) in [
        (json!({"size": 1, "more": true}), true),
        (json!({"size": 0}), false),
        (json!({"size": "large"}), false),
        (json!({}), false),
    ] {
        let config: Map<String, Value> = serde_json::from_value(config).unwrap();
        assert_eq!(
            peer.call::<Configure>(&config).await.unwrap().ok,
            ok,
            "{config:?}"
        );
    }
    hang_up(peer, host).await;
    assert!(soon(running).await.unwrap().is_ok());
}

/// One SDK runs handlers in its read loop, so that a handler that asks the host waits for itself;
/// another runs all at once, in no order.
#[tokio::test]
async fn calls_run_beside_events_and_ask_back() {
    let host = SmallHost::new().await;
    let gate = Arc::new(Semaphore::new(0));
    let closed = Arc::clone(&gate);
    let plugin = Plugin::new(host.supervised_url())
        .on_event("EventSlow", move |host: Host, _payload: Value| {
            let gate = Arc::clone(&closed);
            async move {
                let config: Value = host.get_config(&["times"]).await?;
                assert_eq!(config, json!({"times": 3}));
                gate.acquire().await?.forget();
                Ok(())
            }
        })
        .method::<Greet, _>(async |call: Call, who| {
            #[derive(Deserialize)]
            struct Settings {
                greeting: String,
                times: u32,
            }
            let Settings { greeting, times } = call.host.get_config(&[]).await?;
            let access = call.host.get_access().await?;
            let key = access.access_key;
            Ok(format!("{greeting}, {} {times} {key}", who.name))
        })
        .method::<RobotToolCall, _>(async |call: Call, tool: ToolCallParams| {
            call.progress(&json!(0.5));
            Ok(ToolCallResult {
                output: Some(json!(tool.arguments)),
                error: None,
            })
        });
    let running = host.run(plugin);
    let peer = host.accept().await;

    let slow = event("EventSlow", json!({}));
    let mut slow = Box::pin(peer.call::<Event>(&slow));
    for round in 0..10 {
        let params = Greeting {
            name: round.to_string(),
        };
        tokio::select! {
            biased;
            answer = &mut slow => panic!("{answer:?}"),
            answer = peer.call::<Greet>(&params) => {
                assert_eq!(answer.unwrap(), format!("Hello, {round} 3 sdbak_1"));
            }
        }
    }
    gate.add_permits(1);
    assert!(soon(slow).await.unwrap().ok);

    let (reports, mut seen) = mpsc::channel(1);
    let tool: ToolCallParams = serde_json::from_value(json!({
        "account_id": "a", "arguments": {"x": 1}, "call_id": "c", "provider_id": "p",
        "session_id": "s", "tool_id": "t",
    }))
    .unwrap();
    let options = CallOptions {
        progress: Some(reports),
        ..CallOptions::default()
    };
    let result = peer
        .call_with::<RobotToolCall>(&tool, options)
        .await
        .unwrap();
    assert_eq!(result.output, Some(json!({"x": 1})));
    assert_eq!(seen.recv().await, Some(json!(0.5)));

    hang_up(peer, host).await;
    assert!(soon(running).await.unwrap().is_ok());
}

#[tokio::test]
async fn a_handler_that_panics_is_one_failed_call() {
    let host = SmallHost::new().await;
    let plugin = Plugin::new(host.supervised_url())
        .on_event("EventBad", async |_host: Host, _payload: Value| {
            panic!("on purpose")
        })
        .method::<Greet, _>(async |_call: Call, _who| panic!("on purpose"));
    let running = host.run(plugin);
    let peer = host.accept().await;
    let bad = event("EventBad", json!({}));
    let good = event("EventGood", json!({}));
    for _ in 0..3 {
        let refused = fault(peer.call::<Event>(&bad).await.unwrap_err());
        assert_eq!(refused.code, Fault::INTERNAL_ERROR);
        assert!(peer.call::<Event>(&good).await.unwrap().ok);
        let name = String::new();
        let refused = fault(peer.call::<Greet>(&Greeting { name }).await.unwrap_err());
        assert_eq!(refused.code, Fault::INTERNAL_ERROR);
    }
    hang_up(peer, host).await;
    assert!(soon(running).await.unwrap().is_ok());
}

#[tokio::test]
async fn a_plugin_may_ask_by_itself_as_soon_as_there_is_a_line() {
    let host = SmallHost::new().await;
    let plugin = Plugin::new(host.supervised_url());
    let handle = plugin.host();
    assert_eq!(handle.uptime(), Duration::ZERO);
    let late = handle
        .call_within::<jackfield_plugin::methods::AccessGet>(&None, Duration::from_millis(1))
        .await;
    assert!(matches!(late, Err(CallError::Deadline { .. })));

    let asking = host.tasks.spawn({
        let handle = handle.clone();
        async move { handle.get_access().await.unwrap().api_base_url }
    });
    let running = host.run(plugin);
    let peer = host.accept().await;
    assert_eq!(soon(asking).await.unwrap(), "http://localhost:8000");
    assert!(handle.uptime() > Duration::ZERO);
    hang_up(peer, host).await;
    assert!(soon(running).await.unwrap().is_ok());
}

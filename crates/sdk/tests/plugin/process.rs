//! A plugin as a process of its own: this test program, started again.

use std::process::Stdio;
use std::time::Duration;

use jackfield_plugin::methods::Ping;
use jackfield_plugin::{Plugin, RunError};
use jackfield_wire::CloseCause;
use tokio::process::{Child, Command};

use crate::small_host::{SmallHost, soon};

/// Not a test: what the tests below start.
#[tokio::test]
#[ignore = "a plugin, started by other tests"]
async fn plugin_process() -> Result<(), RunError> {
    Plugin::from_env()?.run().await
}

fn start(vars: &[(&str, &str)]) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--ignored", "--exact", "process::plugin_process"])
        .env_remove("JACKFIELD_RPC_URL")
        .env_remove("STORYDEN_RPC_URL")
        .envs(vars.iter().copied())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command.spawn().unwrap()
}

#[cfg(unix)]
#[tokio::test]
async fn interrupt_and_terminate_end_a_plugin_in_order() {
    for (name, signal) in [("JACKFIELD_RPC_URL", "-TERM"), ("STORYDEN_RPC_URL", "-INT")] {
        let host = SmallHost::new().await;
        let child = start(&[(name, &host.supervised_url())]);
        let peer = host.accept().await;
        assert!(soon(peer.call::<Ping>(&None)).await.unwrap().pong);
        let id = child.id().unwrap().to_string();
        let sent = Command::new("kill")
            .args([signal, &id])
            .status()
            .await
            .unwrap();
        assert!(sent.success());
        assert_eq!(soon(peer.closed()).await, CloseCause::closed());
        assert_eq!(peer.close_code(), Some(1000));
        let output = soon(child.wait_with_output()).await.unwrap();
        assert!(output.status.success(), "{signal}: {output:?}");
        drop(peer);
        host.end().await;
    }
}

#[tokio::test]
async fn a_plugin_whose_host_hangs_up_ends_in_success() {
    let host = SmallHost::new().await;
    let child = start(&[("JACKFIELD_RPC_URL", &host.supervised_url())]);
    let peer = host.accept().await;
    peer.close(CloseCause::closed());
    let output = soon(child.wait_with_output()).await.unwrap();
    assert!(output.status.success(), "{output:?}");
    host.end().await;
}

#[tokio::test]
async fn a_plugin_without_a_host_says_what_to_do() {
    let child = start(&[]);
    let output = tokio::time::timeout(Duration::from_secs(20), child.wait_with_output());
    let output = output.await.unwrap().unwrap();
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("jackfield run ."), "{said}");
}

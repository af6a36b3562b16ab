//! Drives key-value plugins, in whatever language they are written: `./run` builds three and starts it with them.
//!
//! Each argument is a plugin: `<name>=<program> [<argument> …]`.

mod tour;

use std::env;
use std::error::Error;
use std::time::Duration;

use jackfield::grpc::{Plugin, Spawn};
use kv::KvClient;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut plugins = Vec::new();
    for plugin in env::args().skip(1) {
        let (name, command) = plugin
            .split_once('=')
            .ok_or("a plugin is <name>=<program> [<argument> …]")?;
        plugins.push((name.to_owned(), start(name, command).await?));
    }
    for (name, plugin) in &plugins {
        tour::take(name, &plugin.client).await?;
    }
    for (name, plugin) in &plugins {
        let exit = plugin.stop().await;
        println!("{name}: stopped with {}", exit.status);
    }
    Ok(())
}

async fn start(name: &str, command: &str) -> Result<Plugin<KvClient>, Box<dyn Error>> {
    let mut words = command.split_whitespace();
    let program = words.next().ok_or("a plugin needs a program")?;
    let says = name.to_owned();
    println!("{name}: starting {command}");
    let plugin = Spawn::new(name, program)
        .args(words)
        // It needs no folder for files of its own.
        .no_working_folder()
        // It says for so long that it is not ready, and so long the host waits.
        .env("KV_NOT_READY_MS", "200")
        .default_timeout(Duration::from_secs(10))
        .on_record(move |record| {
            let key = record.attributes.get("key").map(String::as_str);
            let about = key.map(|key| format!(" {key}")).unwrap_or_default();
            println!("{says}: logs {}: {}{about}", record.level, record.message);
        })
        .spawn()
        .await?;
    println!("{name}: ready, process {}", plugin.child.pid());
    Ok(plugin)
}

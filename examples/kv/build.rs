//! Compiles the service's description, without `protoc`.

use std::error::Error;
use std::path::PathBuf;
use std::{env, fs};

use prost::Message as _;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=proto");
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let descriptors = out.join("kv.bin");
    let compiled = protox::compile(["kv/v1/kv.proto"], ["proto"])?;
    fs::write(&descriptors, compiled.encode_to_vec())?;
    connectrpc_build::Config::new()
        .descriptor_set(&descriptors)
        .files(&["kv/v1/kv.proto"])
        .include_file("_connectrpc.rs")
        .compile()?;
    Ok(())
}

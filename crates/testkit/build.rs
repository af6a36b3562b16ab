//! Generates tonic's client for the key-value example, without `protoc`: a second maker of clients
//! beside the one that the example itself uses.

use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    let proto = "../../examples/kv/proto";
    println!("cargo:rerun-if-changed={proto}");
    let compiled = protox::compile(["kv/v1/kv.proto"], [proto])?;
    tonic_prost_build::configure()
        .build_server(false)
        .build_transport(false)
        .compile_fds(compiled)?;
    Ok(())
}

//! Compiles the protocol files with a pure Rust compiler: no protoc is needed.

use std::path::Path;

use protox::prost::Message as _;

/// What other systems ask: its description is served by reflection.
const QUERY: &str = "taizhang/query/v1/query.proto";

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let files = ["taizhang/sync/v1/sync.proto", "taizhang/enrol/v1/enrol.proto", QUERY];
    for file in files {
        println!("cargo:rerun-if-changed={file}");
    }
    let descriptors = protox::compile(files, ["."])?;
    tonic_prost_build::configure().compile_fds(descriptors)?;
    let query = protox::compile([QUERY], ["."])?;
    let folder = std::env::var("OUT_DIR")?;
    std::fs::write(Path::new(&folder).join("query.bin"), query.encode_to_vec())?;
    Ok(())
}

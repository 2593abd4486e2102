//! Compiles the protocol files with a pure Rust compiler: no protoc is needed.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let files = ["taizhang/sync/v1/sync.proto", "taizhang/enrol/v1/enrol.proto"];
    for file in files {
        println!("cargo:rerun-if-changed={file}");
    }
    let descriptors = protox::compile(files, ["."])?;
    tonic_prost_build::configure().compile_fds(descriptors)?;
    Ok(())
}

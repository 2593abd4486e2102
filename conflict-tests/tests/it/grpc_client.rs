//! A public client that is not ours: Python's grpcio with an enrolled village's certificate.

use std::process::Command;

use taizhang_core::id::hex;
use taizhang_node::identity::keys::Identity;
use taizhang_node::ops::Request;

use crate::office::{Office, chain, join};

/// Under CI a missing tool is a failure.
pub(crate) fn skipped(tool: &str) {
    println!("skipped: {tool}");
    assert!(std::env::var_os("TAIZHANG_CI").is_none(), "{tool} is missing under CI");
}

/// Goal: the health service of `taizhang.sync.v1.Sync` answers a public client with an enrolled
/// certificate, refuses one without, and the sync stream refuses a village of another township.
#[test]
fn a_public_client_is_served_and_refused_by_certificate() {
    let grpc = Command::new("python3").args(["-c", "import grpc"]).output();
    if !grpc.is_ok_and(|output| output.status.success()) {
        skipped("python3 with grpcio");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let offices = chain(folder.path(), 0);
    let mut other = Office::new(&folder.path().join("other"));
    join(&offices[1], &mut other, "411423102000", true);
    other.start();
    let village = Identity::load(&offices[3].folder).unwrap();
    for (office, name) in [(&offices[2], "own township"), (&other, "another township")] {
        let hub = Identity::load(&office.folder).unwrap();
        let output = Command::new("python3")
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/grpc_client.py"))
            .arg(office.children.unwrap().to_string())
            .arg(hub.checked.name.dns())
            .arg(hex(village.root.der()))
            .arg(village.chain.iter().map(|der| hex(der)).collect::<Vec<_>>().join(","))
            .env("TLS_KEY_PEM", &village.tls_key_pem)
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        println!("{name}: {text}");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert!(text.contains("health with certificate: SERVING"), "{text}");
        assert!(text.contains("health without certificate: refused"), "{text}");
        let sync = text.contains("sync: PERMISSION_DENIED");
        assert_eq!(sync, name == "another township", "{text}");
    }
    let audit = other.ask(&Request::Audit).unwrap().to_string();
    assert!(audit.contains("is no child of this office"), "{audit}");
}

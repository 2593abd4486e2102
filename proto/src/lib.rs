//! Wire messages of Taizhang, generated from the `.proto` files beside this crate.
//!
//! Carried, not interpreted: what is sealed has canonical bytes of its own (`taizhang-core`), and
//! `taizhang_node::transport::convert` is the only translator.

#![allow(missing_docs, reason = "generated; the comments stand in the .proto files")]
#![allow(unreachable_pub, unused_qualifications, clippy::all, reason = "generated")]

/// Sync between two replicas.
pub mod sync {
    tonic::include_proto!("taizhang.sync.v1");
}

/// Enrolment of a new replica.
pub mod enrol {
    tonic::include_proto!("taizhang.enrol.v1");
}

/// Queries of other systems.
pub mod query {
    tonic::include_proto!("taizhang.query.v1");

    /// Their description, for reflection.
    pub const FILE_DESCRIPTOR_SET: &[u8] = tonic::include_file_descriptor_set!("query");
}

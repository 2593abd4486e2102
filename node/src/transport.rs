//! The wire: gRPC over mutual TLS, both ways of one stream.
//!
//! [`convert`] is the only translator between messages and protobuf; [`tls`] decides who may speak;
//! [`server`] listens for children and enrolments; [`client`] dials the parent.

pub mod admission;
pub mod client;
pub mod convert;
pub mod query;
pub mod server;
pub mod tls;

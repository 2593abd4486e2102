//! The judges' tests: one binary, modules listed.

mod fixture;
mod grpc_client;
mod kills;
mod laws;
mod office;
mod refusals;
mod swarm;
mod tidy;
mod weeks;

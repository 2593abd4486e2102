//! A Taizhang hub: a replica with children. Founds a network, admits children, publishes policy, and
//! runs the demo. Everything a village replica can do, a hub can.

pub mod cli;
pub mod demo;
pub mod init;

//! A Taizhang replica at any level: store, engine, sync driver, pages and command line.

pub mod account;
pub mod cli;
pub mod control;
pub mod driver;
pub mod engine;
pub mod fail_point;
pub mod file;
pub mod health;
pub mod identity;
pub mod office_rules;
pub mod ops;
pub mod patterns;
pub mod preview;
pub mod reach;
pub mod report;
pub mod small;
pub mod status;
pub mod store;
mod thumbnail;
pub mod token;
pub mod transport;
pub mod viewer;
pub mod web;
pub mod whole;

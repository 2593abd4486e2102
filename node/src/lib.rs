//! A Taizhang replica at any level: store, engine, sync driver, pages and command line.

pub mod engine;
pub mod identity;
pub mod store;

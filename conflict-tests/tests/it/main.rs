//! The judges' tests: one binary, modules listed.

#![allow(clippy::unwrap_used, reason = "a failing test is a panic")]

mod access;
mod authority;
mod automerge_js;
mod blobs;
mod browser;
mod cases;
mod clones;
mod coverage;
mod desk;
mod every_system;
mod fail_points;
mod figures;
mod files;
mod fixture;
mod flows;
mod fork_trees;
mod fuzz;
mod grpc_client;
mod hand_over;
mod hub_flows;
mod inspection;
mod interfaces;
mod kills;
mod laws;
mod office;
mod overview;
mod policy;
mod policy_browser;
mod power;
mod real_line;
mod receipts;
mod refusals;
mod renewal;
mod report_duties;
mod reports;
mod rights;
mod scenarios;
mod sheets;
mod slow_line;
mod swarm;
mod tidy;
mod tour;
mod weeks;

//! Who a replica is: keys, certificates, and how it comes by them.
//!
//! [`names`] (what a certificate's name says), [`chain`] (the strict check of chains), [`issue`]
//! (making certificates), [`keys`] (files on disk), [`code`] (one-time enrolment codes).

pub mod chain;
pub mod code;
pub mod found;
pub mod issue;
pub mod keys;
pub mod names;
pub mod pages;
pub mod renew;

//! What travels as a file where there is no network: bundles, enrolment by file, backups.

pub mod backup;
pub mod bundle;
pub mod enrol;
pub mod envelope;

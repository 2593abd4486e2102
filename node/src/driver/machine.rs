//! What an engine gets from this machine: random bytes, and the id of machine and data folder, which is
//! kept outside the folder.
//!
//! A folder that was copied to another machine, or to another place on this one, gets another id: then
//! continuity cannot be proven (DESIGN §4). A disk image restored in place keeps it; that is found at
//! the first contact.

use std::path::Path;

use crate::engine::{Chance, Surroundings};
use crate::store::Durability;

/// BLAKE3 over the machine's id, the folder's path and its number in the file system.
pub fn machine_id(folder: &Path) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(b"taizhang machine v1");
    for path in ["/etc/machine-id", "/var/lib/dbus/machine-id"] {
        if let Ok(id) = std::fs::read(path) {
            hasher.update(&id);
            break;
        }
    }
    let whole = std::fs::canonicalize(folder).unwrap_or_else(|_| folder.to_owned());
    hasher.update(whole.as_os_str().as_encoded_bytes());
    #[cfg(unix)]
    if let Ok(data) = std::fs::metadata(&whole) {
        use std::os::unix::fs::MetadataExt as _;
        hasher.update(&data.ino().to_le_bytes());
    }
    *hasher.finalize().as_bytes()
}

/// What the engine of a data folder gets from this machine. Makes the folder, whose number in the
/// file system is part of its binding.
pub fn outside(data: &Path) -> Surroundings {
    if let Err(error) = std::fs::create_dir_all(data) {
        tracing::warn!(%error, "the data folder cannot be made");
    }
    let machine = machine_id(data);
    Surroundings { durability: Durability::Full, machine, chance: chance() }
}

/// Random bytes of the operating system.
///
/// # Panics
///
/// If it gives none: nothing secret can be made then.
pub fn chance() -> Chance {
    Box::new(|bytes: &mut [u8]| getrandom::fill(bytes).expect("the system gives random bytes"))
}

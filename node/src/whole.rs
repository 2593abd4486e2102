//! Files that are written whole or not at all: power fails, a stick is pulled out.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// Who may read a file.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Readable {
    /// Its owner only, where the system knows owners.
    Owner,
    /// Whom the system's defaults allow.
    Others,
}

/// Writes beside the name, syncs, and takes the name; an older file stands until then.
///
/// # Errors
///
/// What the system says; then the older file stands.
pub fn write(path: &Path, bytes: &[u8], readable: Readable) -> io::Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push(".part");
    let part = PathBuf::from(name);
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    if readable == Readable::Owner {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(0o600);
    }
    let mut file = options.open(&part)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    drop(file);
    crate::fail_point!(FileWritten);
    fs::rename(&part, path)?;
    // Not every file system syncs a folder; the file itself is synced.
    if let Some(folder) = path.parent()
        && let Ok(folder) = File::open(folder)
    {
        drop(folder.sync_all());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_cannot_be_written_leaves_the_older_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        write(&path, b"one", Readable::Owner).unwrap();
        fs::create_dir(folder.path().join("a.part")).unwrap();
        assert!(write(&path, b"two", Readable::Owner).is_err());
        assert_eq!(fs::read(&path).unwrap(), b"one");
    }
}

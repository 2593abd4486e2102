//! Backups: the ledger, the photos and the keys of a replica that goes on running, and putting them back.
//!
//! A backup is bound to no machine: whoever opens it begins a new epoch before writing, so that it can be
//! put back while its original lives (DESIGN §4).

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use taizhang_core::id::{Hash, PlaceId, ReplicaId};
use taizhang_core::time::UtcMillis;

use crate::engine::Engine;
use crate::store::{StoreError, check_file};

const MANIFEST: &str = "backup.json";
const LEDGER: &str = "ledger.db";
const IDENTITY: &str = "identity";
const BLOBS: &str = "blobs";

/// What a backup folder holds.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Manifest {
    version: u32,
    /// The office.
    pub place: PlaceId,
    /// Its replica.
    pub replica: ReplicaId,
    /// When it was made, by the replica's clock.
    pub made_ms: i64,
    /// Segments in it.
    pub segments: u64,
    /// BLAKE3 of each file.
    files: Vec<(PathBuf, Hash)>,
}

/// Why a backup cannot be made or used.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// A file.
    #[error("{path}: {source}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The target is in use.
    #[error("{path} 不是空目录,请另选 / {path} is not an empty folder; choose another")]
    NotEmpty {
        /// Which.
        path: PathBuf,
    },
    /// The copy is not what was written.
    #[error(
        "备份文件 {path} 已损坏,请用另一份 / the backup file {path} is damaged; use another one"
    )]
    Damaged {
        /// Which.
        path: PathBuf,
    },
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

fn at(path: &Path) -> impl Fn(std::io::Error) -> BackupError {
    let path = path.to_owned();
    move |source| BackupError::File { path: path.clone(), source }
}

fn empty_folder(path: &Path) -> Result<(), BackupError> {
    fs::create_dir_all(path).map_err(at(path))?;
    if fs::read_dir(path).map_err(at(path))?.next().is_some() {
        return Err(BackupError::NotEmpty { path: path.to_owned() });
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        fs::set_permissions(path, fs::Permissions::from_mode(0o700)).map_err(at(path))?;
    }
    Ok(())
}

fn hash_of(path: &Path) -> Result<Hash, BackupError> {
    let mut file = fs::File::open(path).map_err(at(path))?;
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(&mut file).map_err(at(path))?;
    Ok(Hash(*hasher.finalize().as_bytes()))
}

fn copy(from: &Path, to: &Path) -> Result<(), BackupError> {
    fs::copy(from, to).map_err(at(to))?;
    sync(to)
}

/// A stick is pulled out as soon as the command is done.
fn sync(path: &Path) -> Result<(), BackupError> {
    fs::File::open(path).and_then(|file| file.sync_all()).map_err(at(path))
}

/// Writes a backup of a running replica into an empty folder, and checks it.
///
/// # Errors
///
/// [`BackupError`]; the replica is untouched.
pub fn backup(engine: &mut Engine, target: &Path, now: UtcMillis) -> Result<Manifest, BackupError> {
    empty_folder(target)?;
    engine.transaction(|engine| engine.flush(now))?;
    let ledger = target.join(LEDGER);
    engine.store.copy_ledger(&ledger)?;
    sync(&ledger)?;
    let mut files = vec![(PathBuf::from(LEDGER), hash_of(&ledger)?)];
    for folder in [IDENTITY, BLOBS] {
        let (source, to) = (engine.store.folder().join(folder), target.join(folder));
        fs::create_dir_all(&to).map_err(at(&to))?;
        for entry in fs::read_dir(&source).map_err(at(&source))?.flatten() {
            let name = Path::new(folder).join(entry.file_name());
            // What is still on its way comes again.
            if name.extension().is_some_and(|extension| extension == "part") {
                continue;
            }
            let to = target.join(&name);
            copy(&entry.path(), &to)?;
            files.push((name, hash_of(&to)?));
        }
    }
    let segments = segments_in(&ledger)?;
    let name = &engine.identity.checked.name;
    let (place, replica, made_ms) = (name.place(), name.replica, now.0);
    let manifest = Manifest { version: 1, place, replica, made_ms, segments, files };
    let path = target.join(MANIFEST);
    fs::write(&path, serde_json::to_vec_pretty(&manifest).unwrap_or_default())
        .map_err(at(&path))?;
    sync(&path)?;
    let text = target.display().to_string();
    engine.transaction(|engine| engine.store.audit("backup", &text, now))?;
    Ok(manifest)
}

fn segments_in(path: &Path) -> Result<u64, BackupError> {
    let count = check_file(path)?;
    count.ok_or_else(|| BackupError::Damaged { path: path.to_owned() })
}

/// Puts a backup into an empty data folder.
///
/// # Errors
///
/// [`BackupError`]; the backup is untouched.
pub fn restore(source: &Path, data: &Path) -> Result<Manifest, BackupError> {
    let path = source.join(MANIFEST);
    let bytes = fs::read(&path).map_err(at(&path))?;
    let manifest: Manifest =
        serde_json::from_slice(&bytes).map_err(|_| BackupError::Damaged { path: path.clone() })?;
    for (name, expected) in &manifest.files {
        let path = source.join(name);
        let inside = name.components().all(|part| matches!(part, std::path::Component::Normal(_)));
        if !inside || hash_of(&path)? != *expected {
            return Err(BackupError::Damaged { path });
        }
    }
    empty_folder(data)?;
    for folder in [IDENTITY, BLOBS] {
        let folder = data.join(folder);
        fs::create_dir_all(&folder).map_err(at(&folder))?;
    }
    for (name, _) in &manifest.files {
        copy(&source.join(name), &data.join(name))?;
    }
    segments_in(&data.join(LEDGER))?;
    Ok(manifest)
}

//! The two databases of a replica: `ledger.db` (ground truth) and `derived.db` (recomputed).
//!
//! SQL stands in this folder only, behind a narrow interface, so that a hub's store can move to
//! another engine. [`ledger`] holds feeds and segments, [`blobs`] photos and scans, [`branch`] and [`again`] what forks leave, [`peers`] chains, receipts, invitations and
//! contacts, [`audit`] who did what, `accounts` who may sign in; [`derived`] what the projector writes, [`read`] what pages ask.
//!
//! # Invariants
//!
//! - One writer: the engine. Readers open their own read-only connections (WAL snapshots).
//! - A group of jobs commits ledger first, then derived; derived may lag, never lead.

mod accounts;
pub mod again;
pub mod audit;
pub mod blobs;
pub mod branch;
pub mod derived;
pub mod dump;
pub mod figures;
pub mod health;
pub mod inspection;
pub mod ledger;
pub mod lookup;
pub mod parked;
pub mod peers;
pub mod reach;
pub mod read;
pub mod replay;
pub mod rights;
pub mod rollups;
mod rows;
pub mod settle;
pub mod since;
mod tokens;
pub mod twins;
pub mod walk;
pub mod worklist;

use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags};

const LEDGER_MIGRATIONS: [&str; 5] = [
    include_str!("../migrations/ledger_0001.sql"),
    include_str!("../migrations/ledger_0002.sql"),
    include_str!("../migrations/ledger_0003.sql"),
    include_str!("../migrations/ledger_0004.sql"),
    include_str!("../migrations/ledger_0005.sql"),
];
const DERIVED_SCHEMA: &str = include_str!("../migrations/derived_0001.sql");

/// Bytes that stay free: a rebuild and a backup's log fit in.
const DISK_RESERVE_BYTES: u64 = 16 * 1024 * 1024;

/// Why the store cannot serve.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// No space is left, or less than the reserve.
    #[error(
        "磁盘已满,没有保存;请清理磁盘后重试 / the disk is full and nothing was saved; free some space and \
         try again"
    )]
    DiskFull,
    /// The disk, or the folder, cannot be written.
    #[error(
        "数据目录不可写,没有保存;请检查磁盘和权限 / the data folder cannot be written and nothing was \
         saved; check the disk and its permissions"
    )]
    ReadOnly,
    /// The group to which a job belonged failed.
    #[error("没有保存:{0} / nothing was saved: {0}")]
    Failed(String),
    /// SQLite refused.
    #[error("database: {0}")]
    Sqlite(rusqlite::Error),
    /// The folder cannot be used.
    #[error("{path}: {source}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A newer program wrote this database.
    #[error("the ledger has format {found}, this program reads up to {known}; upgrade the program")]
    Newer {
        /// Format found.
        found: usize,
        /// Newest known.
        known: usize,
    },
    /// Another process works on this folder.
    #[error("another process works on this data folder; stop it first, or let it do the work")]
    InUse,
    /// Stored bytes are not what was stored.
    #[error("stored data is damaged: {0}; run `check`")]
    Damaged(String),
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(rusqlite::ErrorCode::DiskFull) => Self::DiskFull,
            Some(rusqlite::ErrorCode::ReadOnly) => Self::ReadOnly,
            _ => Self::Sqlite(error),
        }
    }
}

impl StoreError {
    fn file(path: &Path, source: std::io::Error) -> Self {
        use std::io::ErrorKind as Kind;
        match source.kind() {
            Kind::StorageFull => Self::DiskFull,
            Kind::ReadOnlyFilesystem | Kind::PermissionDenied => Self::ReadOnly,
            _ => Self::File { path: path.to_owned(), source },
        }
    }

    /// The same for another asker of the group that failed.
    pub fn again(&self) -> Self {
        match self {
            Self::DiskFull => Self::DiskFull,
            Self::ReadOnly => Self::ReadOnly,
            other => Self::Failed(other.to_string()),
        }
    }
}

/// How durable commits are. Tests on memory disks may give up fsync; nothing else may.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Durability {
    /// fsync at every commit.
    Full,
    /// No fsync: for simulations, whose crashes are their own.
    Simulated,
}

/// Both databases and the lock on their folder.
pub struct Store {
    pub(crate) ledger: Connection,
    pub(crate) derived: Connection,
    folder: PathBuf,
    durability: Durability,
    refusals: audit::Refusals,
    _lock: std::fs::File,
}

fn pragmas(connection: &Connection, synchronous: &str) -> Result<(), StoreError> {
    connection.execute_batch(&format!(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = {synchronous}; \
         PRAGMA foreign_keys = ON; PRAGMA temp_store = MEMORY; PRAGMA cache_size = -8192; \
         PRAGMA busy_timeout = 5000;"
    ))?;
    // A plan never depends on the values bound: else a statement is compiled again when they change.
    connection.set_db_config(rusqlite::config::DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    connection.set_prepared_statement_cache_capacity(128);
    Ok(())
}

fn migrate(ledger: &Connection) -> Result<(), StoreError> {
    let found: u32 = ledger.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let found = found as usize;
    let known = LEDGER_MIGRATIONS.len();
    if found > known {
        return Err(StoreError::Newer { found, known });
    }
    for (number, sql) in LEDGER_MIGRATIONS.iter().enumerate().skip(found) {
        ledger.execute_batch(&format!(
            "BEGIN IMMEDIATE; {sql} PRAGMA user_version = {}; COMMIT;",
            number + 1
        ))?;
    }
    Ok(())
}

fn schema_version() -> i64 {
    let hash = blake3::hash(DERIVED_SCHEMA.as_bytes());
    let mut four = [0; 4];
    four.copy_from_slice(&hash.as_bytes()[..4]);
    i64::from(u32::from_le_bytes(four) >> 1)
}

fn open_derived(path: &Path, durability: Durability) -> Result<Connection, StoreError> {
    let connection = Connection::open(path)?;
    let synchronous = if durability == Durability::Full { "NORMAL" } else { "OFF" };
    pragmas(&connection, synchronous)?;
    let found: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if found == schema_version() {
        return Ok(connection);
    }
    if found != 0 {
        drop(connection);
        remove_derived(path)?;
        return open_derived(path, durability);
    }
    connection.execute_batch(&format!(
        "BEGIN IMMEDIATE; {DERIVED_SCHEMA} PRAGMA user_version = {}; COMMIT;",
        schema_version()
    ))?;
    Ok(connection)
}

fn remove_derived(path: &Path) -> Result<(), StoreError> {
    for suffix in ["", "-wal", "-shm"] {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        let name = PathBuf::from(name);
        match std::fs::remove_file(&name) {
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                return Err(StoreError::file(&name, source));
            }
            _ => {}
        }
    }
    Ok(())
}

impl Store {
    /// Opens or creates the databases of a data folder, and holds its lock.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; `InUse` if another process holds the folder.
    pub fn open(folder: &Path, durability: Durability) -> Result<Self, StoreError> {
        let file_error = |source| StoreError::file(folder, source);
        std::fs::create_dir_all(folder.join("blobs")).map_err(file_error)?;
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let owner_only = std::fs::Permissions::from_mode(0o700);
            std::fs::set_permissions(folder, owner_only).map_err(file_error)?;
        }
        let lock = std::fs::OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(folder.join("lock"))
            .map_err(file_error)?;
        if fs4::FileExt::try_lock(&lock).is_err() {
            return Err(StoreError::InUse);
        }
        replay::remove_copies(folder);
        let ledger = Connection::open(folder.join("ledger.db"))?;
        pragmas(&ledger, if durability == Durability::Full { "FULL" } else { "OFF" })?;
        migrate(&ledger)?;
        let derived = open_derived(&folder.join("derived.db"), durability)?;
        let (folder, refusals) = (folder.to_owned(), audit::Refusals::default());
        Ok(Self { ledger, derived, folder, durability, refusals, _lock: lock })
    }

    /// Deletes `derived.db` and makes an empty one.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn clear_derived(&mut self, durability: Durability) -> Result<(), StoreError> {
        let path = self.folder.join("derived.db");
        self.derived = Connection::open_in_memory()?;
        remove_derived(&path)?;
        self.derived = open_derived(&path, durability)?;
        Ok(())
    }

    /// Whether there is room to write more: what runs into the end of the disk leaves less to repair it
    /// with.
    ///
    /// # Errors
    ///
    /// [`StoreError::DiskFull`].
    pub fn room(&self) -> Result<(), StoreError> {
        self.room_beyond(DISK_RESERVE_BYTES)
    }

    /// Whether more than some bytes are free.
    pub(crate) fn room_beyond(&self, reserve: u64) -> Result<(), StoreError> {
        let free = match self.durability {
            Durability::Full => fs4::available_space(&self.folder),
            Durability::Simulated => return Ok(()),
        };
        match free {
            Ok(free) if free < reserve => Err(StoreError::DiskFull),
            _ => Ok(()),
        }
    }

    /// A copy of `ledger.db` that is bound to no machine.
    ///
    /// # Errors
    ///
    /// [`StoreError`], disk full included.
    pub fn copy_ledger(&self, target: &Path) -> Result<(), StoreError> {
        self.ledger.execute("VACUUM INTO ?1", [target.to_string_lossy()])?;
        let copy = Connection::open(target)?;
        copy.execute("UPDATE meta SET value = x'00' WHERE key = 'binding'", [])?;
        copy.close().map_err(|(_, error)| StoreError::from(error))
    }

    /// The data folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Starts a group of jobs.
    pub(crate) fn begin(&self) -> Result<(), StoreError> {
        self.both("BEGIN IMMEDIATE")
    }

    /// Makes the group durable: ledger first.
    pub(crate) fn commit(&self) -> Result<(), StoreError> {
        self.both("COMMIT")
    }

    /// Marks the state before a job of the group.
    pub(crate) fn save_point(&self) -> Result<(), StoreError> {
        self.both("SAVEPOINT job")
    }

    /// Keeps the job.
    pub(crate) fn release(&self) -> Result<(), StoreError> {
        self.both("RELEASE job")
    }

    /// Undoes the job.
    pub(crate) fn undo(&self) -> Result<(), StoreError> {
        self.both("ROLLBACK TO job")?;
        self.both("RELEASE job")
    }

    fn both(&self, sql: &str) -> Result<(), StoreError> {
        for connection in [&self.ledger, &self.derived] {
            connection.prepare_cached(sql)?.execute([])?;
        }
        Ok(())
    }

    /// Drops the group.
    pub(crate) fn rollback(&self) {
        for connection in [&self.ledger, &self.derived] {
            if !connection.is_autocommit()
                && let Err(error) = connection.execute_batch("ROLLBACK")
            {
                tracing::error!(%error, "rollback failed");
            }
        }
    }
}

/// Segments in a `ledger.db` that nobody works on; none if SQLite does not find the file sound.
///
/// # Errors
///
/// [`StoreError`].
pub fn check_file(path: &Path) -> Result<Option<u64>, StoreError> {
    let db = Connection::open(path)?;
    let word: String = db.query_row("PRAGMA integrity_check", [], |row| row.get(0))?;
    if word != "ok" {
        return Ok(None);
    }
    let count: i64 = db.query_row("SELECT count(*) FROM segment", [], |row| row.get(0))?;
    Ok(Some(count.unsigned_abs()))
}

/// Opens a read-only connection to `derived.db` with `ledger.db` attached as `ledger`.
///
/// # Errors
///
/// [`StoreError::Sqlite`].
pub fn open_reader(folder: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(folder.join("derived.db"), flags)?;
    connection.busy_timeout(std::time::Duration::from_secs(5))?;
    connection.set_prepared_statement_cache_capacity(64);
    let ledger = folder.join("ledger.db");
    connection.execute("ATTACH DATABASE ?1 AS ledger", [ledger.to_string_lossy()])?;
    Ok(connection)
}

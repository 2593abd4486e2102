//! An SQLite VFS that writes down every change to the files of one folder, so that the disk can be rebuilt
//! as a power cut would have left it at any of them.
//!
//! It hands every call on to the system's VFS. What was written after a file's last sync may be there, torn
//! or gone after the cut; what was synced is there.

#![allow(unsafe_code, reason = "the one module that speaks SQLite's C interface")]

use std::collections::BTreeMap;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};

use rusqlite::ffi;

use crate::chance::Dice;

/// One change to a file.
#[derive(Clone, Debug)]
pub enum Change {
    /// Bytes at an offset.
    Write(u64, Vec<u8>),
    /// Cut to a length.
    Truncate(u64),
    /// Everything before is on the platter.
    Sync,
    /// The file is gone.
    Delete,
}

/// Changes in order, by file.
#[derive(Debug, Default)]
pub struct Log {
    folder: PathBuf,
    changes: Vec<(PathBuf, Change)>,
}

static LOG: Mutex<Option<Log>> = Mutex::new(None);

fn note(path: &Path, change: impl FnOnce() -> Change) {
    let mut log = LOG.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(log) = log.as_mut().filter(|log| path.starts_with(&log.folder)) {
        log.changes.push((path.to_owned(), change()));
    }
}

/// Starts writing down what happens in a folder.
///
/// # Panics
///
/// If SQLite refuses the VFS.
pub fn start(folder: &Path) {
    register();
    let log = Log { folder: folder.to_owned(), changes: Vec::new() };
    *LOG.lock().unwrap_or_else(PoisonError::into_inner) = Some(log);
}

/// How many changes there were so far.
pub fn position() -> usize {
    let log = LOG.lock().unwrap_or_else(PoisonError::into_inner);
    log.as_ref().map_or(0, |log| log.changes.len())
}

/// Ends it, and gives what happened.
pub fn stop() -> Log {
    LOG.lock().unwrap_or_else(PoisonError::into_inner).take().unwrap_or_default()
}

type Files = BTreeMap<PathBuf, Vec<u8>>;

fn apply(files: &mut Files, path: &Path, change: &Change) {
    match change {
        Change::Write(at, bytes) => {
            let file = files.entry(path.to_owned()).or_default();
            let at = usize::try_from(*at).expect("a small file");
            if file.len() < at + bytes.len() {
                file.resize(at + bytes.len(), 0);
            }
            file[at..at + bytes.len()].copy_from_slice(bytes);
        }
        Change::Truncate(length) => {
            let length = usize::try_from(*length).expect("a small file");
            files.entry(path.to_owned()).or_default().truncate(length);
        }
        Change::Sync => {}
        Change::Delete => {
            files.remove(path);
        }
    }
}

/// Walks over every change; at each, the disk as a cut there leaves it.
pub struct Cuts {
    log: Log,
    at: usize,
    durable: Files,
    /// Changes since each file's last sync.
    pending: BTreeMap<PathBuf, Vec<Change>>,
}

impl Cuts {
    /// From the files that were there before the first change.
    pub fn new(log: Log, before: Files) -> Self {
        Self { log, at: 0, durable: before, pending: BTreeMap::new() }
    }

    /// How many changes there are.
    pub fn count(&self) -> usize {
        self.log.changes.len()
    }

    /// Takes the next change; `false` after the last.
    pub fn step(&mut self) -> bool {
        let Some((path, change)) = self.log.changes.get(self.at) else { return false };
        self.at += 1;
        match change {
            Change::Sync => {
                for one in self.pending.remove(path).unwrap_or_default() {
                    apply(&mut self.durable, path, &one);
                }
            }
            // A directory entry is synced with its file in SQLite's own protocol.
            Change::Delete => {
                self.pending.remove(path);
                self.durable.remove(path);
            }
            other => self.pending.entry(path.clone()).or_default().push(other.clone()),
        }
        true
    }

    /// Changes taken so far.
    pub fn at(&self) -> usize {
        self.at
    }

    /// The files after a cut here: of what no sync covered, each change is there, torn or gone.
    pub fn files(&self, dice: &mut Dice) -> Files {
        let mut files = self.durable.clone();
        for (path, changes) in &self.pending {
            for change in changes {
                match (dice.below(4), change) {
                    (0, _) => {}
                    (1, Change::Write(at, bytes)) => {
                        let torn = bytes[..dice.index(bytes.len() + 1)].to_vec();
                        apply(&mut files, path, &Change::Write(*at, torn));
                    }
                    _ => apply(&mut files, path, change),
                }
            }
        }
        files
    }
}

#[repr(C)]
struct Shim {
    base: ffi::sqlite3_file,
    path: *mut PathBuf,
}

/// The system's file, which lies behind ours.
unsafe fn real(file: *mut ffi::sqlite3_file) -> *mut ffi::sqlite3_file {
    unsafe { file.cast::<Shim>().add(1).cast() }
}

unsafe fn path_of<'a>(file: *mut ffi::sqlite3_file) -> Option<&'a Path> {
    unsafe { (*file.cast::<Shim>()).path.as_ref().map(PathBuf::as_path) }
}

macro_rules! handed_on {
    ($($name:ident: $field:ident($($arg:ident: $kind:ty),*) -> $answer:ty;)*) => {
        $(unsafe extern "C" fn $name(file: *mut ffi::sqlite3_file, $($arg: $kind),*) -> $answer {
            unsafe {
                let file = real(file);
                let call = (*(*file).pMethods).$field.expect("SQLite's VFS has it");
                call(file, $($arg),*)
            }
        })*
    };
}

handed_on! {
    read: xRead(to: *mut c_void, bytes: c_int, at: i64) -> c_int;
    write_on: xWrite(from: *const c_void, bytes: c_int, at: i64) -> c_int;
    truncate_on: xTruncate(length: i64) -> c_int;
    sync_on: xSync(flags: c_int) -> c_int;
    close_on: xClose() -> c_int;
    size: xFileSize(size: *mut i64) -> c_int;
    lock: xLock(level: c_int) -> c_int;
    unlock: xUnlock(level: c_int) -> c_int;
    reserved: xCheckReservedLock(out: *mut c_int) -> c_int;
    control: xFileControl(op: c_int, arg: *mut c_void) -> c_int;
    sector: xSectorSize() -> c_int;
    traits: xDeviceCharacteristics() -> c_int;
    shm_map: xShmMap(page: c_int, size: c_int, extend: c_int, out: *mut *mut c_void) -> c_int;
    shm_lock: xShmLock(offset: c_int, n: c_int, flags: c_int) -> c_int;
    shm_barrier: xShmBarrier() -> ();
    shm_unmap: xShmUnmap(delete: c_int) -> c_int;
}

unsafe extern "C" fn write(
    file: *mut ffi::sqlite3_file,
    from: *const c_void,
    bytes: c_int,
    at: i64,
) -> c_int {
    unsafe {
        let code = write_on(file, from, bytes, at);
        if let Some(path) = path_of(file).filter(|_| code == ffi::SQLITE_OK) {
            let length = usize::try_from(bytes).expect("a length");
            let data = std::slice::from_raw_parts(from.cast::<u8>(), length);
            note(path, || Change::Write(at.unsigned_abs(), data.to_vec()));
        }
        code
    }
}

unsafe extern "C" fn truncate(file: *mut ffi::sqlite3_file, length: i64) -> c_int {
    unsafe {
        if let Some(path) = path_of(file) {
            note(path, || Change::Truncate(length.unsigned_abs()));
        }
        truncate_on(file, length)
    }
}

unsafe extern "C" fn sync(file: *mut ffi::sqlite3_file, flags: c_int) -> c_int {
    unsafe {
        if let Some(path) = path_of(file) {
            note(path, || Change::Sync);
        }
        sync_on(file, flags)
    }
}

unsafe extern "C" fn close(file: *mut ffi::sqlite3_file) -> c_int {
    unsafe {
        let shim = file.cast::<Shim>();
        if !(*shim).path.is_null() {
            drop(Box::from_raw((*shim).path));
            (*shim).path = std::ptr::null_mut();
        }
        close_on(file)
    }
}

static METHODS: ffi::sqlite3_io_methods = ffi::sqlite3_io_methods {
    iVersion: 2,
    xClose: Some(close),
    xRead: Some(read),
    xWrite: Some(write),
    xTruncate: Some(truncate),
    xSync: Some(sync),
    xFileSize: Some(size),
    xLock: Some(lock),
    xUnlock: Some(unlock),
    xCheckReservedLock: Some(reserved),
    xFileControl: Some(control),
    xSectorSize: Some(sector),
    xDeviceCharacteristics: Some(traits),
    xShmMap: Some(shm_map),
    xShmLock: Some(shm_lock),
    xShmBarrier: Some(shm_barrier),
    xShmUnmap: Some(shm_unmap),
    xFetch: None,
    xUnfetch: None,
};

struct System(*mut ffi::sqlite3_vfs);
// SQLite's VFS is one for all threads, and never changes.
unsafe impl Send for System {}
unsafe impl Sync for System {}

static SYSTEM: OnceLock<System> = OnceLock::new();

unsafe extern "C" fn open(
    _: *mut ffi::sqlite3_vfs,
    name: *const c_char,
    file: *mut ffi::sqlite3_file,
    flags: c_int,
    out: *mut c_int,
) -> c_int {
    unsafe {
        let system = SYSTEM.get().expect("registered").0;
        let shim = file.cast::<Shim>();
        (*shim).base.pMethods = std::ptr::null();
        (*shim).path = std::ptr::null_mut();
        let code =
            (*system).xOpen.expect("SQLite's VFS has it")(system, name, real(file), flags, out);
        if code == ffi::SQLITE_OK {
            (*shim).base.pMethods = &raw const METHODS;
            if !name.is_null() {
                let text = CStr::from_ptr(name).to_string_lossy().into_owned();
                (*shim).path = Box::into_raw(Box::new(PathBuf::from(text)));
            }
        }
        code
    }
}

unsafe extern "C" fn delete(_: *mut ffi::sqlite3_vfs, name: *const c_char, dir: c_int) -> c_int {
    unsafe {
        let system = SYSTEM.get().expect("registered").0;
        let path = PathBuf::from(CStr::from_ptr(name).to_string_lossy().into_owned());
        note(&path, || Change::Delete);
        (*system).xDelete.expect("SQLite's VFS has it")(system, name, dir)
    }
}

/// Makes the shim the default VFS of this process, once.
fn register() {
    SYSTEM.get_or_init(|| unsafe {
        let system = ffi::sqlite3_vfs_find(std::ptr::null());
        assert!(!system.is_null(), "SQLite has a VFS");
        let mut shim = *system;
        let behind = usize::try_from(shim.szOsFile).expect("a size");
        let size = size_of::<Shim>() + behind;
        shim.szOsFile = c_int::try_from(size).expect("a size");
        shim.pNext = std::ptr::null_mut();
        shim.zName = c"taizhang-power".as_ptr();
        shim.xOpen = Some(open);
        shim.xDelete = Some(delete);
        let code = ffi::sqlite3_vfs_register(Box::leak(Box::new(shim)), 1);
        assert_eq!(code, ffi::SQLITE_OK, "the VFS is registered");
        System(system)
    });
}

//! Requests about files that travel: bundles, enrolment by file, backups.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use taizhang_core::id::PlaceId;

use super::{OpsError, find_place};
use crate::driver::Replica;
use crate::file::{backup, bundle, enrol};
use crate::whole::{self, Readable};

fn read(path: &Path) -> Result<Vec<u8>, OpsError> {
    let size = std::fs::metadata(path).map_or(0, |data| data.len());
    if size > 2 * taizhang_core::limits::FILE_BODY_BYTES_MAX as u64 {
        let reason = "文件过大 / the file is too large".into();
        return Err(OpsError::File { path: path.to_owned(), reason });
    }
    std::fs::read(path)
        .map_err(|error| OpsError::File { path: path.to_owned(), reason: error.to_string() })
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), OpsError> {
    whole::write(path, bytes, Readable::Others)
        .map_err(|error| OpsError::File { path: path.to_owned(), reason: error.to_string() })
}

impl Replica {
    /// Writes what an office lacks to `path`, and to `path.2`, ... if it is much.
    pub(super) async fn bundle_export(
        &self,
        to: &str,
        path: &Path,
        all: bool,
    ) -> Result<Value, OpsError> {
        let to = self.neighbour(to)?;
        let written =
            self.run_alone(move |engine, now| Ok(bundle::export(engine, to, all, now))).await?;
        let parts = written?;
        let mut files = Vec::new();
        for (at, bytes) in parts.iter().enumerate() {
            let mut name = path.as_os_str().to_owned();
            if at > 0 {
                name.push(format!(".{}", at + 1));
            }
            write(Path::new(&name), bytes)?;
            files.push(json!({"file": name.to_string_lossy(), "bytes": bytes.len()}));
        }
        let name = self.directives().tree.full_name(to);
        Ok(json!({"to": name, "files": files}))
    }

    fn neighbour(&self, text: &str) -> Result<PlaceId, OpsError> {
        if text != "parent" {
            return find_place(&self.directives(), text);
        }
        self.dial_parent().ok_or_else(|| OpsError::Place(text.to_owned()))
    }

    /// Takes files in, in the order given.
    pub(super) async fn bundle_import(&self, paths: &[PathBuf]) -> Result<Value, OpsError> {
        let mut rows = Vec::new();
        for path in paths {
            let bytes = read(path)?;
            let done =
                self.run_alone(move |engine, now| Ok(bundle::import(engine, &bytes, now))).await?;
            let done = done.map_err(|error| OpsError::File {
                path: path.clone(),
                reason: error.to_string(),
            })?;
            rows.push(json!({
                "file": path, "from": self.directives().tree.full_name(done.from),
                "new": done.new, "held": done.held, "refused": done.refused,
            }));
        }
        Ok(json!({"rows": rows}))
    }

    /// Answers the request file of a new or renewed replica.
    pub(super) async fn admit_file(
        &self,
        place: &str,
        request: &Path,
        answer: &Path,
    ) -> Result<Value, OpsError> {
        let place = find_place(&self.directives(), place)?;
        let wanted = enrol::read_request(&read(request)?)?;
        let bytes = self.run(move |engine, now| enrol::answer(engine, place, &wanted, now)).await?;
        write(answer, &bytes)?;
        let root = self.identity().root.fingerprint().to_string();
        Ok(json!({
            "place": self.directives().tree.full_name(place), "answer": answer,
            "root": &root[..enrol::FINGERPRINT_CHARS],
        }))
    }

    /// Writes a backup into an empty folder.
    pub(super) async fn backup(&self, target: &Path) -> Result<Value, OpsError> {
        let path = target.to_owned();
        let made =
            self.run_alone(move |engine, now| Ok(backup::backup(engine, &path, now))).await?;
        let made = made.map_err(|error| OpsError::File {
            path: target.to_owned(),
            reason: error.to_string(),
        })?;
        Ok(json!({"backup": target, "segments": made.segments, "made_ms": made.made_ms}))
    }
}

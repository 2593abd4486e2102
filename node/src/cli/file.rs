//! Commands about files that travel: bundles, enrolment by file, backups.

use std::path::{Path, PathBuf};

use clap::Subcommand;
use serde_json::{Value, json};

use super::Options;
use crate::driver::clock;
use crate::driver::machine::{chance, outside};
use crate::file::{backup, enrol as by_file};
use crate::ops::Request;

/// Commands of `bundle`.
#[derive(Clone, Debug, Subcommand)]
pub enum BundleCommand {
    /// Write what an office lacks / 导出
    Export {
        /// File to write; more than 32 MiB go on in FILE.2, FILE.3, ...
        path: PathBuf,
        /// parent, or a place id or code.
        #[arg(long, default_value = "parent")]
        to: String,
        /// Everything, not only what its receipts lack.
        #[arg(long)]
        all: bool,
    },
    /// Take files in, in the order given / 导入
    Import {
        /// Files.
        #[arg(required = true)]
        paths: Vec<PathBuf>,
    },
}

/// Commands of `enrol`.
#[derive(Clone, Debug, Subcommand)]
pub enum EnrolCommand {
    /// Write a request, for a new replica or for another term of this one / 生成申请文件
    Request {
        /// File to write.
        path: PathBuf,
    },
    /// Take the parent's answer / 接收上级答复
    Accept {
        /// The answer.
        path: PathBuf,
        /// First 16 characters of the root's fingerprint, as the parent says; not for a renewal.
        #[arg(long, default_value = "")]
        root: String,
        /// Address of the parent for later, host:port; may be repeated.
        #[arg(long)]
        parent: Vec<String>,
    },
}

type Answer = Result<Value, (String, Vec<String>)>;

pub(super) fn absolute(path: &Path) -> Result<PathBuf, String> {
    std::path::absolute(path).map_err(|error| error.to_string())
}

impl BundleCommand {
    pub(super) fn request(self) -> Result<Request, String> {
        Ok(match self {
            Self::Export { path, to, all } => {
                Request::BundleExport { to, path: absolute(&path)?, all }
            }
            Self::Import { paths } => {
                let paths = paths.iter().map(|path| absolute(path)).collect::<Result<_, _>>()?;
                Request::BundleImport { paths }
            }
        })
    }
}

pub(super) fn enrol(command: &EnrolCommand, options: &Options) -> Answer {
    let text = |path: &Path, error: String| (format!("{}: {error}", path.display()), Vec::new());
    match command {
        EnrolCommand::Request { path } => {
            let mut seal = [0; 32];
            chance()(&mut seal);
            let bytes =
                by_file::request(&options.data, seal).map_err(|error| (error, Vec::new()))?;
            std::fs::write(path, bytes).map_err(|error| text(path, error.to_string()))?;
            Ok(json!({"request": path}))
        }
        EnrolCommand::Accept { path, root, parent } => {
            let bytes = std::fs::read(path).map_err(|error| text(path, error.to_string()))?;
            let (data, outside) = (&options.data, outside(&options.data));
            let parents = parent.clone();
            let taken = by_file::accept(data, &bytes, root, parents, outside, clock::now());
            let identity = taken.map_err(|error| text(path, error))?;
            let name = &identity.checked.name;
            let until = identity.checked.valid_s.1;
            Ok(json!({"replica": name.replica, "level": name.level(), "valid_until_s": until}))
        }
    }
}

pub(super) fn restore(path: &Path, options: &Options) -> Answer {
    let made = backup::restore(path, &options.data);
    let made = made.map_err(|error| (error.to_string(), Vec::new()))?;
    Ok(json!({
        "place_id": made.place, "replica": made.replica, "segments": made.segments,
        "made_ms": made.made_ms,
    }))
}

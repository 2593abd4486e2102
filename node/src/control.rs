//! The local endpoint: commands talk to the running replica over a socket in its data folder that
//! only its owner may open.
//!
//! One request a connection, as a line of JSON; lines of progress come back, then one answer.

use std::io::{self, BufRead as _, BufReader, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixListener;
use tokio::sync::mpsc;

use crate::driver::Replica;
use crate::ops::{OpsError, Progress, Request};

/// Bytes of one request: a catalogue part with room.
const REQUEST_BYTES_MAX: u64 = 1024 * 1024;

/// One line of an answer.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Line {
    /// What, done, total.
    Progress(String, u64, u64),
    /// The answer.
    Answer(Value),
    /// Why there is none; and the rows of a refused import.
    Error(String, Vec<String>),
}

/// Where the socket lies.
pub fn socket_path(data: &Path) -> PathBuf {
    data.join("control.sock")
}

/// Serves requests until the replica closes.
///
/// # Errors
///
/// If the socket cannot be made: path too long, or the folder not writable.
pub async fn serve(replica: Replica) -> io::Result<()> {
    let path = socket_path(replica.folder());
    if path.exists() {
        std::fs::remove_file(&path)?;
    }
    let listener = UnixListener::bind(&path)?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
    loop {
        let (stream, _) = tokio::select! {
            accepted = listener.accept() => accepted?,
            () = replica.closed() => break,
        };
        let replica = replica.clone();
        tokio::spawn(async move {
            if let Err(error) = serve_one(stream, replica).await {
                tracing::debug!(%error, "a command left early");
            }
        });
    }
    std::fs::remove_file(&path)
}

async fn serve_one(stream: tokio::net::UnixStream, replica: Replica) -> io::Result<()> {
    let (reader, mut writer) = stream.into_split();
    let mut line = String::new();
    let reader = tokio::io::AsyncReadExt::take(reader, REQUEST_BYTES_MAX);
    tokio::io::BufReader::new(reader).read_line(&mut line).await?;
    let (sender, mut lines) = mpsc::unbounded_channel();
    let progress: Progress = {
        let sender = sender.clone();
        Arc::new(move |what: &str, done, total| {
            // The asker may have left; the work goes on.
            drop(sender.send(Line::Progress(what.to_owned(), done, total)));
        })
    };
    tokio::spawn(async move {
        let last = match serde_json::from_str::<Request>(&line) {
            Ok(request) => match replica.answer(request, progress).await {
                Ok(answer) => Line::Answer(answer),
                Err(OpsError::Rows(rows)) => {
                    Line::Error(OpsError::Rows(rows.clone()).to_string(), rows)
                }
                Err(error) => Line::Error(error.to_string(), Vec::new()),
            },
            Err(error) => Line::Error(format!("unreadable request: {error}"), Vec::new()),
        };
        drop(sender.send(last));
    });
    while let Some(line) = lines.recv().await {
        let mut text = serde_json::to_string(&line).unwrap_or_default();
        text.push('\n');
        writer.write_all(text.as_bytes()).await?;
        if !matches!(line, Line::Progress(..)) {
            break;
        }
    }
    Ok(())
}

/// Asks the running replica of a data folder; `None` if none runs.
///
/// # Errors
///
/// Text and rows of the refusal.
pub fn ask(
    data: &Path,
    request: &Request,
    progress: &dyn Fn(&str, u64, u64),
) -> Option<Result<Value, (String, Vec<String>)>> {
    let mut stream = UnixStream::connect(socket_path(data)).ok()?;
    let lost = |error: io::Error| (format!("the replica went away: {error}"), Vec::new());
    let mut text = serde_json::to_string(request).unwrap_or_default();
    text.push('\n');
    if let Err(error) = stream.write_all(text.as_bytes()) {
        return Some(Err(lost(error)));
    }
    for line in BufReader::new(stream).lines() {
        let line = match line {
            Ok(line) => line,
            Err(error) => return Some(Err(lost(error))),
        };
        match serde_json::from_str(&line) {
            Ok(Line::Progress(what, done, total)) => progress(&what, done, total),
            Ok(Line::Answer(answer)) => return Some(Ok(answer)),
            Ok(Line::Error(text, rows)) => return Some(Err((text, rows))),
            Err(error) => return Some(Err((error.to_string(), Vec::new()))),
        }
    }
    if matches!(request, Request::Stop) {
        // It may be gone before its answer is.
        return Some(Ok(serde_json::json!({"stopping": true})));
    }
    Some(Err(("the replica closed without an answer".into(), Vec::new())))
}

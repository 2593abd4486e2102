//! What is seen of the hub from outside: its memory and time, its databases, its figures, its pages.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use serde_json::{Value, json};
use taizhang_core::directives::Directives;
use taizhang_core::id::{Level, SealKey};
use taizhang_hub::demo::process::Office;
use taizhang_node::account::Duty;
use taizhang_node::ops::Request;
use taizhang_node::ops::account::{AccountRequest, NewAccount};

use super::words;
use crate::pages::Pages;

/// Ticks of `/proc/<pid>/stat` a second, on every Linux of today.
const TICKS: f64 = 100.0;
/// Account of the pages.
pub const LOGIN: (&str, &str) = ("bench", "bench password");

/// Milliseconds, to a hundredth.
pub fn millis(time: Duration) -> f64 {
    (time.as_secs_f64() * 100_000.0).round() / 100.0
}

/// Seconds, to a hundredth.
pub fn seconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 100.0).round() / 100.0
}

/// Median and 99th percentile, in milliseconds.
pub fn spread(mut times: Vec<Duration>) -> Value {
    times.sort_unstable();
    let at = |percent: usize| {
        let last = times.len().saturating_sub(1);
        times.get((last * percent).div_ceil(100)).copied().map(millis)
    };
    json!({"count": times.len(), "p50_ms": at(50), "p99_ms": at(99)})
}

/// The hub's process over one step.
pub struct Meter {
    pid: u32,
    start: Instant,
    cpu: f64,
}

/// Resident memory and its peak, in MiB.
fn memory(pid: u32) -> Result<(u64, u64), String> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).map_err(words)?;
    let field = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0)
    };
    Ok((field("VmRSS:") / 1024, field("VmHWM:") / 1024))
}

/// Seconds of processor time so far.
fn cpu(pid: u32) -> Result<f64, String> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).map_err(words)?;
    // The name of the program stands in parentheses; user and system time are the 14th and 15th field.
    let rest = text.rsplit_once(')').map(|(_, rest)| rest).unwrap_or_default();
    let ticks = rest.split_whitespace().skip(11).take(2).filter_map(|one| one.parse::<f64>().ok());
    Ok(ticks.sum::<f64>() / TICKS)
}

impl Meter {
    /// Begins a step; the peak of memory starts anew where the kernel lets it.
    ///
    /// # Errors
    ///
    /// If the hub does not run.
    pub fn start(office: &Office) -> Result<Self, String> {
        let pid = office.pid().ok_or("the hub does not run")?;
        let reset = std::fs::write(format!("/proc/{pid}/clear_refs"), "5");
        if let Err(error) = reset {
            eprintln!("the peak of memory counts from the start of the process: {error}");
        }
        Ok(Self { pid, start: Instant::now(), cpu: cpu(pid)? })
    }

    /// Since the step began.
    pub fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    /// What the process took in this step.
    ///
    /// # Errors
    ///
    /// If it is gone.
    pub fn read(&self) -> Result<Value, String> {
        let (resident, peak) = memory(self.pid)?;
        let cpu = ((cpu(self.pid)? - self.cpu) * 100.0).round() / 100.0;
        Ok(json!({"cpu_s": cpu, "rss_mib": resident, "peak_rss_mib": peak}))
    }
}

/// What the hub has still to do, read beside it from its databases.
pub struct Backlog {
    ledger: Connection,
    derived: Connection,
}

impl Backlog {
    /// Opens the databases of a data folder, to read.
    ///
    /// # Errors
    ///
    /// If there are none.
    pub fn open(folder: &Path) -> Result<Self, String> {
        let open = |name: &str| {
            let found = crate::oracle::open(folder, name);
            let database = found.ok_or_else(|| format!("{name} cannot be read"))?;
            database.busy_timeout(Duration::from_secs(10)).map_err(words)?;
            Ok::<_, String>(database)
        };
        Ok(Self { ledger: open("ledger.db")?, derived: open("derived.db")? })
    }

    /// Segments that have no rows yet.
    ///
    /// # Errors
    ///
    /// If a database cannot be read.
    pub fn segments(&self) -> Result<i64, String> {
        // First what is projected: both grow meanwhile.
        let done = self.meta("position")?.unwrap_or(0);
        let sql = "SELECT coalesce(max(arrival), 0) FROM segment";
        let last: i64 = self.ledger.query_row(sql, [], |row| row.get(0)).map_err(words)?;
        Ok(last - done)
    }

    /// Whether rows are being evaluated again.
    ///
    /// # Errors
    ///
    /// If the database cannot be read.
    pub fn is_evaluating(&self) -> Result<bool, String> {
        Ok(self.meta("re-evaluate")?.is_some_and(|cursor| cursor >= 0))
    }

    /// Receipts of that number that others than the hub have stated.
    ///
    /// # Errors
    ///
    /// If the database cannot be read.
    pub fn receipts(&self, number: u64, hub: SealKey) -> Result<usize, String> {
        let sql = "SELECT count(*) FROM receipt WHERE number = ?1 AND issuer <> ?2";
        let number = i64::try_from(number).map_err(words)?;
        let found = self.ledger.query_row(sql, (number, hub.0), |row| row.get::<_, i64>(0));
        usize::try_from(found.map_err(words)?).map_err(words)
    }

    fn meta(&self, key: &str) -> Result<Option<i64>, String> {
        let sql = "SELECT value FROM meta WHERE key = ?1";
        let mut query = self.derived.prepare_cached(sql).map_err(words)?;
        let mut rows = query.query([key]).map_err(words)?;
        let Some(row) = rows.next().map_err(words)? else { return Ok(None) };
        let bytes: Vec<u8> = row.get(0).map_err(words)?;
        Ok(bytes.try_into().ok().map(i64::from_le_bytes))
    }
}

/// Bytes of a database with its log, in MiB.
fn database_mib(folder: &Path, name: &str) -> f64 {
    let of = |suffix: &str| {
        let data = std::fs::metadata(folder.join(format!("{name}{suffix}")));
        data.map_or(0, |data| data.len())
    };
    let bytes = of("") + of("-wal");
    (bytes as f64 / 104_857.6).round() / 10.0
}

/// The sizes of the hub's databases.
pub fn sizes(office: &Office) -> Value {
    let folder = &office.folder;
    json!({
        "ledger_db_mib": database_mib(folder, "ledger.db"),
        "derived_db_mib": database_mib(folder, "derived.db"),
    })
}

/// The hub's own figures, all together.
///
/// # Errors
///
/// Its refusal.
pub fn figures(office: &Office) -> Result<Value, String> {
    let mut answer = office.ask(&Request::Rollup { place: None })?;
    Ok(answer["rows"][0]["values"].take())
}

/// Proves that what was played counts: records of each ledger, nothing parked, nothing void.
///
/// # Errors
///
/// What is missing or masked.
pub fn prove(office: &Office, expected: &BTreeMap<String, u64>) -> Result<(), String> {
    let status = office.ask(&Request::Status)?;
    let (parked, void) = (&status["parked"], &status["void"]);
    if parked.as_u64() != Some(0) || void.as_u64() != Some(0) {
        return Err(format!("not all entries count: {parked} parked, {void} void"));
    }
    let found: BTreeMap<String, u64> =
        serde_json::from_value(status["records"].clone()).map_err(words)?;
    // A hub may keep ledgers of its own.
    let of = |all: &BTreeMap<String, u64>, id: &str| all.get(id).copied().unwrap_or(0);
    let wrong = expected.keys().filter(|id| of(&found, id) != of(expected, id));
    let wrong = wrong.map(|id| format!("{id}: {} of {}", of(&found, id), of(expected, id)));
    let wrong: Vec<String> = wrong.collect();
    if wrong.is_empty() {
        return Ok(());
    }
    Err(format!("other records than were played: {}", wrong.join(", ")))
}

/// Signs in to the hub's pages, with an account made for it.
///
/// # Errors
///
/// The hub's refusal.
pub fn sign_in(office: &Office, directives: &Directives, level: Level) -> Result<Pages, String> {
    let mut roles = directives.catalogue.roles.iter();
    let role = roles.find(|(_, role)| role.level == level).map(|(id, _)| id.clone());
    let new = NewAccount {
        login: LOGIN.0.into(),
        name: "压测".into(),
        role: role.ok_or("the catalogue has no role at this level")?,
        duty: Duty::Reviewer,
        password: LOGIN.1.into(),
    };
    office.ask(&Request::Account { ask: AccountRequest::Add(new) })?;
    Pages::sign_in(&office.pages, LOGIN.0, LOGIN.1)
}

/// Times a page.
///
/// # Errors
///
/// If there is none, or it does not answer.
pub fn page(pages: &Pages, path: &str, times: usize) -> Result<Value, String> {
    let first = pages.get(path)?;
    if !first.head.starts_with("HTTP/1.1 200") {
        return Err(format!("the hub has no page {path}"));
    }
    let all: Result<Vec<Duration>, String> =
        (0..times).map(|_| pages.get(path).map(|answer| answer.time)).collect();
    let mut found = spread(all?);
    found["path"] = path.into();
    found["bytes"] = first.body.len().into();
    found["first_ms"] = millis(first.time).into();
    Ok(found)
}

/// Waits until the pages of a hub that is starting answer, and gives when they did.
///
/// # Errors
///
/// If they do not in time.
pub fn first_answer(pages: &str, start: Instant, limit: Duration) -> Result<Duration, String> {
    let address = pages.trim_start_matches("http://").trim_end_matches('/');
    let request = format!("GET /signin HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    let ask = || -> std::io::Result<Vec<u8>> {
        let mut stream = TcpStream::connect(address)?;
        stream.write_all(request.as_bytes())?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        Ok(answer)
    };
    while start.elapsed() < limit {
        if ask().is_ok_and(|answer| answer.starts_with(b"HTTP/1.1 200")) {
            return Ok(start.elapsed());
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    Err(format!("no page answered within {} s of the start", limit.as_secs()))
}

/// The machine that the figures are of.
pub fn machine() -> Value {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let field = |text: &str, name: &str| {
        let line = text.lines().find(|line| line.starts_with(name));
        let value = line.and_then(|line| line.split_once(':')).map(|(_, value)| value.trim());
        value.unwrap_or_default().to_owned()
    };
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    json!({
        "cpu": field(&read("/proc/cpuinfo"), "model name"),
        "cores": cores,
        "memory": field(&read("/proc/meminfo"), "MemTotal"),
    })
}

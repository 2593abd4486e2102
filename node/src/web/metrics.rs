//! The state of this replica for a monitoring system, as text in Prometheus' format. One line a direct
//! child and a link at most: what lies deeper is on the pages.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use taizhang_core::catalogue::Severity;
use taizhang_core::time::UtcMillis;

use super::api::ApiError;
use crate::driver::{Replica, clock};
use crate::ops::OpsError;
use crate::status::BadgeState;

const TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";
/// Files whose sizes are told.
const FILES: [&str; 4] = ["ledger.db", "ledger.db-wal", "derived.db", "derived.db-wal"];
/// Ages of conflicts by name, and the days that part them.
const AGES: [&str; 4] = ["day", "week", "month", "older"];
const AGES_DAYS: [i64; 3] = [1, 7, 30];
const DAY_S: i64 = 86_400;

/// Answers by the first digit of their status.
static ANSWERED: [AtomicU64; 6] = [const { AtomicU64::new(0) }; 6];

/// Notes an answer of the pages.
pub(super) fn count(status: StatusCode) {
    let class = usize::from(status.as_u16() / 100).min(ANSWERED.len() - 1);
    ANSWERED[class].fetch_add(1, Ordering::Relaxed);
}

/// Lines of one exposition.
#[derive(Default)]
struct Exposition(String);

impl Exposition {
    /// Begins a metric: its kind and what it says.
    fn metric(&mut self, name: &str, kind: &str, help: &str) {
        let lines = format!("# HELP taizhang_{name} {help}\n# TYPE taizhang_{name} {kind}\n");
        self.0.push_str(&lines);
    }

    /// A sample with its labels.
    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        let quoted =
            |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        let labels: Vec<String> =
            labels.iter().map(|(label, text)| format!("{label}=\"{}\"", quoted(text))).collect();
        let labels = match labels.is_empty() {
            true => String::new(),
            false => format!("{{{}}}", labels.join(",")),
        };
        self.0.push_str(&format!("taizhang_{name}{labels} {value}\n"));
    }

    fn gauge(&mut self, name: &str, help: &str, value: impl Display) {
        self.metric(name, "gauge", help);
        self.sample(name, &[], value);
    }
}

/// Seconds since a time; none if it never came.
fn age(now: UtcMillis, time: UtcMillis) -> Option<i64> {
    (time.0 != 0).then(|| now.since(time) / 1000)
}

fn badge(out: &mut Exposition, replica: &Replica, now: UtcMillis) -> Result<(), OpsError> {
    let badge = replica.badge()?;
    out.metric("badge", "gauge", "State of the badge: 1 for the present one.");
    for (state, word) in [
        (BadgeState::Attention, "attention"),
        (BadgeState::Offline, "offline"),
        (BadgeState::Pending, "pending"),
        (BadgeState::Synced, "synced"),
        (BadgeState::Syncing, "syncing"),
    ] {
        out.sample("badge", &[("state", word)], u8::from(badge.state == state));
    }
    let oldest = age(now, badge.pending.oldest).unwrap_or(0);
    out.gauge(
        "pending_entries",
        "Own entries without the parent's receipt.",
        badge.pending.entries,
    );
    out.gauge("pending_oldest_seconds", "Age of the oldest such entry; 0 if none.", oldest);
    if let Some(seconds) = age(now, badge.last_contact) {
        out.gauge("parent_contact_seconds", "Since the last contact with the parent.", seconds);
    }
    Ok(())
}

fn links(out: &mut Exposition, replica: &Replica) {
    out.metric("link_connected", "gauge", "Whether a link is through its greeting.");
    let links = replica.links();
    let mut by_place: BTreeMap<String, (bool, u64, u64)> = BTreeMap::new();
    for link in &links {
        let known = by_place.entry(link.place.to_string()).or_default();
        *known = (known.0 || link.connected, known.1 + link.inbound, known.2 + link.outbound);
    }
    for (place, (connected, ..)) in &by_place {
        out.sample("link_connected", &[("place", place.as_str())], u8::from(*connected));
    }
    out.metric("link_segments", "gauge", "Segments still to move over a link.");
    for (place, (_, inbound, outbound)) in &by_place {
        out.sample("link_segments", &[("place", place.as_str()), ("way", "in")], inbound);
        out.sample("link_segments", &[("place", place.as_str()), ("way", "out")], outbound);
    }
}

fn children(out: &mut Exposition, replica: &Replica, now: UtcMillis) -> Result<(), OpsError> {
    let (directives, view) = (replica.directives(), replica.view()?);
    let tree = &directives.tree;
    let children: Vec<_> = tree
        .children(replica.place())
        .into_iter()
        .filter_map(|id| Some((tree.place(id)?, id.to_string(), view.of(id))))
        .collect();
    out.metric("child_heard", "gauge", "Whether a direct child was ever heard of.");
    for (child, id, known) in &children {
        let labels = [("place", id.as_str()), ("name", child.name())];
        out.sample("child_heard", &labels, u8::from(known.heard.0 > 0));
    }
    for (name, help, pick) in [
        ("child_data_seconds", "Age of the newest data of a direct child.", 0),
        ("child_heard_seconds", "Since the last sign of life of a direct child.", 1),
        ("child_synced_seconds", "Since both ends last held the same.", 2),
    ] {
        out.metric(name, "gauge", help);
        for (child, id, known) in &children {
            let time = [known.newest, known.heard, known.synced][pick];
            if let Some(seconds) = age(now, time) {
                let labels = [("place", id.as_str()), ("name", child.name())];
                out.sample(name, &labels, seconds);
            }
        }
    }
    Ok(())
}

fn findings(out: &mut Exposition, replica: &Replica) -> Result<(), OpsError> {
    let counts = replica.readers().with(|reader| reader.rule_counts())?;
    let directives = replica.directives();
    let rules = directives.catalogue.ledgers.values().flat_map(|ledger| &ledger.rules);
    let severities: BTreeMap<&str, Severity> =
        rules.map(|rule| (rule.id.as_str(), rule.severity)).collect();
    let mut failed = [(Severity::Warn, 0), (Severity::Violation, 0), (Severity::Block, 0)];
    let mut open = 0;
    for (rule, count, unchecked) in &counts {
        open += unchecked;
        let of = severities.get(rule.as_str());
        for (severity, sum) in &mut failed {
            *sum += if of == Some(&*severity) { *count } else { 0 };
        }
    }
    out.metric("findings", "gauge", "Findings that failed.");
    for (severity, sum) in failed {
        let word = match severity {
            Severity::Warn => "warn",
            Severity::Violation => "violation",
            Severity::Block => "block",
        };
        out.sample("findings", &[("severity", word)], sum);
    }
    out.gauge("findings_unchecked", "Findings that lack a parameter or a ledger.", open);
    Ok(())
}

fn store(out: &mut Exposition, replica: &Replica, now: UtcMillis) -> Result<(), OpsError> {
    let ((parked, void), conflicts, (segments, behind)) = replica.readers().with(|reader| {
        Ok((reader.masked_counts()?, reader.conflicts_since()?, reader.projection()?))
    })?;
    let mut ages = [0_u64; 4];
    for (_, since) in conflicts {
        let days = now.since(since) / 1000 / DAY_S;
        ages[AGES_DAYS.iter().filter(|limit| days >= **limit).count()] += 1;
    }
    out.gauge("parked_entries", "Entries that wait for what they name.", parked);
    out.gauge("void_entries", "Entries that do not count.", void);
    out.metric("conflicts", "gauge", "Records in conflict, by how long they have been.");
    for (name, count) in AGES.iter().zip(ages) {
        out.sample("conflicts", &[("age", *name)], count);
    }
    out.gauge("segments_stored", "Segments stored.", segments);
    out.gauge("segments_unprojected", "Segments that rows and figures do not show yet.", behind);
    out.metric("file_bytes", "gauge", "Sizes of the databases.");
    for name in FILES {
        if let Ok(file) = std::fs::metadata(replica.folder().join(name)) {
            out.sample("file_bytes", &[("file", name)], file.len());
        }
    }
    Ok(())
}

fn answers(out: &mut Exposition) {
    out.metric("http_answers_total", "counter", "Answers of the pages by class of status.");
    for (class, name) in [(2, "2xx"), (3, "3xx"), (4, "4xx"), (5, "5xx")] {
        let count = ANSWERED[class].load(Ordering::Relaxed);
        out.sample("http_answers_total", &[("class", name)], count);
    }
}

/// The state of this replica.
///
/// # Errors
///
/// [`ApiError`] if the store cannot be read.
pub async fn show(State(replica): State<Replica>) -> Result<Response, ApiError> {
    let (mut out, now) = (Exposition::default(), clock::now());
    out.metric("build_info", "gauge", "The program.");
    let level = replica.identity().checked.name.level().name();
    let labels = [("version", env!("CARGO_PKG_VERSION")), ("level", level)];
    out.sample("build_info", &labels, 1);
    badge(&mut out, &replica, now)?;
    links(&mut out, &replica);
    children(&mut out, &replica, now)?;
    findings(&mut out, &replica)?;
    store(&mut out, &replica, now)?;
    answers(&mut out);
    Ok(([(header::CONTENT_TYPE, TYPE)], out.0).into_response())
}

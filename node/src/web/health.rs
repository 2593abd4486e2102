//! Sync health: every office below, silent ones first; level by level, or all silent ones in one list.

use std::collections::BTreeMap;

use askama::Template;
use axum::extract::{Query, State};
use axum::http::header;
use axum::response::{Html, IntoResponse as _, Response};
use rust_xlsxwriter::{Format, Workbook, XlsxError};
use serde::Deserialize;
use taizhang_core::catalogue::Severity;
use taizhang_core::id::PlaceId;
use taizhang_core::time::UtcMillis;

use super::access::Need;
use super::below::{Crumb, coverage_line, crumbs, place_of};
use super::export::XLSX;
use super::shell::{Shell, Visitor, level_word, place_name};
use super::words::word;
use super::{Page, PageError};
use crate::driver::Replica;
use crate::health::{Ages, Office, OfficeState, Stated};

/// Offices a page.
const ROWS: usize = 50;
/// Security events shown.
const EVENTS: usize = 20;

/// What the address bar says.
#[derive(Default, Deserialize)]
#[serde(default)]
pub struct Asked {
    place: String,
    /// Only silent offices and those never heard of, however far down.
    silent: String,
    page: usize,
}

/// What stands below an office, itself left out.
#[derive(Clone, Copy, Default)]
struct Below {
    offices: u64,
    silent: u64,
    never: u64,
    not_enrolled: u64,
    parked: u64,
    void: u64,
    conflicts: Ages,
}

impl Below {
    fn add(&mut self, office: &Office) {
        self.offices += 1;
        match office.state {
            OfficeState::Silent => self.silent += 1,
            OfficeState::Never => self.never += 1,
            OfficeState::NotEnrolled => self.not_enrolled += 1,
            OfficeState::Heard | OfficeState::Connected => {}
        }
        self.parked += office.known.parked;
        self.void += office.known.void;
        for (sum, count) in self.conflicts.iter_mut().zip(office.conflicts) {
            *sum += count;
        }
    }
}

struct Line {
    name: String,
    link: String,
    level: &'static str,
    state: String,
    class: &'static str,
    newest: String,
    heard: String,
    inbound: String,
    parked: u64,
    void: u64,
    conflicts: String,
    program: String,
    policy: String,
    below: String,
}

/// What a rule about offices found.
struct Found {
    name: String,
    text: String,
    class: &'static str,
}

struct Event {
    time: String,
    kind: String,
    text: String,
}

#[derive(Template)]
#[template(path = "health.html")]
struct Health {
    shell: Shell,
    name: String,
    place: String,
    only_silent: bool,
    crumbs: Vec<Crumb>,
    coverage: String,
    /// Days of silence before an alarm, or that they are not set.
    limit: String,
    sums: Vec<(String, u64)>,
    total: usize,
    rows: Vec<Line>,
    previous: String,
    next: String,
    found: Vec<Found>,
    /// Whether this account reads security events.
    audited: bool,
    events: Vec<Event>,
}

/// Words for what is known of an office.
struct Words {
    english: bool,
}

impl Words {
    fn t(&self, key: &'static str) -> &'static str {
        word(key, self.english)
    }

    fn state(&self, office: &Office) -> (String, &'static str) {
        let since = || {
            let ago = Replica::ago(office.known.heard, self.english);
            format!("{} {ago} ({})", self.t("health.since"), office.known.heard.local_text())
        };
        match office.state {
            OfficeState::Silent => (format!("{} {}", self.t("overview.silent"), since()), "bad"),
            OfficeState::Never => (self.t("overview.never").to_owned(), "bad"),
            OfficeState::Heard => (self.t("health.heard").to_owned(), ""),
            OfficeState::Connected => (self.t("sync.connected").to_owned(), "good"),
            OfficeState::NotEnrolled => (self.t("health.not_enrolled").to_owned(), "soft"),
        }
    }

    fn unknown(&self) -> String {
        self.t("health.unknown").to_owned()
    }

    fn when(&self, time: UtcMillis) -> String {
        match time.0 {
            0 => self.unknown(),
            _ => format!("{} ({})", Replica::ago(time, self.english), time.local_text()),
        }
    }

    /// Conflicts by age, the oldest class last; empty without any.
    fn conflicts(&self, ages: &Ages) -> String {
        let keys = ["health.day", "health.week", "health.month", "health.older"];
        let known = keys.into_iter().zip(*ages).filter(|(_, count)| *count > 0);
        let parts: Vec<String> =
            known.map(|(key, count)| format!("{} {count}", self.t(key))).collect();
        parts.join(" · ")
    }

    /// What is known to exist and is not here: announced on a direct link, or stated by a receipt.
    fn inbound(&self, office: &Office, stated: &Stated) -> String {
        match (office.inbound, stated.not_here) {
            (None, None) => self.unknown(),
            (link, receipt) => link.unwrap_or(0).max(receipt.unwrap_or(0)).to_string(),
        }
    }

    fn program(&self, stated: &Stated) -> String {
        match stated.format {
            None => self.unknown(),
            Some(format) => format!("{} {format}", self.t("health.format")),
        }
    }

    fn policy(&self, stated: &Stated) -> String {
        let Some((there, here)) = stated.directives else { return self.unknown() };
        let document = match &stated.policy {
            None => self.t("health.no_policy").to_owned(),
            Some((document, true)) => document.clone(),
            Some((document, false)) => format!("{document} ({})", self.t("health.older_policy")),
        };
        format!("{document} · {} {there}/{here}", self.t("health.directives"))
    }

    fn below(&self, below: &Below) -> String {
        if below.offices == 0 {
            return String::new();
        }
        let counts = [
            ("overview.silent", below.silent),
            ("overview.never", below.never),
            ("health.not_enrolled", below.not_enrolled),
            ("places.parked", below.parked),
            ("home.void", below.void),
        ];
        let mut parts = vec![format!("{} {}", self.t("health.offices"), below.offices)];
        let some = counts.into_iter().filter(|(_, count)| *count > 0);
        parts.extend(some.map(|(key, count)| format!("{} {count}", self.t(key))));
        let conflicts = self.conflicts(&below.conflicts);
        if !conflicts.is_empty() {
            parts.push(format!("{} {conflicts}", self.t("home.conflicts")));
        }
        parts.join(" · ")
    }

    fn line(&self, office: &Office, below: &Below, stated: &Stated) -> Line {
        let (state, class) = self.state(office);
        Line {
            name: office.name.clone(),
            link: match below.offices {
                0 => String::new(),
                _ => format!("/health?place={}", office.place),
            },
            level: level_word(office.level, self.english),
            state,
            class,
            newest: self.when(office.known.newest),
            heard: self.when(office.known.heard),
            inbound: self.inbound(office, stated),
            parked: office.known.parked,
            void: office.known.void,
            conflicts: self.conflicts(&office.conflicts),
            program: self.program(stated),
            policy: self.policy(stated),
            below: self.below(below),
        }
    }
}

/// Offices below each child of a place, the child left out.
fn sums_below(replica: &Replica, place: PlaceId, offices: &[Office]) -> BTreeMap<PlaceId, Below> {
    let directives = replica.directives();
    let mut found: BTreeMap<PlaceId, Below> = BTreeMap::new();
    for office in offices {
        let mut at = office.place;
        // As many steps as the tree has levels, merged places included.
        for _ in 0..12 {
            let Some(parent) = directives.tree.parent(at) else { break };
            if parent == place {
                break;
            }
            found.entry(parent).or_default().add(office);
            at = parent;
        }
    }
    found
}

fn is_out(office: &Office) -> bool {
    matches!(office.state, OfficeState::Silent | OfficeState::Never)
}

/// Offices of one page, and of how many.
fn chosen<'a>(
    replica: &Replica,
    place: PlaceId,
    offices: &'a [Office],
    asked: &Asked,
) -> (Vec<&'a Office>, usize) {
    let directives = replica.directives();
    let is_shown = |office: &&Office| match asked.silent.is_empty() {
        true => directives.tree.parent(office.place) == Some(place),
        false => is_out(office),
    };
    let all: Vec<&Office> = offices.iter().filter(is_shown).collect();
    let total = all.len();
    (all.into_iter().skip(asked.page.saturating_mul(ROWS)).take(ROWS).collect(), total)
}

/// What rules about offices find there.
fn found(replica: &Replica, place: PlaceId, english: bool) -> Result<Vec<Found>, PageError> {
    let directives = replica.directives();
    let line = |one: crate::office_rules::OfficeFinding| Found {
        name: place_name(&directives, one.place),
        text: format!("{} {}", one.rule, one.text.in_lang(english)),
        class: if one.severity == Severity::Warn { "warn" } else { "bad" },
    };
    Ok(replica.office_findings(place)?.into_iter().map(line).collect())
}

/// Sync health of the offices below a place.
///
/// # Errors
///
/// [`PageError::NotFound`] for a place that is not below this office.
pub async fn show(
    State(replica): State<Replica>,
    Query(asked): Query<Asked>,
    visitor: Visitor,
) -> Page {
    let place = place_of(&replica, &asked.place)?;
    let (directives, view) = (replica.directives(), replica.view()?);
    let words = Words { english: visitor.english };
    let offices = replica.offices(place)?;
    let below = sums_below(&replica, place, &offices);
    let (shown, total) = chosen(&replica, place, &offices, &asked);
    let mut rows = Vec::new();
    for office in shown {
        let stated = replica.stated(office.place)?;
        let under = below.get(&office.place).copied().unwrap_or_default();
        rows.push(words.line(office, &under, &stated));
    }
    let mut all = Below::default();
    for office in &offices {
        all.add(office);
    }
    let sums = [
        ("health.offices", all.offices),
        ("overview.silent", all.silent),
        ("overview.never", all.never),
        ("health.not_enrolled", all.not_enrolled),
        ("home.parked", all.parked),
        ("home.void", all.void),
        ("home.conflicts", all.conflicts.iter().sum()),
    ];
    let silent = &asked.silent;
    let link = |page: usize| format!("/health?place={place}&silent={silent}&page={page}");
    let page = asked.page.min(usize::MAX / ROWS - 1);
    // What went wrong between offices is for those who look after them.
    let audited = visitor.may(Need::Office, &replica);
    let events = if audited { replica.security_events(EVENTS)? } else { Vec::new() };
    let page = Health {
        shell: Shell::new(&replica, &visitor)?,
        name: place_name(&directives, place),
        place: place.to_string(),
        only_silent: !asked.silent.is_empty(),
        crumbs: crumbs(&replica, place, "/health"),
        coverage: coverage_line(&view.cover(place), view.at, visitor.english),
        limit: match view.silence_days {
            None => words.t("policy.unset").to_owned(),
            Some(days) => format!("{days} {}", words.t("overview.days")),
        },
        sums: sums.into_iter().map(|(key, count)| (words.t(key).to_owned(), count)).collect(),
        total,
        rows,
        previous: if page > 0 { link(page - 1) } else { String::new() },
        next: if total > (page + 1) * ROWS { link(page + 1) } else { String::new() },
        found: found(&replica, place, visitor.english)?,
        audited,
        events: events
            .into_iter()
            .map(|(time, kind, text)| Event { time: time.local_text(), kind, text })
            .collect(),
    };
    Ok(Html(page.render()?))
}

/// Every office below a place, or the silent ones, as a sheet.
fn book(words: &Words, offices: &[(&Office, Stated)]) -> Result<Vec<u8>, XlsxError> {
    let mut book = Workbook::new();
    let sheet = book.add_worksheet();
    let bold = Format::new().set_bold();
    let heads = [
        "places.place",
        "health.level",
        "list.state",
        "places.newest",
        "health.contact",
        "health.inbound",
        "home.parked",
        "home.void",
        "home.conflicts",
        "health.program",
        "health.policy",
    ];
    for (column, head) in (0..).zip(heads) {
        sheet.write_string_with_format(0, column, words.t(head), &bold)?;
    }
    sheet.set_freeze_panes(1, 0)?;
    for (at, (office, stated)) in (1..).zip(offices) {
        let line = words.line(office, &Below::default(), stated);
        let conflicts = line.conflicts;
        let texts = [line.name, line.level.to_owned(), line.state, line.newest, line.heard];
        for (column, text) in (0..).zip(texts) {
            sheet.write_string(at, column, text)?;
        }
        sheet.write_string(at, 5, line.inbound)?;
        sheet.write_number(at, 6, line.parked as f64)?;
        sheet.write_number(at, 7, line.void as f64)?;
        for (column, text) in (8..).zip([conflicts, line.program, line.policy]) {
            sheet.write_string(at, column, text)?;
        }
    }
    sheet.autofit();
    book.save_to_buffer()
}

/// Sync health as a spreadsheet; the audit says who took it.
///
/// # Errors
///
/// As [`show`].
pub async fn export(
    State(replica): State<Replica>,
    Query(asked): Query<Asked>,
    visitor: Visitor,
) -> Result<Response, PageError> {
    let place = place_of(&replica, &asked.place)?;
    let words = Words { english: visitor.english };
    let offices = replica.offices(place)?;
    let made = tokio::task::block_in_place(|| {
        let wanted = offices.iter().filter(|office| asked.silent.is_empty() || is_out(office));
        let mut rows = Vec::new();
        for office in wanted {
            rows.push((office, replica.stated(office.place)?));
        }
        book(&words, &rows).map_err(|error| PageError::Sheet(error.to_string()))
    });
    let bytes = made?;
    let text = format!("{} took the sync health of place {place}", visitor.login());
    replica.run(move |engine, now| Ok(engine.store.audit("exported", &text, now)?)).await?;
    let name = "attachment; filename=\"health.xlsx\"";
    Ok(([(header::CONTENT_TYPE, XLSX), (header::CONTENT_DISPOSITION, name)], bytes).into_response())
}

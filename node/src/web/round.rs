//! The page of rounds of inspection: places and their pins, findings, what strikes there.

use std::collections::BTreeSet;

use askama::Template;
use axum::extract::{Path, Query, State};
use axum::response::Html;
use serde::Deserialize;
use taizhang_core::catalogue::{Catalogue, Text};
use taizhang_core::directives::Directives;
use taizhang_core::id::{Level, PlaceId, RecordId};
use taizhang_core::record::fold::Row;

use super::inspection::{FINDING, ROUND, column, covered, lines, pin_of, rounds};
use super::ledger::state_label;
use super::reading::ledger_of;
use super::record::record_id;
use super::shell::{Shell, Visitor, place_name};
use super::words::word;
use super::{Page, PageError};
use crate::account::Duty;
use crate::driver::{Replica, clock};
use crate::patterns::{self, Pattern, PatternKind, patterns};
use crate::store::read::{ListQuery, Listed};
use crate::viewer::sampled;

/// Findings of one round that its page lists.
const FINDINGS_MAX: usize = 500;
/// Villages of a round that are looked through for patterns.
const PATTERN_PLACES: usize = 40;
/// Days before a round in which patterns are looked for.
const PATTERN_DAYS: i64 = 31;
/// Days that those inspected have to reply, if nobody says otherwise.
const REPLY_DAYS: i64 = 15;

struct Choice {
    id: String,
    label: String,
}

fn choices(catalogue: &Catalogue, vocab: &str, english: bool) -> Vec<Choice> {
    let values = catalogue.vocabs.get(vocab).into_iter().flat_map(|vocab| &vocab.values);
    let choice = |(id, label): &(String, Text)| Choice {
        id: id.clone(),
        label: label.in_lang(english).to_owned(),
    };
    values.map(choice).collect()
}

struct RoundLine {
    id: String,
    title: String,
    kind: String,
    place: String,
    state: String,
    from: String,
    until: String,
    unannounced: bool,
}

struct PlaceLine {
    id: String,
    name: String,
    why: String,
    below: usize,
    pinned: String,
}

struct FindingLine {
    id: String,
    title: String,
    place: String,
    state: String,
    due: String,
    late: bool,
    ticket: String,
    may_ticket: bool,
    /// The record that it is about, if one is named.
    about: String,
}

struct StepLine {
    to: String,
    label: String,
    reason: bool,
}

/// One round in full.
struct Opened {
    line: RoundLine,
    /// Whether it is this office's.
    ours: bool,
    may_place: bool,
    may_find: bool,
    steps: Vec<StepLine>,
    places: Vec<PlaceLine>,
    targets: Vec<Choice>,
    grades: Vec<Choice>,
    domains: Vec<Choice>,
    severities: Vec<Choice>,
    reply_due: String,
    findings: Vec<FindingLine>,
    rule: &'static str,
    /// Where what strikes shows; empty if it shows here, or the round has not begun.
    patterns_link: String,
    patterns: Vec<String>,
}

#[derive(Template)]
#[template(path = "round.html")]
struct RoundPage {
    shell: Shell,
    today: String,
    rounds: Vec<RoundLine>,
    kinds: Vec<Choice>,
    /// The one that is open, if any.
    open: Vec<Opened>,
}

struct Making<'a> {
    replica: &'a Replica,
    directives: &'a Directives,
    duty: Option<Duty>,
    english: bool,
    /// Whether what strikes was asked for.
    with_patterns: bool,
}

impl Making<'_> {
    fn line(&self, listed: &Listed) -> RoundLine {
        let text = |id: &str| listed.row.as_ref().map(|row| row.text(id)).unwrap_or_default();
        let catalogue = &self.directives.catalogue;
        let ledger = catalogue.ledger(ROUND);
        RoundLine {
            id: listed.record.to_string(),
            title: listed.title.clone(),
            kind: catalogue.value_label("supervision_kind", &text("kind"), self.english),
            place: place_name(self.directives, listed.slice.place),
            state: ledger
                .map(|ledger| state_label(ledger, &listed.state, self.english))
                .unwrap_or_default(),
            from: text("start_on"),
            until: text("end_on"),
            unannounced: text("unannounced") == "true",
        }
    }

    fn places(&self, row: &Row) -> Vec<PlaceLine> {
        let tree = &self.directives.tree;
        let place = |id: PlaceId| {
            let named = id.to_string();
            let line = lines(row, "places").find(|line| column(line, "place") == named);
            PlaceLine {
                name: tree.full_name(id),
                why: line.map(|line| column(line, "why")).unwrap_or_default(),
                below: tree.subtree(id).len() - 1,
                pinned: pin_of("", row, id).map(|pin| pin.on).unwrap_or_default(),
                id: named,
            }
        };
        sampled(row).into_iter().map(place).collect()
    }

    fn steps(&self, state: &str, level: Level) -> Vec<StepLine> {
        let ledger = self.directives.catalogue.ledger(ROUND);
        let workflow = ledger.and_then(|ledger| ledger.workflow.as_ref());
        let steps = workflow.into_iter().flat_map(|workflow| &workflow.transitions);
        let reviews = self.duty == Some(Duty::Reviewer);
        steps
            .filter(|step| step.from.iter().any(|from| from == state) && step.by.contains(&level))
            .filter(|step| reviews || step.to != "running")
            .map(|step| StepLine {
                to: step.to.clone(),
                label: step.label.in_lang(self.english).to_owned(),
                reason: step.reason,
            })
            .collect()
    }

    fn findings(&self, round: RecordId) -> Result<Vec<FindingLine>, PageError> {
        let query = ListQuery {
            ledger: FINDING.into(),
            field: ("round_id".into(), round.to_string()),
            limit: FINDINGS_MAX,
            ..ListQuery::default()
        };
        let (found, _) = self.replica.readers().with(|reader| reader.list(&query))?;
        let ledger = ledger_of(self.directives, FINDING)?;
        let today = clock::now().date().to_string();
        let line = |listed: &Listed| {
            let text = |id: &str| listed.row.as_ref().map(|row| row.text(id)).unwrap_or_default();
            let due = text("reply_due");
            FindingLine {
                id: listed.record.to_string(),
                title: listed.title.clone(),
                place: self.directives.tree.full_name(listed.slice.place),
                state: state_label(ledger, &listed.state, self.english),
                late: listed.state == "found" && !due.is_empty() && due < today,
                due,
                may_ticket: text("ticket").is_empty() && text("grade") != "good",
                ticket: text("ticket"),
                about: text("target_record"),
            }
        };
        Ok(found.iter().filter(|one| !one.is_void).map(line).collect())
    }

    /// What strikes in the villages of a round.
    fn patterns(&self, row: &Row) -> Result<Vec<String>, PageError> {
        let tree = &self.directives.tree;
        let is_village =
            |id: &PlaceId| tree.place(*id).is_some_and(|place| place.level == Level::Village);
        let villages = covered(row, tree).into_iter().filter(is_village);
        let villages: Vec<PlaceId> = villages.take(PATTERN_PLACES).collect();
        let now = clock::now();
        let from = now.date().plus_days(-PATTERN_DAYS);
        let catalogue = &self.directives.catalogue;
        let found = self
            .replica
            .readers()
            .with(|reader| patterns(reader, catalogue, &villages, from, now))?;
        Ok(found.iter().map(|one| describe(one, self.directives, self.english)).collect())
    }

    fn opened(&self, listed: &Listed, level: Level) -> Result<Opened, PageError> {
        let row = listed.row.as_ref().ok_or(PageError::NotFound)?;
        let (catalogue, tree) = (&self.directives.catalogue, &self.directives.tree);
        let ours = listed.slice.place == self.replica.place();
        let state = listed.state.as_str();
        let begun = state != "planned";
        let target = |id: PlaceId| {
            let level = tree.place(id)?.level;
            let here = matches!(level, Level::Village | Level::Township);
            here.then(|| Choice { id: id.to_string(), label: tree.full_name(id) })
        };
        let may_find = ours && matches!(state, "released" | "rectified");
        let targets = if may_find { covered(row, tree) } else { BTreeSet::new() };
        Ok(Opened {
            line: self.line(listed),
            ours,
            may_place: ours && matches!(state, "planned" | "running"),
            may_find,
            steps: if ours { self.steps(state, level) } else { Vec::new() },
            places: self.places(row),
            targets: targets.into_iter().filter_map(target).collect(),
            grades: choices(catalogue, "finding_grade", self.english),
            domains: choices(catalogue, "problem_domain", self.english),
            severities: choices(catalogue, "severity", self.english),
            reply_due: clock::now().date().plus_days(REPLY_DAYS).to_string(),
            findings: self.findings(listed.record)?,
            rule: patterns::RULE,
            patterns_link: match begun && !self.with_patterns {
                true => format!("/rounds/{}?patterns=1", listed.record),
                false => String::new(),
            },
            patterns: match begun && self.with_patterns {
                true => self.patterns(row)?,
                false => Vec::new(),
            },
        })
    }
}

/// A pattern in words: where, what, who, how many.
pub fn describe(one: &Pattern, directives: &Directives, english: bool) -> String {
    let t = |key| word(key, english);
    let place = directives.tree.full_name(one.place);
    let ledger = directives.catalogue.ledger(&one.ledger);
    let label = |name: Option<&str>, id: &str| name.unwrap_or(id).to_owned();
    let field = ledger.and_then(|ledger| ledger.field(&one.field));
    let what = format!(
        "{} · {}",
        label(ledger.map(|one| one.label.in_lang(english)), &one.ledger),
        label(field.map(|one| one.label.in_lang(english)), &one.field)
    );
    let (count, usual) = (one.count, one.usual);
    let said = match one.kind {
        PatternKind::Mass => {
            format!(
                "{} {}: {count} ({} {usual})",
                t("quality.mass"),
                one.person,
                t("quality.usual")
            )
        }
        PatternKind::Same => format!("{} {what}: {count}", t("quality.same")),
        PatternKind::BackDated => {
            format!("{} {what} {}: {count}", t("quality.back_dated"), one.person)
        }
    };
    format!("{place}: {said}")
}

/// What the address bar says.
#[derive(Default, Deserialize)]
#[serde(default)]
pub struct RoundQuery {
    /// `1` looks for what strikes, which takes its time.
    patterns: String,
}

fn page(replica: &Replica, visitor: &Visitor, open: Option<RecordId>, query: &RoundQuery) -> Page {
    let directives = replica.directives();
    let english = visitor.english;
    let with_patterns = query.patterns == "1";
    let duty = visitor.duty();
    let making = Making { replica, directives: &directives, duty, english, with_patterns };
    let level = replica.identity().checked.name.level();
    let all = rounds(replica, None, "")?;
    let opened = match open {
        None => Vec::new(),
        Some(record) => {
            let found = all.iter().find(|one| one.record == record).ok_or(PageError::NotFound)?;
            vec![making.opened(found, level)?]
        }
    };
    let page = RoundPage {
        shell: Shell::new(replica, visitor)?,
        today: clock::now().date().to_string(),
        rounds: all.iter().map(|one| making.line(one)).collect(),
        kinds: choices(&directives.catalogue, "supervision_kind", english),
        open: opened,
    };
    Ok(Html(page.render()?))
}

/// All rounds that this office holds, and a form for a new one.
///
/// # Errors
///
/// [`PageError`].
pub async fn index(State(replica): State<Replica>, visitor: Visitor) -> Page {
    tokio::task::block_in_place(|| page(&replica, &visitor, None, &RoundQuery::default()))
}

/// One round: places, findings, what strikes there.
///
/// # Errors
///
/// [`PageError::NotFound`].
pub async fn show(
    State(replica): State<Replica>,
    Path(id): Path<String>,
    Query(query): Query<RoundQuery>,
    visitor: Visitor,
) -> Page {
    let round = record_id(&id)?;
    tokio::task::block_in_place(|| page(&replica, &visitor, Some(round), &query))
}

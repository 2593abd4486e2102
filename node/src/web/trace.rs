//! The whole way of one record: every hop in causal order, from the villager to the answer. Who, where, when by
//! their own clock, when it came here and where it is held, whose turn it was, what was too late, and what was
//! entered after a round of inspection had begun.

use std::collections::BTreeMap;

use askama::Template;
use axum::extract::{Path, State};
use axum::response::Html;
use taizhang_core::feed::receipt::Receipt;
use taizhang_core::id::{Level, PlaceId, RecordId};
use taizhang_core::record::fold::{Conflict, ConflictKind};
use taizhang_core::record::log::LoggedChange;
use taizhang_core::record::state::{Step, TransitionLine};
use taizhang_core::record::value::{LEDGER_KEY, STATE_FIELD, Value, split_key};

use super::Page;
use super::inspection::{Pin, note_look, pins};
use super::reading::{Reading, ledger_of, opened};
use super::record::{View, record_id};
use super::shell::{Shell, Visitor, level_word};
use super::words::word;
use super::worklist::turn;
use crate::driver::{Replica, clock};
use crate::ops::answer::place_of;
use crate::store::inspection::Standing;
use crate::store::read::Detail;

/// Fields that say who answers for a record, in the order in which they are read out.
const HOLDERS: [&str; 3] = ["holder_level", "holder_org", "holder_person"];
/// Logs of what the person was told.
const TOLD: [&str; 2] = ["feedback", "feedback_above"];

/// Whether an office holds a change.
struct Held {
    level: &'static str,
    is_held: bool,
    /// Since when at the latest.
    time: String,
}

struct Hop {
    number: usize,
    time: String,
    who: String,
    place: String,
    level: &'static str,
    device: String,
    what: Vec<String>,
    /// What became of a step, if it was not simply taken.
    fate: &'static str,
    /// Whether it tells the person what came of it.
    told: bool,
    counted: bool,
    turn: String,
    holder: String,
    due: String,
    held: Vec<Held>,
    /// Rounds that had begun before it came.
    late_for: Vec<String>,
}

struct PinLine {
    title: String,
    on: String,
    late: usize,
}

#[derive(Template)]
#[template(path = "trace.html")]
struct TracePage {
    shell: Shell,
    id: String,
    title: String,
    ledger_label: String,
    place: String,
    state: String,
    turn: String,
    holder: String,
    deadline: String,
    overdue: bool,
    hops: Vec<Hop>,
    pins: Vec<PinLine>,
}

/// The way of a record.
///
/// # Errors
///
/// [`PageError::NotFound`].
pub async fn show(
    State(replica): State<Replica>,
    Path(id): Path<String>,
    visitor: Visitor,
) -> Page {
    let record = record_id(&id)?;
    note_look(&replica, &visitor, record).await?;
    tokio::task::block_in_place(|| page(&replica, &visitor, record))
}

fn page(replica: &Replica, visitor: &Visitor, record: RecordId) -> Page {
    let directives = replica.directives();
    let detail = opened(replica, record)?;
    let ledger = ledger_of(&directives, &detail.ledger)?;
    let english = visitor.english;
    let viewer = visitor.viewer_at(replica, detail.slice.place)?;
    let reading = Reading { replica, directives: &directives, viewer, english };
    let view = View {
        reading: &reading,
        ledger,
        row: &detail.row,
        failed: Vec::new(),
        decides: false,
        role: String::new(),
    };
    let (standings, receipts) = replica
        .readers()
        .with(|reader| Ok((reader.standings(&detail.log)?, reader.receipts(detail.slice)?)))?;
    let pins = pins(replica, detail.slice.place)?;
    let way = Way { view, detail: &detail, standings, receipts, pins };
    let (hops, holders) = way.hops();
    let deadline = way.view.deadline()?.map(|(day, _)| day).unwrap_or_default();
    let state = detail.row.state_id().unwrap_or_default();
    let page = TracePage {
        shell: Shell::new(replica, visitor)?,
        id: record.to_string(),
        title: reading.title(&detail.title, ledger, record),
        ledger_label: ledger.label.in_lang(english).to_owned(),
        place: directives.tree.full_name(detail.slice.place),
        state: way.view.state_label(state),
        turn: way.turn(state),
        holder: way.holder(&holders),
        overdue: !deadline.is_empty() && deadline < clock::now().date().to_string(),
        deadline,
        pins: way.pin_lines(),
        hops,
    };
    Ok(Html(page.render()?))
}

struct Way<'a> {
    view: View<'a>,
    detail: &'a Detail,
    /// Where each change of the log stands.
    standings: Vec<Option<Standing>>,
    receipts: Vec<Receipt>,
    pins: Vec<Pin>,
}

impl Way<'_> {
    /// Every change in causal order, and who answers for the record at the end.
    fn hops(&self) -> (Vec<Hop>, BTreeMap<String, Value>) {
        let changes = &self.detail.log.changes;
        let mut order: Vec<usize> = (0..changes.len()).collect();
        // Lamport counters grow along causality; of what was made apart, the actor decides, as in the fold.
        order.sort_by_key(|at| {
            let change = &changes[*at];
            (change.origin.lamport, change.actor, change.seq)
        });
        let mut holders = BTreeMap::new();
        let mut hops = Vec::with_capacity(order.len());
        for (number, at) in (1..).zip(order) {
            let change = &changes[at];
            if change.origin.counted {
                note_holders(change, &mut holders);
            }
            hops.push(self.hop(number, at, change, &holders));
        }
        (hops, holders)
    }

    fn hop(
        &self,
        number: usize,
        at: usize,
        change: &LoggedChange,
        holders: &BTreeMap<String, Value>,
    ) -> Hop {
        let (view, origin) = (&self.view, &change.origin);
        let english = view.reading.english;
        let standing = self.standings.get(at).and_then(Option::as_ref);
        let line = transition(change);
        let taken = line.as_ref().is_some_and(|line| self.is_taken(change, line));
        let written = change.ops.iter().filter(|op| op.key != LEDGER_KEY);
        let mut what: Vec<String> =
            written.map(|op| view.operation(&op.key, op.value.as_ref())).collect();
        if change.deps.is_empty() {
            what.insert(0, word("trace.began", english).to_owned());
        }
        let due = view.ledger.due.as_ref().and_then(|due| {
            let set = change.ops.iter().find(|op| op.key == due.field)?;
            set.value.as_ref().map(Value::to_string)
        });
        let late_for = self.pins.iter().filter(|pin| pin.is_after(standing));
        Hop {
            number,
            time: origin.time.local_text(),
            who: view.person(&origin.person),
            place: view.reading.directives.tree.full_name(origin.place),
            level: level_word(origin.level, english),
            device: origin.author.key.short(),
            what,
            fate: match &line {
                Some(line) if !taken => self.fate(change, line, english),
                _ => "",
            },
            told: change.ops.iter().any(|op| TOLD.contains(&split_key(&op.key).0)),
            counted: origin.counted,
            turn: match &line {
                Some(line) if taken => self.turn(&line.to),
                _ => String::new(),
            },
            holder: self.holder(holders),
            due: due.unwrap_or_default(),
            held: self.held(change, standing),
            late_for: late_for.map(|pin| format!("{} {}", pin.title, pin.on)).collect(),
        }
    }

    /// Whether a step is one of those applied.
    fn is_taken(&self, change: &LoggedChange, line: &TransitionLine) -> bool {
        let mut steps = self.detail.row.state.iter().flat_map(|state| &state.steps);
        let origin = &change.origin;
        let same = |step: &Step| {
            step.to == line.to && step.level == origin.level && step.time == origin.time
        };
        origin.counted && steps.any(same)
    }

    /// What became of a step that was not applied.
    fn fate(&self, change: &LoggedChange, line: &TransitionLine, english: bool) -> &'static str {
        let origin = &change.origin;
        if !origin.counted {
            return "";
        }
        let of_change = |one: &Conflict| {
            let writer = one.candidates.first().map(|one| &one.writer);
            one.kind == ConflictKind::Superseded
                && writer.is_some_and(|writer| {
                    writer.author == origin.author && writer.lamport == origin.lamport
                })
        };
        let row = &self.detail.row;
        let waits = row.state.as_ref().is_some_and(|state| state.pending.contains(&line.to));
        let key = if row.conflicts.iter().any(of_change) {
            "conflict.superseded"
        } else if waits {
            "record.waits"
        } else {
            "record.sign_again"
        };
        word(key, english)
    }

    /// The level whose turn it is in a state.
    fn turn(&self, state: &str) -> String {
        let (ledger, reading) = (self.view.ledger, self.view.reading);
        let home = reading.directives.tree.place(self.detail.slice.place).map(|place| place.level);
        let level = ledger
            .workflow
            .as_ref()
            .and_then(|workflow| turn(workflow, state, home.unwrap_or(Level::Village)));
        level.map(|level| level_word(level, reading.english).to_owned()).unwrap_or_default()
    }

    /// Who answers for the record, as far as its fields say.
    fn holder(&self, holders: &BTreeMap<String, Value>) -> String {
        let named = HOLDERS.iter().filter_map(|id| {
            let (field, value) = (self.view.ledger.field(id)?, holders.get(*id)?);
            Some(self.view.reading.value(field, value))
        });
        named.collect::<Vec<_>>().join(" ")
    }

    /// Which offices hold a change, by their receipts: a receipt says more than one thing, so its time is
    /// that by which they had it at the latest.
    fn held(&self, change: &LoggedChange, standing: Option<&Standing>) -> Vec<Held> {
        let reading = self.view.reading;
        let tree = &reading.directives.tree;
        let own = reading.replica.place();
        let line = |place: &PlaceId| {
            let level = tree.place(*place)?.level;
            let covering = self.receipts.iter().filter(|receipt| {
                place_of(reading.directives, receipt.issuer.key) == Some(*place)
                    && standing.is_some_and(|one| {
                        receipt.held.head(one.feed.lane, one.feed.author).count > one.number
                    })
            });
            let time = if change.origin.place == *place {
                Some(change.origin.time)
            } else if *place == own {
                standing.map(|one| one.came)
            } else {
                covering.map(|receipt| receipt.time).min()
            };
            Some(Held {
                level: level_word(level, reading.english),
                is_held: time.is_some(),
                time: time.map(|time| time.local_text()).unwrap_or_default(),
            })
        };
        tree.path(self.detail.slice.place).iter().rev().filter_map(line).collect()
    }

    fn pin_lines(&self) -> Vec<PinLine> {
        let late = |pin: &Pin| {
            let all = self.standings.iter();
            all.filter(|standing| pin.is_after(standing.as_ref())).count()
        };
        let pins = self.pins.iter();
        pins.map(|pin| PinLine { title: pin.title.clone(), on: pin.on.clone(), late: late(pin) })
            .collect()
    }
}

/// The step that a change takes, if it takes one.
fn transition(change: &LoggedChange) -> Option<TransitionLine> {
    let step = change.ops.iter().find(|op| split_key(&op.key).0 == STATE_FIELD)?;
    serde_json::from_str(step.value.as_ref()?.as_text()?).ok()
}

/// Takes over what a change says of who answers for the record.
fn note_holders(change: &LoggedChange, holders: &mut BTreeMap<String, Value>) {
    for op in change.ops.iter().filter(|op| HOLDERS.contains(&op.key.as_str())) {
        match &op.value {
            Some(value) => drop(holders.insert(op.key.clone(), value.clone())),
            None => drop(holders.remove(&op.key)),
        }
    }
}

//! Rounds of inspection: planned, begun, released; their findings, and the tickets made of these.
//!
//! A round stands in the ledger slice of the office that sends it, so its plan is nowhere below. When it begins, it
//! pins how far each feed of the places sampled is held here; what stands beyond is marked (DOMAIN.md, scenario 30).
//! While it runs, its inspectors see people of these places ([`Scope`]); each look is written down. The page is
//! [`super::round`].

use std::collections::{BTreeMap, BTreeSet};

use axum::Form;
use axum::extract::{Path, State};
use axum::response::Redirect;
use taizhang_core::catalogue::Catalogue;
use taizhang_core::feed::entry::{Action, Person};
use taizhang_core::feed::frontier::Frontier;
use taizhang_core::id::{AuthorId, Lane, Level, PlaceId, RecordId, SliceId};
use taizhang_core::place::Tree;
use taizhang_core::record::edit::creation;
use taizhang_core::record::fold::{LogLine, Row};
use taizhang_core::record::value::Value;
use taizhang_core::time::UtcMillis;

use super::reading::opened;
use super::record::record_id;
use super::shell::Visitor;
use super::{PageError, Posted};
use crate::account::Duty;
use crate::driver::{Replica, clock};
use crate::engine::Engine;
use crate::engine::command::{CommandError, Inputs, refuse};
/// The ledgers of rounds and of what they found.
pub use crate::engine::command::{FINDING, ROUND};
use crate::engine::save::LocalEntry;
use crate::engine::values::{Source, parse};
use crate::ops::find_place;
use crate::store::inspection::Standing;
use crate::store::read::{ListQuery, Listed};
use crate::viewer::{Scope, Viewer, sampled};

/// The ledger of problems.
pub const TICKET: &str = "problem_ticket";
/// Rounds that are looked through: forty years of one a month.
const ROUNDS_MAX: usize = 500;
/// Places that one round may pin: two counties' villages.
const PINS_MAX: usize = 1500;
/// Pins in one entry: a village's dozen feeds at 45 bytes each stay far below the bytes of an entry.
const PINS_PER_ENTRY: usize = 40;

/// What an office held of a place's ledgers when a round began.
#[derive(Clone, Debug)]
pub struct Pin {
    /// Title of the round.
    pub(super) title: String,
    /// The day.
    pub(super) on: String,
    hash: String,
    heads: BTreeMap<String, u64>,
}

impl Pin {
    fn read(title: &str, line: &LogLine) -> Self {
        let heads = column(line, "heads");
        let heads = heads.split(' ').filter_map(|one| one.split_once(':'));
        Self {
            title: title.to_owned(),
            on: column(line, "on"),
            hash: column(line, "hash"),
            heads: heads
                .filter_map(|(feed, count)| Some((feed.to_owned(), count.parse().ok()?)))
                .collect(),
        }
    }

    /// Whether a change was not held yet; an own one that is not sealed is newer than any pin.
    pub fn is_after(&self, standing: Option<&Standing>) -> bool {
        standing.is_none_or(|one| {
            let feed = feed_word(one.feed.lane, one.feed.author);
            one.number >= self.heads.get(&feed).copied().unwrap_or(0)
        })
    }
}

/// A feed of a known slice in a pin.
fn feed_word(lane: Lane, author: AuthorId) -> String {
    format!("{}{}", lane.code(), author.actor())
}

pub(super) fn column(line: &LogLine, id: &str) -> String {
    line.columns.get(id).map(Value::to_string).unwrap_or_default()
}

pub(super) fn lines<'a>(row: &'a Row, field: &str) -> impl Iterator<Item = &'a LogLine> {
    row.logs.get(field).into_iter().flatten()
}

/// Rounds that this replica holds, of one office and in one state if these are given.
pub(super) fn rounds(
    replica: &Replica,
    place: Option<PlaceId>,
    state: &str,
) -> Result<Vec<Listed>, PageError> {
    let query = ListQuery {
        ledger: ROUND.into(),
        place,
        state: state.into(),
        limit: ROUNDS_MAX,
        ..ListQuery::default()
    };
    let (mut found, _) = replica.readers().with(|reader| reader.list(&query))?;
    found.retain(|one| !one.is_void);
    Ok(found)
}

/// Places whose people an inspector may see today; none for any other duty, which no round concerns.
pub(super) fn scope_of(replica: &Replica, viewer: Viewer) -> Result<Scope, PageError> {
    if viewer.duty != Some(Duty::Inspector) {
        return Ok(Scope::default());
    }
    let running = rounds(replica, Some(replica.place()), "running")?;
    let directives = replica.directives();
    let rows = running.iter().filter_map(|one| one.row.as_ref());
    Ok(Scope::of(rows, &directives.tree, clock::now().date()))
}

/// Places in which words may find something, if that depends on who asks: an inspector finds only people
/// whom a round lets them see.
pub(super) fn searched(
    replica: &Replica,
    viewer: Viewer,
    words: &str,
) -> Result<Option<Vec<PlaceId>>, PageError> {
    let told = viewer.duty == Some(Duty::Inspector) && viewer.level != Level::City;
    if words.trim().is_empty() || !told {
        return Ok(None);
    }
    Ok(Some(scope_of(replica, viewer)?.places()))
}

/// Writes down that an inspector looked at a record in a round, once a day.
pub(super) async fn note_look(
    replica: &Replica,
    visitor: &Visitor,
    record: RecordId,
) -> Result<(), PageError> {
    if visitor.duty() != Some(Duty::Inspector) {
        return Ok(());
    }
    let place = opened(replica, record)?.slice.place;
    if !visitor.viewer_at(replica, place)?.inspects {
        return Ok(());
    }
    note(replica, format!("{} saw record {record} in a round", visitor.login())).await
}

/// The same for a table that shows rows of places inspected.
pub(super) async fn note_table(
    replica: &Replica,
    visitor: &Visitor,
    ledger: &str,
    scope: &Scope,
) -> Result<(), PageError> {
    if scope.is_empty() {
        return Ok(());
    }
    note(replica, format!("{} saw the table {ledger} in a round", visitor.login())).await
}

async fn note(replica: &Replica, text: String) -> Result<(), PageError> {
    replica
        .run(move |engine, now| {
            Ok(engine.store.audit_once("inspected", &text, now.date().start(), now)?)
        })
        .await?;
    Ok(())
}

/// What rounds that have begun pinned of a place's ledgers.
pub(super) fn pins(replica: &Replica, place: PlaceId) -> Result<Vec<Pin>, PageError> {
    let begun = rounds(replica, None, "")?.into_iter().filter(|one| one.state != "planned");
    Ok(begun.filter_map(|one| pin_of(&one.title, one.row.as_ref()?, place)).collect())
}

/// The first pin of a place: what comes after it never becomes older.
pub fn pin_of(title: &str, row: &Row, place: PlaceId) -> Option<Pin> {
    let place = place.to_string();
    let line = lines(row, "pins").find(|line| column(line, "place") == place)?;
    Some(Pin::read(title, line))
}

/// The places of a round and everything below them.
pub(super) fn covered(row: &Row, tree: &Tree) -> BTreeSet<PlaceId> {
    sampled(row).into_iter().flat_map(|place| tree.subtree(place)).collect()
}

/// Pins how far the ledgers of a round's places are held now; places pinned before keep their pin.
///
/// # Errors
///
/// If the round names no place, or too many.
pub fn pin(
    engine: &mut Engine,
    round: RecordId,
    person: &Person,
    now: UtcMillis,
) -> Result<(), CommandError> {
    let found = engine.find(round)?;
    let pinned: BTreeSet<String> =
        lines(&found.row, "pins").map(|line| column(line, "place")).collect();
    // What this office wrote itself until now is sealed first, so that it stands before the pin.
    engine.flush(now)?;
    let frontiers = engine.store.frontiers()?;
    let mut wanted = covered(&found.row, &engine.directives.tree);
    wanted.retain(|place| !pinned.contains(&place.to_string()));
    if wanted.is_empty() && pinned.is_empty() {
        return refuse("请先添加抽查的地方", "name the places of the round first");
    }
    if wanted.len() + pinned.len() > PINS_MAX {
        return refuse(
            format!("抽查的地方连同下级超过{PINS_MAX}个,请分几次督查"),
            format!("more than {PINS_MAX} places with those below; make several rounds of it"),
        );
    }
    let line = |place: &PlaceId| {
        let slice = SliceId::ledger(*place);
        let held = frontiers.slices.get(&slice).cloned().unwrap_or_default();
        Inputs::from([
            ("place".to_owned(), place.to_string()),
            ("on".to_owned(), now.date().to_string()),
            ("hash".to_owned(), held.digest(slice).to_string()),
            ("heads".to_owned(), heads_text(&held)),
        ])
    };
    let made: Vec<Inputs> = wanted.iter().map(line).collect();
    for some in made.chunks(PINS_PER_ENTRY) {
        let text = serde_json::to_string(some).unwrap_or_default();
        let inputs = Inputs::from([("pins".to_owned(), text)]);
        engine.set(round, &inputs, Source::Data, person, now)?;
    }
    Ok(())
}

fn heads_text(held: &Frontier) -> String {
    let heads = held.heads.iter();
    let heads =
        heads.map(|((lane, author), head)| format!("{}:{}", feed_word(*lane, *author), head.count));
    heads.collect::<Vec<_>>().join(" ")
}

/// A round of this office.
fn round_of(engine: &mut Engine, round: RecordId) -> Result<Row, CommandError> {
    let found = engine.find(round)?;
    if found.ledger.id != ROUND || found.row.void.is_some() {
        return refuse("不是督查记录", "this is no round of inspection");
    }
    if found.slice.place != engine.place() {
        return refuse("督查由派出单位办理", "a round is its own office's");
    }
    Ok(found.row)
}

/// A finding becomes a problem ticket of the same place, and names it: one entry, so that nobody ever holds
/// one without the other.
fn make_ticket(
    engine: &mut Engine,
    finding: RecordId,
    (domain, severity): (&str, &str),
    person: &Person,
    now: UtcMillis,
) -> Result<RecordId, CommandError> {
    let found = engine.find(finding)?;
    if found.ledger.id != FINDING || found.row.void.is_some() {
        return refuse("不是督查发现", "this is no finding of a round");
    }
    if found.row.text("grade") == "good" {
        return refuse("评价为「做法较好」,无需整改", "what is done well needs no ticket");
    }
    if !found.row.text("ticket").is_empty() {
        return refuse("已转为问题台账", "a ticket was made of it already");
    }
    let ledger = engine.ledger(TICKET)?;
    let catalogue: &Catalogue = &engine.directives.catalogue;
    let today = now.date().to_string();
    let fact = format!("{}:{}", found.row.text("target"), found.row.text("fact"));
    let typed = [
        ("source", "supervision"),
        ("domain", domain),
        ("severity", severity),
        ("description", fact.as_str()),
        ("reported_on", today.as_str()),
        ("received_on", today.as_str()),
    ];
    let mut keys = vec![creation(TICKET)];
    for (id, text) in typed {
        let Some(field) = ledger.field(id) else { continue };
        let value = parse(field, text, Source::Data, catalogue);
        let value = value.map_err(|error| CommandError::Fields(vec![error]))?;
        if value.is_none() {
            return refuse(
                format!("请填写「{}」", field.label.zh),
                format!("{} must be filled", field.label.en),
            );
        }
        keys.push((id.to_owned(), value));
    }
    let ticket = RecordId(engine.random());
    let named = vec![("ticket".to_owned(), Some(Value::from(ticket.to_string())))];
    let (slice, lane) = (found.slice, ledger.lane);
    let local = LocalEntry { slice, lane, action: Action::Create, person, import: None };
    engine.save(&local, &[(ticket, keys), (finding, named)], now)?;
    Ok(ticket)
}

/// What a browser sends.
pub type Sent = BTreeMap<String, String>;

fn sent(form: &Sent, name: &str) -> String {
    form.get(name).map(|text| text.trim().to_owned()).unwrap_or_default()
}

/// The fields of a form by the names of a ledger.
fn taken(form: &Sent, names: &[&str]) -> Inputs {
    names.iter().map(|name| ((*name).to_owned(), sent(form, name))).collect()
}

fn to_round(round: impl std::fmt::Display) -> Redirect {
    Redirect::to(&format!("/rounds/{round}"))
}

/// Plans a round in this office's own ledgers.
///
/// # Errors
///
/// What must be filled.
pub async fn open(
    State(replica): State<Replica>,
    visitor: Visitor,
    Form(form): Form<Sent>,
) -> Posted {
    let slice = SliceId::ledger(replica.place());
    let inputs = taken(&form, &["title", "kind", "start_on", "end_on", "unannounced"]);
    let person = visitor.person;
    let round = replica
        .run(move |engine, now| {
            engine.create(slice, ROUND, &inputs, Source::People, &person, None, now)
        })
        .await?;
    Ok(to_round(round))
}

/// A place below this office by its code, its id or its name.
fn place_below(replica: &Replica, text: &str) -> Result<PlaceId, PageError> {
    let directives = replica.directives();
    let (tree, own) = (&directives.tree, replica.place());
    let below = |id: &PlaceId| tree.is_above_or_same(own, *id);
    if let Some(place) = find_place(&directives, text).ok().filter(below) {
        return Ok(place);
    }
    let named = |id: PlaceId, name: &str| name == text || tree.full_name(id) == text;
    let found = tree.iter().filter(|place| below(&place.id) && named(place.id, place.name()));
    match found.collect::<Vec<_>>().as_slice() {
        [place] => Ok(place.id),
        [] => refuse(
            format!("本级以下没有「{text}」"),
            format!("there is no {text} below this office"),
        )
        .map_err(PageError::Command),
        _ => refuse(
            format!("有几个「{text}」,请填区划代码"),
            format!("there are several of the name {text}; give the code"),
        )
        .map_err(PageError::Command),
    }
}

/// Adds a place to a round, or takes one out; a place that a reviewer adds to a running round is pinned at
/// once.
///
/// # Errors
///
/// If there is no such place, or the round is over.
pub async fn place(
    State(replica): State<Replica>,
    Path(id): Path<String>,
    visitor: Visitor,
    Form(form): Form<Sent>,
) -> Posted {
    let round = record_id(&id)?;
    let place = place_below(&replica, &sent(&form, "place"))?;
    let out = sent(&form, "out") == "true";
    let line = Inputs::from([
        ("place".to_owned(), place.to_string()),
        ("name".to_owned(), replica.directives().tree.full_name(place)),
        ("why".to_owned(), sent(&form, "why")),
        ("out".to_owned(), if out { "true".to_owned() } else { String::new() }),
    ]);
    let text = serde_json::to_string(&line).unwrap_or_default();
    let inputs = Inputs::from([("places".to_owned(), text)]);
    let may_add = visitor.duty() == Some(Duty::Reviewer);
    let person = visitor.person;
    replica
        .run(move |engine, now| {
            let row = round_of(engine, round)?;
            let state = row.state_id().unwrap_or_default().to_owned();
            if !matches!(state.as_str(), "planned" | "running") {
                return refuse("检查已结束,不能再改抽查地方", "the round is over");
            }
            if state == "running" && !out && !may_add {
                return refuse(
                    "检查开始后增加地方须由审核人批准",
                    "a reviewer adds places to a round that runs",
                );
            }
            engine.set(round, &inputs, Source::Data, &person, now)?;
            if state == "running" && !out { pin(engine, round, &person, now) } else { Ok(()) }
        })
        .await?;
    Ok(to_round(id))
}

/// Takes a step of a round. A reviewer begins it, for then its inspectors see people; that pins what is held.
///
/// # Errors
///
/// Says what would have to hold.
pub async fn step(
    State(replica): State<Replica>,
    Path(id): Path<String>,
    visitor: Visitor,
    Form(form): Form<Sent>,
) -> Posted {
    let round = record_id(&id)?;
    let (to, reason, summary) = (sent(&form, "to"), sent(&form, "reason"), sent(&form, "summary"));
    if to == "running" && visitor.duty() != Some(Duty::Reviewer) {
        return refuse("开始检查须由审核人批准", "a reviewer begins a round")
            .map_err(PageError::Command);
    }
    let person = visitor.person;
    replica
        .run(move |engine, now| {
            round_of(engine, round)?;
            if to == "running" {
                pin(engine, round, &person, now)?;
            }
            if to == "released" && !summary.is_empty() {
                let inputs = Inputs::from([("summary".to_owned(), summary)]);
                engine.set(round, &inputs, Source::People, &person, now)?;
            }
            engine.act(round, &to, &reason, &person, now)
        })
        .await?;
    Ok(to_round(id))
}

/// Enters a finding in the ledgers of the place inspected: from the release on, when it may be seen there.
///
/// # Errors
///
/// If the round is not released, or does not name the place; what must be filled.
pub async fn finding(
    State(replica): State<Replica>,
    Path(id): Path<String>,
    visitor: Visitor,
    Form(form): Form<Sent>,
) -> Posted {
    let round = record_id(&id)?;
    let place = place_below(&replica, &sent(&form, "place"))?;
    let names =
        ["found_on", "target", "target_ledger", "target_record", "fact", "grade", "reply_due"];
    let mut inputs = taken(&form, &names);
    let person = visitor.person;
    replica
        .run(move |engine, now| {
            let row = round_of(engine, round)?;
            if !matches!(row.state_id(), Some("released" | "rectified")) {
                return refuse(
                    "督查公布后才能登记发现(此前记在督查记录里)",
                    "findings are entered once the round is released; note them in the round until then",
                );
            }
            if !covered(&row, &engine.directives.tree).contains(&place) {
                return refuse("该地不在抽查范围", "the round does not name this place");
            }
            if let Some(pin) = pin_of("", &row, place) {
                inputs.insert("pinned_on".to_owned(), pin.on);
                inputs.insert("pinned_hash".to_owned(), pin.hash);
            }
            if inputs.get("found_on").is_none_or(String::is_empty) {
                inputs.insert("found_on".to_owned(), now.date().to_string());
            }
            inputs.insert("round".to_owned(), row.text("title"));
            inputs.insert("round_id".to_owned(), round.to_string());
            let slice = SliceId::ledger(place);
            engine.create(slice, FINDING, &inputs, Source::People, &person, None, now)
        })
        .await?;
    Ok(to_round(id))
}

/// Makes a problem ticket of a finding.
///
/// # Errors
///
/// If there is one already.
pub async fn ticket(
    State(replica): State<Replica>,
    Path(id): Path<String>,
    visitor: Visitor,
    Form(form): Form<Sent>,
) -> Posted {
    let finding = record_id(&id)?;
    let (domain, severity) = (sent(&form, "domain"), sent(&form, "severity"));
    let person = visitor.person;
    let ticket = replica
        .run(move |engine, now| make_ticket(engine, finding, (&domain, &severity), &person, now))
        .await?;
    Ok(Redirect::to(&format!("/records/{ticket}/trace")))
}

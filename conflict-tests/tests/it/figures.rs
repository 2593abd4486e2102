//! Figures against the records that make them: by the program's own proof in a world of faults, and by a
//! script that shares nothing with the program.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use conflict_tests::chance::Dice;
use conflict_tests::plan::{Fault, Plan, Profile, plan};
use conflict_tests::player::Player;
use conflict_tests::world::{Node, Weather, World, clerk};
use serde_json::{Value, json};
use taizhang_core::catalogue::{Catalogue, Field, FieldKind, Ledger, Required, Transition};
use taizhang_core::feed::entry::Person;
use taizhang_core::id::{Level, PlaceId, RecordId, SliceId};
use taizhang_core::record::attachment::{Attachment, Media};
use taizhang_core::record::state::steps_from;
use taizhang_core::time::UtcMillis;
use taizhang_hub::demo::sample::{self, SampleLine, offices::Phase};
use taizhang_node::driver::Replica;
use taizhang_node::engine::Engine;
use taizhang_node::engine::act::Asked;
use taizhang_node::engine::command::{CommandError, Inputs};
use taizhang_node::engine::values::Source;
use taizhang_node::ops::{Request, silent};
use taizhang_node::store::read::{ListQuery, Listed, Readers};

use crate::grpc_client::skipped;

const CITY: Node = 0;
const COUNTY: Node = 1;
const TOWNSHIP: Node = 2;
const VILLAGE: Node = 3;
const OTHER: Node = 4;
/// Rounds within which everything arrives once the faults stop.
const PATIENCE_ROUNDS: u32 = 180_000;
/// A good number of nobody.
const ID_NO: &str = "411499195304090038";

/// Figures of a replica by place, indicator and period.
type Sums = BTreeMap<(PlaceId, String, String), i64>;

fn sums(world: &mut World, node: Node) -> Sums {
    let places: Vec<PlaceId> =
        world.engine(node).directives.tree.iter().map(|place| place.id).collect();
    let readers = Readers::new(&world.replicas[node].folder);
    let mut found = Sums::new();
    for place in places {
        for (indicator, period, value) in
            readers.with(|reader| reader.rollup_periods(place)).unwrap()
        {
            found.insert((place, indicator, period), value);
        }
    }
    found
}

/// Works out what waits, and proves every figure of an office; gives how many records there were.
fn prove(world: &mut World, node: Node, when: &str) -> u64 {
    let (now, name) = (world.now_at(node), world.replicas[node].name);
    let engine = world.engine(node);
    while engine.transaction(|engine| engine.project(now, 100)).unwrap() {}
    let (mut from, mut records) = (Some(0), 0);
    while let Some(at) = from {
        let step = engine.transaction(|engine| engine.check_additions(at)).unwrap();
        assert!(step.problems.is_empty(), "{name} {when}: {:#?}", step.problems);
        (from, records) = (step.next, records + step.records);
    }
    let problems = engine.check_sums().unwrap();
    assert!(problems.is_empty(), "{name} {when}: {problems:#?}");
    records
}

/// The proof sees a sum and an addition that are wrong.
fn prove_the_proof(world: &mut World, node: Node) {
    let path = world.replicas[node].folder.join("derived.db");
    let derived = rusqlite::Connection::open(path).unwrap();
    let engine = world.engine(node);
    for table in ["rollup", "contribution"] {
        let change = |by: i64| {
            let sql = format!(
                "UPDATE {table} SET value = value + ?1 WHERE indicator = 'hh_total' AND period = ''"
            );
            assert!(derived.execute(&sql, [by]).unwrap() > 0);
        };
        change(1);
        let sums = engine.check_sums().unwrap();
        let (mut from, mut additions) = (Some(0), Vec::new());
        while let Some(at) = from {
            let step = engine.transaction(|engine| engine.check_additions(at)).unwrap();
            additions.extend(step.problems);
            from = step.next;
        }
        assert!(!sums.is_empty(), "{table}: sums are not what the additions make");
        assert_eq!(additions.is_empty(), table == "rollup", "{table}: {additions:?}");
        change(-1);
    }
}

fn running(world: &World) -> Vec<Node> {
    (0..world.replicas.len()).filter(|node| world.replicas[*node].engine.is_some()).collect()
}

/// No more faults: every office runs, every link is kind.
fn calm(world: &mut World) {
    world.crash_percent = 0;
    world.weather = Weather::default();
    for node in 0..world.replicas.len() {
        world.restart(node);
    }
    for index in 0..world.links.len() {
        let link = &mut world.links[index];
        (link.deaf, link.held_rounds, link.rounds_per_message) = ((false, false), 0, 1);
        world.set_link(index, false);
        world.set_link(index, true);
    }
    assert!(world.settle(PATIENCE_ROUNDS), "the network comes to rest");
}

/// The county moves a record to another village: it may write whatever stands in it.
fn move_to(world: &mut World, id: RecordId, node: Node) -> Result<RecordId, String> {
    let to = world.replicas[node].place;
    world.job(COUNTY, |engine, now| {
        engine.move_record(id, to, "2018-06-01", "婚嫁迁入", &clerk(), now)
    })
}

/// The township decides on every pair that it owns.
fn decide(world: &mut World, dice: &mut Dice) -> usize {
    let pairs = world.job(TOWNSHIP, |engine, _| Ok(engine.duplicates()?)).unwrap();
    let mut decided = 0;
    for pair in pairs {
        let same = dice.percent(50);
        let decision = world.job(TOWNSHIP, |engine, now| {
            engine.decide_same(&pair.id, same, "已核对户口簿", &clerk(), now)
        });
        decided += usize::from(decision.is_ok());
    }
    decided
}

/// Two households of one person in two villages, and one that moves after its village was cut off.
fn twins_and_moves(player: &mut Player, dice: &mut Dice) -> (usize, usize) {
    let mut homes: BTreeMap<u8, Vec<RecordId>> = BTreeMap::new();
    for known in player.records.iter().filter(|known| known.ledger == "poor_household") {
        homes.entry(known.place).or_default().push(known.id);
    }
    let world = &mut player.world;
    for (byte, ids) in &homes {
        // Whatever is refused is refused: an office may be revoked, a record may have moved.
        let node = if *byte == 5 { VILLAGE } else { OTHER };
        for id in ids.iter().take(2) {
            world.set(node, *id, "head_id_no", ID_NO);
        }
    }
    assert!(world.settle(PATIENCE_ROUNDS));
    let decided = decide(world, dice);
    let mut moved = 0;
    for id in homes.get(&5).into_iter().flatten().take(3) {
        moved += usize::from(move_to(world, *id, OTHER).is_ok());
        // The village does not know yet.
        world.set(VILLAGE, *id, "bank_holder", "迁出后");
    }
    assert!(world.settle(PATIENCE_ROUNDS));
    (decided, moved)
}

/// Goal: whatever offices do and whatever befalls them, every figure at every replica is what its records
/// say, and a rebuild gives the same ones.
/// Method: all kinds of faults and place events at once, then duplicates, decisions and moves; every record
/// evaluated anew and all sums added up anew while the faults go on, after them, and after a rebuild.
#[test]
fn after_any_work_and_any_fault_every_figure_is_what_the_records_say() {
    let (mut records, mut figures, mut pairs, mut moves) = (0, BTreeSet::new(), 0, 0);
    for seed in 0..6 {
        let drawn = plan(seed, Profile::Storm);
        let drawn = Plan { offices: 7, actions: 70, fault_percent: 30, ..drawn };
        let mut player = Player::new(seed, &drawn, None);
        for action in 0..drawn.actions {
            match player.world.dice.percent(drawn.fault_percent) {
                true => player.fault(&drawn.faults),
                false => player.work(),
            }
            for _ in 0..player.world.dice.below(12) {
                player.world.step();
            }
            if action % 20 == 19 {
                for node in running(&player.world) {
                    prove(&mut player.world, node, &format!("of seed {seed}, in the storm"));
                }
            }
        }
        player.fault(&[Fault::Place]);
        calm(&mut player.world);
        let mut dice = Dice::new(seed, "figures");
        let (decided, moved) = twins_and_moves(&mut player, &mut dice);
        (pairs, moves) = (pairs + decided, moves + moved);
        let world = &mut player.world;
        for node in running(world) {
            records += prove(world, node, &format!("of seed {seed}, at rest"));
            let (before, now) = (sums(world, node), world.now_at(node));
            world.engine(node).rebuild(now).unwrap();
            prove(world, node, &format!("of seed {seed}, rebuilt"));
            assert_eq!(sums(world, node), before, "seed {seed}: a rebuild gives the same figures");
            figures.extend(before.into_keys().map(|(_, indicator, _)| indicator));
        }
    }
    println!("{records} records make {} indicators; {pairs} pairs, {moves} moves", figures.len());
    let seen = (records, figures.len(), pairs, moves);
    assert!(records > 200 && figures.len() >= 10 && pairs > 0 && moves > 0, "{seen:?}");
}

/// Makes the records of a sample at an office, as its import does: what belongs into a village's ledgers, in
/// the ledgers of [`VILLAGE`].
fn import(world: &mut World, node: Node, lines: &[SampleLine]) {
    let own = world.replicas[node].place;
    let village = world.replicas[VILLAGE].place;
    let make = |engine: &mut Engine, now: UtcMillis| -> Result<(), CommandError> {
        let mut ids: BTreeMap<String, RecordId> = BTreeMap::new();
        for line in lines {
            let ledger = engine.ledger(line.ledger)?;
            let place = if ledger.scope.contains(&line.level) { own } else { village };
            let fields = line.fields.iter();
            let mut inputs: Inputs =
                fields.map(|(id, value)| (id.clone(), text_of(value, &ids))).collect();
            for field in &ledger.fields {
                if let FieldKind::Ref(target) = &field.kind
                    && let Some(text) = inputs.get_mut(&field.id)
                    && text.parse::<RecordId>().is_err()
                {
                    *text = engine.by_title(place, target, text, &field.label)?.to_string();
                }
            }
            let slice = SliceId { kind: ledger.slice, place };
            let (ledger, source) = (line.ledger, Source::Data);
            let id = engine.create(slice, ledger, &inputs, source, &clerk(), None, now)?;
            ids.insert(format!("@{}", line.id), id);
        }
        Ok(())
    };
    world.job(node, make).unwrap();
}

fn text_of(value: &Value, ids: &BTreeMap<String, RecordId>) -> String {
    match value {
        Value::String(text) => ids.get(text).map_or_else(|| text.clone(), ToString::to_string),
        Value::Array(list) => {
            list.iter().map(|one| text_of(one, ids)).collect::<Vec<_>>().join(",")
        }
        other => other.to_string(),
    }
}

/// Somebody who enters something in every field.
struct Hand<'a> {
    catalogue: Arc<Catalogue>,
    level: Level,
    place: PlaceId,
    /// Records that a field may name, by place and ledger.
    known: BTreeMap<(PlaceId, String), Vec<RecordId>>,
    /// A photo.
    photo: String,
    dice: &'a mut Dice,
}

impl<'a> Hand<'a> {
    fn new(world: &mut World, node: Node, dice: &'a mut Dice) -> Self {
        let replica = &world.replicas[node];
        let (level, place) = (replica.level, replica.place);
        let mut known: BTreeMap<(PlaceId, String), Vec<RecordId>> = BTreeMap::new();
        for row in records(world, node) {
            known.entry((row.slice.place, row.ledger)).or_default().push(row.record);
        }
        let blob = world.engine(node).store.put_blob(b"photo").unwrap();
        let (media, name) = (Media::Jpeg, "a.jpg".to_owned());
        let photo = Attachment { blob, media, thumb: None, name }.member();
        let catalogue = Arc::clone(&world.engine(node).directives.catalogue);
        Self { catalogue, level, place, known, photo, dice }
    }

    fn day(&mut self) -> String {
        format!("2018-{:02}-{:02}", 1 + self.dice.below(5), 10 + self.dice.below(18))
    }

    fn choice(&mut self, vocab: &str) -> Option<String> {
        let values = &self.catalogue.vocabs.get(vocab)?.values;
        values.get(self.dice.index(values.len())).map(|(id, _)| id.clone())
    }

    /// What might stand in a field of a record at a place.
    fn text(&mut self, kind: &FieldKind, place: PlaceId) -> Option<String> {
        let number = 1 + self.dice.below(900);
        Some(match kind {
            FieldKind::Attach => self.photo.clone(),
            FieldKind::BankNo => "6228480000001234".into(),
            FieldKind::Bool => self.dice.percent(90).to_string(),
            FieldKind::Date => self.day(),
            FieldKind::Enum(vocab) | FieldKind::Set(vocab) => self.choice(vocab)?,
            FieldKind::Int => (number % 30).to_string(),
            FieldKind::Log(columns) => {
                let mut line = serde_json::Map::new();
                for column in columns {
                    let text = self.text(&column.kind, place);
                    line.extend(text.map(|text| (column.id.clone(), json!(text))));
                }
                json!(line).to_string()
            }
            FieldKind::Money => (number * 1000).to_string(),
            FieldKind::Month => self.day()[..7].to_owned(),
            FieldKind::Note | FieldKind::Text => format!("样本{number}"),
            FieldKind::Place => self.place.to_string(),
            FieldKind::Ref(ledger) => {
                let here = self.known.get(&(place, ledger.clone()));
                let mut all = self.known.iter().filter(|((_, of), _)| of == ledger);
                let known = here.or_else(|| all.next().map(|(_, ids)| ids))?;
                known.get(self.dice.index(known.len()))?.to_string()
            }
            FieldKind::Year => "2018".into(),
            _ => return None,
        })
    }

    /// What is entered in some fields of a record at a place; those that are needed are among them.
    fn entries(
        &mut self,
        ledger: &Ledger,
        place: PlaceId,
        percent: u64,
        is_needed: impl Fn(&Field) -> bool,
    ) -> Inputs {
        let (level, mut found) = (self.level, Inputs::new());
        for field in ledger.fields.iter().filter(|field| field.write.contains(&level)) {
            if (is_needed(field) || self.dice.percent(percent))
                && let Some(text) = self.text(&field.kind, place)
            {
                found.insert(field.id.clone(), text);
            }
        }
        found
    }

    /// Makes some records of every ledger that the office keeps; gives how many there are.
    fn found(&mut self, engine: &mut Engine, now: UtcMillis) -> usize {
        let (catalogue, place) = (Arc::clone(&self.catalogue), self.place);
        let kept = catalogue
            .ledgers_for_people()
            .filter(|ledger| ledger.scope.contains(&self.level) && !ledger.closed);
        let ledgers: Vec<&Arc<Ledger>> = kept.collect();
        let mut made = 0;
        for ledger in ledgers.into_iter().flat_map(|ledger| [ledger; 3]) {
            let inputs = self.entries(ledger, place, 100, |_| true);
            let slice = SliceId { kind: ledger.slice, place };
            let source = Source::Data;
            let id = engine.create(slice, &ledger.id, &inputs, source, &clerk(), None, now);
            made += usize::from(id.is_ok());
        }
        made
    }

    /// Fills in what the next step of a record needs, and something else, and takes the step. Whatever is
    /// refused is refused.
    fn go_on(&mut self, engine: &mut Engine, record: RecordId, now: UtcMillis) {
        let Ok(found) = engine.find(record) else { return };
        let (ledger, row) = (&found.ledger, &found.row);
        let state = row.state_id().unwrap_or_default();
        let workflow = ledger.workflow.iter();
        let steps: Vec<&Transition> =
            workflow.flat_map(|flow| steps_from(flow, state, self.level)).collect();
        // Some stop early, so that records stand in every state.
        let done = row.state.as_ref().map_or(0, |state| state.steps.len());
        let stops = done >= usize::from(record.0[0] % 12) || steps.is_empty();
        let at = if self.dice.percent(75) { 0 } else { self.dice.index(steps.len()) };
        let step = if stops { None } else { Some(steps[at]) };
        let is_empty = |id: &String| {
            !row.fields.contains_key(id) && !row.sets.contains_key(id) && !row.logs.contains_key(id)
        };
        let is_needed = |field: &Field| {
            step.is_some_and(|step| {
                let at = matches!(&field.required, Required::At(at) if at.contains(&step.to));
                at || step.requires.contains(&field.id)
            })
        };
        // Some are filled in whole, so that rules which ask for much let them pass.
        let percent = if record.0[1].is_multiple_of(3) { 100 } else { 12 };
        let mut inputs = self.entries(ledger, found.slice.place, percent, is_needed);
        inputs.retain(|id, _| is_empty(id));
        let source = Source::Data;
        let set = engine.set(record, &inputs, source, &clerk(), now);
        if let Err(CommandError::Fields(wrong)) = set {
            inputs.retain(|id, _| wrong.iter().all(|error| error.field != *id));
            drop(engine.set(record, &inputs, source, &clerk(), now));
        }
        if let Some(step) = step {
            let role = step.role.clone().unwrap_or_else(|| clerk().role);
            let person = Person { role, ..clerk() };
            let date = self.day();
            let asked = Asked { to: &step.to, reason: "按规定", date: &date };
            drop(engine.act_on(record, asked, &person, now));
        }
    }
}

fn records(world: &World, node: Node) -> Vec<Listed> {
    let readers = Readers::new(&world.replicas[node].folder);
    let query = ListQuery { limit: 100_000, ..ListQuery::default() };
    readers.with(|reader| reader.list(&query)).unwrap().0
}

/// An office goes on with every record that it holds.
fn work(world: &mut World, node: Node, dice: &mut Dice) {
    let rows = records(world, node);
    let mut hand = Hand::new(world, node, dice);
    let work = |engine: &mut Engine, now: UtcMillis| -> Result<(), CommandError> {
        for row in &rows {
            hand.go_on(engine, row.record, now);
        }
        Ok(())
    };
    world.job(node, work).unwrap();
    assert!(world.settle(PATIENCE_ROUNDS));
}

/// Opens the rights that steps spend, and gives the township a share.
fn rights(world: &mut World) {
    let mut pool = None;
    for (name, amount) in
        [("office:pay", 1), ("workshop_no", 50), ("industry_subsidy_total:2018", 900_000_000)]
    {
        let open = |engine: &mut Engine, now| engine.open_right(name, amount, &clerk(), now);
        pool = Some(world.job(COUNTY, open).unwrap());
    }
    let pool = pool.unwrap();
    assert!(world.settle(PATIENCE_ROUNDS));
    let township = world.engine(TOWNSHIP).author.key;
    world
        .job(COUNTY, |engine, now| {
            engine.transfer_right(pool, township, 500_000_000, &clerk(), now)
        })
        .unwrap();
    assert!(world.settle(PATIENCE_ROUNDS));
}

/// A household that moves while its village, cut off, adds to it; and one that is void.
fn leave_behind(world: &mut World) {
    let readers = Readers::new(&world.replicas[VILLAGE].folder);
    let place = Some(world.replicas[VILLAGE].place);
    let query =
        ListQuery { ledger: "poor_household".into(), place, limit: 20, ..ListQuery::default() };
    let (homes, _) = readers.with(|reader| reader.list(&query)).unwrap();
    let link = world.link_of(VILLAGE);
    world.set_link(link, false);
    // What only the county writes, the township cannot carry over: such a household stays.
    let mut leaving = homes.iter().map(|home| home.record);
    let leaves = leaving.find(|home| move_to(world, *home, OTHER).is_ok()).unwrap();
    let ends = leaving.next().unwrap();
    let household = leaves.to_string();
    let measure = [
        ("household", household.as_str()),
        ("year", "2018"),
        ("measure_kind", "livestock"),
        ("detail", "养羊"),
        ("expected_income", "5000"),
        ("start_date", "2018-05-01"),
    ];
    world.create(VILLAGE, "income_measure", &measure);
    world.job(VILLAGE, |engine, now| engine.void(ends, Some("重复"), &clerk(), now)).unwrap();
    world.set_link(link, true);
    assert!(world.settle(PATIENCE_ROUNDS));
}

/// The same people in two villages, whose records go through as many hands as there are.
fn city() -> World {
    let mut world = World::new(501, 5, None);
    let mut dice = Dice::new(501, "city");
    for (node, level) in [(CITY, Level::City), (COUNTY, Level::County), (TOWNSHIP, Level::Township)]
    {
        import(&mut world, node, &sample::offices::written(level, Phase::Above));
        assert!(world.settle(PATIENCE_ROUNDS));
    }
    import(&mut world, VILLAGE, &sample::village(1, 12));
    import(&mut world, OTHER, &sample::village(1, 10));
    assert!(world.settle(PATIENCE_ROUNDS));
    for (node, level) in [(TOWNSHIP, Level::Township), (COUNTY, Level::County)] {
        import(&mut world, node, &sample::offices::written(level, Phase::Into));
        assert!(world.settle(PATIENCE_ROUNDS));
    }
    rights(&mut world);
    for node in [CITY, COUNTY, TOWNSHIP, OTHER, VILLAGE] {
        let mut hand = Hand::new(&mut world, node, &mut dice);
        let made = world.job(node, |engine, now| Ok(hand.found(engine, now))).unwrap();
        assert!(made > 0, "office {node} keeps ledgers of its own");
    }
    assert!(world.settle(PATIENCE_ROUNDS));
    for _ in 0..5 {
        for node in [VILLAGE, OTHER, TOWNSHIP, COUNTY, CITY] {
            work(&mut world, node, &mut dice);
        }
    }
    assert!(decide(&mut world, &mut dice) > 0, "people of both villages");
    leave_behind(&mut world);
    world
}

/// Runs the script; gives its exit code and what it says.
fn script(arguments: &[&Path]) -> (Option<i32>, String) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("recompute.py");
    let output = Command::new("python3").arg(path).args(arguments).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&text).into_owned())
}

fn has_python() -> bool {
    // The reader of TOML came with 3.11.
    let found = Command::new("python3").args(["-c", "import tomllib"]).output();
    found.is_ok_and(|output| output.status.success())
}

/// A dump, changed in one line: the first on which `change` gives true.
fn changed(dump: &Path, name: &str, mut change: impl FnMut(&mut Value) -> bool) -> PathBuf {
    let text = std::fs::read_to_string(dump).unwrap();
    let (mut done, mut lines) = (false, Vec::new());
    for line in text.lines() {
        let mut value: Value = serde_json::from_str(line).unwrap();
        done = done || change(&mut value);
        lines.push(value.to_string());
    }
    assert!(done, "nothing was changed");
    let path = dump.with_file_name(name);
    std::fs::write(&path, lines.join("\n")).unwrap();
    path
}

/// Adds one to a figure.
fn add_one(line: &mut Value) -> bool {
    let figures = line.get_mut("figures").and_then(Value::as_object_mut);
    let figure = figures.and_then(|all| all.values_mut().next());
    let value = figure.and_then(Value::as_object_mut).and_then(|all| all.values_mut().next());
    let Some(value) = value else { return false };
    *value = json!(value.as_i64().unwrap() + 1);
    true
}

/// Takes a ticket out of the sums.
fn end_ticket(line: &mut Value) -> bool {
    let stands = line["void"] == false && line["moved"].is_null();
    let counts = stands && line["ledger"] == "problem_ticket";
    if counts {
        line["void"] = json!(true);
    }
    counts
}

/// How many indicators the script found other than zero.
fn shown(summary: &str) -> usize {
    let words: Vec<&str> = summary.split_whitespace().collect();
    let at = words.windows(3).position(|three| three == ["indicators", "are", "not"]).unwrap();
    words[at - 1].parse().unwrap()
}

/// Goal: every figure of every indicator, place and period is what a program that shares nothing with this
/// one makes of the records; and that program sees a wrong figure and a wrong record.
/// Method: a city with a sample of every ledger, worked on by all levels, with duplicates in two villages, a
/// move and a void; what two offices hold is dumped and added up by the script, then a changed dump is.
#[tokio::test(flavor = "multi_thread")]
async fn a_script_that_shares_nothing_finds_the_same_figures() {
    if !has_python() {
        skipped("python3");
        return;
    }
    let (code, text) = script(&[Path::new("--self-test")]);
    assert_eq!(code, Some(0), "{text}");
    let mut world = city();
    let folder = tempfile::tempdir().unwrap();
    prove_the_proof(&mut world, VILLAGE);
    for node in [CITY, TOWNSHIP] {
        prove(&mut world, node, "before the dump");
        let replica = Replica::start(world.replicas[node].engine.take().unwrap()).unwrap();
        let path = folder.path().join(format!("{}.jsonl", world.replicas[node].name));
        let ask = Request::FiguresDump { path: path.clone() };
        let answer = replica.answer(ask, silent()).await.unwrap();
        assert!(answer["records"].as_u64() > Some(200), "{answer}");
        let dump = std::fs::read_to_string(&path).unwrap();
        let is_masked = !dump.contains(ID_NO) && !dump.contains("样本村");
        assert!(is_masked, "the dump has no numbers of people and no texts");
        let (code, text) = script(&[&path]);
        println!("{}: {text}", world.replicas[node].name);
        assert_eq!(code, Some(0), "{text}");
        assert!(node != CITY || shown(&text) > 480, "{text}");
        let (code, text) = script(&[&changed(&path, "figure.jsonl", add_one)]);
        assert_eq!(code, Some(1), "one figure is wrong: {text}");
        assert!(text.contains("1 of "), "{text}");
        let (code, text) = script(&[&changed(&path, "record.jsonl", end_ticket)]);
        assert_eq!(code, Some(1), "one record is wrong: {text}");
        replica.close();
    }
}

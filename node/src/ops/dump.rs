//! Figures with everything that they are made of, as JSON lines, for a program that shares nothing with
//! this one and adds them up again: `conflict-tests/recompute.py`.
//!
//! The first line holds the place tree, the day, and the catalogue's parts in force; then follow the
//! records of all ledgers, one a line, and the figures, one place a line. It is for whoever runs the
//! machine. Texts, telephones, numbers of people and accounts, and files are not written: only that there
//! is one. Of a number of a person its day of birth stands beside, if the number is a good one; and where
//! equal values make records duplicates of each other, or stand in one record, equal numbers stand for
//! equal values.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value as Json, json};
use taizhang_core::catalogue::{FieldKind, Ledger, LogColumn};
use taizhang_core::directives::Directives;
use taizhang_core::id::{PlaceId, RecordId};
use taizhang_core::policy::members as members_of;
use taizhang_core::record::fold::{LogLine, Row};
use taizhang_core::record::twin::SAME;
use taizhang_core::record::value::Value;
use taizhang_core::rules::{Finding, Outcome, id_number};
use taizhang_core::time::Date;

use super::OpsError;
use crate::driver::Replica;
use crate::engine::command::refuse;
use crate::store::StoreError;
use crate::store::dump::Dumped;
use crate::store::read::Reader;

/// Records read at once.
const PAGE_RECORDS: usize = 1000;
/// How often it is tried while figures are being worked out, and the pause between: five minutes.
const TRIES: u32 = 600;
const PAUSE: Duration = Duration::from_millis(500);

/// What rules find on records that have moved away, which is stored nowhere.
type FindingsOfMoved = BTreeMap<RecordId, Vec<Finding>>;

impl Replica {
    /// Writes the figures of all places and the records that make them. Waits while figures are being
    /// worked out for a new day, policy or tree.
    ///
    /// # Errors
    ///
    /// If the file cannot be written, or the figures do not come to rest.
    pub(super) async fn figures_dump(&self, path: PathBuf) -> Result<Json, OpsError> {
        for _ in 0..TRIES {
            if let Some(records) = self.dump_once(path.clone()).await? {
                let text = format!("figures and the records that make them, {}", path.display());
                self.audit("exported", text);
                let places = self.directives().tree.len();
                return Ok(json!({"records": records, "places": places, "file": path}));
            }
            tokio::time::sleep(PAUSE).await;
        }
        Ok(refuse("指标仍在计算,请稍后再试", "figures are being worked out; try again later")?)
    }

    /// Writes the dump; none if figures were not at rest, or what they depend on changed meanwhile.
    async fn dump_once(&self, path: PathBuf) -> Result<Option<u64>, OpsError> {
        let (_, at_rest) = self.readers().with(|reader| reader.evaluated())?;
        if !at_rest {
            return Ok(None);
        }
        let directives = self.directives();
        let moved = self.run(|engine, _| Ok(engine.findings_of_moved()?)).await?;
        let replica = self.clone();
        let work = tokio::task::spawn_blocking(move || replica.dump_to(&path, &directives, &moved));
        match work.await {
            Ok(written) => Ok(written?),
            Err(error) => Ok(refuse(format!("中断:{error}"), format!("interrupted: {error}"))?),
        }
    }

    fn dump_to(
        &self,
        path: &Path,
        directives: &Arc<Directives>,
        moved: &FindingsOfMoved,
    ) -> Result<Option<u64>, StoreError> {
        let written = self.readers().with(|reader| match reader.evaluated()? {
            (as_of, true) => write(reader, directives, self.place(), moved, as_of, path),
            (_, false) => Ok(None),
        })?;
        Ok(written.filter(|_| Arc::ptr_eq(directives, &self.directives())))
    }
}

/// A file that its owner only may read, where the system knows owners.
fn create(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(0o600);
    }
    options.open(path)
}

/// Writes everything of one snapshot; gives how many records, none if one has moved since `moved`.
fn write(
    reader: &Reader<'_>,
    directives: &Directives,
    own: PlaceId,
    moved: &FindingsOfMoved,
    as_of: Date,
    path: &Path,
) -> Result<Option<u64>, StoreError> {
    let failed = |source: io::Error| StoreError::File { path: path.to_owned(), source };
    let mut out = BufWriter::new(create(path).map_err(failed)?);
    let mut put = |line: &Json| -> Result<(), StoreError> {
        serde_json::to_writer(&mut out, line).map_err(|error| failed(error.into()))?;
        out.write_all(b"\n").map_err(failed)
    };
    put(&header(directives, own, as_of))?;
    let (mut numbers, mut after, mut records) = (Numbers::new(), 0, 0);
    loop {
        let mut page = reader.dump(after, PAGE_RECORDS)?;
        let Some(last) = page.last().map(|one| one.position) else { break };
        for one in &mut page {
            let Some(ledger) = directives.catalogue.ledger(&one.row.ledger) else { continue };
            if ledger.id.starts_with("sys_") && ledger.id != SAME {
                continue;
            }
            if one.row.moved.is_some() {
                let Some(found) = moved.get(&one.record) else { return Ok(None) };
                let found = found.iter().map(|finding| (finding.rule.clone(), finding.outcome));
                one.findings = found.collect();
            }
            put(&line_of_record(one, ledger, directives, &mut numbers))?;
            records += 1;
        }
        after = last;
    }
    for place in directives.tree.iter() {
        put(&line_of_place(reader, place.id)?)?;
    }
    out.flush().map_err(failed)?;
    Ok(Some(records))
}

fn header(directives: &Directives, own: PlaceId, as_of: Date) -> Json {
    let (tree, catalogue) = (&directives.tree, &directives.catalogue);
    let places = tree.iter().map(|one| {
        json!({
            "id": one.id, "parent": tree.parent(one.id), "level": one.level, "name": one.name(),
        })
    });
    let parts: BTreeMap<&String, u32> =
        catalogue.parts.iter().map(|(name, (version, _))| (name, *version)).collect();
    json!({
        "catalogue": catalogue.digest(),
        "parts": parts,
        "as_of": as_of.to_string(),
        "place": own,
        "tree": places.collect::<Vec<_>>(),
    })
}

fn line_of_place(reader: &Reader<'_>, place: PlaceId) -> Result<Json, StoreError> {
    let mut figures: BTreeMap<String, BTreeMap<String, i64>> = BTreeMap::new();
    for (indicator, period, value) in reader.rollup_periods(place)? {
        figures.entry(indicator).or_default().insert(period, value);
    }
    Ok(json!({"place": place, "figures": figures}))
}

/// Parameters that the ledger's indicators read, as in force for a row.
fn params_of(one: &Dumped, ledger: &Ledger, directives: &Directives) -> Map<String, Json> {
    let day = one.row.business_date(ledger);
    let named = ledger.indicators.iter().flat_map(|indicator| &indicator.params);
    let value = |id: &String| {
        let value = directives.param(id, one.slice.place, day).value?;
        let members = value.as_text().filter(|_| directives.catalogue.is_set_param(id));
        Some((id.clone(), members.map_or_else(|| json!(value), |text| json!(members_of(text)))))
    };
    named.filter_map(value).collect()
}

fn line_of_record(
    one: &Dumped,
    ledger: &Ledger,
    directives: &Directives,
    numbers: &mut Numbers,
) -> Json {
    let row = &one.row;
    let [fields, sets, logs] = match row.void.is_some() {
        // What is void counts nowhere.
        true => [Map::new(), Map::new(), Map::new()],
        false => {
            [fields_of(one, ledger, numbers), sets_of(row, ledger), logs_of(one, ledger, numbers)]
        }
    };
    let moved = row.moved.as_ref().map(|one| json!({"date": one.date, "along": one.along}));
    let steps = row.all_steps().map(
        |step| json!({"to": step.to, "level": step.level, "date": step.date, "time": step.time}),
    );
    let rules = |wanted: Outcome| {
        let with = one.findings.iter().filter(|(_, outcome)| *outcome == wanted);
        with.map(|(rule, _)| rule).collect::<Vec<_>>()
    };
    json!({
        "record": one.record,
        "place": one.slice.place,
        "kind": one.slice.kind,
        "ledger": row.ledger,
        "lamport": row.created.lamport,
        "created": row.created.time,
        "created_level": row.created.level,
        "void": row.void.is_some(),
        "moved": moved,
        "came": row.from.iter().map(|from| from.date.as_str()).find(|date| !date.is_empty()),
        "carried": row.from.iter().map(|from| from.steps.len()).sum::<usize>(),
        "fields": fields,
        "sets": sets,
        "logs": logs,
        "state": row.state_id(),
        "steps": steps.collect::<Vec<_>>(),
        "superseded": row.state.iter().flat_map(|state| &state.superseded).collect::<Vec<_>>(),
        "needs_recheck": row.state.as_ref().is_some_and(|state| state.needs_recheck),
        "failed": rules(Outcome::Failed),
        "unchecked": rules(Outcome::Unchecked),
        "params": params_of(one, ledger, directives),
    })
}

fn fields_of(one: &Dumped, ledger: &Ledger, numbers: &mut Numbers) -> Map<String, Json> {
    let (row, record) = (&one.row, one.record.to_string());
    let mut found = Map::new();
    for field in &ledger.fields {
        let Some(value) = row.fields.get(&field.id) else { continue };
        // Who decided what on duplicates is needed whole, without the reason.
        let written = match ledger.id == SAME {
            true if field.id == "reason" => continue,
            true => json!(value),
            false if ledger.identity.as_ref() == Some(&field.id) => {
                shown(&field.kind, value, numbers.of(&ledger.id, value))
            }
            false => shown(&field.kind, value, numbers.of(&record, value)),
        };
        found.insert(field.id.clone(), written);
    }
    found
}

fn sets_of(row: &Row, ledger: &Ledger) -> Map<String, Json> {
    let kept = ledger.fields.iter().filter_map(|field| {
        let set = row.sets.get(&field.id)?;
        let members = set.iter().map(|member| match field.kind {
            FieldKind::Attach => json!({"masked": 0}),
            _ => json!(member),
        });
        Some((field.id.clone(), members.collect::<Json>()))
    });
    kept.collect()
}

fn logs_of(one: &Dumped, ledger: &Ledger, numbers: &mut Numbers) -> Map<String, Json> {
    let mut found = Map::new();
    for field in &ledger.fields {
        let FieldKind::Log(columns) = &field.kind else { continue };
        let Some(lines) = one.row.logs.get(&field.id) else { continue };
        let record = one.record.to_string();
        let lines = lines.iter().map(|line| line_of_log(line, columns, &record, numbers));
        found.insert(field.id.clone(), lines.collect());
    }
    found
}

fn line_of_log(line: &LogLine, columns: &[LogColumn], record: &str, numbers: &mut Numbers) -> Json {
    let cells = columns.iter().filter_map(|column| {
        let value = line.columns.get(&column.id)?;
        Some((column.id.clone(), shown(&column.kind, value, numbers.of(record, value))))
    });
    json!({
        "level": line.writer.level,
        "carried": line.carried,
        "columns": cells.collect::<Map<_, _>>(),
    })
}

/// A value, or what stands for it.
fn shown(kind: &FieldKind, value: &Value, number: usize) -> Json {
    match (kind, value.as_text()) {
        (_, Some("") | None) => json!(value),
        (FieldKind::IdNo, Some(text)) => {
            let birth = id_number::check(text).ok().map(|good| good.birth.to_string());
            json!({"masked": number, "birth": birth})
        }
        (FieldKind::BankNo | FieldKind::Note | FieldKind::Phone | FieldKind::Text, _) => {
            json!({"masked": number})
        }
        _ => json!(value),
    }
}

/// Numbers from 1 that stand for texts, by ledger or record, and text.
struct Numbers(BTreeMap<(String, String), usize>);

impl Numbers {
    fn new() -> Self {
        Self(BTreeMap::new())
    }

    fn of(&mut self, ledger: &str, value: &Value) -> usize {
        let next = self.0.len() + 1;
        *self.0.entry((ledger.to_owned(), value.to_string())).or_insert(next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_texts_are_masked_and_the_rest_is_written() {
        let text = |text: &str| Value::from(text);
        let number = text("411499195304090038");
        let masked = json!({"masked": 3, "birth": "1953-04-09"});
        assert_eq!(shown(&FieldKind::IdNo, &number, 3), masked);
        let wrong = json!({"masked": 0, "birth": null});
        assert_eq!(shown(&FieldKind::IdNo, &text("4114991953040900"), 0), wrong);
        for kind in [FieldKind::BankNo, FieldKind::Note, FieldKind::Phone, FieldKind::Text] {
            assert_eq!(shown(&kind, &text("13700000000"), 0), json!({"masked": 0}));
        }
        assert_eq!(shown(&FieldKind::Date, &text("2018-05-01"), 0), json!("2018-05-01"));
        assert_eq!(shown(&FieldKind::Money, &Value::Int(5), 0), json!(5));
    }

    #[test]
    fn equal_texts_of_a_ledger_have_equal_numbers() {
        let mut numbers = Numbers::new();
        let one = numbers.of("household", &"x".into());
        assert_eq!(numbers.of("household", &"x".into()), one);
        assert_ne!(numbers.of("household", &"y".into()), one);
        assert_ne!(numbers.of("member", &"x".into()), one);
    }
}

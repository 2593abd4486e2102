//! Imports: preview, every row error with its place, all or nothing.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use serde_json::{Value, json};
use taizhang_core::catalogue::{FieldKind, LogColumn, Text};
use taizhang_core::feed::entry::Person;
use taizhang_core::id::{ImportId, PlaceId, RecordId, SliceId};
use taizhang_core::time::UtcMillis;

use super::sheet_import::{self, Asker};
use super::{OpsError, Progress};
use crate::driver::Replica;
use crate::engine::Engine;
use crate::engine::command::{CommandError, Inputs, refuse};
use crate::engine::values::Source;
use crate::viewer::Viewer;

/// Row errors listed; the count is always given.
const ERRORS_SHOWN: usize = 50;
/// The refusals by which the job tells bad rows and a mere preview from other refusals.
const ROWS: &str = "rows\n";
pub(super) const PREVIEW: &str = "preview";

/// Records of an import by the names under which later lines refer to them: several places may use one name.
type Aliases = BTreeMap<String, Vec<Named>>;

/// A record with such a name.
struct Named {
    slice: SliceId,
    ledger: String,
    record: RecordId,
}

/// One record to be made.
struct Planned {
    /// File and line, for errors.
    at: String,
    ledger: String,
    alias: String,
    /// Code of a place below, if it is not the own one.
    place: String,
    inputs: Inputs,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    ledger: String,
    /// A name by which later lines refer to it as `@name`.
    #[serde(default)]
    id: String,
    /// The code of a place below this office into whose ledgers it belongs; the own place if empty.
    #[serde(default)]
    place: String,
    fields: BTreeMap<String, Value>,
}

/// Imports a file: a sheet into the own place's slice, lines of a jsonl file into the slices of the own place
/// and of those below that they name.
///
/// # Errors
///
/// [`OpsError::Rows`] with every bad row; then nothing was imported.
pub async fn import(
    replica: &Replica,
    path: &Path,
    ledger: &str,
    preview: bool,
    person: Person,
    progress: Progress,
) -> Result<Value, OpsError> {
    let jsonl = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("jsonl"));
    if !jsonl {
        return import_sheet(replica, path, ledger, preview, person, progress).await;
    }
    let (planned, source) = (read_jsonl(path)?, Source::Data);
    let total = planned.len();
    let place = replica.place();
    let result = replica
        .run(move |engine, now| {
            make_all(engine, place, planned, source, &person, now, &progress)?;
            if preview { refuse(PREVIEW, PREVIEW) } else { Ok(()) }
        })
        .await;
    match result {
        Err(CommandError::Refused(text)) if text.en == PREVIEW => {
            Ok(json!({"preview": true, "records": total}))
        }
        Err(CommandError::Refused(text)) if text.en.starts_with(ROWS) => {
            Err(OpsError::Rows(text.en.lines().skip(1).map(str::to_owned).collect()))
        }
        Err(error) => Err(error.into()),
        Ok(()) => Ok(json!({"preview": false, "records": total})),
    }
}

/// A sheet by the columns that its headers name, or were understood to mean before.
async fn import_sheet(
    replica: &Replica,
    path: &Path,
    ledger: &str,
    preview: bool,
    person: Person,
    progress: Progress,
) -> Result<Value, OpsError> {
    let directives = replica.directives();
    let ledger = directives.catalogue.ledger(ledger).ok_or_else(|| OpsError::File {
        path: path.to_owned(),
        reason: format!("name the ledger of this sheet; there is no `{ledger}`"),
    })?;
    let prepared = sheet_import::prepare(replica, path, ledger).await?;
    let unknown = prepared.mapping.unknown();
    let viewer = Viewer::machine(replica.identity().checked.name.level());
    let asker = Asker { person, viewer };
    let done = prepared.import(replica, ledger, preview, asker, progress).await?;
    if done.errors.is_empty() {
        return Ok(json!({
            "preview": preview,
            "records": done.created + done.changed + done.unchanged,
            "created": done.created,
            "changed": done.changed,
            "unchanged": done.unchanged,
            "unknown_columns": unknown,
        }));
    }
    let line = |error: &sheet_import::CellError| {
        let (row, column) = (error.row, &error.column);
        let reason = &error.reason;
        format!("第{row}行{column}: {} / row {row}{column}: {}", reason.zh, reason.en)
    };
    let mut rows: Vec<String> = done.errors.iter().take(ERRORS_SHOWN).map(line).collect();
    if done.errors.len() > ERRORS_SHOWN {
        rows.push(format!("and {} more", done.errors.len() - ERRORS_SHOWN));
    }
    Err(OpsError::Rows(rows))
}

/// Makes every record in one job; any bad row refuses the job, which undoes it all.
fn make_all(
    engine: &mut Engine,
    place: PlaceId,
    planned: Vec<Planned>,
    source: Source,
    person: &Person,
    now: UtcMillis,
    progress: &Progress,
) -> Result<(), CommandError> {
    let import = ImportId(engine.random());
    let mut aliases = Aliases::new();
    let mut errors = Vec::new();
    let total = planned.len() as u64;
    for (number, mut one) in planned.into_iter().enumerate() {
        if number % 500 == 0 {
            progress("import", number as u64, total);
        }
        let id = RecordId(engine.random());
        let placed = place_of(engine, place, &one.place);
        let result = placed.and_then(|place| {
            resolve_references(engine, place, &mut one, &aliases)?;
            let kind = engine.ledger(&one.ledger)?.slice;
            let slice = SliceId { kind, place };
            let (ledger, inputs) = (one.ledger.as_str(), &one.inputs);
            engine.create_as(id, slice, ledger, inputs, source, person, Some(import), now)?;
            Ok(slice)
        });
        match result {
            Ok(_) if one.alias.is_empty() => {}
            Ok(slice) => {
                let named = Named { slice, ledger: one.ledger, record: id };
                aliases.entry(one.alias).or_default().push(named);
            }
            Err(CommandError::Store(error)) => return Err(CommandError::Store(error)),
            Err(error) => errors.push(format!("{}: {error}", one.at)),
        }
    }
    progress("import", total, total);
    if errors.is_empty() {
        return Ok(());
    }
    let count = errors.len();
    errors.truncate(ERRORS_SHOWN);
    if count > ERRORS_SHOWN {
        errors.push(format!("and {} more rows", count - ERRORS_SHOWN));
    }
    let text = format!("{ROWS}{}", errors.join("\n"));
    refuse(text.clone(), text)
}

/// The place that a line names by its code: the own one or one below.
fn place_of(engine: &Engine, own: PlaceId, code: &str) -> Result<PlaceId, CommandError> {
    if code.is_empty() {
        return Ok(own);
    }
    let tree = &engine.directives.tree;
    let found = tree.by_code(code).map(|place| place.id);
    match found.filter(|place| tree.is_above_or_same(own, *place)) {
        Some(place) => Ok(place),
        None => refuse(
            format!("本单位之下没有代码为{code}的区划"),
            format!("no place below this office has the code {code}"),
        ),
    }
}

/// Replaces `@name` by the record made before, and a name by the one record that bears it, in the columns of
/// logs too.
fn resolve_references(
    engine: &mut Engine,
    place: PlaceId,
    one: &mut Planned,
    aliases: &Aliases,
) -> Result<(), CommandError> {
    let ledger = engine.ledger(&one.ledger)?;
    for field in &ledger.fields {
        let Some(text) = one.inputs.get(&field.id) else { continue };
        let resolved = match &field.kind {
            FieldKind::Ref(target) => {
                resolve(engine, place, (target, &field.label), text, aliases)?
            }
            FieldKind::Log(columns) => resolve_lines(engine, place, columns, text, aliases)?,
            _ => continue,
        };
        one.inputs.insert(field.id.clone(), resolved);
    }
    Ok(())
}

/// The references in the lines of a log. What is no list of lines is refused where it is written.
fn resolve_lines(
    engine: &mut Engine,
    place: PlaceId,
    columns: &[LogColumn],
    text: &str,
    aliases: &Aliases,
) -> Result<String, CommandError> {
    if !columns.iter().any(|column| matches!(column.kind, FieldKind::Ref(_))) {
        return Ok(text.to_owned());
    }
    let several = serde_json::from_str::<Vec<Inputs>>(text);
    let found = several.or_else(|_| serde_json::from_str(text).map(|one| vec![one]));
    let Ok(mut lines) = found else { return Ok(text.to_owned()) };
    for line in &mut lines {
        for column in columns {
            let FieldKind::Ref(target) = &column.kind else { continue };
            let Some(text) = line.get(&column.id) else { continue };
            let id = resolve(engine, place, (target, &column.label), text, aliases)?;
            line.insert(column.id.clone(), id);
        }
    }
    Ok(serde_json::to_string(&lines).unwrap_or_default())
}

/// The record that one reference means: rows refer to their own slice, and to registers on their path.
fn resolve(
    engine: &mut Engine,
    place: PlaceId,
    (target, label): (&str, &Text),
    text: &str,
    aliases: &Aliases,
) -> Result<String, CommandError> {
    if text.trim().is_empty() || text.parse::<RecordId>().is_ok() {
        return Ok(text.to_owned());
    }
    let Some(alias) = text.strip_prefix('@') else {
        return Ok(engine.by_title(place, target, text, label)?.to_string());
    };
    let Some(named) = aliases.get(alias) else {
        return refuse(
            format!("「{}」引用的{text}尚未出现", label.zh),
            format!("{}: {text} was not made before this line", label.en),
        );
    };
    let ledger = engine.ledger(target)?;
    let slices = engine.named_slices(place, &ledger);
    let fits = |one: &&Named| one.ledger == target && slices.contains(&one.slice);
    match named.iter().rev().find(fits) {
        Some(one) => Ok(one.record.to_string()),
        None => refuse(
            format!("「{}」引用的{text}属于其他区划或台账,此处不能引用", label.zh),
            format!("{}: {text} is of another place or ledger, not to be named here", label.en),
        ),
    }
}

fn value_text(value: Value) -> String {
    match value {
        Value::String(text) => text,
        Value::Array(list) => list.into_iter().map(value_text).collect::<Vec<_>>().join(","),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

fn read_jsonl(path: &Path) -> Result<Vec<Planned>, OpsError> {
    let fail = |reason: String| OpsError::File { path: path.to_owned(), reason };
    let text = std::fs::read_to_string(path).map_err(|error| fail(error.to_string()))?;
    let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut planned = Vec::new();
    let mut errors = Vec::new();
    for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let at = format!("{file} line {}", number + 1);
        match serde_json::from_str::<Line>(line) {
            Ok(line) => planned.push(Planned {
                at,
                ledger: line.ledger,
                alias: line.id,
                place: line.place,
                inputs: line.fields.into_iter().map(|(id, one)| (id, value_text(one))).collect(),
            }),
            Err(error) => errors.push(format!("{at}: {error}")),
        }
    }
    if errors.is_empty() { Ok(planned) } else { Err(OpsError::Rows(errors)) }
}

//! What every office of the sample writes, beside what [`super::village`] makes of a seed: one text file a
//! field of work, in sections by the level that writes.
//!
//! `@ county` begins a section. `ledger alias field=value ...` is a record, `+ alias ...` one more of the
//! same ledger, `ledger * field=value ...` what the following ones have in common. Sets end with a stroke,
//! the lines of a log stand in angle brackets: `<column:value,column:value;...>`.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use serde_json::{Map, Value};
use taizhang_core::catalogue::Catalogue;
use taizhang_core::catalogue::parse::parse;
use taizhang_core::id::{Level, SliceKind};

use super::{SampleLine, pairs, value};

const FILES: [&str; 5] = [
    include_str!("income.txt"),
    include_str!("work.txt"),
    include_str!("toilets.txt"),
    include_str!("motivation.txt"),
    include_str!("offices.txt"),
];

fn catalogue() -> &'static Catalogue {
    static BASE: OnceLock<Catalogue> = OnceLock::new();
    BASE.get_or_init(|| parse(&taizhang_core::base_catalogue()).unwrap_or_default())
}

/// In which order the offices write: upper ones first, then the village, then what upper ones write into
/// the village's ledgers.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Phase {
    /// Upper offices, in their own ledgers and registers.
    Above,
    /// The village.
    Village,
    /// Upper offices, in the village's ledgers.
    Into,
}

fn phase_of(line: &SampleLine) -> Phase {
    match (line.level, is_kept_at(line.ledger, line.level)) {
        (Level::Village, _) => Phase::Village,
        (_, true) => Phase::Above,
        (_, false) => Phase::Into,
    }
}

/// The records that offices of a level write in a phase, in order. Those of other offices and phases are
/// named by their titles: an import knows no aliases of another.
pub fn written(level: Level, phase: Phase) -> Vec<SampleLine> {
    let is_own = |line: &SampleLine| line.level == level && phase_of(line) == phase;
    let all = FILES.iter().flat_map(|file| read(file));
    let (mut own, others): (Vec<_>, Vec<_>) = all.partition(is_own);
    let others: BTreeMap<String, String> =
        others.iter().filter_map(|line| Some((format!("@{}", line.id), title_of(line)?))).collect();
    for line in &mut own {
        for value in line.fields.values_mut() {
            if let Some(title) = value.as_str().and_then(|text| others.get(text)) {
                *value = title.as_str().into();
            }
        }
    }
    own
}

/// Registers that the levels above one write, and how many records of each.
pub fn registers_above(level: Level) -> BTreeMap<&'static str, u64> {
    let mut known: BTreeMap<&'static str, u64> = BTreeMap::new();
    let above = FILES.iter().flat_map(|file| read(file)).filter(|line| line.level > level);
    for line in above.filter(|line| phase_of(line) == Phase::Above && is_register(line.ledger)) {
        *known.entry(line.ledger).or_default() += 1;
    }
    known
}

fn is_register(ledger: &str) -> bool {
    catalogue().ledger(ledger).is_some_and(|ledger| ledger.slice == SliceKind::Directive)
}

/// Whether an office of a level keeps a ledger in its own slice.
pub fn is_kept_at(ledger: &str, level: Level) -> bool {
    catalogue().ledger(ledger).is_some_and(|ledger| ledger.scope.contains(&level))
}

/// What names a record: the first field of its title that is filled.
pub(super) fn title_of(line: &SampleLine) -> Option<String> {
    let mut parts = catalogue().ledger(line.ledger)?.title.iter();
    parts.find_map(|field| line.fields.get(field)?.as_str()).map(str::to_owned)
}

fn read(file: &'static str) -> Vec<SampleLine> {
    let mut lines = Vec::new();
    let (mut level, mut ledger, mut common) = (Level::Village, "", "");
    for line in file.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#')) {
        let mut parts = line.splitn(3, ' ');
        let [first, id, fields] = [0; 3].map(|_| parts.next().unwrap_or_default());
        match first {
            "@" => level = Level::ALL.into_iter().find(|one| one.name() == id).unwrap_or(level),
            "+" => {}
            _ => (ledger, common) = (first, ""),
        }
        match (first, id) {
            ("@", _) => {}
            (_, "*") => common = fields,
            _ => lines.push(SampleLine {
                ledger,
                id: id.into(),
                fields: fields_of(common, fields),
                level,
            }),
        }
    }
    lines
}

fn fields_of(common: &str, own: &str) -> Map<String, Value> {
    let fields = pairs(common).chain(pairs(own));
    fields.map(|(name, text)| (name, log(text).unwrap_or_else(|| value(text)))).collect()
}

/// The JSON of a log's lines, if a text is a log.
fn log(text: &str) -> Option<Value> {
    let inner = text.strip_prefix('<')?.strip_suffix('>')?;
    let line = |line: &str| -> BTreeMap<String, String> {
        let cells = line.split(',').filter_map(|cell| cell.split_once(':'));
        cells.map(|(column, text)| (column.to_owned(), text.to_owned())).collect()
    };
    let lines: Vec<_> = inner.split(';').map(line).filter(|line| !line.is_empty()).collect();
    Some(serde_json::to_string(&lines).unwrap_or_default().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_open_ledger_has_a_sample_of_a_level_that_may_create_it() {
        let village = crate::demo::sample::village(1, 12);
        let above: Vec<SampleLine> = FILES.iter().flat_map(|file| read(file)).collect();
        let mut lacking = Vec::new();
        for ledger in catalogue().ledgers_for_people().filter(|ledger| !ledger.closed) {
            let mut lines = village.iter().chain(&above).filter(|line| line.ledger == ledger.id);
            if !lines.any(|line| ledger.may_create(line.level)) {
                lacking.push(&ledger.id);
            }
        }
        // Made by the program, or by the demo's story itself.
        let made = ["report_filing", "supervision_round", "finding", "supervision_notice"];
        lacking.retain(|id| !made.contains(&id.as_str()));
        assert!(lacking.is_empty(), "{lacking:?}");
    }
}

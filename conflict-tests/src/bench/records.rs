//! A sample village's lines as the keys that an office would write.

use std::collections::{BTreeMap, BTreeSet};

use taizhang_core::catalogue::{Catalogue, Field, FieldKind, Ledger, LogColumn, Merge};
use taizhang_core::id::{Level, RecordId, hex};
use taizhang_core::record::edit::{KeyWrite, creation};
use taizhang_core::record::value::Value;
use taizhang_core::rules::id_number::{self, IdNumberError};
use taizhang_hub::demo::sample::{self, SampleLine};
use taizhang_node::engine::command::Inputs;
use taizhang_node::engine::values::{FieldError, Source, parse, parse_set};

use super::words;
use crate::chance::Dice;

/// From so many households on a sample village has every ledger.
const HOUSEHOLDS_MIN: usize = 10;
/// Records of one household of a sample village, about.
const RECORDS_OF_HOUSEHOLD: usize = 10;

/// How many households make a village of at least that many records.
pub fn households_for(records: usize) -> usize {
    let mut households = HOUSEHOLDS_MIN;
    loop {
        let found = sample::families(0, households).len();
        if found >= records {
            return households;
        }
        households += ((records - found) / RECORDS_OF_HOUSEHOLD).max(1);
    }
}

/// The names by which a line refers to others.
fn references(line: &SampleLine) -> impl Iterator<Item = &str> {
    line.fields.values().filter_map(|value| value.as_str()?.strip_prefix('@'))
}

/// Some of a village's lines, with all that they refer to, in their order.
pub fn choose(lines: Vec<SampleLine>, count: usize, dice: &mut Dice) -> Vec<SampleLine> {
    if lines.len() <= count {
        return lines;
    }
    let index: BTreeMap<&str, usize> =
        lines.iter().enumerate().map(|(at, line)| (line.id.as_str(), at)).collect();
    let needs: Vec<Vec<usize>> = lines
        .iter()
        .map(|line| references(line).filter_map(|name| index.get(name).copied()).collect())
        .collect();
    let mut order: Vec<usize> = (0..lines.len()).collect();
    for at in (1..order.len()).rev() {
        order.swap(at, dice.index(at + 1));
    }
    let (mut kept, mut total) = (vec![false; lines.len()], 0);
    for start in order {
        let (mut group, mut open) = (BTreeSet::new(), vec![start]);
        while let Some(at) = open.pop() {
            if !kept[at] && group.insert(at) {
                open.extend(&needs[at]);
            }
        }
        if total + group.len() <= count {
            total += group.len();
            group.into_iter().for_each(|at| kept[at] = true);
        }
    }
    lines.into_iter().zip(kept).filter_map(|(line, keep)| keep.then_some(line)).collect()
}

/// The same number with a region of its own for each village, so that people of two villages are never
/// taken for one. No province has the digits 99: nobody can own such a number.
fn own_number(text: &str, village: usize) -> String {
    if text.len() != 18 || !text.is_ascii() {
        return text.to_owned();
    }
    let digits = format!("99{:04}{}", village % 10_000, &text[6..17]);
    let right = match id_number::check(&format!("{digits}0")) {
        Err(IdNumberError::Check { expected }) => expected,
        _ => '0',
    };
    let wrong = if right == '0' { '1' } else { '0' };
    let last = if id_number::check(text).is_ok() { right } else { wrong };
    format!("{digits}{last}")
}

/// Makes keys of lines.
pub struct Filler<'a> {
    /// What the ledgers are.
    pub catalogue: &'a Catalogue,
    /// Records by the names of their lines.
    pub ids: &'a BTreeMap<String, RecordId>,
    /// The village's number.
    pub village: usize,
}

fn reason(error: FieldError) -> String {
    format!("{}: {}", error.field, error.reason.en)
}

impl Filler<'_> {
    /// The keys with which a line's record begins.
    ///
    /// # Errors
    ///
    /// A field that the ledger lacks, or that a village may not write so.
    pub fn keys(
        &self,
        ledger: &Ledger,
        line: &SampleLine,
        dice: &mut Dice,
    ) -> Result<Vec<KeyWrite>, String> {
        let mut keys = vec![creation(&ledger.id)];
        for (id, value) in &line.fields {
            let field = ledger
                .field(id)
                .filter(|field| field.write.contains(&Level::Village))
                .ok_or_else(|| format!("a village does not write {}.{id}", ledger.id))?;
            let text = self.text(field, value)?;
            match &field.kind {
                FieldKind::Attach => return Err(format!("{id}: photos are not played")),
                FieldKind::Set(_) => {
                    let members = parse_set(field, &text, self.catalogue).map_err(reason)?;
                    let members = members.into_iter().collect::<BTreeSet<_>>().into_iter();
                    let key = |one: String| (format!("{id}/{one}"), Some(Value::Bool(true)));
                    keys.extend(members.map(key));
                }
                FieldKind::Log(columns) => keys.extend(self.lines(field, columns, &text, dice)?),
                _ => {
                    let value = parse(field, &text, Source::Data, self.catalogue);
                    keys.push((id.clone(), value.map_err(reason)?));
                }
            }
        }
        Ok(keys)
    }

    fn text(&self, field: &Field, value: &serde_json::Value) -> Result<String, String> {
        let text = match value {
            serde_json::Value::String(text) => text.clone(),
            serde_json::Value::Array(all) => {
                let texts = all.iter().map(|one| one.as_str().unwrap_or_default());
                texts.collect::<Vec<_>>().join(",")
            }
            other => other.to_string(),
        };
        if let Some(name) = text.strip_prefix('@') {
            let id = self.ids.get(name).ok_or_else(|| format!("{text} is no line"))?;
            return Ok(id.to_string());
        }
        let is_number = field.kind == FieldKind::IdNo;
        Ok(if is_number { own_number(&text, self.village) } else { text })
    }

    fn lines(
        &self,
        field: &Field,
        columns: &[LogColumn],
        text: &str,
        dice: &mut Dice,
    ) -> Result<Vec<KeyWrite>, String> {
        let mut keys: BTreeMap<String, Option<Value>> = BTreeMap::new();
        for inputs in serde_json::from_str::<Vec<Inputs>>(text).map_err(words)? {
            let mut line: BTreeMap<&str, Value> = BTreeMap::new();
            for column in columns {
                let Some(text) = inputs.get(&column.id) else { continue };
                let (label, kind) = (column.label.clone(), column.kind.clone());
                let as_field = Field { label, kind, ..field.clone() };
                let value = parse(&as_field, text, Source::Data, self.catalogue);
                if let Some(value) = value.map_err(reason)? {
                    line.insert(column.id.as_str(), value);
                }
            }
            let text = serde_json::to_string(&line).map_err(words)?;
            let hash = if field.once_by.is_empty() {
                let mut hasher = blake3::Hasher::new();
                let mut nonce = [0; 16];
                dice.fill(&mut nonce);
                hasher.update(text.as_bytes()).update(&nonce).finalize()
            } else {
                let key = field.once_by.iter().map(|one| (one, line.get(one.as_str())));
                let key = serde_json::to_vec(&key.collect::<Vec<_>>()).map_err(words)?;
                blake3::hash(&key)
            };
            let id = hex(&hash.as_bytes()[..16]);
            keys.insert(format!("{}/{id}", field.id), Some(text.into()));
        }
        Ok(keys.into_iter().collect())
    }
}

/// The first key of a record that an edit may change, with its value.
pub fn editable(ledger: &Ledger, keys: &[KeyWrite]) -> Option<(String, Value)> {
    keys.iter().find_map(|(key, value)| {
        let field = ledger.field(key)?;
        let merges = matches!(field.merge, Merge::Conflict | Merge::Latest | Merge::Own);
        let kind = &field.kind;
        let plain =
            matches!(kind, FieldKind::Text | FieldKind::Note | FieldKind::Int | FieldKind::Money);
        let value = value.clone()?;
        (merges && plain).then(|| (key.clone(), value))
    })
}

/// A value after its edit of that number, counted from 1.
pub fn edited(first: &Value, number: i64) -> Value {
    match first {
        Value::Int(value) => Value::Int(value.saturating_add(number)),
        Value::Text(text) => Value::Text(format!("{text}(更正{number})")),
        Value::Bool(value) => Value::Bool(!value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stay_right_or_wrong_and_differ_between_villages() {
        let right = "411499195304090038";
        let (one, two) = (own_number(right, 1), own_number(right, 2));
        assert!(id_number::check(&one).is_ok() && id_number::check(&two).is_ok());
        assert_ne!(one, two);
        assert!(id_number::check(&own_number("411499195304090030", 1)).is_err());
    }

    #[test]
    fn chosen_lines_have_what_they_refer_to() {
        let mut dice = Dice::new(1, "test");
        for count in [1, 2, 40, 200] {
            let lines = sample::families(3, households_for(count));
            let chosen = choose(lines, count, &mut dice);
            assert_eq!(chosen.len(), count);
            let names: BTreeSet<&str> = chosen.iter().map(|line| line.id.as_str()).collect();
            assert!(chosen.iter().flat_map(references).all(|name| names.contains(name)));
        }
    }
}

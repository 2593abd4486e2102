//! Which column of a sheet is which field: guessed from the headers, corrected by a person, remembered for the
//! next sheet with the same headers.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use taizhang_core::catalogue::{Field, FieldKind, Ledger, Merge, Required};

use super::sheet::Sheet;
use crate::engine::command::is_of_rounds;

/// Rows above the header: titles, units, dates.
const HEADER_SEARCH_ROWS: usize = 8;

/// One column of a sheet.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Column {
    /// What its header says, groups above it included.
    pub header: String,
    /// Field id; empty if the column is left out.
    pub field: String,
    /// Whether it helps to find the record that a row is about.
    pub is_key: bool,
}

/// The columns of a sheet.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Mapping {
    /// Row index of the header.
    pub header: usize,
    /// From left to right.
    pub columns: Vec<Column>,
}

/// What is remembered: field and key mark by header.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(transparent)]
pub struct Remembered(BTreeMap<String, (String, bool)>);

fn normal(text: &str) -> String {
    text.chars()
        .filter(|c| !c.is_whitespace() && !"*()\u{ff08}\u{ff09}:\u{ff1a}".contains(*c))
        .collect::<String>()
        .to_lowercase()
}

/// Fields that a sheet can fill: one cell, one value, and not those of the page of rounds.
pub fn fields(ledger: &Ledger) -> impl Iterator<Item = &Field> {
    let fills = |field: &&Field| {
        !matches!(field.kind, FieldKind::Log(_)) && !is_of_rounds(ledger, &field.id)
    };
    ledger.fields.iter().filter(fills)
}

/// Whether a sheet can fill a field: what a form or a remembered header names may be any other.
pub fn fills(ledger: &Ledger, field: &str) -> bool {
    fields(ledger).any(|one| one.id == field)
}

/// Whether a field helps to tell records apart: it is in their titles, says to whom they belong, or never changes.
fn is_key(ledger: &Ledger, field: &Field) -> bool {
    let belongs = matches!(field.kind, FieldKind::Ref(_)) && field.required == Required::Always;
    ledger.title.contains(&field.id) || belongs || field.merge == Merge::Fixed
}

fn field_of<'a>(ledger: &'a Ledger, header: &str) -> Option<&'a str> {
    let wanted = normal(header);
    let named = |field: &&Field| {
        let own = [&field.label.zh, &field.label.en, &field.id];
        own.into_iter().chain(&field.headers).any(|name| normal(name) == wanted)
    };
    fields(ledger).find(named).map(|field| field.id.as_str())
}

/// What stands above a column: its own cell, or, where cells are merged, the next one up; and the group over it,
/// which only the first of merged cells holds.
fn header_texts(sheet: &Sheet, header: usize, column: usize) -> (String, String) {
    let cell = |row: usize, column: usize| {
        sheet.rows.get(row).and_then(|row| row.get(column)).map_or("", |text| text.trim())
    };
    let own = (0..=header).rev().map(|row| cell(row, column)).find(|text| !text.is_empty());
    let group = header.checked_sub(1).and_then(|above| {
        let named = |row: usize| sheet.rows[row].iter().filter(|text| !text.is_empty()).count();
        // A title above the table is no group.
        let groups = named(above) > 1;
        groups
            .then(|| (0..=column).rev().map(|at| cell(above, at)).find(|text| !text.is_empty()))?
    });
    let own = own.unwrap_or_default();
    let group = group.filter(|group| *group != own).unwrap_or_default();
    (own.to_owned(), group.to_owned())
}

impl Mapping {
    /// Finds the header row, the one of the first rows that names the most fields, and takes for each column what
    /// is remembered of its header, or else what the catalogue calls so. None if no row names a field.
    pub fn of_sheet(sheet: &Sheet, ledger: &Ledger, kept: &Remembered) -> Option<Self> {
        let rows = 0..sheet.rows.len().min(HEADER_SEARCH_ROWS);
        let candidates = rows.map(|header| Self::at(sheet, header, ledger, kept));
        let count =
            |one: &Self| one.columns.iter().filter(|column| !column.field.is_empty()).count();
        // Of equals the first.
        let best = candidates.rev().max_by_key(count)?;
        (count(&best) > 0).then_some(best)
    }

    fn at(sheet: &Sheet, header: usize, ledger: &Ledger, kept: &Remembered) -> Self {
        let width = sheet.rows.iter().skip(header).map(Vec::len).max().unwrap_or(0);
        let mut columns: Vec<Column> = Vec::new();
        for column in 0..width {
            let (own, group) = header_texts(sheet, header, column);
            let whole = if group.is_empty() { own.clone() } else { format!("{group}/{own}") };
            let remembered = kept.0.get(&whole);
            let (field, is_key) = match remembered {
                Some((field, is_key)) => (field.as_str(), *is_key),
                None => {
                    let named = [format!("{group}{own}"), own];
                    let field = named.iter().find_map(|name| field_of(ledger, name)).unwrap_or("");
                    (field, ledger.field(field).is_some_and(|field| is_key(ledger, field)))
                }
            };
            let taken = columns.iter().any(|one| one.field == field);
            let known = fills(ledger, field) && !taken;
            let field = if known { field.to_owned() } else { String::new() };
            columns.push(Column { header: whole, is_key: is_key && known, field });
        }
        Self { header, columns }
    }

    /// Where it is remembered: the same ledger, the same headers.
    pub fn key(&self, ledger: &str) -> String {
        let headers: Vec<String> = self.columns.iter().map(|one| normal(&one.header)).collect();
        let hash = blake3::hash(headers.join("\n").as_bytes());
        format!("sheet {ledger} {}", hash.to_hex())
    }

    /// What to remember of it.
    pub fn remembered(&self) -> Remembered {
        let named = self.columns.iter().filter(|one| !one.header.is_empty());
        let pair = |one: &Column| (one.header.clone(), (one.field.clone(), one.is_key));
        Remembered(named.map(pair).collect())
    }

    /// Headers of columns that are left out.
    pub fn unknown(&self) -> Vec<String> {
        let out = self.columns.iter().filter(|one| one.field.is_empty() && !one.header.is_empty());
        out.map(|one| one.header.clone()).collect()
    }
}

/// A column as spreadsheets name it: A, B, ..., Z, AA.
pub fn letters(column: usize) -> String {
    let mut rest = column + 1;
    let mut letters = Vec::new();
    while rest > 0 {
        let digit = u8::try_from((rest - 1) % 26).unwrap_or(0);
        letters.push(char::from(b'A' + digit));
        rest = (rest - 1) / 26;
    }
    letters.iter().rev().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sheet(rows: &[&[&str]]) -> Sheet {
        let rows = rows.iter().map(|row| row.iter().map(|cell| (*cell).to_owned()).collect());
        Sheet { first_row: 1, rows: rows.collect() }
    }

    fn fields_of(mapping: &Mapping) -> Vec<&str> {
        mapping.columns.iter().map(|column| column.field.as_str()).collect()
    }

    #[test]
    fn merged_headers_in_any_order_are_understood_and_corrections_remembered() {
        let parts = taizhang_core::base_catalogue();
        let catalogue = taizhang_core::catalogue::parse::parse(&parts).unwrap();
        let ledger = catalogue.ledger("household_member").unwrap();
        let sheet = sheet(&[
            &["张弓镇贫困人口花名册"],
            &["序号", "户主", "家庭成员", "", "", "备注"],
            &["", "", "姓名", "公民身份号码", "关系", ""],
            &["1", "张三", "李四", "411499197003110017", "配偶", ""],
        ]);
        let mapping = Mapping::of_sheet(&sheet, ledger, &Remembered::default()).unwrap();
        assert_eq!(mapping.header, 2);
        assert_eq!(fields_of(&mapping), ["", "household", "name", "id_no", "relation", ""]);
        assert_eq!(mapping.columns[2].header, "家庭成员/姓名");
        let keys: Vec<bool> = mapping.columns.iter().map(|column| column.is_key).collect();
        assert_eq!(keys, [false, true, true, false, true, false], "household, name, relation");
        let mut corrected = mapping.clone();
        corrected.columns[5].field = "education".into();
        corrected.columns[3].field = String::new();
        let again = Mapping::of_sheet(&sheet, ledger, &corrected.remembered()).unwrap();
        assert_eq!(again, corrected);
        assert_eq!(mapping.key("a"), again.key("a"));
    }

    #[test]
    fn no_sheet_names_the_places_of_a_round() {
        let parts = taizhang_core::base_catalogue();
        let catalogue = taizhang_core::catalogue::parse::parse(&parts).unwrap();
        let ledger = catalogue.ledger("supervision_round").unwrap();
        assert!(fills(ledger, "title"));
        let rounds = ["places", "pins"];
        assert!(rounds.iter().all(|id| ledger.field(id).is_some() && !fills(ledger, id)));
        let sheet = sheet(&[&["title", "places", "pins"], &["一", "[]", "[]"]]);
        let typed = Remembered::default();
        if let Some(mapping) = Mapping::of_sheet(&sheet, ledger, &typed) {
            assert!(mapping.columns.iter().all(|one| !rounds.contains(&one.field.as_str())));
        }
    }

    #[test]
    fn columns_are_lettered_as_in_a_spreadsheet() {
        assert_eq!(
            [0, 25, 26, 51, 52, 701, 702].map(letters),
            ["A", "Z", "AA", "AZ", "BA", "ZZ", "AAA"]
        );
    }
}

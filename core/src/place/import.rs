//! Checks rows of a place table before anything is made of them: all or nothing.

use std::collections::BTreeMap;

use crate::id::Level;

/// One row as read, with its place in the file.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PlaceRow {
    /// Line in the file, from 1; the header is line 1.
    pub line: u64,
    /// 12 digits.
    pub code: String,
    /// The place's name.
    pub name: String,
    /// 12 digits; for the city anything above it.
    pub parent_code: String,
    /// `city`, `county`, `township` or `village`.
    pub level: String,
}

/// A row that passed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PlaceSeed {
    /// 12 digits.
    pub code: String,
    /// The place's name.
    pub name: String,
    /// Index of the parent in the list of seeds; `None` for the city.
    pub parent: Option<usize>,
    /// The level.
    pub level: Level,
}

/// Why a row was refused.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("line {line}: {reason}")]
pub struct RowError {
    /// Line in the file.
    pub line: u64,
    /// What is wrong and what to do.
    pub reason: String,
}

/// Longest name in characters; the longest real one has 10.
const NAME_CHARS_MAX: usize = 60;

/// Whether a code continues that of its parent of some level, both of one edition (R-REG-01).
pub fn nests(code: &str, parent: &str, level: Level) -> bool {
    let digits = significant(level);
    code.get(..digits).is_some_and(|start| parent.get(..digits) == Some(start))
}

fn significant(level: Level) -> usize {
    match level {
        Level::City => 4,
        Level::County => 6,
        Level::Township => 9,
        Level::Village => 12,
    }
}

fn check_row(row: &PlaceRow) -> Result<Level, String> {
    let level = Level::parse(&row.level).ok_or_else(|| {
        format!("level `{}` is none of city, county, township, village", row.level)
    })?;
    if row.code.len() != 12 || !row.code.bytes().all(|b| b.is_ascii_digit()) {
        return Err(format!("code `{}` is not 12 digits", row.code));
    }
    if row.code[significant(level)..].bytes().any(|b| b != b'0') {
        return Err(format!(
            "code {} has digits below the level {}; pad with zeros",
            row.code, row.level
        ));
    }
    if row.name.is_empty() || row.name.chars().count() > NAME_CHARS_MAX {
        return Err(format!("name must have 1 to {NAME_CHARS_MAX} characters"));
    }
    if row.name.chars().any(char::is_control) {
        return Err("name holds control characters".into());
    }
    Ok(level)
}

/// Turns rows into seeds, in the order of the rows.
///
/// # Errors
///
/// Every bad row, with its line and the reason; then no seed is made.
pub fn check(rows: &[PlaceRow]) -> Result<Vec<PlaceSeed>, Vec<RowError>> {
    let mut errors = Vec::new();
    let mut by_code: BTreeMap<&str, usize> = BTreeMap::new();
    let mut levels = Vec::with_capacity(rows.len());
    for (index, row) in rows.iter().enumerate() {
        match check_row(row) {
            Ok(level) => levels.push(Some(level)),
            Err(reason) => {
                errors.push(RowError { line: row.line, reason });
                levels.push(None);
            }
        }
        if let Some(first) = by_code.insert(&row.code, index) {
            let reason = format!("code {} stands on line {} already", row.code, rows[first].line);
            errors.push(RowError { line: row.line, reason });
        }
    }
    let mut seeds = Vec::with_capacity(rows.len());
    let mut city_line = None;
    for (row, level) in rows.iter().zip(&levels) {
        let Some(level) = *level else { continue };
        let parent = if level == Level::City {
            if let Some(first) = city_line.replace(row.line) {
                let reason = format!("a second city; the first is on line {first}");
                errors.push(RowError { line: row.line, reason });
            }
            None
        } else {
            match parent_of(row, level, &by_code, &levels) {
                Ok(parent) => Some(parent),
                Err(reason) => {
                    errors.push(RowError { line: row.line, reason });
                    continue;
                }
            }
        };
        seeds.push(PlaceSeed { code: row.code.clone(), name: row.name.clone(), parent, level });
    }
    if city_line.is_none() {
        errors.push(RowError { line: 0, reason: "no row has the level city".into() });
    }
    if errors.is_empty() {
        return Ok(seeds);
    }
    errors.sort_by_key(|error| error.line);
    Err(errors)
}

fn parent_of(
    row: &PlaceRow,
    level: Level,
    by_code: &BTreeMap<&str, usize>,
    levels: &[Option<Level>],
) -> Result<usize, String> {
    let parent = *by_code
        .get(row.parent_code.as_str())
        .ok_or_else(|| format!("parent {} is not in the file", row.parent_code))?;
    let parent_level = levels[parent].ok_or("its parent's row is wrong")?;
    if parent_level.below() != Some(level) {
        return Err(format!("a {} cannot hang below a {}", row.level, parent_level.name()));
    }
    if !nests(&row.code, &row.parent_code, parent_level) {
        return Err(format!(
            "code {} does not nest under its parent's code {}",
            row.code, row.parent_code
        ));
    }
    Ok(parent)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(lines: &[[&str; 4]]) -> Vec<PlaceRow> {
        lines
            .iter()
            .zip(2..)
            .map(|([code, name, parent_code, level], line)| PlaceRow {
                line,
                code: (*code).into(),
                name: (*name).into(),
                parent_code: (*parent_code).into(),
                level: (*level).into(),
            })
            .collect()
    }

    const CITY: [&str; 4] = ["411400000000", "商丘市", "410000000000", "city"];
    const COUNTY: [&str; 4] = ["411423000000", "宁陵县", "411400000000", "county"];

    #[test]
    fn codes_nest_by_the_digits_of_the_level_above() {
        assert!(nests("411423101201", "411423101000", Level::Township));
        assert!(!nests("411423102201", "411423101000", Level::Township));
        assert!(nests("411423101000", "411423000000", Level::County));
        assert!(!nests("411426101000", "411423000000", Level::County));
        assert!(!nests("4114", "411423101000", Level::Township), "a short code continues nothing");
    }

    #[test]
    fn good_rows_become_seeds_even_with_the_child_first() {
        let seeds = check(&rows(&[COUNTY, CITY])).unwrap();
        assert_eq!(seeds[0].parent, Some(1));
        assert_eq!(seeds[1].parent, None);
    }

    #[test]
    fn every_bad_row_is_named_with_its_line() {
        let errors = check(&rows(&[
            CITY,
            COUNTY,
            COUNTY,
            ["41142310100", "short", "411423000000", "township"],
            ["411423102000", "", "411423000000", "township"],
            ["411423103000", "skips", "411400000000", "township"],
            ["411426104000", "elsewhere", "411423000000", "township"],
            ["411423105000", "orphan", "411499000000", "township"],
            ["411423105001", "digits", "411423000000", "township"],
            ["411423106000", "word", "411423000000", "town"],
        ]))
        .unwrap_err();
        let lines: Vec<u64> = errors.iter().map(|error| error.line).collect();
        assert_eq!(lines, [4, 5, 6, 7, 8, 9, 10, 11]);
        assert!(errors[0].to_string().contains("line 3 already"), "{}", errors[0]);
    }
}

//! How much memory a sheet takes, found out before it does: a packed workbook of some kilobytes may unfold to
//! more than a machine holds, one long text may stand in a million cells, and one cell may stand for thousands.

use std::fs::File;
use std::io::{self, BufReader, Read as _};
use std::path::Path;

use zip::ZipArchive;

/// Bytes to which a packed workbook may unfold.
const UNFOLDED_BYTES_MAX: u64 = 256 * 1024 * 1024;
/// Cells of a sheet, empty ones before a full one included: 24 bytes each.
const CELLS_MAX: usize = 5_000_000;
/// Bytes of the texts in them.
const TEXT_BYTES_MAX: usize = 128 * 1024 * 1024;

/// The part of an OpenDocument workbook with its tables.
const TABLES: &str = "content.xml";
const TOO_MUCH: &str = "表格内容过多,请分开保存 / the sheet holds too much; split it";

/// What was read so far.
#[derive(Default)]
pub(super) struct Size {
    cells: usize,
    bytes: usize,
}

impl Size {
    /// Counts cells, and the bytes of a text in one of them.
    ///
    /// # Errors
    ///
    /// If that is more than is read.
    pub(super) fn add(&mut self, cells: usize, bytes: usize) -> Result<(), String> {
        self.cells = self.cells.saturating_add(cells);
        self.bytes = self.bytes.saturating_add(bytes);
        match self.cells > CELLS_MAX || self.bytes > TEXT_BYTES_MAX {
            true => Err(TOO_MUCH.into()),
            false => Ok(()),
        }
    }
}

/// Unfolds a packed workbook without keeping it; what is not packed passes.
///
/// # Errors
///
/// If it unfolds to too much, or is damaged.
pub(super) fn check(path: &Path) -> Result<(), String> {
    unfolds_within(path, UNFOLDED_BYTES_MAX)
}

fn unfolds_within(path: &Path, bytes_max: u64) -> Result<(), String> {
    let file = File::open(path).map_err(|error| error.to_string())?;
    let Ok(mut packed) = ZipArchive::new(BufReader::new(file)) else { return Ok(()) };
    let mut left = bytes_max;
    for at in 0..packed.len() {
        // What cannot be unfolded here is not read later either.
        let Ok(part) = packed.by_index(at) else { continue };
        let mut text = Vec::new();
        let is_table = part.name().is_ok_and(|name| name == TABLES);
        let mut part = part.take(left + 1);
        let unfolded = match is_table {
            true => part.read_to_end(&mut text).map(|bytes| bytes as u64),
            false => io::copy(&mut part, &mut io::sink()),
        };
        let unfolded = unfolded.map_err(|error| format!("表格已损坏 / damaged: {error}"))?;
        left = left.checked_sub(unfolded).ok_or(TOO_MUCH)?;
        if is_table && table_cells(&text) > CELLS_MAX {
            return Err(TOO_MUCH.into());
        }
    }
    Ok(())
}

/// The number that an attribute gives, whichever way it is written; 1 if there is none.
fn repeats(tag: &str, name: &str) -> usize {
    let Some((_, rest)) = tag.split_once(name) else { return 1 };
    let digits = rest.trim_start_matches(|c: char| c.is_whitespace() || "=\"'".contains(c));
    let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    digits[..end].parse().unwrap_or(1)
}

/// Cells of the tables of an OpenDocument workbook when rows and cells that stand for several are written out:
/// rows up to the last full one, each as wide as the widest.
fn table_cells(text: &[u8]) -> usize {
    let (mut rows, mut widest) = (0usize, 0usize);
    // Of the row that is read: for how many it stands, its cells, and empty ones that nothing follows yet.
    let (mut stands_for, mut cells, mut empty) = (1, 0usize, 0usize);
    let mut empty_rows = 0usize;
    for tag in text.split(|byte| *byte == b'<') {
        let tag = String::from_utf8_lossy(tag);
        if tag.starts_with("table:table-cell") || tag.starts_with("table:covered-table-cell") {
            let many = repeats(&tag, "table:number-columns-repeated");
            let is_empty = tag.trim_end().ends_with("/>")
                && !tag.contains("office:")
                && !tag.contains("table:formula");
            if is_empty {
                empty = empty.saturating_add(many);
            } else {
                cells = cells.saturating_add(empty).saturating_add(many);
                empty = 0;
            }
        } else if tag.starts_with("table:table-row") {
            stands_for = repeats(&tag, "table:number-rows-repeated");
            (cells, empty) = (0, 0);
        } else if tag.starts_with("/table:table-row") {
            if cells == 0 {
                empty_rows = empty_rows.saturating_add(stands_for);
            } else {
                rows = rows.saturating_add(empty_rows).saturating_add(stands_for);
                empty_rows = 0;
            }
            widest = widest.max(cells);
        } else if tag.starts_with("/table:table>") {
            empty_rows = 0;
        }
    }
    rows.saturating_mul(widest)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn a_workbook_that_unfolds_to_too_much_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bomb.xlsx");
        let mut packed = zip::ZipWriter::new(File::create(&path).unwrap());
        packed
            .start_file("xl/sharedStrings.xml", zip::write::SimpleFileOptions::default())
            .unwrap();
        let zeros = vec![b' '; 1024 * 1024];
        packed.write_all(&zeros).unwrap();
        packed.finish().unwrap();
        assert!(std::fs::metadata(&path).unwrap().len() < 16 * 1024);
        assert_eq!(unfolds_within(&path, zeros.len() as u64), Ok(()));
        assert_eq!(unfolds_within(&path, zeros.len() as u64 - 1), Err(TOO_MUCH.into()));
        std::fs::write(&path, "no workbook").unwrap();
        assert_eq!(check(&path), Ok(()), "refused by who reads it");
    }

    #[test]
    fn cells_that_stand_for_many_count_as_many() {
        let row =
            |many: &str, cells: &str| format!("<table:table-row{many}>{cells}</table:table-row>");
        let full =
            "<table:table-cell office:value-type=\"string\"><text:p>x</text:p></table:table-cell>";
        let rest = "<table:table-cell table:number-columns-repeated=\"16382\"/>";
        let last = " table:number-rows-repeated=\"1048574\"";
        let usual = [row("", &format!("{full}{full}{rest}")), row(last, rest)].concat();
        assert_eq!(table_cells(usual.as_bytes()), 2, "what is empty to the end is not read");
        let wide = "<table:table-cell table:number-columns-repeated = '16384' office:value='1'/>";
        assert_eq!(table_cells(row(last, wide).as_bytes()), 16_384 * 1_048_574);
        assert_eq!(table_cells(row("", &format!("{rest}{full}")).as_bytes()), 16_383);
        let far = [row(last, rest), row("", full)].concat();
        assert_eq!(table_cells(far.as_bytes()), 1_048_575);
    }

    #[test]
    fn one_text_in_many_cells_is_counted_each_time() {
        let mut size = Size::default();
        assert!((0..1000).all(|_| size.add(1, 1024).is_ok()));
        assert!((0..1_000_000).any(|_| size.add(1, 1024).is_err()));
    }
}

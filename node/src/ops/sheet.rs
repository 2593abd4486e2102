//! Reading sheets: xlsx and csv as people make them.

use std::path::Path;
use std::sync::{Mutex, PoisonError};

use calamine::{Data, DataRef, Reader as _, Sheets, Xlsx, open_workbook_auto};

use super::OpsError;
use super::sheet_size::{self, Size};

/// Bytes of a file that is read.
const FILE_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Rows and columns of a sheet that is read.
const ROWS_MAX: usize = 200_000;
const COLUMNS_MAX: usize = 512;

/// Sheets are read one after the other: what reading takes counts once.
static TURN: Mutex<()> = Mutex::new(());

/// Cells as texts.
pub struct Sheet {
    /// Number of the first row in the file, from 1.
    pub first_row: usize,
    /// Rows.
    pub rows: Vec<Vec<String>>,
}

/// Reads the first sheet that has rows.
///
/// # Errors
///
/// [`OpsError::File`] with what to do.
pub fn read(path: &Path) -> Result<Sheet, OpsError> {
    let fail = |reason: String| OpsError::File { path: path.to_owned(), reason };
    let size = std::fs::metadata(path).map_err(|error| fail(error.to_string()))?.len();
    if size > FILE_BYTES_MAX {
        return Err(fail(format!("larger than {FILE_BYTES_MAX} bytes; split the sheet")));
    }
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    if path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("csv")) {
        return read_csv(path);
    }
    sheet_size::check(path).map_err(fail)?;
    let book = open_workbook_auto(path).map_err(|error| {
        fail(format!("no spreadsheet that can be read ({error}); save it as xlsx"))
    })?;
    let mut book = match book {
        Sheets::Xlsx(book) => return read_xlsx(book).map_err(fail),
        other => other,
    };
    for name in book.sheet_names() {
        let range = book.worksheet_range(&name).map_err(|error| fail(error.to_string()))?;
        let first_row = range.start().map_or(1, |(row, _)| row as usize + 1);
        let mut size = Size::default();
        let mut rows: Vec<Vec<String>> = Vec::new();
        for row in range.rows() {
            let row: Vec<String> = row.iter().map(cell_text).collect();
            size.add(row.len(), row.iter().map(String::len).sum()).map_err(fail)?;
            rows.push(row);
        }
        if rows.iter().flatten().any(|cell| !cell.is_empty()) {
            return Ok(Sheet { first_row, rows });
        }
    }
    Err(fail("the spreadsheet is empty".into()))
}

/// Cell by cell: two cells far apart would make a dense range of the whole sheet.
fn read_xlsx<R: std::io::Read + std::io::Seek>(mut book: Xlsx<R>) -> Result<Sheet, String> {
    for name in book.sheet_names() {
        let mut cells = book.worksheet_cells_reader(&name).map_err(|error| error.to_string())?;
        let mut rows: std::collections::BTreeMap<u32, Vec<String>> = Default::default();
        let mut size = Size::default();
        while let Some(cell) = cells.next_cell().map_err(|error| error.to_string())? {
            let (row, column) = cell.get_position();
            let text = match cell.get_value() {
                DataRef::Empty => continue,
                value => cell_text(&Data::from(value.clone())),
            };
            if column as usize >= COLUMNS_MAX || row as usize >= ROWS_MAX {
                return Err(format!(
                    "「{name}」超过{ROWS_MAX}行或{COLUMNS_MAX}列,请分开保存 / sheet `{name}` has a cell beyond \
                     row {ROWS_MAX} or column {COLUMNS_MAX}; split it"
                ));
            }
            let line = rows.entry(row).or_default();
            let cells = line.len().max(column as usize + 1);
            size.add(cells - line.len(), text.len())?;
            line.resize(cells, String::new());
            line[column as usize] = text;
        }
        rows.retain(|_, row| row.iter().any(|cell| !cell.is_empty()));
        let (Some(first), Some(last)) = (rows.keys().next(), rows.keys().last()) else { continue };
        let (first, last) = (*first, *last);
        let rows = (first..=last).map(|at| rows.remove(&at).unwrap_or_default()).collect();
        return Ok(Sheet { first_row: first as usize + 1, rows });
    }
    Err("the spreadsheet is empty".into())
}

/// UTF-8, or what Excel writes on a Chinese machine.
fn read_csv(path: &Path) -> Result<Sheet, OpsError> {
    let fail = |reason: String| OpsError::File { path: path.to_owned(), reason };
    let bytes = std::fs::read(path).map_err(|error| fail(error.to_string()))?;
    let text = match std::str::from_utf8(&bytes) {
        Ok(text) => text.trim_start_matches('\u{feff}').to_owned(),
        Err(_) => encoding_rs::GB18030.decode(&bytes).0.into_owned(),
    };
    let mut reader =
        csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(text.as_bytes());
    let (mut rows, mut size) = (Vec::new(), Size::default());
    for record in reader.records() {
        let record = record.map_err(|error| fail(error.to_string()))?;
        size.add(record.len(), record.as_slice().len()).map_err(fail)?;
        rows.push(record.iter().map(|cell| cell.trim().to_owned()).collect());
    }
    Ok(Sheet { first_row: 1, rows })
}

fn cell_text(cell: &Data) -> String {
    match cell {
        Data::Empty => String::new(),
        Data::Float(number) if number.fract() == 0.0 && number.abs() < 1e15 => {
            format!("{number:.0}")
        }
        Data::Float(number) => format!("{number}"),
        Data::DateTime(date) => {
            let (year, month, day, ..) = date.to_ymd_hms_milli();
            format!("{year:04}-{month:02}-{day:02}")
        }
        other => other.to_string().trim().to_owned(),
    }
}

//! A report as a spreadsheet: each block on a sheet of its own, cells are values.

use rust_xlsxwriter::{Format, Workbook, Worksheet, XlsxError};

use super::report_view::{ReportView, RowsView, TableView};
use super::words::word;

/// Money as Excel shows it.
const MONEY: &str = "#,##0.00";
/// Characters of a sheet's name, by Excel.
const SHEET_NAME_CHARS: usize = 31;

fn sheet<'a>(book: &'a mut Workbook, title: &str) -> Result<&'a mut Worksheet, XlsxError> {
    let taken = book.worksheets().len();
    let plain = |c: char| if "[]:*?/\\'".contains(c) { ' ' } else { c };
    let name: String = title.chars().map(plain).take(SHEET_NAME_CHARS - 3).collect();
    let sheet = book.add_worksheet();
    sheet.set_name(format!("{} {name}", taken + 1))?;
    Ok(sheet)
}

fn heading(sheet: &mut Worksheet, view: &ReportView, title: &str) -> Result<u32, XlsxError> {
    let bold = Format::new().set_bold();
    sheet.write_string_with_format(0, 0, &view.title, &bold)?;
    let ReportView { office, code, period, as_of, mark, .. } = view;
    sheet.write_string(1, 0, format!("{office} {code} · {period} · {as_of} · {mark}"))?;
    sheet.write_string_with_format(2, 0, title, &bold)?;
    Ok(3)
}

fn table(
    book: &mut Workbook,
    view: &ReportView,
    table: &TableView,
    english: bool,
) -> Result<(), XlsxError> {
    let sheet = sheet(book, &table.title)?;
    let (bold, money) = (Format::new().set_bold(), Format::new().set_num_format(MONEY));
    let top = heading(sheet, view, &table.title)?;
    let t = |key| word(key, english);
    let mut heads = vec![t("places.place")];
    heads.extend(table.heads.iter().map(String::as_str));
    if table.ranked {
        heads.extend([t("report.score"), t("report.rank"), t("report.rank_change")]);
    }
    heads.push(t("places.coverage"));
    for (column, head) in (0..).zip(&heads) {
        sheet.write_string_with_format(top, column, *head, &bold)?;
    }
    for (row, line) in (top + 1..).zip(&table.lines) {
        sheet.write_string(row, 0, &line.name)?;
        let mut column = 1;
        for cell in &line.cells {
            match (cell.number, cell.is_money) {
                (Some(number), true) => {
                    sheet.write_number_with_format(row, column, number, &money)?;
                }
                (Some(number), false) => {
                    sheet.write_number(row, column, number)?;
                }
                (None, _) => {
                    sheet.write_string(row, column, &cell.text)?;
                }
            }
            column += 1;
        }
        if table.ranked {
            sheet.write_string(row, column, &line.score)?;
            sheet.write_string(row, column + 1, &line.rank)?;
            sheet.write_string(row, column + 2, &line.change)?;
            column += 3;
        }
        sheet.write_string(row, column, &line.known)?;
    }
    sheet.autofit();
    Ok(())
}

fn rows(
    book: &mut Workbook,
    view: &ReportView,
    rows: &RowsView,
    english: bool,
) -> Result<(), XlsxError> {
    let sheet = sheet(book, &rows.title)?;
    let bold = Format::new().set_bold();
    let top = heading(sheet, view, &rows.title)?;
    for (column, head) in (0..).zip(&rows.heads) {
        sheet.write_string_with_format(top, column, head, &bold)?;
    }
    for (row, cells) in (top + 1..).zip(&rows.rows) {
        for (column, cell) in (0..).zip(cells) {
            sheet.write_string(row, column, cell)?;
        }
    }
    if rows.more > 0 {
        let after = (top + 1..).zip(&rows.rows).last().map_or(top, |(row, _)| row) + 1;
        let line = format!("{} {}", word("report.more", english), rows.more);
        sheet.write_string(after, 0, line)?;
    }
    sheet.autofit();
    Ok(())
}

/// The whole report.
pub(super) fn book(view: &ReportView, english: bool) -> Result<Vec<u8>, XlsxError> {
    let mut book = Workbook::new();
    for one in &view.tables {
        table(&mut book, view, one, english)?;
    }
    let late = Some(&view.late).filter(|late| !late.rows.is_empty());
    for one in view.lists.iter().chain(late).chain(&view.seen) {
        rows(&mut book, view, one, english)?;
    }
    if book.worksheets().is_empty() {
        heading(sheet(&mut book, &view.title)?, view, &view.title)?;
    }
    book.save_to_buffer()
}

//! Official papers of a record, for the printer of the office or as a sheet: only what the catalogue names
//! for each, masked as on the record's page. A paper that hangs in public shows the file's number instead
//! of a name where a disabled person or a minor lives in the household that its record names (DOMAIN.md
//! §5.3); names that a clerk typed into the lines of a notice are that clerk's to shelter.

use askama::Template;
use axum::extract::{Path, Query, State};
use axum::http::header;
use axum::response::{Html, IntoResponse as _, Response};
use rust_xlsxwriter::{Format, Workbook, XlsxError};
use serde::Deserialize;
use taizhang_core::catalogue::{Field, FieldKind, Form, Ledger, Text};
use taizhang_core::id::RecordId;
use taizhang_core::record::fold::Row;
use taizhang_core::rules::id_number;
use taizhang_core::time::Date;

use super::PageError;
use super::reading::{Reading, open_ledger, opened};
use super::record::record_id;
use super::shell::{Frame, Visitor};
use super::words::word;
use crate::driver::{Replica, clock};
use crate::store::read::Detail;

/// The id of the paper that every ledger has: the whole record.
pub(super) const WHOLE: &str = "record";
/// The register of households, and that of the people in them.
const HOUSEHOLD: &str = "poor_household";
const MEMBER: &str = "household_member";
/// Years below which a person is a minor.
const ADULT_YEARS: i32 = 18;
/// Marks of a household in which a disabled person or a minor lives.
const SHELTERED_TAGS: [&str; 4] =
    ["disabled", "severe_disability", "multi_disability", "single_parent_minor"];

/// One table of a paper.
struct Table {
    title: String,
    heads: Vec<String>,
    rows: Vec<Vec<String>>,
}

/// What stands on a paper.
struct Paper {
    title: String,
    place: String,
    number: String,
    printed: String,
    state: String,
    fields: Vec<(String, String)>,
    tables: Vec<Table>,
    signatures: Vec<String>,
}

#[derive(Template)]
#[template(path = "print.html")]
struct PrintPage {
    frame: Frame,
    paper: Paper,
    sheet: String,
}

/// In which form.
#[derive(Default, Deserialize)]
#[serde(default)]
pub struct How {
    /// `xlsx` for a sheet.
    r#as: String,
}

struct Printing<'a> {
    reading: Reading<'a>,
    detail: &'a Detail,
    id: RecordId,
    /// What stands for names: a household is not to be named in public.
    sheltered: Option<String>,
}

/// Whether a disabled person or a minor lives in a record's household.
fn is_sheltered(replica: &Replica, ledger: &Ledger, id: RecordId, row: &Row) -> bool {
    let refers = |target: &str| {
        let of = |field: &&Field| matches!(&field.kind, FieldKind::Ref(to) if to == target);
        let field = ledger.fields.iter().find(of)?;
        row.text(&field.id).parse::<RecordId>().ok()
    };
    let readers = replica.readers();
    let by_member = || {
        let member = refers(MEMBER)?;
        let found = readers.with(|reader| reader.detail(member)).ok()??;
        found.row.text("household").parse().ok()
    };
    let own = (ledger.id == HOUSEHOLD).then_some(id);
    let Some(household) = own.or_else(|| refers(HOUSEHOLD)).or_else(by_member) else {
        return false;
    };
    let members = readers.with(|reader| reader.naming(MEMBER, "household", household));
    let (Ok(members), Ok(household)) = (members, readers.with(|reader| reader.detail(household)))
    else {
        // What cannot be read is not named.
        return true;
    };
    let tags = household.iter().filter_map(|found| found.row.sets.get("priority_tags")).flatten();
    if tags.map(String::as_str).any(|tag| SHELTERED_TAGS.contains(&tag)) {
        return true;
    }
    let today = clock::now().date();
    let head = household.map(|found| found.row.text("head_id_no")).unwrap_or_default();
    let sheltered = |member: &Row| {
        is_minor(&member.text("birth_date"), &member.text("id_no"), today)
            || member.text("health") == "disabled"
            || !member.text("disability_cert_no").is_empty()
    };
    is_minor("", &head, today) || members.iter().any(|(_, member)| sheltered(member))
}

/// Whether a person is a minor by the date of birth or by the number: one of them may be missing or wrong.
fn is_minor(birth_date: &str, id_no: &str, today: Date) -> bool {
    let births = [Date::parse(birth_date), id_number::birth(id_no)];
    births.into_iter().flatten().any(|birth| birth.years_until(today) < ADULT_YEARS)
}

impl Printing<'_> {
    fn text(&self, field: &Field, row: &Row) -> String {
        let text = self.reading.text(field, row);
        match &self.sheltered {
            Some(number) if field.privacy > 0 && field.kind != FieldKind::Money => {
                if text.is_empty() { text } else { number.clone() }
            }
            _ => text,
        }
    }

    fn log_table(&self, field: &Field, row: &Row) -> Option<Table> {
        let FieldKind::Log(columns) = &field.kind else { return None };
        let label = |text: &Text| text.in_lang(self.reading.english).to_owned();
        Some(Table {
            title: label(&field.label),
            heads: columns.iter().map(|column| label(&column.label)).collect(),
            rows: self.reading.lines(field, columns, row),
        })
    }

    fn paper(&self, ledger: &Ledger, form: &Form) -> Result<Paper, PageError> {
        let english = self.reading.english;
        let row = &self.detail.row;
        let label = |text: &Text| text.in_lang(english).to_owned();
        let fields: Vec<&Field> = form.fields.iter().filter_map(|id| ledger.field(id)).collect();
        let mut tables: Vec<Table> =
            fields.iter().filter_map(|field| self.log_table(field, row)).collect();
        for table in &form.tables {
            let Some(related) = self.reading.directives.catalogue.ledger(&table.ledger) else {
                continue;
            };
            let columns: Vec<&Field> =
                table.fields.iter().filter_map(|id| related.field(id)).collect();
            let readers = self.reading.replica.readers();
            let rows = readers.with(|reader| reader.naming(&table.ledger, &table.by, self.id))?;
            tables.push(Table {
                title: label(&related.label),
                heads: columns.iter().map(|field| label(&field.label)).collect(),
                rows: rows
                    .iter()
                    .map(|(_, row)| columns.iter().map(|field| self.text(field, row)).collect())
                    .collect(),
            });
        }
        let plain = fields.iter().filter(|field| !matches!(field.kind, FieldKind::Log(_)));
        Ok(Paper {
            title: label(&form.label),
            place: self.reading.directives.tree.full_name(self.detail.slice.place),
            number: self.number(),
            printed: clock::now().local_text(),
            state: super::ledger::state_label(ledger, row.state_id().unwrap_or_default(), english),
            fields: plain.map(|field| (label(&field.label), self.text(field, row))).collect(),
            tables,
            signatures: form.signatures.iter().map(label).collect(),
        })
    }

    /// The number by which a paper is found again.
    fn number(&self) -> String {
        self.id.to_string()[..8].to_uppercase()
    }
}

/// The whole record as a paper of its own.
fn whole(ledger: &Ledger) -> Form {
    Form {
        id: WHOLE.into(),
        label: ledger.label.clone(),
        fields: ledger
            .fields
            .iter()
            .filter(|field| field.is_printed())
            .map(|field| field.id.clone())
            .collect(),
        tables: Vec::new(),
        signatures: Vec::new(),
        public: false,
    }
}

/// Shows a paper, or gives it as a sheet; the audit says who took it.
///
/// # Errors
///
/// [`PageError::NotFound`].
pub async fn show(
    State(replica): State<Replica>,
    Path((id, form)): Path<(String, String)>,
    Query(how): Query<How>,
    visitor: Visitor,
) -> Result<Response, PageError> {
    let record = record_id(&id)?;
    let detail = opened(&replica, record)?;
    let directives = replica.directives();
    let ledger = open_ledger(&directives, &detail.ledger)?;
    let own = whole(ledger);
    let chosen = ledger.forms.iter().chain([&own]).find(|one| one.id == form);
    let chosen = chosen.ok_or(PageError::NotFound)?;
    let (viewer, english) = (visitor.viewer_at(&replica, detail.slice.place)?, visitor.english);
    let reading = Reading { replica: &replica, directives: &directives, viewer, english };
    let mut printing = Printing { reading, detail: &detail, id: record, sheltered: None };
    if chosen.public && is_sheltered(&replica, ledger, record, &detail.row) {
        let word = word("print.file_no", english);
        printing.sheltered = Some(format!("{word} {}", printing.number()));
    }
    let paper = printing.paper(ledger, chosen)?;
    let text = format!("{} took paper {form} of {record}", visitor.login());
    replica.run(move |engine, now| Ok(engine.store.audit("printed", &text, now)?)).await?;
    if how.r#as == "xlsx" {
        let made = tokio::task::block_in_place(|| sheet(&paper));
        let bytes = made.map_err(|error| PageError::Sheet(error.to_string()))?;
        let name = format!("attachment; filename=\"{}-{}.xlsx\"", ledger.id, chosen.id);
        let head =
            [(header::CONTENT_TYPE, super::export::XLSX), (header::CONTENT_DISPOSITION, &name)];
        return Ok((head, bytes).into_response());
    }
    let frame = Frame::new(&replica, &visitor);
    let sheet = format!("/records/{id}/print/{form}?as=xlsx");
    Ok(Html(PrintPage { frame, paper, sheet }.render()?).into_response())
}

/// A paper as a sheet: the same texts, cell by cell.
fn sheet(paper: &Paper) -> Result<Vec<u8>, XlsxError> {
    let mut book = Workbook::new();
    let sheet = book.add_worksheet();
    let bold = Format::new().set_bold();
    sheet.write_string_with_format(0, 0, &paper.title, &bold)?;
    sheet.write_string(1, 0, format!("{} · {}", paper.place, paper.number))?;
    let mut at = 3;
    for (label, value) in &paper.fields {
        sheet.write_string_with_format(at, 0, label, &bold)?;
        sheet.write_string(at, 1, value)?;
        at += 1;
    }
    for table in &paper.tables {
        at += 1;
        sheet.write_string_with_format(at, 0, &table.title, &bold)?;
        at += 1;
        for (column, head) in (0..).zip(&table.heads) {
            sheet.write_string_with_format(at, column, head, &bold)?;
        }
        at += 1;
        for row in &table.rows {
            for (column, cell) in (0..).zip(row) {
                sheet.write_string(at, column, cell)?;
            }
            at += 1;
        }
    }
    at += 1;
    for (column, name) in (0..).step_by(2).zip(&paper.signatures) {
        sheet.write_string(at, column, format!("{name}:"))?;
    }
    sheet.autofit();
    book.save_to_buffer()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minor_is_known_by_either_date() {
        let day = Date::parse("2018-06-01").unwrap();
        assert!(is_minor("2001-01-01", "", day));
        assert!(!is_minor("1970-03-11", "411499197003110017", day));
        assert!(is_minor("", "411499200006020010", day), "18 tomorrow, its check character unread");
        assert!(!is_minor("", "411499200006010010", day));
        assert!(is_minor("1970-03-11", "411499201003110017", day), "one of them is wrong");
        assert!(!is_minor("", "4114992010", day), "no number");
    }
}

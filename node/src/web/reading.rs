//! A record's fields as whoever looks may read them: on its page, in tables, on paper.

use taizhang_core::catalogue::{Catalogue, Field, FieldKind, Indicator, Ledger, LogColumn};
use taizhang_core::directives::Directives;
use taizhang_core::id::{Level, RecordId};
use taizhang_core::record::attachment::Attachment;
use taizhang_core::record::fold::{LogLine, Row};
use taizhang_core::record::value::Value;

use super::PageError;
use crate::driver::Replica;
use crate::engine::values::{HIDDEN, display, shown};
use crate::store::read::Detail;
use crate::viewer::{Sight, Viewer};

/// A record by its id.
pub(super) fn opened(replica: &Replica, id: RecordId) -> Result<Detail, PageError> {
    replica.readers().with(|reader| reader.detail(id))?.ok_or(PageError::NotFound)
}

/// A ledger of the catalogue.
pub(super) fn ledger_of<'a>(directives: &'a Directives, id: &str) -> Result<&'a Ledger, PageError> {
    Ok(directives.catalogue.ledger(id).ok_or(PageError::NotFound)?)
}

/// A ledger that takes data: pages that write and copies that leave the office are of these only.
pub(super) fn open_ledger<'a>(
    directives: &'a Directives,
    id: &str,
) -> Result<&'a Ledger, PageError> {
    Some(ledger_of(directives, id)?).filter(|one| !one.closed).ok_or(PageError::NotFound)
}

/// Who reads, in which language.
pub(super) struct Reading<'a> {
    pub(super) replica: &'a Replica,
    pub(super) directives: &'a Directives,
    pub(super) viewer: Viewer,
    pub(super) english: bool,
}

impl Reading<'_> {
    /// The title of the record that a reference names.
    pub(super) fn name(&self, id: &str) -> Option<String> {
        let record: RecordId = id.parse().ok()?;
        let found = self.replica.readers().with(|reader| reader.title(record));
        let (title, ledger) = found.ok()??;
        let ledger = self.directives.catalogue.ledger(&ledger)?;
        let title = self.viewer.title(&title, ledger);
        (!title.is_empty()).then_some(title)
    }

    /// A record's title as far as it shows, or else its number.
    pub(super) fn title(&self, text: &str, ledger: &Ledger, record: RecordId) -> String {
        let title = self.viewer.title(text, ledger);
        if title.is_empty() { record.short() } else { title }
    }

    /// A scalar value.
    pub(super) fn value(&self, field: &Field, value: &Value) -> String {
        let seen = self.viewer.sight(field) == Sight::Full || field.privacy == 1;
        if let (FieldKind::Ref(_), Some(id)) = (&field.kind, value.as_text()) {
            if !seen {
                return HIDDEN.to_owned();
            }
            return self.name(id).unwrap_or_else(|| id.to_owned());
        }
        shown(field, value, self.viewer, &self.directives.catalogue, self.english)
    }

    /// Whether elements and lines of a field stay out of sight.
    pub(super) fn hides(&self, field: &Field) -> bool {
        let many = matches!(field.kind, FieldKind::Attach | FieldKind::Set(_) | FieldKind::Log(_));
        many && self.viewer.sight(field) != Sight::Full
    }

    /// One cell of a line.
    pub(super) fn cell(&self, column: &LogColumn, line: &LogLine) -> String {
        let Some(value) = line.columns.get(&column.id) else { return String::new() };
        match (&column.kind, value.as_text()) {
            (FieldKind::Ref(_), Some(id)) => self.name(id).unwrap_or_else(|| id.to_owned()),
            (kind, _) => display(kind, value, &self.directives.catalogue, self.english),
        }
    }

    /// The lines of a log, cell by cell; none if they are hidden.
    pub(super) fn lines(
        &self,
        field: &Field,
        columns: &[LogColumn],
        row: &Row,
    ) -> Vec<Vec<String>> {
        if self.hides(field) {
            return Vec::new();
        }
        let lines = row.logs.get(&field.id).into_iter().flatten();
        lines.map(|line| columns.iter().map(|one| self.cell(one, line)).collect()).collect()
    }

    /// A field in one text; empty if it has no value.
    pub(super) fn text(&self, field: &Field, row: &Row) -> String {
        let members = || row.sets.get(&field.id).into_iter().flatten();
        let text = match &field.kind {
            FieldKind::Attach => {
                let names = members().filter_map(|one| Some(Attachment::parse(one)?.name));
                names.collect::<Vec<_>>().join("、")
            }
            FieldKind::Set(vocab) => {
                let catalogue = &self.directives.catalogue;
                let names = members().map(|one| catalogue.value_label(vocab, one, self.english));
                names.collect::<Vec<_>>().join("、")
            }
            FieldKind::Log(columns) => {
                let lines = row.logs.get(&field.id).into_iter().flatten();
                let texts = lines.map(|line| {
                    let cells = columns.iter().map(|column| self.cell(column, line));
                    cells.filter(|cell| !cell.is_empty()).collect::<Vec<_>>().join(" ")
                });
                texts.collect::<Vec<_>>().join("；")
            }
            _ => {
                let value = row.fields.get(&field.id);
                return value.map(|value| self.value(field, value)).unwrap_or_default();
            }
        };
        if self.hides(field) && !text.is_empty() { HIDDEN.to_owned() } else { text }
    }
}

/// A field's group as a heading: empty if it is that of the field before.
pub(super) fn group_heading(ledger: &Ledger, at: usize, english: bool) -> String {
    let group = |at: usize| ledger.fields.get(at).map(|field| field.group.in_lang(english));
    let before = at.checked_sub(1).and_then(group).unwrap_or_default();
    let own = group(at).unwrap_or_default();
    if own == before { String::new() } else { own.to_owned() }
}

/// Whether a viewer may see whom a figure counts: not where the figure tells a value that the viewer does
/// not see, nor where it counts people so closely that small numbers do not show.
pub(super) fn may_list(
    viewer: Viewer,
    ledger: &Ledger,
    indicator: &Indicator,
    catalogue: &Catalogue,
) -> bool {
    let hidden = |field: &&Field| field.privacy >= 2 && viewer.sight(field) != Sight::Full;
    let source = indicator.filter.source();
    let mut named = ledger.rules.iter().filter(|rule| source.contains(&format!("'{}'", rule.id)));
    let close = indicator.is_small && viewer.level >= Level::County;
    !close
        && named.all(|rule| viewer.may_tell(ledger, &rule.id, catalogue))
        && !ledger.fields.iter().filter(hidden).any(|field| indicator.reads(&field.id))
}

//! The title by which people know a record, and the text in which they search.
//!
//! A title may name another record (the household of a rating): it is written out, and follows when
//! that one's title changes.

use taizhang_core::catalogue::{Catalogue, FieldKind, Ledger, Text};
use taizhang_core::id::{Level, PlaceId, RecordId, SliceId, SliceKind};
use taizhang_core::record::fold::Row;

use super::Engine;
use super::command::{CommandError, Inputs, refuse};
use super::values::FieldError;
use crate::store::StoreError;
use crate::viewer::{Sight, Viewer};

/// Titles that follow one another: a list of wages names a workshop, a payment names the list.
const CHAIN_MAX: u8 = 4;

/// The title of a row; `name` gives the title of a record that it names.
pub fn title_of(
    ledger: &Ledger,
    row: &Row,
    catalogue: &Catalogue,
    name: &dyn Fn(&str, &str) -> String,
) -> String {
    let parts: Vec<String> = ledger
        .title
        .iter()
        .filter_map(|id| {
            let text = row.text(id);
            let text = match &ledger.field(id)?.kind {
                FieldKind::Enum(vocab) => catalogue.value_label(vocab, &text, false),
                FieldKind::Ref(target) => name(target, &text),
                _ => text,
            };
            (!text.is_empty()).then_some(text)
        })
        .collect();
    parts.join(" ")
}

/// What words find a row at an office of a level: nothing that its people do not see without asking.
fn search_of(ledger: &Ledger, row: &Row, title: &str, level: Level) -> String {
    let viewer = Viewer::machine(level);
    let named = viewer.title(title, ledger) == title;
    let mut text = if named { title.to_owned() } else { String::new() };
    for field in &ledger.fields {
        let wanted = matches!(field.kind, FieldKind::Text | FieldKind::Note | FieldKind::Phone)
            && field.sealed.is_empty()
            && field.privacy <= 1
            && viewer.sight(field) == Sight::Full;
        if wanted && let Some(value) = row.fields.get(&field.id) {
            text.push(' ');
            text.push_str(&value.to_string());
        }
    }
    text
}

/// What stands behind a title that several records bear, in pickers: `张三 #1a2b3c4d`.
pub fn marked(title: &str, record: RecordId) -> String {
    format!("{title} #{}", &record.to_string()[..8])
}

impl Engine {
    /// Puts record ids where a person gave titles.
    ///
    /// # Errors
    ///
    /// Every field whose title no record bears, or several do.
    pub fn name_references(
        &mut self,
        place: PlaceId,
        ledger: &Ledger,
        inputs: &mut Inputs,
    ) -> Result<(), CommandError> {
        let mut errors = Vec::new();
        for field in &ledger.fields {
            let FieldKind::Ref(target) = &field.kind else { continue };
            let Some(text) = inputs.get(&field.id).map(|text| text.trim().to_owned()) else {
                continue;
            };
            if text.is_empty() || text.parse::<RecordId>().is_ok() {
                continue;
            }
            match self.by_title(place, target, &text, &field.label) {
                Ok(id) => drop(inputs.insert(field.id.clone(), id.to_string())),
                Err(CommandError::Refused(reason)) => {
                    errors.push(FieldError { field: field.id.clone(), reason });
                }
                Err(other) => return Err(other),
            }
        }
        self.name_in_lines(place, ledger, inputs, &mut errors)?;
        if errors.is_empty() { Ok(()) } else { Err(CommandError::Fields(errors)) }
    }

    /// The same in the lines of logs.
    fn name_in_lines(
        &mut self,
        place: PlaceId,
        ledger: &Ledger,
        inputs: &mut Inputs,
        errors: &mut Vec<FieldError>,
    ) -> Result<(), CommandError> {
        for field in &ledger.fields {
            let FieldKind::Log(columns) = &field.kind else { continue };
            let Some(text) = inputs.get(&field.id) else { continue };
            // What is no list of lines is refused where it is written.
            let Ok(mut lines) = serde_json::from_str::<Vec<Inputs>>(text) else { continue };
            for line in &mut lines {
                for column in columns {
                    let FieldKind::Ref(target) = &column.kind else { continue };
                    let Some(title) = line.get(&column.id).cloned() else { continue };
                    if title.parse::<RecordId>().is_ok() {
                        continue;
                    }
                    match self.by_title(place, target, title.trim(), &column.label) {
                        Ok(id) => drop(line.insert(column.id.clone(), id.to_string())),
                        Err(CommandError::Refused(reason)) => {
                            errors.push(FieldError { field: field.id.clone(), reason });
                        }
                        Err(other) => return Err(other),
                    }
                }
            }
            let text = serde_json::to_string(&lines).unwrap_or_default();
            inputs.insert(field.id.clone(), text);
        }
        Ok(())
    }

    /// The one record of a ledger with that title, or with that name in the first text of its title that has
    /// it anywhere, among those to which rows at a place may refer. A year or a choice names nothing.
    ///
    /// # Errors
    ///
    /// If there is none, or more than one.
    pub fn by_title(
        &mut self,
        place: PlaceId,
        ledger: &str,
        name: &str,
        label: &Text,
    ) -> Result<RecordId, CommandError> {
        let ledger = self.ledger(ledger)?;
        let (title, mark) = name.rsplit_once(" #").unwrap_or((name, ""));
        let mut found = Vec::new();
        for slice in self.named_slices(place, &ledger) {
            found.extend(self.by_stored_title(slice, &ledger.id, title)?);
        }
        let is_name =
            |id: &&String| ledger.field(id).is_some_and(|field| field.kind == FieldKind::Text);
        for field in ledger.title.iter().filter(is_name) {
            if !found.is_empty() {
                break;
            }
            for slice in self.named_slices(place, &ledger) {
                found.extend(self.by_field(slice, &ledger.id, field, title)?);
            }
        }
        found.sort_unstable();
        found.dedup();
        found.retain(|id| id.to_string().starts_with(mark));
        match found.as_slice() {
            [one] => Ok(*one),
            [] => refuse(
                format!("「{}」没有找到「{name}」", label.zh),
                format!("{}: no record named {name}", label.en),
            ),
            many => refuse(
                format!("「{}」有{}个「{name}」,请改用记录号", label.zh, many.len()),
                format!("{}: {} records are named {name}; use the record id", label.en, many.len()),
            ),
        }
    }

    fn by_stored_title(
        &mut self,
        slice: SliceId,
        ledger: &str,
        title: &str,
    ) -> Result<Vec<RecordId>, StoreError> {
        self.settle()?;
        self.store.titled(slice, ledger, title)
    }

    /// The slices with records of a ledger to which rows at a place may refer.
    pub(crate) fn named_slices(&self, place: PlaceId, ledger: &Ledger) -> Vec<SliceId> {
        match ledger.slice {
            SliceKind::Ledger => vec![SliceId::ledger(place)],
            SliceKind::Directive => {
                let path = self.directives.tree.path(place);
                path.into_iter().map(SliceId::directive).collect()
            }
        }
    }

    /// Title and search text of a row of a slice.
    pub(super) fn texts_of(&self, place: PlaceId, ledger: &Ledger, row: &Row) -> (String, String) {
        let name = |target: &str, id: &str| self.name_of(place, target, id).unwrap_or_default();
        let title = title_of(ledger, row, &self.directives.catalogue, &name);
        // Nobody looks for words in the program's own ledgers: the catalogue's text is one of them.
        let own = ledger.id.starts_with("sys_");
        let search = if own { String::new() } else { search_of(ledger, row, &title, self.level()) };
        (title, search)
    }

    /// The title of a record that rows at a place may refer to.
    fn name_of(&self, place: PlaceId, target: &str, id: &str) -> Option<String> {
        let record: RecordId = id.parse().ok()?;
        let slices = self.named_slices(place, self.directives.catalogue.ledger(target)?);
        slices.into_iter().find_map(|slice| self.store.title(slice, record).ok().flatten())
    }

    /// Writes out again the titles that name a record whose own has changed.
    pub(super) fn retitle(
        &self,
        slice: SliceId,
        record: RecordId,
        ledger: &str,
        depth: u8,
    ) -> Result<(), StoreError> {
        if depth >= CHAIN_MAX {
            return Ok(());
        }
        for reader in self.directives.catalogue.ledgers.values() {
            let names = |id: &&String| {
                let kind = reader.field(id).map(|field| &field.kind);
                matches!(kind, Some(FieldKind::Ref(target)) if target == ledger)
            };
            for field in reader.title.iter().filter(names) {
                let id = record.to_string();
                // A record is named from its own slice, a register's from below its office too.
                let names = |place| slice.kind == SliceKind::Directive || place == slice.place;
                let lookup = self.store.lookup();
                for (place, other) in
                    lookup.linked_where(&reader.id, field, &id, usize::MAX, names)?
                {
                    let at = SliceId { kind: reader.slice, place };
                    let Some(row) = self.store.row(at, other)? else { continue };
                    let (title, search) = self.texts_of(place, reader, &row);
                    if self.store.set_title(at, other, &title, &search)? {
                        self.retitle(at, other, &reader.id, depth + 1)?;
                    }
                }
            }
        }
        Ok(())
    }
}

//! A report's figures, from one snapshot of rows and sums.

use std::collections::BTreeMap;

use taizhang_core::catalogue::report::{Column, List, Over, Table};
use taizhang_core::catalogue::{Field, FieldKind, Ledger, Report, Text};
use taizhang_core::directives::Directives;
use taizhang_core::id::{Level, PlaceId};
use taizhang_core::record::fold::{FOLD_VERSION, Row};
use taizhang_core::record::value::Value;
use taizhang_core::rules::Evaluator;
use taizhang_core::rules::figures::Listing;
use taizhang_core::time::Date;

use super::period::Period;
use super::rank::rank;
use super::{Cell, Figures, Head, Line, ListFigures, Made, PolicyLine, TableFigures, due, late};
use crate::engine::values::{HIDDEN, display};
use crate::small::{Close, Small};
use crate::store::StoreError;
use crate::store::read::{Listed, Reader};
use crate::viewer::Viewer;

/// Records of one list: a paper of more is read by nobody.
pub const LIST_ROWS_MAX: usize = 5_000;

/// What figures are made from.
pub struct Maker<'a> {
    /// One snapshot.
    pub reader: &'a Reader<'a>,
    /// Tree, catalogue and policy as applied.
    pub directives: &'a Directives,
    /// The office.
    pub place: PlaceId,
    /// What the report must say.
    pub report: &'a Report,
    /// Its time.
    pub period: Period,
    /// The day for which dated findings hold.
    pub as_of: Date,
    /// Bytes of a blob, if they are here.
    pub blobs: &'a dyn Fn(taizhang_core::record::attachment::BlobRef) -> Option<Vec<u8>>,
}

/// Sums of one place by time and indicator.
struct Sums {
    by: [BTreeMap<String, i64>; 3],
}

impl Sums {
    fn of(&self, over: Over, indicators: &[String]) -> i64 {
        let [now, period, before] = &self.by;
        let sum = |of: &BTreeMap<String, i64>| -> i64 {
            indicators.iter().filter_map(|id| of.get(id)).sum()
        };
        match over {
            Over::Now => sum(now),
            Over::Period => sum(period),
            Over::Before => sum(before),
            Over::Until => sum(before) + sum(period),
        }
    }

    fn cell(&self, column: &Column) -> Cell {
        let of = |ids: &[String]| self.of(column.over, ids);
        Cell {
            value: of(&column.add) - of(&column.take),
            per: (!column.per.is_empty()).then(|| of(&column.per)),
            hidden: false,
        }
    }
}

impl Maker<'_> {
    /// The report as of now; what was seen of the network is added by [`super::observe`].
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn make(&self) -> Result<Made, StoreError> {
        let tree = &self.directives.tree;
        let place = tree.place(self.place);
        Ok(Made {
            report: self.report.id.clone(),
            label: self.report.label.clone(),
            clause: self.report.clause.clone(),
            place: self.place,
            name: tree.full_name(self.place),
            code: place.map(|place| place.code().to_owned()).unwrap_or_default(),
            period: self.period.to_string(),
            as_of: self.as_of.to_string(),
            folds: FOLD_VERSION,
            catalogue: self.directives.catalogue.digest(),
            policies: self.policies(),
            signatures: self.report.signatures.clone(),
            figures: self.figures()?,
            known: Vec::new(),
            seen: Vec::new(),
            ranks_before: Vec::new(),
        })
    }

    /// What recomputation must give again.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn figures(&self) -> Result<Figures, StoreError> {
        let tables: Result<Vec<_>, _> =
            self.report.tables.iter().map(|table| self.table(table)).collect();
        let lists: Result<Vec<_>, _> =
            self.report.lists.iter().map(|list| self.list(list)).collect();
        let (late, late_total) = late::lines(self)?;
        let (parked, _) = self.reader.masked_counts()?;
        Ok(Figures { tables: tables?, lists: lists?, late, late_total, parked })
    }

    /// Versions in force at the period's end, those of the path.
    fn policies(&self) -> Vec<PolicyLine> {
        let day = self.period.last().to_string();
        let path = self.directives.tree.path(self.place);
        let versions = path.iter().filter_map(|id| self.directives.policies.get(id)).flatten();
        versions
            .filter(|version| version.effective_from <= day)
            .map(|version| PolicyLine {
                doc_no: version.doc_no.clone(),
                publisher: self.directives.tree.full_name(version.place),
                effective_from: version.effective_from.clone(),
            })
            .collect()
    }

    fn sums(&self, place: PlaceId) -> Result<Sums, StoreError> {
        let (from, to) = self.period.span();
        let now = self.reader.rollup(place)?.into_iter().collect();
        let period = self.reader.rollup_between(place, &from, &to)?.into_iter().collect();
        let before = self.reader.rollup_before(place, &from)?.into_iter().collect();
        Ok(Sums { by: [now, period, before] })
    }

    fn heads(&self, table: &Table) -> Vec<Head> {
        let (first, last) = self.period.span();
        let head = |column: &Column| {
            let (from, to) = match column.over {
                Over::Now => (String::new(), String::new()),
                Over::Period => (first.clone(), last.clone()),
                Over::Before => ("0".into(), self.period.before().span().1),
                Over::Until => ("0".into(), last.clone()),
            };
            let indicators = column.add.iter().chain(&column.take).cloned().collect();
            let (id, label) = (column.id.clone(), column.label());
            Head { id, label, written: column.written, indicators, from, to }
        };
        table.columns.iter().map(head).collect()
    }

    fn table(&self, table: &Table) -> Result<TableFigures, StoreError> {
        let tree = &self.directives.tree;
        let mut lines = Vec::new();
        for id in tree.children(self.place).into_iter().chain([self.place]) {
            let Some(place) = tree.place(id) else { continue };
            let sums = self.sums(id)?;
            lines.push(Line {
                place: id,
                name: place.name_on(self.period.last()).to_owned(),
                cells: table.columns.iter().map(|column| sums.cell(column)).collect(),
                score: None,
                rank: None,
                unranked: Vec::new(),
            });
        }
        due::count(self, table, &mut lines)?;
        let heads = self.heads(table);
        let value = |line: &Line, ids: &[String]| -> i64 {
            let cells = heads.iter().zip(&line.cells).filter(|(head, _)| ids.contains(&head.id));
            cells.map(|(_, cell)| cell.value).sum()
        };
        let mut unbalanced = Vec::new();
        for balance in &table.balance {
            for line in &lines {
                let (left, right) = (value(line, &balance.left), value(line, &balance.right));
                if left != right {
                    let Text { zh, en } = balance.label();
                    let text = Text {
                        zh: format!("{zh}: {left} ≠ {right}"),
                        en: format!("{en}: {left} is not {right}"),
                    };
                    unbalanced.push((line.name.clone(), text));
                }
            }
        }
        self.hide_small(table, &mut lines);
        if let Some(how) = &table.rank {
            rank(self, how, &heads, &mut lines)?;
        }
        let ranked = table.rank.is_some();
        let (id, label) = (table.id.clone(), table.label());
        Ok(TableFigures { id, label, heads, lines, unbalanced, ranked })
    }

    /// Takes small numbers of people out (R-PRV-02).
    fn hide_small(&self, table: &Table, lines: &mut [Line]) {
        let small = Small::at(self.directives, self.place, self.period.last());
        for (at, column) in table.columns.iter().enumerate() {
            let named: Vec<String> = column.add.iter().chain(&column.take).cloned().collect();
            let figure = Close { of: &named, per: &column.per };
            let cells: Vec<_> =
                lines.iter().map(|line| (line.cells[at].value, line.cells[at].per)).collect();
            for (line, hidden) in lines.iter_mut().zip(small.column(&figure, &cells)) {
                if hidden {
                    line.cells[at] = Cell { value: 0, per: None, hidden };
                }
            }
        }
    }

    /// Every record of a ledger at this office and below that stands, place by place, by title.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn each_record(
        &self,
        ledger: &str,
        mut visit: impl FnMut(&Listed, &Row) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        for place in self.directives.tree.subtree(self.place) {
            self.reader.each_of(ledger, place, &mut visit)?;
        }
        Ok(())
    }

    fn list(&self, list: &List) -> Result<ListFigures, StoreError> {
        let catalogue = &self.directives.catalogue;
        let mut found = ListFigures {
            id: list.id.clone(),
            label: list.label.clone(),
            heads: Vec::new(),
            rows: Vec::new(),
            total: 0,
        };
        let Some(ledger) = catalogue.ledger(&list.ledger) else { return Ok(found) };
        found.heads = list.columns.iter().map(|column| head_of(ledger, column)).collect();
        let evaluator = Evaluator::default();
        let (first, last) = (self.period.first(), self.period.last());
        let reads_findings = list.filter.reads("failed");
        self.each_record(&list.ledger, |listed, row| {
            let named = list.by.as_ref().and_then(|field| Date::parse(&row.text(field)));
            let day = named.unwrap_or_else(|| row.business_date(ledger));
            let in_time = match list.over {
                Over::Now => true,
                Over::Period => (first..=last).contains(&day),
                Over::Before => day < first,
                Over::Until => day <= last,
            };
            if !in_time {
                return Ok(());
            }
            let failed = match reads_findings {
                true => self.reader.failed(listed.slice, listed.record)?,
                false => Vec::new(),
            };
            let listing = Listing { first, last, failed: &failed };
            let subject = (&**ledger, row, listed.record);
            if !evaluator.lists(&list.filter, subject, &listing, self.as_of) {
                return Ok(());
            }
            found.total += 1;
            if found.rows.len() < LIST_ROWS_MAX {
                let cells = list.columns.iter().map(|id| self.value(ledger, listed, row, id));
                found.rows.push(cells.collect());
            }
            Ok(())
        })?;
        Ok(found)
    }

    /// A value as a paper may carry it.
    fn value(&self, ledger: &Ledger, listed: &Listed, row: &Row, column: &str) -> Text {
        let both = |text: String| Text { zh: text.clone(), en: text };
        let part = |(id, of_log): (&str, Option<&str>)| match (id, of_log) {
            ("_place", _) => both(self.directives.tree.full_name(listed.slice.place)),
            ("_title", _) => both(self.title(ledger, listed)),
            ("_date", _) => both(row.business_date(ledger).to_string()),
            ("_state", _) => state_label(ledger, &listed.state),
            ("_on", state) => {
                let entered = row.all_steps().filter(|step| Some(step.to.as_str()) == state).last();
                both(entered.map(|step| step.day()).unwrap_or_default())
            }
            (id, of_log) => match (ledger.field(id), of_log) {
                (Some(field), None) => self.field(field, row),
                (Some(field), Some(of_log)) => self.last_line(field, of_log, row),
                (None, _) => Text::default(),
            },
        };
        List::parts(column).map(part).find(|text| !text.zh.is_empty()).unwrap_or_default()
    }

    /// What the last line of a log says in a column.
    fn last_line(&self, field: &Field, column: &str, row: &Row) -> Text {
        let FieldKind::Log(columns) = &field.kind else { return Text::default() };
        let line = row.logs.get(&field.id).and_then(|lines| lines.last());
        let value = line.and_then(|line| line.columns.get(column));
        let kind = columns.iter().find(|one| one.id == column).map(|one| &one.kind);
        let (Some(value), Some(kind)) = (value, kind) else { return Text::default() };
        // Of what happened to people, the day and the answer name nobody.
        let plain = matches!(kind, FieldKind::Date | FieldKind::Month | FieldKind::Enum(_));
        self.printed(if plain && field.privacy == 1 { 0 } else { field.privacy }, kind, value)
    }

    fn field(&self, field: &Field, row: &Row) -> Text {
        let Some(value) = row.fields.get(&field.id) else { return Text::default() };
        if let FieldKind::Ref(_) = &field.kind {
            return self.reference(value);
        }
        self.printed(field.privacy, &field.kind, value)
    }

    /// A value of a class of privacy, without what a paper may not carry.
    fn printed(&self, privacy: u8, kind: &FieldKind, value: &Value) -> Text {
        let in_lang = |english| {
            let text = display(kind, value, &self.directives.catalogue, english);
            match (privacy, kind) {
                (0, _) => text,
                (1, FieldKind::Note) => without_numbers(&text),
                (1, FieldKind::Text) => initial(&text),
                _ => HIDDEN.to_owned(),
            }
        };
        Text { zh: in_lang(false), en: in_lang(true) }
    }

    /// What a reference names, as a paper may carry it.
    fn reference(&self, value: &Value) -> Text {
        let record = value.as_text().and_then(|text| text.parse().ok());
        let found = record.and_then(|record| self.reader.title(record).ok().flatten());
        let ledger = found.as_ref().and_then(|(_, id)| self.directives.catalogue.ledger(id));
        let (Some((title, _)), Some(ledger)) = (&found, ledger) else { return Text::default() };
        let title = paper().title(title, ledger);
        Text { zh: title.clone(), en: title }
    }

    /// A record's title, its first part as an initial if it names a person.
    pub fn title(&self, ledger: &Ledger, listed: &Listed) -> String {
        paper().title(&listed.title, ledger)
    }
}

/// A paper shows of people what the city sees.
fn paper() -> Viewer {
    Viewer { level: Level::City, duty: None, revealed: false, inspects: false }
}

/// The label of a state.
pub fn state_label(ledger: &Ledger, state: &str) -> Text {
    let states = ledger.workflow.iter().flat_map(|workflow| &workflow.states);
    let found = states.into_iter().find(|one| one.id == state);
    found.map(|one| one.label.clone()).unwrap_or_default()
}

fn head_of(ledger: &Ledger, column: &str) -> Text {
    let own = |zh: &str, en: &str| Text { zh: zh.to_owned(), en: en.to_owned() };
    match column {
        "_place" => own("单位", "Office"),
        "_title" => own("名称", "Title"),
        "_date" => own("日期", "Date"),
        "_state" => own("状态", "State"),
        column => {
            List::parts(column).next().map_or_else(Text::default, |part| label_of(ledger, part))
        }
    }
}

/// The label of a field, or of a column of a log.
fn label_of(ledger: &Ledger, (id, of_log): (&str, Option<&str>)) -> Text {
    if let ("_on", Some(state)) = (id, of_log) {
        let Text { zh, en } = state_label(ledger, state);
        return Text { zh: format!("{zh}日期"), en: format!("{en}: day") };
    }
    let Some(field) = ledger.field(id) else { return Text::default() };
    let FieldKind::Log(columns) = &field.kind else { return field.label.clone() };
    match columns.iter().find(|column| Some(column.id.as_str()) == of_log) {
        Some(column) => Text {
            zh: format!("{}:{}", field.label.zh, column.label.zh),
            en: format!("{}: {}", field.label.en, column.label.en),
        },
        None => field.label.clone(),
    }
}

/// A name's first character.
fn initial(text: &str) -> String {
    text.chars().next().map(|first| format!("{first}**")).unwrap_or_default()
}

/// A text in which long numbers do not show: telephones, accounts, identity numbers, however they are
/// grouped. A date shows.
fn without_numbers(text: &str) -> String {
    const DIGITS_SHOWN: usize = 5;
    /// Characters between the groups of one number.
    const JOINED_CHARS: usize = 3;
    /// `2018-05-20`
    const DATE_CHARS: usize = 10;
    let is_digit = |c: char| c.is_ascii_digit() || ('０'..='９').contains(&c);
    let joins = |c: char| !c.is_alphanumeric() && !"、，。；,;\n".contains(c);
    let chars: Vec<char> = text.chars().collect();
    let mut found = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        if !is_digit(chars[at]) {
            found.push(chars[at]);
            at += 1;
            continue;
        }
        let date: String = chars[at..].iter().take(DATE_CHARS).collect();
        let ends = chars.get(at + DATE_CHARS).is_none_or(|next| !is_digit(*next));
        if ends && Date::parse(&date).is_some() {
            found.push_str(&date);
            at += DATE_CHARS;
            continue;
        }
        let (mut end, mut digits) = (at, 0);
        while end < chars.len() {
            if is_digit(chars[end]) || matches!(chars[end], 'X' | 'x') {
                (end, digits) = (end + 1, digits + 1);
                continue;
            }
            let between = chars[end..].iter().take_while(|c| joins(**c)).count();
            let goes_on = chars.get(end + between).is_some_and(|next| is_digit(*next));
            if !goes_on || between > JOINED_CHARS {
                break;
            }
            end += between;
        }
        let run: String = chars[at..end].iter().collect();
        found.push_str(if digits <= DIGITS_SHOWN { &run } else { HIDDEN });
        at = end;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::without_numbers;

    #[test]
    fn long_numbers_do_not_show() {
        assert_eq!(without_numbers("电话13803700000，3户"), "电话****，3户");
        assert_eq!(without_numbers("41149919520307002X"), "****");
        assert_eq!(without_numbers("138-0370-0000、138 0370 0000"), "****、****");
        assert_eq!(without_numbers("138.0370.0000；6222  0210  0000"), "****；****");
        assert_eq!(without_numbers("１３８０３７０００００"), "****");
        assert_eq!(without_numbers("2018-05-20 3户"), "2018-05-20 3户");
        assert_eq!(without_numbers("2018年5月20日"), "2018年5月20日");
    }
}

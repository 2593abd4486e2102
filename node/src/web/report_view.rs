//! A report as people read it: the same lines on the page, on paper and in a sheet.

use taizhang_core::catalogue::Text;
use taizhang_core::catalogue::report::Written;
use taizhang_core::directives::Directives;
use taizhang_core::id::PlaceId;

use super::reading::may_list;
use super::words::word;
use crate::engine::values::yuan;
use crate::report::{Cell, Head, Known, Line, Made, TableFigures};
use crate::small::SMALL;
use crate::viewer::Viewer;

/// One figure with the records that make it.
pub(super) struct CellView {
    pub(super) text: String,
    /// Address of the records; empty where there is none.
    pub(super) link: String,
    /// The number for a sheet, if it is one.
    pub(super) number: Option<f64>,
    pub(super) is_money: bool,
}

pub(super) struct LineView {
    pub(super) name: String,
    pub(super) cells: Vec<CellView>,
    pub(super) score: String,
    pub(super) rank: String,
    /// How its rank moved since the report of the period before.
    pub(super) change: String,
    pub(super) known: String,
    pub(super) is_sum: bool,
}

pub(super) struct TableView {
    pub(super) title: String,
    pub(super) heads: Vec<String>,
    pub(super) lines: Vec<LineView>,
    pub(super) ranked: bool,
    pub(super) unbalanced: Vec<String>,
}

/// Rows of texts under a title.
pub(super) struct RowsView {
    pub(super) title: String,
    pub(super) heads: Vec<String>,
    pub(super) rows: Vec<Vec<String>>,
    /// How many more there are.
    pub(super) more: usize,
}

pub(super) struct ReportView {
    pub(super) id: String,
    pub(super) title: String,
    pub(super) clause: String,
    pub(super) office: String,
    pub(super) code: String,
    pub(super) period: String,
    pub(super) as_of: String,
    /// Whether it is a draft, or which version with which hash.
    pub(super) mark: String,
    pub(super) policies: Vec<String>,
    pub(super) tables: Vec<TableView>,
    pub(super) lists: Vec<RowsView>,
    pub(super) late: RowsView,
    pub(super) seen: Vec<RowsView>,
    pub(super) signatures: Vec<String>,
    pub(super) parked: u64,
}

/// What a view needs beside the report.
pub(super) struct Viewing<'a> {
    pub(super) directives: &'a Directives,
    pub(super) english: bool,
    /// Who looks.
    pub(super) viewer: Viewer,
    /// Whether figures lead to records: not on paper.
    pub(super) linked: bool,
}

impl Viewing<'_> {
    fn t<'a>(&self, key: &'a str) -> &'a str {
        word(key, self.english)
    }

    fn text(&self, text: &Text) -> String {
        text.in_lang(self.english).to_owned()
    }

    /// The report in one language.
    pub(super) fn view(&self, made: &Made) -> ReportView {
        let rows = |title: &Text, heads: &[Text], rows: &[Vec<Text>], total: usize| RowsView {
            title: self.text(title),
            heads: heads.iter().map(|head| self.text(head)).collect(),
            rows: rows.iter().map(|row| row.iter().map(|cell| self.text(cell)).collect()).collect(),
            more: total.saturating_sub(rows.len()),
        };
        let late = made.figures.late.iter().map(|line| {
            vec![line.place.clone(), line.title.clone(), self.text(&line.what), line.day.clone()]
        });
        let late_heads = ["places.place", "list.title", "report.what", "report.day"];
        ReportView {
            id: made.report.clone(),
            title: self.text(&made.label),
            clause: made.clause.clone(),
            office: made.name.clone(),
            code: made.code.clone(),
            period: made.period.clone(),
            as_of: made.as_of.clone(),
            mark: self.t("report.draft").to_owned(),
            policies: made
                .policies
                .iter()
                .map(|one| format!("{} ({} {})", one.doc_no, one.publisher, one.effective_from))
                .collect(),
            tables: made.figures.tables.iter().map(|table| self.table(made, table)).collect(),
            lists: made
                .figures
                .lists
                .iter()
                .map(|list| rows(&list.label, &list.heads, &list.rows, list.total))
                .collect(),
            late: RowsView {
                title: self.t("report.late").to_owned(),
                heads: late_heads.iter().map(|key| self.t(key).to_owned()).collect(),
                rows: late.collect(),
                more: made.figures.late_total.saturating_sub(made.figures.late.len()),
            },
            seen: made
                .seen
                .iter()
                .map(|block| rows(&block.label, &block.heads, &block.rows, block.total))
                .collect(),
            signatures: made.signatures.iter().map(|one| self.text(one)).collect(),
            parked: made.figures.parked,
        }
    }

    fn table(&self, made: &Made, table: &TableFigures) -> TableView {
        let line = |line: &Line| {
            let known = made.known_of(line.place);
            let silent = known.is_some_and(|known| known.places > 0 && known.reported == 0);
            let cells = table.heads.iter().zip(&line.cells);
            LineView {
                name: line.name.clone(),
                cells: cells
                    .map(|(head, cell)| self.cell(head, *cell, line.place, silent))
                    .collect(),
                score: line.score.map(hundredths).unwrap_or_default(),
                rank: self.rank(line, line.place == made.place),
                change: self.change(made.rank_before(line.place), line.rank),
                known: known.map(|known| self.known(known)).unwrap_or_default(),
                is_sum: line.place == made.place,
            }
        };
        let unbalanced = table.unbalanced.iter();
        let mut lines: Vec<&Line> = table.lines.iter().collect();
        if table.ranked {
            // The ranked ones in order, then those without a rank, then the sum.
            lines.sort_by_key(|one| (one.place == made.place, one.rank.unwrap_or(usize::MAX)));
        }
        TableView {
            title: self.text(&table.label),
            heads: table.heads.iter().map(|head| self.text(&head.label)).collect(),
            lines: lines.into_iter().map(line).collect(),
            ranked: table.ranked,
            unbalanced: unbalanced
                .map(|(name, what)| format!("{name}: {}", self.text(what)))
                .collect(),
        }
    }

    /// The rank, or why there is none.
    fn rank(&self, line: &Line, is_sum: bool) -> String {
        let reasons = || line.unranked.iter().map(|one| self.text(one)).collect::<Vec<_>>();
        match line.rank {
            Some(rank) => rank.to_string(),
            None if is_sum => String::new(),
            None if line.unranked.is_empty() => self.t("report.not_ranked").to_owned(),
            None => reasons().join("；"),
        }
    }

    /// How a rank moved: ↑2 is two places better.
    fn change(&self, before: Option<usize>, now: Option<usize>) -> String {
        match (before, now) {
            (Some(before), Some(now)) if before > now => format!("↑{}", before - now),
            (Some(before), Some(now)) if before < now => format!("↓{}", now - before),
            (Some(_), Some(_)) => self.t("report.same_rank").to_owned(),
            _ => String::new(),
        }
    }

    fn cell(&self, head: &Head, cell: Cell, place: PlaceId, silent: bool) -> CellView {
        // What an office owes is known without its data.
        if silent && !cell.hidden && !head.indicators.is_empty() {
            let text = self.t("places.no_data").to_owned();
            return CellView { text, link: String::new(), number: None, is_money: false };
        }
        // Exact up to 90 billion yuan.
        let (number, is_money) = match (head.written, cell.per) {
            _ if cell.hidden => (None, false),
            (Written::Money, None) => (Some(cell.value as f64 / 100.0), true),
            (_, None) => (Some(cell.value as f64), false),
            _ => (None, false),
        };
        CellView {
            text: figure(head.written, cell),
            link: self.link(head, place),
            number,
            is_money,
        }
    }

    /// The records that make a figure, if they are all of one ledger.
    fn link(&self, head: &Head, place: PlaceId) -> String {
        let ledger = |id: &String| Some(self.directives.catalogue.indicator(id)?.0.id.clone());
        let Some(first) = head.indicators.first().and_then(ledger).filter(|_| self.linked) else {
            return String::new();
        };
        let same = head.indicators.iter().all(|id| ledger(id).as_ref() == Some(&first));
        let may = |id: &String| {
            let found = self.directives.catalogue.indicator(id);
            found.is_some_and(|(ledger, one)| {
                may_list(self.viewer, ledger, one, &self.directives.catalogue)
            })
        };
        if !same || !head.indicators.iter().all(may) {
            return String::new();
        }
        let figure = head.indicators.join(",");
        let Head { from, to, .. } = head;
        format!("/ledgers/{first}?figure={figure}&from={from}&to={to}&place={place}")
    }

    /// How complete a figure is: 截至 05-20 · 24/25 村 · 缺：张庄村（05-19） · 待核 3.
    pub(super) fn known(&self, known: &Known) -> String {
        let mut parts = Vec::new();
        if !known.until.is_empty() {
            parts.push(format!("{} {}", self.t("places.oldest"), known.until));
        }
        parts.push(format!("{}/{} {}", known.reported, known.places, self.t("places.villages")));
        if known.behind_total > 0 {
            let never = self.t("badge.never");
            let names = known.behind.iter().map(|(name, day)| {
                format!("{name}（{}）", if day.is_empty() { never } else { day })
            });
            let more = if known.behind_total > known.behind.len() as u64 { "…" } else { "" };
            let names = names.collect::<Vec<_>>().join("、");
            parts.push(format!(
                "{} {}: {names}{more}",
                self.t("report.behind"),
                known.behind_total
            ));
        }
        if known.parked > 0 {
            parts.push(format!("{} {}", self.t("places.parked"), known.parked));
        }
        if known.conflicts > 0 {
            parts.push(format!("{} {}", self.t("home.conflicts"), known.conflicts));
        }
        parts.join(" · ")
    }
}

/// Hundredths with two decimals.
fn hundredths(value: i64) -> String {
    format!("{}.{:02}", value / 100, (value % 100).abs())
}

/// A figure as it is written: numerator and denominator of a share stay to be seen.
pub(super) fn figure(written: Written, cell: Cell) -> String {
    if cell.hidden {
        return SMALL.to_owned();
    }
    let Some(per) = cell.per else {
        return if written == Written::Money { yuan(cell.value) } else { cell.value.to_string() };
    };
    if per == 0 {
        return "—".to_owned();
    }
    match written {
        Written::Average => tenths(cell.value, per),
        Written::MoneyAverage => yuan(cell.value / per),
        Written::Money => format!("{} / {per}", yuan(cell.value)),
        Written::Plain => {
            format!("{}/{per} = {} %", cell.value, tenths(cell.value.saturating_mul(100), per))
        }
    }
}

/// A quotient with one decimal, half away from zero.
fn tenths(value: i64, per: i64) -> String {
    let scaled = (value.saturating_mul(20) / per + value.signum()) / 2;
    let sign = if scaled < 0 { "-" } else { "" };
    format!("{sign}{}.{}", (scaled / 10).abs(), (scaled % 10).abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_show_what_they_are_made_of() {
        let of = |value, per| figure(Written::Plain, Cell { value, per, hidden: false });
        assert_eq!(of(8, Some(30)), "8/30 = 26.7 %");
        assert_eq!(of(0, Some(30)), "0/30 = 0.0 %");
        assert_eq!(of(0, Some(0)), "—");
        assert_eq!(of(7, None), "7");
        assert_eq!(
            figure(Written::Money, Cell { value: 123_456, per: None, hidden: false }),
            "1,234.56"
        );
        assert_eq!(
            figure(Written::Average, Cell { value: 10, per: Some(4), hidden: false }),
            "2.5"
        );
        assert_eq!(
            figure(Written::MoneyAverage, Cell { value: 300_001, per: Some(2), hidden: false }),
            "1,500.00"
        );
    }
}

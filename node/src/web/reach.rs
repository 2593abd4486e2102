//! Where a policy version has arrived, as a tile map with a table beside it; notices to the parents of silent
//! places; the map as a spreadsheet.

use std::collections::BTreeMap;

use askama::Template;
use axum::extract::{Path, Query, State};
use axum::http::header;
use axum::response::{Html, IntoResponse as _, Redirect, Response};
use rust_xlsxwriter::{Format, Workbook, XlsxError};
use serde::Deserialize;
use taizhang_core::directives::Directives;
use taizhang_core::id::{Level, PlaceId, SliceId};
use taizhang_core::policy::PolicyVersion;
use taizhang_core::time::UtcMillis;

use super::access::Need;
use super::chart;
use super::export::XLSX;
use super::reading::may_list;
use super::record::record_id;
use super::scheduled::no_formula;
use super::shell::{Shell, Visitor, level_word, place_name};
use super::words::word;
use super::{Page, PageError, Posted};
use crate::driver::{Replica, clock};
use crate::engine::command::{Inputs, refuse};
use crate::engine::values::Source;
use crate::reach::{Count, version};
use crate::store::reach::Mark;
use crate::store::read::Freshness;
use crate::viewer::Viewer;

/// The ledger of notices from an office to one below it.
const NOTICE: &str = "supervision_notice";
/// Days that the parent of a silent place has to answer.
const NOTICE_DAYS: i64 = 3;
/// Names in one notice; the rest is counted.
const NAMES_MAX: usize = 20;

/// What the address bar says.
#[derive(Default, Deserialize)]
#[serde(default)]
pub struct ReachQuery {
    under: String,
    format: String,
    /// Notices written, after the button.
    sent: String,
}

/// What a page knows of one version below one place.
struct View {
    directives: std::sync::Arc<Directives>,
    version: PolicyVersion,
    under: PlaceId,
    marks: BTreeMap<PlaceId, Mark>,
    fresh: BTreeMap<PlaceId, Freshness>,
    viewer: Viewer,
    english: bool,
}

fn view(replica: &Replica, visitor: &Visitor, id: &str, under: &str) -> Result<View, PageError> {
    let directives = replica.directives();
    let version = version(&directives, record_id(id)?).ok_or(PageError::NotFound)?.clone();
    let tree = &directives.tree;
    let own = replica.place();
    let top = if tree.is_above_or_same(own, version.place) { version.place } else { own };
    let under = under.parse().unwrap_or(top);
    if !tree.is_above_or_same(top, under) || !tree.is_above_or_same(version.place, under) {
        return Err(PageError::NotFound);
    }
    let marks = replica.marks(&directives, &version, under)?;
    let fresh = replica.freshness()?;
    let (viewer, english) = (visitor.viewer(replica), visitor.english);
    Ok(View { directives, version, under, marks, fresh, viewer, english })
}

/// The last that is known of a place; 0 if nothing ever came.
fn heard(fresh: Option<&Freshness>) -> UtcMillis {
    fresh.map(|one| one.newest.max(one.contact)).unwrap_or_default()
}

impl View {
    fn t(&self, key: &'static str) -> &'static str {
        word(key, self.english)
    }

    /// How a place stands.
    fn mark(&self, place: PlaceId) -> chart::Mark {
        match self.marks.get(&place) {
            None => chart::Mark::Unknown,
            Some(mark) if mark.applied.0 > 0 => chart::Mark::Good,
            Some(mark) if mark.held.0 > 0 => chart::Mark::Part,
            Some(_) => chart::Mark::Bad,
        }
    }

    /// The same in words, with its time.
    fn state(&self, place: PlaceId) -> String {
        match self.marks.get(&place) {
            None => self.t("reach.off").to_owned(),
            Some(mark) if mark.applied.0 > 0 => {
                format!("{} {}", self.t("reach.applied"), mark.applied.local_text())
            }
            Some(mark) if mark.held.0 > 0 => {
                format!("{} {}", self.t("reach.held"), mark.held.local_text())
            }
            Some(_) => self.silence(place),
        }
    }

    fn silence(&self, place: PlaceId) -> String {
        let last = heard(self.fresh.get(&place));
        match last.0 {
            0 => self.t("reach.never").to_owned(),
            _ => format!(
                "{} {} ({})",
                self.t("reach.silent_since"),
                last.local_text(),
                Replica::ago(last, self.english)
            ),
        }
    }

    fn link(&self, place: PlaceId) -> String {
        format!("/policy/{}/reach?under={place}", self.version.record)
    }

    fn tile(&self, place: PlaceId) -> chart::Tile {
        chart::Tile {
            name: place_name(&self.directives, place),
            title: self.state(place),
            link: self.link(place),
            mark: self.mark(place),
        }
    }

    /// The place itself with its villages, then each child with all that is below it.
    fn groups(&self) -> Vec<chart::Group> {
        let tree = &self.directives.tree;
        let children = tree.children(self.under);
        let (parents, leaves): (Vec<PlaceId>, Vec<PlaceId>) =
            children.into_iter().partition(|id| !tree.children(*id).is_empty());
        let group = |place: PlaceId, tiles: Vec<PlaceId>| chart::Group {
            name: place_name(&self.directives, place),
            link: self.link(place),
            tiles: tiles.into_iter().map(|place| self.tile(place)).collect(),
        };
        let own = std::iter::once(self.under).chain(leaves).collect();
        let mut groups = vec![group(self.under, own)];
        groups.extend(parents.into_iter().map(|place| group(place, tree.subtree(place))));
        groups
    }

    fn count(&self, places: impl IntoIterator<Item = PlaceId>) -> Count {
        let mut count = Count::default();
        for place in places {
            count.add(self.marks.get(&place));
        }
        count
    }

    fn cells(&self, count: Count) -> CountCells {
        CountCells {
            places: count.places,
            offices: count.offices,
            applied: count.applied,
            held: count.held,
            silent: count.silent(),
        }
    }

    /// One line a level: 11, 199, 4,834.
    fn levels(&self) -> Vec<LevelLine> {
        let tree = &self.directives.tree;
        let all = tree.subtree(self.under);
        let of_level = |level: Level| {
            let at = |id: &PlaceId| tree.place(*id).is_some_and(|place| place.level == level);
            self.count(all.iter().copied().filter(at))
        };
        let lines = Level::ALL.into_iter().rev().map(|level| LevelLine {
            level: level_word(level, self.english),
            count: self.cells(of_level(level)),
        });
        lines.filter(|line| line.count.places > 0).collect()
    }

    /// The same facts as the map: the place and its children, silent ones first.
    fn lines(&self) -> Vec<PlaceLine> {
        let tree = &self.directives.tree;
        let children = tree.children(self.under);
        let mut lines: Vec<PlaceLine> = std::iter::once(self.under)
            .chain(children)
            .map(|place| {
                let below = if place == self.under { vec![place] } else { tree.subtree(place) };
                PlaceLine {
                    name: place_name(&self.directives, place),
                    link: self.link(place),
                    state: self.state(place),
                    count: self.cells(self.count(below)),
                }
            })
            .collect();
        lines.sort_by_key(|line| std::cmp::Reverse(line.count.silent));
        lines
    }

    /// Offices that have said nothing of the version, by the office above each.
    fn silent(&self) -> BTreeMap<PlaceId, Vec<PlaceId>> {
        let mut found: BTreeMap<PlaceId, Vec<PlaceId>> = BTreeMap::new();
        for place in self.marks.keys().filter(|place| self.mark(**place) == chart::Mark::Bad) {
            if let Some(parent) = self.directives.tree.parent(*place) {
                found.entry(parent).or_default().push(*place);
            }
        }
        found
    }

    /// Figures that depend on rules which read the version's parameters.
    fn figures(&self) -> Vec<FigureLine> {
        let mut lines = Vec::new();
        for ledger in self.directives.catalogue.ledgers_for_people() {
            let names = |param: &String| self.version.values.contains_key(param);
            let rules = ledger.rules.iter().filter(|rule| rule.params.iter().any(names));
            let rules: Vec<&str> = rules.map(|rule| rule.id.as_str()).collect();
            for one in &ledger.indicators {
                let source = one.filter.source();
                let read: Vec<&str> = rules
                    .iter()
                    .copied()
                    .filter(|rule| source.contains(&format!("'{rule}'")))
                    .collect();
                if !read.is_empty() {
                    let link = match may_list(self.viewer, ledger, one, &self.directives.catalogue)
                    {
                        true => format!("/ledgers/{}?figure={}", ledger.id, one.id),
                        false => String::new(),
                    };
                    lines.push(FigureLine {
                        label: one.label.in_lang(self.english).to_owned(),
                        link,
                        rules: read.join("、"),
                    });
                }
            }
        }
        lines
    }
}

struct CountCells {
    places: usize,
    offices: usize,
    applied: usize,
    held: usize,
    silent: usize,
}

struct LevelLine {
    level: &'static str,
    count: CountCells,
}

struct PlaceLine {
    name: String,
    link: String,
    state: String,
    count: CountCells,
}

struct FigureLine {
    label: String,
    link: String,
    rules: String,
}

#[derive(Template)]
#[template(path = "reach.html")]
struct ReachPage {
    shell: Shell,
    doc_no: String,
    title: String,
    effective: String,
    publisher: String,
    name: String,
    up: String,
    as_of: String,
    /// Made by [`chart`], which escapes every text.
    map: String,
    levels: Vec<LevelLine>,
    lines: Vec<PlaceLine>,
    figures: Vec<FigureLine>,
    export: String,
    notice: String,
    may_notice: bool,
    sent: String,
}

/// The reach of a version below a place.
///
/// # Errors
///
/// [`PageError::NotFound`] for a version or place that is not here to see.
pub async fn show(
    State(replica): State<Replica>,
    Path(id): Path<String>,
    Query(query): Query<ReachQuery>,
    visitor: Visitor,
) -> Page {
    let view = tokio::task::block_in_place(|| view(&replica, &visitor, &id, &query.under))?;
    let tree = &view.directives.tree;
    let words = ["reach.applied", "reach.held", "reach.silent", "reach.off"].map(|key| view.t(key));
    let own = replica.place();
    let parent = tree.parent(view.under);
    let up = parent.filter(|up| {
        tree.is_above_or_same(own, *up) && tree.is_above_or_same(view.version.place, *up)
    });
    let base = format!("/policy/{}/reach", view.version.record);
    let addressed = view.silent().into_keys().any(|parent| parent != own);
    let page = ReachPage {
        shell: Shell::new(&replica, &visitor)?,
        doc_no: view.version.doc_no.clone(),
        title: view.version.title.clone(),
        effective: view.version.effective_from.clone(),
        publisher: tree.full_name(view.version.place),
        name: place_name(&view.directives, view.under),
        up: up.map(|up| view.link(up)).unwrap_or_default(),
        as_of: clock::now().local_text(),
        map: chart::tiles(view.t("reach.title"), &view.groups(), &words),
        levels: view.levels(),
        lines: view.lines(),
        figures: view.figures(),
        export: format!("{base}/export?under={}", view.under),
        notice: format!("{base}/notice"),
        may_notice: visitor.may(Need::Publish, &replica) && addressed,
        sent: query.sent.parse::<u64>().map(|sent| sent.to_string()).unwrap_or_default(),
    };
    Ok(Html(page.render()?))
}

/// The heads of the spreadsheet.
const HEADS: [&str; 6] = [
    "reach.place",
    "reach.level",
    "reach.state",
    "reach.held_at",
    "reach.applied_at",
    "reach.last_heard",
];

/// Every place below, one a row.
fn table(view: &View) -> Vec<Vec<String>> {
    let tree = &view.directives.tree;
    let when = |time: UtcMillis| Replica::when(time);
    let rows = tree.subtree(view.under).into_iter().filter_map(|id| {
        let place = tree.place(id)?;
        let mark = view.marks.get(&id).copied().unwrap_or_default();
        let state = match view.mark(id) {
            chart::Mark::Good => "reach.applied",
            chart::Mark::Part => "reach.held",
            chart::Mark::Bad => "reach.silent",
            chart::Mark::Unknown => "reach.off",
        };
        Some(vec![
            tree.full_name(id),
            level_word(place.level, view.english).to_owned(),
            view.t(state).to_owned(),
            when(mark.held),
            when(mark.applied),
            when(heard(view.fresh.get(&id))),
        ])
    });
    let heads = HEADS.iter().map(|key| view.t(key).to_owned()).collect();
    std::iter::once(heads).chain(rows).collect()
}

fn book(rows: &[Vec<String>]) -> Result<Vec<u8>, XlsxError> {
    let mut book = Workbook::new();
    let sheet = book.add_worksheet();
    let bold = Format::new().set_bold();
    for (at, row) in (0..).zip(rows) {
        for (column, cell) in (0..).zip(row) {
            if at == 0 {
                sheet.write_string_with_format(at, column, cell, &bold)?;
            } else {
                sheet.write_string(at, column, cell)?;
            }
        }
    }
    sheet.set_freeze_panes(1, 0)?;
    sheet.autofit();
    book.save_to_buffer()
}

/// Comma-separated, with the mark by which Excel knows UTF-8.
fn csv_text(rows: &[Vec<String>]) -> Result<Vec<u8>, String> {
    let mut writer = csv::Writer::from_writer("\u{feff}".as_bytes().to_vec());
    for row in rows {
        let cells = row.iter().map(|cell| no_formula(cell));
        writer.write_record(cells).map_err(|error| error.to_string())?;
    }
    writer.into_inner().map_err(|error| error.to_string())
}

/// The reach of a version below a place as xlsx or csv.
///
/// # Errors
///
/// As [`show`].
pub async fn export(
    State(replica): State<Replica>,
    Path(id): Path<String>,
    Query(query): Query<ReachQuery>,
    visitor: Visitor,
) -> Result<Response, PageError> {
    let is_csv = query.format == "csv";
    let made = tokio::task::block_in_place(|| {
        let rows = table(&view(&replica, &visitor, &id, &query.under)?);
        let made =
            if is_csv { csv_text(&rows) } else { book(&rows).map_err(|error| error.to_string()) };
        Ok::<_, PageError>((made.map_err(PageError::Sheet)?, rows.len()))
    });
    let (bytes, rows) = made?;
    let text = format!("{} took {} rows of the reach of {id}", visitor.login(), rows - 1);
    replica.run(move |engine, now| Ok(engine.store.audit("exported", &text, now)?)).await?;
    let (kind, end) = if is_csv { ("text/csv; charset=utf-8", "csv") } else { (XLSX, "xlsx") };
    let name = format!("attachment; filename=\"reach.{end}\"");
    Ok(([(header::CONTENT_TYPE, kind), (header::CONTENT_DISPOSITION, name.as_str())], bytes)
        .into_response())
}

/// What a notice says to one parent.
fn notice_of(view: &View, silent: &[PlaceId]) -> Inputs {
    let names: Vec<String> =
        silent.iter().take(NAMES_MAX).map(|place| place_name(&view.directives, *place)).collect();
    let more = if silent.len() > names.len() { "等" } else { "" };
    let doc_no = &view.version.doc_no;
    let today = clock::now().date();
    let text = format!(
        "{}{more}共{}个单位尚未收到{doc_no},请督促联网或用U盘同步,并报告原因。",
        names.join("、"),
        silent.len()
    );
    let pairs = [
        ("subject", format!("{doc_no}未送达单位的提醒")),
        ("text", text),
        ("about", "silent".to_owned()),
        ("policy_doc_no", doc_no.clone()),
        ("sent_on", today.to_string()),
        ("due_on", today.plus_days(NOTICE_DAYS).to_string()),
    ];
    pairs.map(|(field, text)| (field.to_owned(), text)).into()
}

/// Writes one notice to the parent of each silent place, unless the same one stands there already.
///
/// # Errors
///
/// If nobody is silent, or the ledger of notices is not declared.
pub async fn notice(
    State(replica): State<Replica>,
    Path(id): Path<String>,
    visitor: Visitor,
) -> Posted {
    let view = tokio::task::block_in_place(|| view(&replica, &visitor, &id, ""))?;
    let own = replica.place();
    let letters: Vec<(PlaceId, Inputs)> = view
        .silent()
        .into_iter()
        .filter(|(parent, _)| *parent != own)
        .map(|(parent, silent)| (parent, notice_of(&view, &silent)))
        .collect();
    let person = visitor.person;
    let sent = replica
        .run(move |engine, now| {
            if letters.is_empty() {
                return refuse("没有失联单位", "no place is silent");
            }
            let mut sent = 0_u64;
            for (parent, inputs) in &letters {
                let slice = SliceId::ledger(*parent);
                let text = inputs.get("text").cloned().unwrap_or_default();
                let standing = engine.rows_of(slice, NOTICE)?;
                if standing.iter().any(|(_, row)| row.text("text") == text) {
                    continue;
                }
                let source = Source::People;
                engine.create(slice, NOTICE, inputs, source, &person, None, now)?;
                sent += 1;
            }
            Ok(sent)
        })
        .await?;
    Ok(Redirect::to(&format!("/policy/{id}/reach?sent={sent}")))
}

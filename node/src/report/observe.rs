//! What cannot be recomputed from segments: how fresh the data were, who reported, how ranks moved.

use taizhang_core::catalogue::Text;
use taizhang_core::catalogue::report::Observed;
use taizhang_core::id::{Level, PlaceId};
use taizhang_core::time::UtcMillis;

use super::make::Maker;
use super::network::Network;
use super::{Made, Seen, due, named, reached};
use crate::store::StoreError;

/// Places named one by one in a line.
pub(super) const NAMES_MAX: usize = 20;
/// Rows of a block.
pub(super) const ROWS_MAX: usize = 500;

pub(super) fn both(text: impl Into<String>) -> Text {
    let text = text.into();
    Text { zh: text.clone(), en: text }
}

pub(super) fn own(zh: &str, en: &str) -> Text {
    Text { zh: zh.to_owned(), en: en.to_owned() }
}

/// A day as it is written; empty if there is none.
pub(super) fn day(time: UtcMillis) -> String {
    if time.0 == 0 { String::new() } else { time.date().to_string() }
}

/// A block of as many rows as are named.
pub(super) fn block(label: Text, heads: Vec<Text>, mut rows: Vec<Vec<Text>>) -> Seen {
    let total = rows.len();
    rows.truncate(ROWS_MAX);
    Seen { label, heads, rows, total }
}

/// Adds how complete each figure was, and the blocks that the report declares.
///
/// # Errors
///
/// [`StoreError`].
pub fn observe(maker: &Maker<'_>, made: &mut Made, now: UtcMillis) -> Result<(), StoreError> {
    let network = Network::of(maker, now)?;
    let tree = &maker.directives.tree;
    let offices = tree.children(maker.place).into_iter().chain([maker.place]);
    made.known = offices.map(|place| network.known(place)).collect();
    made.ranks_before = ranks_before(maker)?;
    for kind in &maker.report.observed {
        made.seen.push(match kind {
            Observed::Network => network.block()?,
            Observed::Reach => reached::reach(maker)?,
            Observed::Applied => reached::applied(maker)?,
            Observed::Localised => reached::localised(maker),
            Observed::Duties => duties(maker)?,
            Observed::Events => events(maker, now)?,
        });
    }
    Ok(())
}

/// The ranks of the frozen report of the period before, its newest version; none if it is not here.
fn ranks_before(maker: &Maker<'_>) -> Result<Vec<(PlaceId, usize)>, StoreError> {
    if maker.report.tables.iter().all(|table| table.rank.is_none()) {
        return Ok(Vec::new());
    }
    let before = maker.period.before().to_string();
    let filings = due::filings(maker.reader, &[maker.place])?;
    let of = filings.iter().filter(|one| one.report == maker.report.id && one.period == before);
    let content = of.max_by_key(|one| one.version).and_then(|one| named(&one.row, "content"));
    let bytes = content.and_then(|blob| (maker.blobs)(blob)).unwrap_or_default();
    let Ok(made) = serde_json::from_slice::<Made>(&bytes) else { return Ok(Vec::new()) };
    let lines = made.figures.tables.iter().filter(|table| table.ranked).flat_map(|one| &one.lines);
    Ok(lines.filter_map(|line| Some((line.place, line.rank?))).collect())
}

/// Which reports the offices below owed for the period, which of them were filed when, and which of their
/// units were to answer.
fn duties(maker: &Maker<'_>) -> Result<Seen, StoreError> {
    let directives = maker.directives;
    let offices = directives.tree.children(maker.place);
    let ended = maker.period.after().first();
    let owed = due::duties(maker.reader, directives, &offices, ended, 1)?;
    let row = |duty: &due::Duty| {
        let state = match (duty.filed_on.is_empty(), duty.is_late(maker.as_of)) {
            (true, true) => own("逾期未报", "overdue"),
            (true, false) => own("未报", "not filed"),
            (false, true) => own("迟报", "filed late"),
            (false, false) => own("已报", "filed"),
        };
        vec![
            both(directives.tree.full_name(duty.place)),
            both(&duty.report),
            both(duty.units.join("、")),
            both(&duty.period),
            both(&duty.due_on),
            both(&duty.filed_on),
            state,
        ]
    };
    let heads = vec![
        own("单位", "Office"),
        own("报表", "Report"),
        own("责任单位", "Units that answer"),
        own("期间", "Period"),
        own("期限", "Due"),
        own("报送日期", "Filed"),
        own("状态", "State"),
    ];
    let rows = owed.iter().map(row).collect();
    Ok(block(own("报表报送情况", "Reports due and filed"), heads, rows))
}

/// R-QUA-01: sudden patterns in the data of the villages below, before this moment.
fn events(maker: &Maker<'_>, now: UtcMillis) -> Result<Seen, StoreError> {
    let directives = maker.directives;
    let mut villages = directives.tree.subtree(maker.place);
    villages
        .retain(|id| directives.tree.place(*id).is_some_and(|place| place.level == Level::Village));
    let (catalogue, from) = (&directives.catalogue, maker.period.first());
    let found = crate::patterns::patterns(maker.reader, catalogue, &villages, from, now)?;
    let row = |pattern: &crate::patterns::Pattern| {
        let text = |english| crate::web::round::describe(pattern, directives, english);
        vec![
            both(directives.tree.full_name(pattern.place)),
            Text { zh: text(false), en: text(true) },
        ]
    };
    let heads = vec![own("单位", "Office"), own("内容", "What")];
    let rows = found.iter().map(row).collect();
    Ok(block(own("数据突变提示", "Sudden patterns"), heads, rows))
}

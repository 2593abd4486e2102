//! What cannot be recomputed from segments: how fresh the data were, how offices were reached.

use std::collections::BTreeMap;

use taizhang_core::catalogue::Text;
use taizhang_core::catalogue::report::Observed;
use taizhang_core::id::{Level, PlaceId, SealKey, SliceId};
use taizhang_core::time::UtcMillis;

use super::make::Maker;
use super::{Known, Made, Seen, due};
use crate::store::StoreError;

/// Places named one by one in a line.
const NAMES_MAX: usize = 20;
/// Rows of a block.
const ROWS_MAX: usize = 500;

fn both(text: impl Into<String>) -> Text {
    let text = text.into();
    Text { zh: text.clone(), en: text }
}

fn own(zh: &str, en: &str) -> Text {
    Text { zh: zh.to_owned(), en: en.to_owned() }
}

fn day(time: UtcMillis) -> String {
    if time.0 == 0 { String::new() } else { time.date().to_string() }
}

/// What is known of the network at the time of a snapshot.
struct Network<'a> {
    maker: &'a Maker<'a>,
    /// When each place's newest entry was written.
    written: BTreeMap<PlaceId, UtcMillis>,
    /// The last sign of life of each place: data, a receipt, or contact on a direct link.
    heard: BTreeMap<PlaceId, UtcMillis>,
    masked: BTreeMap<PlaceId, (u64, u64)>,
    conflicts: BTreeMap<PlaceId, u64>,
}

impl<'a> Network<'a> {
    fn of(maker: &'a Maker<'a>) -> Result<Self, StoreError> {
        let reader = maker.reader;
        let roster = &maker.directives.roster;
        let mut written: BTreeMap<PlaceId, UtcMillis> = BTreeMap::new();
        let mut heard: BTreeMap<PlaceId, UtcMillis> = BTreeMap::new();
        for (key, time) in reader.newest_written()? {
            let Some(known) = roster.get(&key) else { continue };
            let place = written.entry(known.certified.place).or_default();
            *place = (*place).max(time);
        }
        let authors = reader.newest_after(0)?.authors;
        for (key, time) in authors.into_iter().chain(reader.receipts_came()?) {
            let Some(known) = roster.get(&key) else { continue };
            let place = heard.entry(known.certified.place).or_default();
            *place = (*place).max(time);
        }
        for (place, contact) in reader.contacts()? {
            let place = heard.entry(place).or_default();
            *place = (*place).max(contact.last);
        }
        let (masked, conflicts) = (reader.masked_by_place()?, reader.conflict_counts()?);
        Ok(Self { maker, written, heard, masked, conflicts })
    }
}

/// Adds how complete each figure was, and the blocks that the report declares.
///
/// # Errors
///
/// [`StoreError`].
pub fn observe(maker: &Maker<'_>, made: &mut Made, now: UtcMillis) -> Result<(), StoreError> {
    let network = Network::of(maker)?;
    let tree = &maker.directives.tree;
    let offices = tree.children(maker.place).into_iter().chain([maker.place]);
    made.known = offices.map(|place| network.known(place)).collect();
    for kind in &maker.report.observed {
        made.seen.push(match kind {
            Observed::Network => network.block(),
            Observed::Reach => reach(maker)?,
            Observed::Duties => duties(maker, now)?,
            Observed::Events => events(maker, now)?,
        });
    }
    Ok(())
}

impl Network<'_> {
    fn newest(&self, place: PlaceId) -> UtcMillis {
        self.written.get(&place).copied().unwrap_or_default()
    }

    fn heard(&self, place: PlaceId) -> UtcMillis {
        self.heard.get(&place).copied().unwrap_or_default()
    }

    fn known(&self, office: PlaceId) -> Known {
        let tree = &self.maker.directives.tree;
        let end = self.maker.period.after().first().start();
        let mut known = Known {
            place: office,
            places: 0,
            reported: 0,
            until: String::new(),
            behind: Vec::new(),
            behind_total: 0,
            parked: 0,
            conflicts: 0,
        };
        for id in tree.subtree(office) {
            known.parked += self.masked.get(&id).map_or(0, |one| one.0);
            known.conflicts += self.conflicts.get(&id).copied().unwrap_or(0);
            let Some(place) = tree.place(id).filter(|one| one.level == Level::Village) else {
                continue;
            };
            let newest = self.newest(id);
            known.places += 1;
            if newest.0 > 0 {
                known.reported += 1;
                let until = day(newest);
                if known.until.is_empty() || until < known.until {
                    known.until = until;
                }
            }
            // In touch since the period ended, it has sent what it has.
            if self.heard(id) < end {
                known.behind_total += 1;
                if known.behind.len() < NAMES_MAX {
                    known.behind.push((place.name().to_owned(), day(newest)));
                }
            }
        }
        known
    }

    /// R18: every office below, the longest silent first.
    fn block(&self) -> Seen {
        let tree = &self.maker.directives.tree;
        let mut offices = tree.subtree(self.maker.place);
        offices.retain(|id| *id != self.maker.place);
        offices.sort_by_key(|id| (self.heard(*id), *id));
        let row = |id: &PlaceId| {
            let silent = |time: UtcMillis| match day(time) {
                never if never.is_empty() => own("从未", "never"),
                day => both(day),
            };
            let (parked, void) = self.masked.get(id).copied().unwrap_or_default();
            vec![
                both(tree.full_name(*id)),
                silent(self.newest(*id)),
                silent(self.heard(*id)),
                both(parked.to_string()),
                both(void.to_string()),
                both(self.conflicts.get(id).copied().unwrap_or(0).to_string()),
            ]
        };
        Seen {
            label: own("节点在网状态", "State of offices"),
            heads: vec![
                own("单位", "Office"),
                own("最新数据", "Newest data"),
                own("最近联系", "Last contact"),
                own("待核条目", "Waiting"),
                own("无效条目", "Masked"),
                own("未决冲突", "Conflicts"),
            ],
            rows: offices.iter().take(ROWS_MAX).map(row).collect(),
        }
    }
}

/// Which reports the offices below owed for the last period, and which of them were filed when.
fn duties(maker: &Maker<'_>, now: UtcMillis) -> Result<Seen, StoreError> {
    let directives = maker.directives;
    let offices = directives.tree.children(maker.place);
    let owed = due::duties(maker.reader, directives, &offices, now.date(), 1)?;
    let row = |duty: &due::Duty| {
        let state = match (duty.filed_on.is_empty(), duty.is_late(now.date())) {
            (true, true) => own("逾期未报", "overdue"),
            (true, false) => own("未报", "not filed"),
            (false, true) => own("迟报", "filed late"),
            (false, false) => own("已报", "filed"),
        };
        vec![
            both(directives.tree.full_name(duty.place)),
            both(&duty.report),
            both(&duty.period),
            both(&duty.due_on),
            both(&duty.filed_on),
            state,
        ]
    };
    Ok(Seen {
        label: own("报表报送情况", "Reports due and filed"),
        heads: vec![
            own("单位", "Office"),
            own("报表", "Report"),
            own("期间", "Period"),
            own("期限", "Due"),
            own("报送日期", "Filed"),
            own("状态", "State"),
        ],
        rows: owed.iter().take(ROWS_MAX).map(row).collect(),
    })
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
    Ok(Seen {
        label: own("数据突变提示", "Sudden patterns"),
        heads: vec![own("单位", "Office"), own("内容", "What")],
        rows: found.iter().take(ROWS_MAX).map(row).collect(),
    })
}

/// R19: how far each version of policy has come, by the receipts of the offices themselves.
fn reach(maker: &Maker<'_>) -> Result<Seen, StoreError> {
    let directives = maker.directives;
    let mut replicas: BTreeMap<PlaceId, Vec<SealKey>> = BTreeMap::new();
    // A key that was revoked speaks for its place no more.
    let roster = directives.roster.iter().filter(|(key, _)| !directives.revoked.contains(**key));
    for (key, known) in roster {
        replicas.entry(known.certified.place).or_default().push(*key);
    }
    let mut rows = Vec::new();
    for version in directives.policies.values().flatten() {
        let (author, number) = version.position;
        let marks = maker.reader.reach(SliceId::directive(version.place), author, number)?;
        let of = |place: &PlaceId, applied: bool| {
            let keys = replicas.get(place);
            marks.iter().any(|(issuer, is_applied, _)| {
                *is_applied == applied && keys.is_some_and(|keys| keys.contains(issuer))
            })
        };
        let below = |place: &&PlaceId| {
            directives.tree.is_above_or_same(version.place, **place)
                && directives.tree.is_above_or_same(maker.place, **place)
        };
        let offices: Vec<&PlaceId> = replicas.keys().filter(below).collect();
        let count = |applied| offices.iter().filter(|place| of(place, applied)).count();
        let waiting = offices.iter().filter(|place| !of(place, true));
        let names: Vec<String> =
            waiting.take(NAMES_MAX).map(|place| directives.tree.full_name(**place)).collect();
        rows.push(vec![
            both(&version.doc_no),
            both(&version.effective_from),
            both(offices.len().to_string()),
            both(count(false).to_string()),
            both(count(true).to_string()),
            both(names.join("、")),
        ]);
    }
    rows.truncate(ROWS_MAX);
    Ok(Seen {
        label: own("政策到达", "Reach of policy"),
        heads: vec![
            own("文号", "Document"),
            own("生效日期", "Effective"),
            own("应到单位", "Offices"),
            own("已收到", "Held"),
            own("已应用", "Applied"),
            own("尚未应用", "Not yet applied"),
        ],
        rows,
    })
}

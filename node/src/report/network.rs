//! R18: how offices are reached, what waits of theirs, and which policy they run.

use std::collections::BTreeMap;

use taizhang_core::catalogue::Text;
use taizhang_core::id::{Level, PlaceId};
use taizhang_core::time::UtcMillis;

use super::make::Maker;
use super::observe::{NAMES_MAX, ROWS_MAX, both, day, own};
use super::{Known, Seen};
use crate::health::{Ages, DAY_MS, SILENCE, Stated, age_class, stated_by};
use crate::store::StoreError;

/// What is known of the network at the time of a snapshot.
pub(super) struct Network<'a> {
    maker: &'a Maker<'a>,
    /// When the snapshot was taken.
    now: UtcMillis,
    /// Days without a sign of life after which an office is silent; none if that is not set.
    silence_days: Option<i64>,
    /// When each place's newest entry was written.
    written: BTreeMap<PlaceId, UtcMillis>,
    /// The last sign of life of each place: data, a receipt, or contact on a direct link.
    heard: BTreeMap<PlaceId, UtcMillis>,
    masked: BTreeMap<PlaceId, (u64, u64)>,
    conflicts: BTreeMap<PlaceId, Ages>,
}

impl<'a> Network<'a> {
    pub(super) fn of(maker: &'a Maker<'a>, now: UtcMillis) -> Result<Self, StoreError> {
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
        let mut conflicts: BTreeMap<PlaceId, Ages> = BTreeMap::new();
        for (place, since) in reader.conflicts_since()? {
            conflicts.entry(place).or_default()[age_class(now.since(since))] += 1;
        }
        let silence = maker.directives.param(SILENCE, maker.place, now.date()).value;
        let silence_days = silence.and_then(|value| value.as_int());
        let masked = reader.masked_by_place()?;
        Ok(Self { maker, now, silence_days, written, heard, masked, conflicts })
    }

    fn newest(&self, place: PlaceId) -> UtcMillis {
        self.written.get(&place).copied().unwrap_or_default()
    }

    fn heard(&self, place: PlaceId) -> UtcMillis {
        self.heard.get(&place).copied().unwrap_or_default()
    }

    /// How complete the figures of an office are.
    pub(super) fn known(&self, office: PlaceId) -> Known {
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
            known.conflicts += self.conflicts.get(&id).map_or(0, |ages| ages.iter().sum());
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

    /// Every office below, the longest silent first.
    pub(super) fn block(&self) -> Result<Seen, StoreError> {
        let tree = &self.maker.directives.tree;
        let mut offices = tree.subtree(self.maker.place);
        offices.retain(|id| *id != self.maker.place);
        offices.sort_by_key(|id| (self.heard(*id), *id));
        let rows: Result<Vec<_>, StoreError> =
            offices.iter().take(ROWS_MAX).map(|id| self.row(*id)).collect();
        Ok(Seen {
            label: own("节点在网状态", "State of offices"),
            heads: vec![
                own("单位", "Office"),
                own("最新数据", "Newest data"),
                own("最近联系", "Last contact"),
                own("失联", "Silent"),
                own("未传到段", "Segments not here"),
                own("待核条目", "Waiting"),
                own("无效条目", "Masked"),
                own("未决冲突", "Conflicts"),
                own("其中超过7天", "Of these, over 7 days"),
                own("其中超过30天", "Of these, over 30 days"),
                own("执行的参数版本", "Policy version in use"),
            ],
            rows: rows?,
            total: offices.len(),
        })
    }

    fn row(&self, id: PlaceId) -> Result<Vec<Text>, StoreError> {
        let directives = self.maker.directives;
        let stated = stated_by(self.maker.reader, directives, id)?;
        let last = |time: UtcMillis| match day(time) {
            never if never.is_empty() => own("从未", "never"),
            day => both(day),
        };
        let (parked, void) = self.masked.get(&id).copied().unwrap_or_default();
        let ages = self.conflicts.get(&id).copied().unwrap_or_default();
        let [_, _, weeks, months] = ages;
        Ok(vec![
            both(directives.tree.full_name(id)),
            last(self.newest(id)),
            last(self.heard(id)),
            silence(self.now, self.heard(id), self.silence_days),
            stated.not_here.map_or_else(unknown, |count| both(count.to_string())),
            both(parked.to_string()),
            both(void.to_string()),
            both(ages.iter().sum::<u64>().to_string()),
            both((weeks + months).to_string()),
            both(months.to_string()),
            policy(&stated),
        ])
    }
}

fn unknown() -> Text {
    own("未知", "not known")
}

/// Since how many days an office is silent, if that is longer than is allowed.
fn silence(now: UtcMillis, heard: UtcMillis, allowed: Option<i64>) -> Text {
    if heard.0 == 0 {
        return own("从未联系", "never heard of");
    }
    let silent = now.since(heard);
    if allowed.is_some_and(|days| silent > days * DAY_MS) {
        let days = silent / DAY_MS;
        return Text { zh: format!("{days}天"), en: format!("{days} days") };
    }
    Text::default()
}

/// The newest version of policy that an office says it has applied.
fn policy(stated: &Stated) -> Text {
    match &stated.policy {
        None => unknown(),
        Some((doc_no, true)) => both(doc_no),
        Some((doc_no, false)) => {
            Text { zh: format!("{doc_no}(非最新)"), en: format!("{doc_no} (not the newest)") }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_office_is_silent_after_the_days_that_are_allowed() {
        let days = |days: i64| UtcMillis(days * DAY_MS);
        assert_eq!(silence(days(100), days(90), Some(7)).zh, "10天");
        assert_eq!(silence(days(100), days(93), Some(7)), Text::default());
        assert_eq!(silence(days(100), days(1), None), Text::default());
        assert_eq!(silence(days(100), days(0), Some(7)).zh, "从未联系");
    }

    #[test]
    fn an_old_version_in_use_is_told_from_the_newest() {
        let of = |newest| Stated {
            policy: Some(("商扶办〔2018〕9号".into(), newest)),
            ..Stated::default()
        };
        assert_eq!(policy(&of(true)).zh, "商扶办〔2018〕9号");
        assert_eq!(policy(&of(false)).zh, "商扶办〔2018〕9号(非最新)");
        assert_eq!(policy(&Stated::default()).zh, "未知");
    }
}

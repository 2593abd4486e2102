//! R19: how policy arrived, by the receipts of the offices themselves, and which values counties set.

use std::collections::{BTreeMap, BTreeSet};

use taizhang_core::catalogue::{Localise, Param, Text};
use taizhang_core::id::{Level, PlaceId, SealKey, SliceId};
use taizhang_core::policy::{InForce, PolicyVersion};
use taizhang_core::record::value::Value;
use taizhang_core::time::UtcMillis;

use super::Seen;
use super::make::Maker;
use super::observe::{NAMES_MAX, block, both, day, own};
use crate::engine::values::display;
use crate::store::StoreError;
use crate::store::reach::Mark;

/// Offices with a replica, and what their keys said.
type Replicas = BTreeMap<PlaceId, Vec<SealKey>>;

/// A key that was revoked speaks for its place no more.
fn replicas(maker: &Maker<'_>) -> Replicas {
    let directives = maker.directives;
    let mut found = Replicas::new();
    let roster = directives.roster.iter().filter(|(key, _)| !directives.revoked.contains(**key));
    for (key, known) in roster {
        found.entry(known.certified.place).or_default().push(*key);
    }
    found
}

/// The versions published above the maker, by it and below it, the newest first.
fn versions<'a>(maker: &Maker<'a>) -> Vec<&'a PolicyVersion> {
    let directives = maker.directives;
    let tree = &directives.tree;
    let near = |version: &&PolicyVersion| {
        tree.is_above_or_same(version.place, maker.place)
            || tree.is_above_or_same(maker.place, version.place)
    };
    let mut found: Vec<_> = directives.policies.values().flatten().filter(near).collect();
    found.sort_by(|one, two| {
        (&two.effective_from, two.lamport).cmp(&(&one.effective_from, one.lamport))
    });
    found
}

/// Since when each office holds and has applied a version; those that said nothing stand with zeros.
fn marks(
    maker: &Maker<'_>,
    replicas: &Replicas,
    version: &PolicyVersion,
) -> Result<BTreeMap<PlaceId, Mark>, StoreError> {
    let tree = &maker.directives.tree;
    let (author, number) = version.position;
    let said = maker.reader.reach(SliceId::directive(version.place), author, number)?;
    let mut by_key: BTreeMap<SealKey, Mark> = BTreeMap::new();
    for (issuer, is_applied, since) in said {
        let mark = by_key.entry(issuer).or_default();
        if is_applied { mark.applied = since } else { mark.held = since }
    }
    let concerned = |place: PlaceId| {
        tree.is_above_or_same(version.place, place) && tree.is_above_or_same(maker.place, place)
    };
    let mut found = BTreeMap::new();
    for (place, keys) in replicas.iter().filter(|(place, _)| concerned(**place)) {
        let of = || keys.iter().filter_map(|key| by_key.get(key));
        let held = first(of().map(|mark| mark.held));
        let applied = first(of().map(|mark| mark.applied));
        found.insert(*place, Mark { held, applied });
    }
    Ok(found)
}

/// The first of some times, of which 0 is none.
fn first(times: impl Iterator<Item = UtcMillis>) -> UtcMillis {
    times.filter(|time| time.0 > 0).min().unwrap_or_default()
}

/// How far each version has come.
pub(super) fn reach(maker: &Maker<'_>) -> Result<Seen, StoreError> {
    let tree = &maker.directives.tree;
    let replicas = replicas(maker);
    let mut rows = Vec::new();
    for version in versions(maker) {
        let marks = marks(maker, &replicas, version)?;
        let count = |of: fn(&Mark) -> bool| marks.values().filter(|mark| of(mark)).count();
        let waiting = marks.iter().filter(|(_, mark)| mark.applied.0 == 0);
        let names: Vec<String> =
            waiting.take(NAMES_MAX).map(|(place, _)| tree.full_name(*place)).collect();
        rows.push(vec![
            both(&version.doc_no),
            both(&version.effective_from),
            both(marks.len().to_string()),
            both(count(|mark| mark.held.0 > 0).to_string()),
            both(count(|mark| mark.applied.0 > 0).to_string()),
            both(names.join("、")),
        ]);
    }
    let heads = vec![
        own("文号", "Document"),
        own("生效日期", "Effective"),
        own("应到单位", "Offices"),
        own("已收到", "Held"),
        own("已应用", "Applied"),
        own("尚未应用", "Not yet applied"),
    ];
    Ok(block(own("政策到达", "Reach of policy"), heads, rows))
}

/// When the offices of each child had applied each version: the first and the last of them.
pub(super) fn applied(maker: &Maker<'_>) -> Result<Seen, StoreError> {
    let tree = &maker.directives.tree;
    let replicas = replicas(maker);
    let children: Vec<(PlaceId, BTreeSet<PlaceId>)> = tree
        .children(maker.place)
        .into_iter()
        .map(|child| (child, tree.subtree(child).into_iter().collect()))
        .collect();
    let mut rows = Vec::new();
    for version in versions(maker) {
        let marks = marks(maker, &replicas, version)?;
        let own_mark = [(maker.place, BTreeSet::from([maker.place]))];
        for (office, below) in own_mark.iter().chain(&children) {
            let of: Vec<&Mark> = marks
                .iter()
                .filter(|(place, _)| below.contains(place))
                .map(|(_, one)| one)
                .collect();
            if of.is_empty() {
                continue;
            }
            let times: Vec<UtcMillis> =
                of.iter().map(|mark| mark.applied).filter(|time| time.0 > 0).collect();
            let text = |time: Option<&UtcMillis>| both(day(time.copied().unwrap_or_default()));
            rows.push(vec![
                both(&version.doc_no),
                both(tree.full_name(*office)),
                both(of.len().to_string()),
                both(times.len().to_string()),
                text(times.iter().min()),
                text(times.iter().max()),
            ]);
        }
    }
    let heads = vec![
        own("文号", "Document"),
        own("单位", "Office"),
        own("应到单位", "Offices"),
        own("已应用", "Applied"),
        own("最早应用", "First applied"),
        own("最近应用", "Last applied"),
    ];
    Ok(block(own("各单位应用参数版本的时间", "When offices applied each version"), heads, rows))
}

/// Values that counties have set, and those of them that a value from above covers.
pub(super) fn localised(maker: &Maker<'_>) -> Seen {
    let directives = maker.directives;
    let tree = &directives.tree;
    let mut places = tree.path(maker.place);
    places.extend(tree.subtree(maker.place));
    let counties: BTreeSet<PlaceId> = places
        .into_iter()
        .filter(|id| tree.place(*id).is_some_and(|place| place.level == Level::County))
        .collect();
    let mut rows = Vec::new();
    for county in counties {
        for param in directives.catalogue.params.values() {
            let found = directives.param(&param.id, county, maker.period.last());
            if let Some(row) = local_row(maker, county, param, &found) {
                rows.push(row);
            }
        }
    }
    let heads = vec![
        own("单位", "Office"),
        own("参数", "Parameter"),
        own("上级值", "Value from above"),
        own("本级值", "Local value"),
        own("执行值", "In force"),
        own("文号", "Document"),
        own("状态", "State"),
    ];
    block(own("各县(区)自定参数", "Values set by counties"), heads, rows)
}

/// A value that a county set: below a city's one, or where only counties set any.
fn local_row(
    maker: &Maker<'_>,
    county: PlaceId,
    param: &Param,
    found: &InForce,
) -> Option<Vec<Text>> {
    let owned = found.upper.as_ref().filter(|_| param.owner == Level::County);
    let (local, record) = found.local.as_ref().or(owned)?;
    let upper = found.upper.as_ref().filter(|_| param.owner != Level::County);
    let text = |value: &Value| {
        let in_lang = |english| display(&param.kind, value, &maker.directives.catalogue, english);
        Text { zh: in_lang(false), en: in_lang(true) }
    };
    let mut versions = maker.directives.policies.get(&county).into_iter().flatten();
    let doc_no = versions.find(|version| version.record == *record).map(|one| one.doc_no.clone());
    let state = match (found.overridden, param.localise) {
        (true, _) => own("已被上级参数覆盖", "covered by the value from above"),
        (false, Localise::Subset | Localise::Superset) => own("与上级合并执行", "joined"),
        (false, _) => own("执行", "in force"),
    };
    Some(vec![
        both(maker.directives.tree.full_name(county)),
        param.label.clone(),
        upper.map(|(value, _)| text(value)).unwrap_or_default(),
        text(local),
        found.value.as_ref().map(text).unwrap_or_default(),
        both(doc_no.unwrap_or_default()),
        state,
    ])
}

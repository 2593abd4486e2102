//! Units in order of a score: the city's weights over shares, ties 1-2-2-4.
//!
//! A part is the mean of those of its shares that have a denominator. What nobody has data of falls out for
//! all alike. A unit that lacks a part of which every unit is to have data gets no score: it would not be fair
//! to weigh its other parts more, which rewards silence, nor to call 0 what was not reported (未报 ≠ 0). It
//! stands below the ranked ones, as one that did not file does, and the bulletin says what is missing.

use std::collections::{BTreeMap, BTreeSet};

use taizhang_core::catalogue::report::Rank;
use taizhang_core::catalogue::{FieldKind, Text};
use taizhang_core::policy::weights;

use super::make::Maker;
use super::{Cell, Head, Line, due};
use crate::store::StoreError;

/// Hundredths of a percent in one.
const WHOLE: i64 = 10_000;

/// Shares of the parts of which a unit has data.
type Parts<'a> = BTreeMap<&'a str, i64>;

/// Scores the children, and ranks those that filed in time. The office itself, the last line, has none.
pub(super) fn rank(
    maker: &Maker<'_>,
    how: &Rank,
    heads: &[Head],
    lines: &mut [Line],
) -> Result<(), StoreError> {
    let found = maker.directives.param(&how.param, maker.place, maker.period.last()).value;
    let text = found.as_ref().and_then(|value| value.as_text()).unwrap_or_default();
    let Some(weights) = weights(text) else { return Ok(()) };
    let Some((_, units)) = lines.split_last_mut() else { return Ok(()) };
    let filed = match &how.filed {
        None => None,
        Some(report) => Some(due::filed(maker, report)?),
    };
    let in_time = |line: &Line| {
        filed.as_ref().is_none_or(|filed| filed.get(&line.place).copied().unwrap_or(false))
    };
    let parts: Vec<Parts<'_>> = units.iter().map(|line| parts_of(how, heads, line)).collect();
    let scores = scores(how, &weights, &parts);
    for (line, (score, lacks)) in units.iter_mut().zip(&scores) {
        line.score = *score;
        if how.complete.is_empty() {
            continue;
        }
        if let (Some(report), Some(filed)) = (&how.filed, &filed) {
            line.unranked.extend(not_in_time(report, filed.get(&line.place).copied()));
        }
        if score.is_none() {
            line.unranked.push(without(maker, how, lacks));
        }
    }
    let mut scored: Vec<(i64, usize)> = units
        .iter()
        .enumerate()
        .filter(|(_, line)| in_time(line))
        .filter_map(|(at, line)| Some((line.score?, at)))
        .collect();
    scored.sort_by_key(|(score, at)| (std::cmp::Reverse(*score), *at));
    for (at, (score, line)) in scored.iter().enumerate() {
        let better = scored[..at].iter().filter(|(other, _)| other > score).count();
        units[*line].rank = Some(better + 1);
    }
    Ok(())
}

/// The score of each unit, or what it lacks.
fn scores<'a>(
    how: &'a Rank,
    weights: &BTreeMap<String, i64>,
    parts: &[Parts<'a>],
) -> Vec<(Option<i64>, BTreeSet<&'a str>)> {
    let held: BTreeSet<&str> = parts.iter().flat_map(BTreeMap::keys).copied().collect();
    let weight = |part: &str| weights.get(part).copied().unwrap_or(0);
    let asked = how.complete.iter().map(String::as_str);
    let asked: BTreeSet<&str> =
        asked.filter(|part| held.contains(part) && weight(part) > 0).collect();
    let one = |shares: &Parts<'a>| {
        let total: i64 = shares.keys().map(|part| weight(part)).sum();
        let sum: i64 = shares.iter().map(|(part, share)| weight(part) * share).sum();
        let lacks: BTreeSet<&str> =
            asked.iter().copied().filter(|part| !shares.contains_key(part)).collect();
        ((total > 0 && lacks.is_empty()).then(|| sum / total), lacks)
    };
    parts.iter().map(one).collect()
}

/// That a unit did not file a report, or too late; nothing if it did in time.
fn not_in_time(report: &str, filed: Option<bool>) -> Option<Text> {
    match filed {
        None => Some(Text { zh: format!("未报{report}"), en: format!("{report} not filed") }),
        Some(false) => {
            Some(Text { zh: format!("迟报{report}"), en: format!("{report} filed late") })
        }
        Some(true) => None,
    }
}

/// Of what a unit without a score has no data.
fn without(maker: &Maker<'_>, how: &Rank, lacks: &BTreeSet<&str>) -> Text {
    let catalogue = &maker.directives.catalogue;
    let vocab = match catalogue.params.get(&how.param).map(|param| &param.kind) {
        Some(FieldKind::Weights(vocab)) => vocab.as_str(),
        _ => "",
    };
    let names = |english| -> Vec<String> {
        lacks.iter().map(|part| catalogue.value_label(vocab, part, english)).collect()
    };
    if lacks.is_empty() {
        return Text { zh: "未报数据".into(), en: "no data".into() };
    }
    Text {
        zh: format!("未报数据：{}", names(false).join("、")),
        en: format!("no data: {}", names(true).join(", ")),
    }
}

/// The mean share of each part of which a unit has any data.
fn parts_of<'a>(how: &'a Rank, heads: &[Head], line: &Line) -> Parts<'a> {
    let mean = |columns: &[String]| {
        let shares: Vec<i64> =
            columns.iter().filter_map(|id| share(how, cell(heads, line, id)?, id)).collect();
        let count = i64::try_from(shares.len()).ok().filter(|count| *count > 0)?;
        Some(shares.iter().sum::<i64>() / count)
    };
    how.parts.iter().filter_map(|(part, columns)| Some((part.as_str(), mean(columns)?))).collect()
}

fn cell<'a>(heads: &[Head], line: &'a Line, id: &str) -> Option<&'a Cell> {
    line.cells.get(heads.iter().position(|head| head.id == id)?)
}

/// A share column in hundredths of a percent; none without a denominator.
fn share(how: &Rank, cell: &Cell, id: &String) -> Option<i64> {
    let is_lower = how.lower.contains(id);
    // Nothing open was once as good as nothing overdue: so is nothing reported.
    if is_lower && how.complete.is_empty() && cell.per == Some(0) {
        return Some(WHOLE);
    }
    let per = cell.per.filter(|per| *per > 0)?;
    let share = (cell.value.saturating_mul(WHOLE) / per).clamp(0, WHOLE);
    Some(if is_lower { WHOLE - share } else { share })
}

#[cfg(test)]
mod tests {
    use taizhang_core::catalogue::report::Written;
    use taizhang_core::id::PlaceId;

    use super::*;

    fn how(complete: &[&str]) -> Rank {
        let of = |id: &str| (id.to_owned(), vec![id.to_owned(), format!("{id}_late")]);
        Rank {
            param: "bulletin_score_weights".into(),
            parts: BTreeMap::from([of("work"), of("duty")]),
            lower: vec!["work_late".into(), "duty_late".into()],
            filed: None,
            complete: complete.iter().map(|part| (*part).to_owned()).collect(),
        }
    }

    fn heads() -> Vec<Head> {
        let head = |id: &str| Head {
            id: id.into(),
            label: Text::default(),
            written: Written::Plain,
            indicators: Vec::new(),
            from: String::new(),
            to: String::new(),
        };
        ["work", "work_late", "duty", "duty_late"].map(head).into()
    }

    fn unit(cells: [(i64, i64); 4]) -> Line {
        let cell = |(value, per)| Cell { value, per: Some(per), hidden: false };
        Line {
            place: PlaceId([0; 8]),
            name: String::new(),
            cells: cells.map(cell).into(),
            score: None,
            rank: None,
            unranked: Vec::new(),
        }
    }

    fn scored(how: &Rank, units: &[[(i64, i64); 4]]) -> Vec<Option<i64>> {
        let (heads, weights) = (heads(), weights("work=50,duty=50").unwrap());
        let lines: Vec<Line> = units.iter().map(|cells| unit(*cells)).collect();
        let parts: Vec<_> = lines.iter().map(|line| parts_of(how, &heads, line)).collect();
        scores(how, &weights, &parts).into_iter().map(|(score, _)| score).collect()
    }

    #[test]
    fn a_unit_that_reports_nothing_of_a_part_has_no_score() {
        let reports = [(8, 10), (1, 10), (6, 10), (0, 10)];
        let silent = [(8, 10), (1, 10), (0, 0), (0, 0)];
        let both = how(&["work", "duty"]);
        assert_eq!(scored(&both, &[reports, silent]), [Some(8_250), None]);
        // Where it need not have data, the part falls out; where nobody has any, it falls out for all.
        assert_eq!(scored(&how(&["work"]), &[reports, silent]), [Some(8_250), Some(8_500)]);
        assert_eq!(scored(&both, &[silent, silent]), [Some(8_500), Some(8_500)]);
    }

    #[test]
    fn nothing_overdue_of_nothing_is_no_merit() {
        let silent = [(8, 10), (0, 0), (6, 10), (0, 0)];
        assert_eq!(scored(&how(&["work", "duty"]), &[silent]), [Some(7_000)]);
        assert_eq!(scored(&how(&[]), &[silent]), [Some(8_500)], "as bulletins of then were made");
    }
}

//! Units in order of a score: the city's weights over shares, ties 1-2-2-4.

use taizhang_core::catalogue::report::Rank;
use taizhang_core::policy::weights;

use super::make::Maker;
use super::{Head, Line, due};
use crate::store::StoreError;

/// Hundredths of a percent in one.
const WHOLE: i64 = 10_000;

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
    for line in units.iter_mut() {
        let (mut sum, mut weighed) = (0, 0);
        for (part, columns) in &how.parts {
            let shares: Vec<i64> =
                columns.iter().filter_map(|id| share(how, heads, line, id)).collect();
            let Some(weight) = weights.get(part).filter(|_| !shares.is_empty()) else { continue };
            let count = i64::try_from(shares.len()).unwrap_or(1);
            sum += weight * (shares.iter().sum::<i64>() / count);
            weighed += weight;
        }
        line.score = (weighed > 0).then(|| sum / weighed);
    }
    let in_time = match &how.filed {
        None => None,
        Some(report) => Some(due::filed_in_time(maker, report)?),
    };
    let mut scored: Vec<(i64, usize)> = units
        .iter()
        .enumerate()
        .filter(|(_, line)| in_time.as_ref().is_none_or(|filed| filed.contains(&line.place)))
        .filter_map(|(at, line)| Some((line.score?, at)))
        .collect();
    scored.sort_by_key(|(score, at)| (std::cmp::Reverse(*score), *at));
    for (at, (score, line)) in scored.iter().enumerate() {
        let better = scored[..at].iter().filter(|(other, _)| other > score).count();
        units[*line].rank = Some(better + 1);
    }
    Ok(())
}

/// A share column in hundredths of a percent; none without a denominator.
fn share(how: &Rank, heads: &[Head], line: &Line, id: &String) -> Option<i64> {
    let at = heads.iter().position(|head| head.id == *id)?;
    let cell = line.cells.get(at)?;
    let is_lower = how.lower.contains(id);
    // Nothing open is as good as nothing overdue.
    if is_lower && cell.per == Some(0) {
        return Some(WHOLE);
    }
    let per = cell.per.filter(|per| *per > 0)?;
    let share = cell.value.saturating_mul(WHOLE) / per;
    let share = share.clamp(0, WHOLE);
    Some(if is_lower { WHOLE - share } else { share })
}

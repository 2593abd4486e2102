//! What pages about places below an office share: which place an address names, the way down to it, and
//! how complete its figures are.

use taizhang_core::id::PlaceId;
use taizhang_core::time::UtcMillis;

use super::PageError;
use super::shell::place_name;
use super::words::word;
use crate::driver::Replica;
use crate::health::Cover;

/// Milliseconds of a day.
const DAY_MS: i64 = 86_400_000;

/// A place above, or the one shown.
pub(super) struct Crumb {
    pub(super) name: String,
    pub(super) link: String,
}

/// The places from the office's own down to the one shown; the last leads nowhere.
pub(super) fn crumbs(replica: &Replica, place: PlaceId, page: &str) -> Vec<Crumb> {
    let (own, directives) = (replica.place(), replica.directives());
    let path = directives.tree.path(place);
    let below = path.into_iter().skip_while(|id| *id != own);
    below
        .map(|id| Crumb {
            name: place_name(&directives, id),
            link: if id == place { String::new() } else { format!("{page}?place={id}") },
        })
        .collect()
}

/// The place that an address names, the office's own without one.
///
/// # Errors
///
/// [`PageError::NotFound`] for a place that is not the office's own nor below it.
pub(super) fn place_of(replica: &Replica, text: &str) -> Result<PlaceId, PageError> {
    let own = replica.place();
    if text.is_empty() {
        return Ok(own);
    }
    let place: PlaceId = text.parse().map_err(|_| PageError::NotFound)?;
    let directives = replica.directives();
    let known = directives.tree.place(place).is_some();
    let below = known && directives.tree.is_above_or_same(own, place);
    below.then_some(place).ok_or(PageError::NotFound)
}

/// How many missing places a short coverage line names before it only counts them.
const BRIEF_NAMES: usize = 2;

/// Coverage in one line: as of when, how many, who is missing, what waits.
pub(super) fn coverage_line(cover: &Cover, at: UtcMillis, english: bool) -> String {
    coverage(cover, at, english, usize::MAX)
}

/// The same beside one of many figures of a page whose head names every missing place.
pub(super) fn coverage_brief(cover: &Cover, at: UtcMillis, english: bool) -> String {
    coverage(cover, at, english, BRIEF_NAMES)
}

/// The line, with the missing places by name as long as they are not more than `named`.
fn coverage(cover: &Cover, at: UtcMillis, english: bool, named: usize) -> String {
    let t = |key| word(key, english);
    let (open, close, colon) = if english { (" (", ")", ": ") } else { ("（", "）", "：") };
    let minute = at.local_text();
    let minute = minute.get(5..16).unwrap_or_default();
    let mut parts = vec![
        format!("{} {minute}", t("places.as_of")),
        format!("{}/{} {}", cover.reported, cover.places, t("places.villages")),
    ];
    if cover.missing.len() > named {
        parts.push(format!("{} {}", t("places.missing"), cover.places - cover.reported));
    } else if !cover.missing.is_empty() {
        let names = cover.missing.iter().map(|one| match one.heard.0 {
            0 => format!("{}{open}{}{close}", one.name, t("overview.never")),
            _ => {
                let days = at.since(one.heard) / DAY_MS;
                let (silent, unit) = (t("overview.silent"), t("overview.days"));
                format!("{}{open}{silent} {days} {unit}{close}", one.name)
            }
        });
        let mut text = names.collect::<Vec<_>>().join("、");
        let others = (cover.places - cover.reported).saturating_sub(cover.missing.len() as u64);
        if others > 0 {
            text.push_str(&format!(" +{others}"));
        }
        parts.push(format!("{}{colon}{text}", t("places.missing")));
    }
    if cover.parked > 0 {
        parts.push(format!("{} {}", t("places.parked"), cover.parked));
    }
    parts.join(" · ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::health::Missing;

    #[test]
    fn the_coverage_line_says_when_how_many_who_and_what_waits() {
        // 2018-05-20 14:00 in China.
        let at = UtcMillis(1_526_796_000_000);
        let missing =
            |name: &str, heard: i64| Missing { name: name.into(), heard: UtcMillis(heard) };
        let mut cover = Cover { places: 25, reported: 24, parked: 3, ..Cover::default() };
        cover.missing = vec![missing("张庄村", at.0 - 6 * DAY_MS)];
        let line = coverage_line(&cover, at, false);
        assert_eq!(line, "截至 05-20 14:00 · 24/25 村 · 缺：张庄村（失联 6 天） · 待核 3");
        cover.missing = vec![missing("李庄村", 0)];
        cover.reported = 20;
        assert!(coverage_line(&cover, at, false).contains("缺：李庄村（从未上报） +4"));
        assert!(coverage_brief(&cover, at, false).contains("缺：李庄村"));
        cover.missing = vec![missing("李庄村", 0), missing("张庄村", 0), missing("王庄村", 0)];
        let brief = coverage_brief(&cover, at, false);
        assert_eq!(brief, "截至 05-20 14:00 · 20/25 村 · 缺 5 · 待核 3");
        let whole = Cover { places: 25, reported: 25, ..Cover::default() };
        assert_eq!(coverage_line(&whole, at, true), "As of 05-20 14:00 · 25/25 villages");
    }
}

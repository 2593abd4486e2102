//! Policy: the value of a parameter in force at a place on a day.
//!
//! A pure function of the directive slices of the place and its ancestors (DESIGN §9).

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::catalogue::{FieldKind, Localise, Param};
use crate::id::{Actor, AuthorId, Level, PlaceId, RecordId};
use crate::record::value::Value;
use crate::time::{Date, UtcMillis};

/// Who drafted and who approved a version, by the words of the office that published it.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
pub struct Signed {
    /// The draft's record; empty if there was none.
    pub draft: String,
    /// Who drafted it.
    pub drafter: String,
    /// Who approved it; empty if nobody did.
    pub approver: String,
}

/// A published version: values with a document number and a date.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct PolicyVersion {
    /// Its record.
    pub record: RecordId,
    /// The publishing place.
    pub place: PlaceId,
    /// Level of that place.
    pub level: Level,
    /// 文号
    pub doc_no: String,
    /// Title for people.
    pub title: String,
    /// First day on which it holds.
    pub effective_from: String,
    /// Parameter to value.
    pub values: BTreeMap<String, Value>,
    /// Publisher's clock. Annotation only.
    pub published: UtcMillis,
    /// Person as claimed.
    pub person: String,
    /// Lamport counter of the entry: the later of two versions of one day holds.
    pub lamport: u64,
    /// Author's actor, the last tie-break.
    pub actor: Actor,
    /// The publishing feed's author, and the number of the segment that carries it.
    pub position: (AuthorId, u64),
    /// Who drafted and approved it.
    pub signed: Signed,
}

/// What holds, and why.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct InForce {
    /// The value; `None` is 未设定.
    pub value: Option<Value>,
    /// The owner's value and its version.
    pub upper: Option<(Value, RecordId)>,
    /// The local value and its version.
    pub local: Option<(Value, RecordId)>,
    /// The local value is covered by the upper one: 已被上级参数覆盖.
    pub overridden: bool,
}

/// Whether `value` is allowed for `param`.
///
/// # Errors
///
/// What is allowed.
pub fn check_value(param: &Param, value: &Value) -> Result<(), String> {
    let number = match (&param.kind, value) {
        (FieldKind::Int | FieldKind::Money | FieldKind::Year, Value::Int(number)) => Some(*number),
        (FieldKind::Bool, Value::Bool(_)) => None,
        (FieldKind::Date, Value::Text(date)) if Date::parse(date).is_some() => None,
        (FieldKind::Text | FieldKind::Enum(_), Value::Text(_)) => None,
        (FieldKind::Set(_), Value::Text(text)) if members(text).is_sorted_by(|a, b| a < b) => None,
        (FieldKind::Weights(_), Value::Text(text)) if weights(text).is_some() => None,
        (FieldKind::Bands(_), Value::Text(text)) if rises(text) => None,
        _ => return Err(format!("`{value}` is not of the kind that {} takes", param.id)),
    };
    match (number, param.min, param.max) {
        (Some(number), Some(min), _) if number < min => {
            Err(format!("{number} is below the bound {min} of {}", param.id))
        }
        (Some(number), _, Some(max)) if number > max => {
            Err(format!("{number} is above the bound {max} of {}", param.id))
        }
        _ => Ok(()),
    }
}

/// Reads `from=figure` pairs, separated by commas, whole numbers, `from` ascending: `0=1,300000=2`.
pub fn bands(text: &str) -> Option<Vec<(i64, i64)>> {
    let pairs = text.split(',').map(|pair| {
        let (from, figure) = pair.trim().split_once('=')?;
        Some((from.trim().parse().ok()?, figure.trim().parse().ok()?))
    });
    let pairs: Vec<(i64, i64)> = pairs.collect::<Option<_>>()?;
    pairs.is_sorted_by(|one, two| one.0 < two.0).then_some(pairs)
}

/// Whether a text is of bands whose figures rise from step to step, as tiers and what they bring do.
pub fn rises(text: &str) -> bool {
    bands(text).is_some_and(|bands| bands.is_sorted_by(|one, two| one.1 < two.1))
}

/// The members of a set parameter's text.
pub fn members(text: &str) -> Vec<&str> {
    text.split(',').map(str::trim).filter(|member| !member.is_empty()).collect()
}

/// Reads `name=weight` pairs, separated by commas, that add up to 100: `duty=20,work=80`.
pub fn weights(text: &str) -> Option<BTreeMap<String, i64>> {
    let pairs = text.split(',').map(|pair| {
        let (name, weight) = pair.trim().split_once('=')?;
        let weight: i64 = weight.trim().parse().ok()?;
        (0..=100).contains(&weight).then(|| (name.trim().to_owned(), weight))
    });
    let weights: BTreeMap<String, i64> = pairs.collect::<Option<_>>()?;
    (weights.values().sum::<i64>() == 100).then_some(weights)
}

/// The figure of the last band that begins at or below `amount`; 0 below the first.
pub fn band(bands: &[(i64, i64)], amount: i64) -> i64 {
    bands.iter().rev().find(|(from, _)| *from <= amount).map_or(0, |(_, figure)| *figure)
}

/// Whether an office of `level` may publish `param` at all.
///
/// # Errors
///
/// Who may.
pub fn check_publisher(param: &Param, level: Level) -> Result<(), String> {
    if level == param.owner || (level == Level::County && param.localise != Localise::None) {
        return Ok(());
    }
    Err(format!(
        "{} is set by the {} level and cannot be set at the {} level",
        param.id,
        param.owner.name(),
        level.name()
    ))
}

fn latest<'a>(
    param: &str,
    versions: &'a [PolicyVersion],
    day: Date,
) -> Option<(&'a Value, &'a PolicyVersion)> {
    let day = day.to_string();
    versions
        .iter()
        .filter(|version| version.effective_from <= day)
        .filter_map(|version| Some((version.values.get(param)?, version)))
        .max_by(|(_, one), (_, two)| {
            (&one.effective_from, one.lamport, one.actor).cmp(&(
                &two.effective_from,
                two.lamport,
                two.actor,
            ))
        })
}

/// The value of `param` on `day`, given the versions published by its owner's place on the path
/// (`upper`) and by the county on the path (`local`).
pub fn in_force(
    param: &Param,
    upper: &[PolicyVersion],
    local: &[PolicyVersion],
    day: Date,
) -> InForce {
    let upper = latest(&param.id, upper, day);
    let local = latest(&param.id, local, day)
        .filter(|_| param.localise != Localise::None && param.owner != Level::County)
        .filter(|(value, _)| check_value(param, value).is_ok());
    let value = match (upper.map(|(value, _)| value), local.map(|(value, _)| value)) {
        (Some(upper), Some(local)) => Some(combined(param.localise, upper, local)),
        (upper, local) => upper.or(local).cloned(),
    };
    let overridden = local.is_some_and(|(local, _)| {
        let covers = value.as_ref() == upper.map(|(value, _)| value);
        // What a county adds to a list stands beside the rest of it.
        Some(local) != value.as_ref() && (covers || param.localise != Localise::Superset)
    });
    let owned = |found: Option<(&Value, &PolicyVersion)>| {
        found.map(|(value, version)| (value.clone(), version.record))
    };
    InForce { value, upper: owned(upper), local: owned(local), overridden }
}

/// What holds of an upper and a local value.
pub fn combined(how: Localise, upper: &Value, local: &Value) -> Value {
    let sets = || {
        let of = |value: &Value| -> BTreeSet<String> {
            members(value.as_text().unwrap_or_default()).into_iter().map(str::to_owned).collect()
        };
        (of(upper), of(local))
    };
    let joined = |set: BTreeSet<String>| Value::Text(set.into_iter().collect::<Vec<_>>().join(","));
    match how {
        Localise::Bounded | Localise::Free => local.clone(),
        Localise::None => upper.clone(),
        Localise::StricterMax => upper.min(local).clone(),
        Localise::StricterMin => upper.max(local).clone(),
        Localise::Subset => {
            let (upper, local) = sets();
            joined(upper.intersection(&local).cloned().collect())
        }
        Localise::Superset => {
            let (upper, local) = sets();
            joined(upper.union(&local).cloned().collect())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::Text;

    fn param(localise: Localise) -> Param {
        Param {
            id: "x".into(),
            label: Text::default(),
            kind: FieldKind::Int,
            unit: Text::default(),
            owner: Level::City,
            localise,
            min: Some(2),
            max: Some(10),
            initial: None,
        }
    }

    fn version(from: &str, value: i64, lamport: u64) -> PolicyVersion {
        PolicyVersion {
            record: RecordId([u8::try_from(lamport).unwrap(); 16]),
            place: PlaceId::default(),
            level: Level::City,
            doc_no: String::new(),
            title: String::new(),
            effective_from: from.into(),
            values: BTreeMap::from([("x".to_owned(), Value::Int(value))]),
            published: UtcMillis(0),
            person: String::new(),
            lamport,
            actor: Actor::default(),
            position: (AuthorId::default(), 0),
            signed: Signed::default(),
        }
    }

    fn value(
        localise: Localise,
        upper: &[PolicyVersion],
        local: &[PolicyVersion],
        day: &str,
    ) -> (Option<i64>, bool) {
        let found = in_force(&param(localise), upper, local, Date::parse(day).unwrap());
        (found.value.and_then(|value| value.as_int()), found.overridden)
    }

    #[test]
    fn the_version_in_force_follows_the_day_and_then_the_later_entry() {
        let upper =
            [version("2018-04-09", 2, 1), version("2019-01-01", 3, 2), version("2019-01-01", 4, 3)];
        assert_eq!(value(Localise::None, &upper, &[], "2018-04-08"), (None, false));
        assert_eq!(value(Localise::None, &upper, &[], "2018-12-31"), (Some(2), false));
        assert_eq!(value(Localise::None, &upper, &[], "2019-01-01"), (Some(4), false));
    }

    #[test]
    fn a_county_may_only_tighten_and_is_overridden_when_the_city_tightens_further() {
        let local = [version("2018-05-01", 3, 9)];
        let first = [version("2018-04-09", 2, 1)];
        assert_eq!(value(Localise::StricterMin, &first, &local, "2018-06-01"), (Some(3), false));
        let later = [version("2018-04-09", 2, 1), version("2018-06-01", 4, 2)];
        assert_eq!(value(Localise::StricterMin, &later, &local, "2018-06-01"), (Some(4), true));
        assert_eq!(value(Localise::StricterMax, &later, &local, "2018-06-01"), (Some(3), false));
        assert_eq!(value(Localise::None, &later, &local, "2018-06-01"), (Some(4), false));
    }

    #[test]
    fn what_a_county_adds_to_a_list_is_not_overridden() {
        let mut param = param(Localise::Superset);
        param.kind = FieldKind::Set("v".into());
        let version = |members: &str, lamport| PolicyVersion {
            values: BTreeMap::from([("x".to_owned(), Value::Text(members.into()))]),
            ..version("2018-04-09", 0, lamport)
        };
        let (upper, day) = ([version("a,b", 1)], Date::parse("2018-06-01").unwrap());
        let found = |local: &str| {
            let found = in_force(&param, &upper, &[version(local, 2)], day);
            (found.value.unwrap().to_string(), found.overridden)
        };
        assert_eq!(found("c"), ("a,b,c".to_owned(), false));
        assert_eq!(found("a"), ("a,b".to_owned(), true));
        assert_eq!(found("a,b"), ("a,b".to_owned(), false));
    }

    #[test]
    fn a_local_value_out_of_bounds_is_not_heard() {
        let local = [version("2018-05-01", 99, 9)];
        let upper = [version("2018-04-09", 2, 1)];
        assert_eq!(value(Localise::Bounded, &upper, &local, "2018-06-01"), (Some(2), false));
        assert!(check_value(&param(Localise::Bounded), &Value::Int(99)).is_err());
        assert!(check_publisher(&param(Localise::None), Level::County).is_err());
        assert!(check_publisher(&param(Localise::Bounded), Level::Township).is_err());
    }
}

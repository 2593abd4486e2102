//! Functions of ours in expressions, beside CEL's standard set.

use std::sync::Arc;

use cel::extractors::This;
use cel::objects::{Key, Map};
use cel::{Context, Env, ExecutionError, FunctionContext, Value as CelValue};

use crate::calendar::Calendar;
use crate::policy;
use crate::rules::id_number;
use crate::time::Date;

fn distinct(This(list): This<Arc<Vec<CelValue>>>) -> Arc<Vec<CelValue>> {
    let mut seen: Vec<CelValue> = Vec::new();
    for value in list.iter() {
        if !seen.contains(value) {
            seen.push(value.clone());
        }
    }
    Arc::new(seen)
}

fn sum(
    context: &FunctionContext<'_, '_>,
    This(list): This<Arc<Vec<CelValue>>>,
) -> Result<CelValue, ExecutionError> {
    list.iter()
        .try_fold(0_i64, |total, value| match value {
            CelValue::Int(value) => total.checked_add(*value),
            CelValue::Null => Some(total),
            _ => None,
        })
        .map(CelValue::Int)
        .ok_or_else(|| context.error("not whole numbers, or too large"))
}

/// The longest run of digits: of a text that must hold no number of a person or account.
fn digit_run(This(text): This<Arc<String>>) -> i64 {
    let runs = text.split(|c: char| !c.is_ascii_digit()).map(str::len);
    runs.max().and_then(|longest| i64::try_from(longest).ok()).unwrap_or(0)
}

fn id_ok(This(text): This<Arc<String>>) -> bool {
    id_number::check(&text).is_ok()
}

fn days(
    context: &FunctionContext<'_, '_>,
    This(from): This<Arc<String>>,
    to: Arc<String>,
) -> Result<i64, ExecutionError> {
    Ok(date(context, &to)?.to_days() - date(context, &from)?.to_days())
}

fn date(context: &FunctionContext<'_, '_>, text: &str) -> Result<Date, ExecutionError> {
    Date::parse(text).ok_or_else(|| context.error("not a date"))
}

/// Whole years from a birth to a day.
fn age(
    context: &FunctionContext<'_, '_>,
    This(birth): This<Arc<String>>,
    on: Arc<String>,
) -> Result<i64, ExecutionError> {
    Ok(date(context, &birth)?.years_until(date(context, &on)?).into())
}

fn plus_days(
    context: &FunctionContext<'_, '_>,
    This(from): This<Arc<String>>,
    count: i64,
) -> Result<CelValue, ExecutionError> {
    Ok(date(context, &from)?.plus_days(count).to_string().into())
}

fn plus_months(
    context: &FunctionContext<'_, '_>,
    This(from): This<Arc<String>>,
    count: i64,
) -> Result<CelValue, ExecutionError> {
    Ok(date(context, &from)?.plus_months(count).to_string().into())
}

/// The figure of the band into which an amount falls.
fn band(
    context: &FunctionContext<'_, '_>,
    This(bands): This<Arc<String>>,
    amount: i64,
) -> Result<i64, ExecutionError> {
    let bands = policy::bands(&bands).ok_or_else(|| context.error("not bands"))?;
    Ok(policy::band(&bands, amount))
}

fn calendar_of(rows: &[CelValue]) -> Calendar {
    let field = |map: &Map, name: &str| map.map.get(&Key::from(name)).cloned();
    let days = rows.iter().filter_map(|row| {
        let CelValue::Map(map) = row else { return None };
        match (field(map, "date")?, field(map, "is_workday")?) {
            (CelValue::String(day), CelValue::Bool(worked)) => Some((Date::parse(&day)?, worked)),
            _ => None,
        }
    });
    Calendar::new(days)
}

/// The day some working days after another, by the rows of the calendar.
fn workday(
    context: &FunctionContext<'_, '_>,
    This(calendar): This<Arc<Vec<CelValue>>>,
    from: Arc<String>,
    count: i64,
) -> Result<CelValue, ExecutionError> {
    let from = date(context, &from)?;
    Ok(calendar_of(&calendar).after(from, count).to_string().into())
}

/// The working days from one day to another, by the rows of the calendar.
fn workdays(
    context: &FunctionContext<'_, '_>,
    This(calendar): This<Arc<Vec<CelValue>>>,
    from: Arc<String>,
    to: Arc<String>,
) -> Result<i64, ExecutionError> {
    Ok(calendar_of(&calendar).between(date(context, &from)?, date(context, &to)?))
}

/// Whether two texts differ by at most one inserted, removed, replaced or swapped character.
fn near(This(one): This<Arc<String>>, two: Arc<String>) -> bool {
    id_number::within_one_edit(&one, &two)
}

fn id_birth(This(text): This<Arc<String>>) -> String {
    id_number::check(&text).map(|id| id.birth.to_string()).unwrap_or_default()
}

fn id_sex(This(text): This<Arc<String>>) -> String {
    match id_number::check(&text) {
        Ok(id) if id.male => "male".into(),
        Ok(_) => "female".into(),
        Err(_) => String::new(),
    }
}

/// The context every expression starts from: standard functions and ours.
///
/// # Panics
///
/// Never: the names of our functions differ from the standard ones.
pub(crate) fn base_context() -> Context<'static, 'static> {
    let env = Env::default().with_optional_support(false).with_stdlib();
    let mut context = Context::with_env(Arc::new(env));
    context
        .add_function("distinct", distinct)
        .and_then(|()| context.add_function("sum", sum))
        .and_then(|()| context.add_function("digit_run", digit_run))
        .and_then(|()| context.add_function("id_ok", id_ok))
        .and_then(|()| context.add_function("id_birth", id_birth))
        .and_then(|()| context.add_function("id_sex", id_sex))
        .and_then(|()| context.add_function("near", near))
        .and_then(|()| context.add_function("days", days))
        .and_then(|()| context.add_function("age", age))
        .and_then(|()| context.add_function("band", band))
        .and_then(|()| context.add_function("plus_days", plus_days))
        .and_then(|()| context.add_function("plus_months", plus_months))
        .and_then(|()| context.add_function("workday", workday))
        .and_then(|()| context.add_function("workdays", workdays))
        .expect("the names differ from the standard functions");
    context
}

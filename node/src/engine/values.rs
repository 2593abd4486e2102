//! From what a person typed, or a file holds, to a field's value; and back for people.

use taizhang_core::catalogue::{Catalogue, Field, FieldKind, Steps, Text};
use taizhang_core::policy;
use taizhang_core::record::value::Value;
use taizhang_core::rules::id_number;
use taizhang_core::time::Date;

use crate::viewer::{Sight, Viewer};

/// Where a text comes from: forms and sheets carry yuan and labels, data files canonical values.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Source {
    /// jsonl and the command line: 分, ISO dates, vocabulary ids.
    Data,
    /// Forms and spreadsheets: 元, dates as people write them, labels.
    People,
}

/// What is wrong with one field.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct FieldError {
    /// Field id.
    pub field: String,
    /// What is wrong, where, what to do.
    pub reason: Text,
}

fn error(field: &Field, zh: &str, en: &str) -> FieldError {
    let reason = Text {
        zh: format!("「{}」{zh}", field.label.zh),
        en: format!("{}: {en}", field.label.en),
    };
    FieldError { field: field.id.clone(), reason }
}

/// Characters of a short text.
const TEXT_CHARS_MAX: usize = 200;

/// Reads a scalar; an empty text clears the field.
///
/// # Errors
///
/// [`FieldError`] with what is wrong and what to do.
pub fn parse(
    field: &Field,
    text: &str,
    source: Source,
    catalogue: &Catalogue,
) -> Result<Option<Value>, FieldError> {
    let text = text.trim();
    if text.is_empty() {
        return Ok(None);
    }
    let fail = |zh: &str, en: &str| Err(error(field, zh, en));
    let value = match &field.kind {
        FieldKind::Bool => match text {
            "true" | "是" | "1" | "on" | "yes" => Value::Bool(true),
            "false" | "否" | "0" | "no" => Value::Bool(false),
            _ => return fail("请填写是或否", "enter yes or no"),
        },
        FieldKind::Int | FieldKind::Year => match text.trim_end_matches('年').parse::<i64>() {
            Ok(number) if field.kind == FieldKind::Year && !(1900..=2200).contains(&number) => {
                return fail("年份应在1900至2200之间", "the year is between 1900 and 2200");
            }
            Ok(number) => Value::Int(number),
            Err(_) => return fail("不是整数", "not a whole number"),
        },
        FieldKind::Money => match money(text, source) {
            Some(fen) => Value::Int(fen),
            None => {
                return fail("不是金额,最多两位小数", "not an amount with at most two decimals");
            }
        },
        FieldKind::Date => match date(text) {
            Some(date) => Value::Text(date.to_string()),
            None => return fail("不是日期,应如2018-05-20", "not a date such as 2018-05-20"),
        },
        FieldKind::Enum(vocab) => match in_vocab(catalogue, vocab, text) {
            Some(id) => Value::Text(id),
            None => return fail("不在可选项中", "not one of the choices"),
        },
        FieldKind::Place | FieldKind::Ref(_) | FieldKind::Note => Value::Text(text.to_owned()),
        FieldKind::Attach | FieldKind::Set(_) | FieldKind::Log(_) => {
            return fail("不是单值字段", "is not a single value");
        }
        FieldKind::Bands(steps) => match bands(*steps, text, source) {
            Some(text) => Value::Text(text),
            None => return fail("应如 0=1,3000=2,逐档升高", "steps such as 0=1,3000=2, ascending"),
        },
        kind => match written(kind, text) {
            Ok(text) => Value::Text(text),
            Err((zh, en)) => return fail(zh, en),
        },
    };
    Ok(Some(value))
}

/// A text of some form, as it is kept; or what form it should have.
fn written(kind: &FieldKind, text: &str) -> Result<String, (&'static str, &'static str)> {
    match kind {
        FieldKind::Month => {
            month(text).ok_or(("不是月份,应如2018-05", "not a month such as 2018-05"))
        }
        FieldKind::IdNo => Ok(id_number::normalise(text).0),
        FieldKind::BankNo => {
            let digits: String = text.chars().filter(|c| !c.is_whitespace()).collect();
            if digits.len() < 8 || !digits.bytes().all(|b| b.is_ascii_digit()) {
                return Err(("账号应为8位以上数字", "an account number is 8 or more digits"));
            }
            Ok(digits)
        }
        FieldKind::Phone => {
            let good = text.chars().all(|c| c.is_ascii_digit() || "+- ()转".contains(c));
            if !good || text.chars().filter(char::is_ascii_digit).count() < 5 {
                return Err(("不是电话号码", "not a telephone number"));
            }
            Ok(text.to_owned())
        }
        _ if text.chars().count() > TEXT_CHARS_MAX => {
            Err(("超过200字", "longer than 200 characters"))
        }
        _ => Ok(text.to_owned()),
    }
}

/// The members of a set, separated by commas, semicolons or 、.
///
/// # Errors
///
/// [`FieldError`] for a member that the vocabulary lacks.
pub fn parse_set(
    field: &Field,
    text: &str,
    catalogue: &Catalogue,
) -> Result<Vec<String>, FieldError> {
    let FieldKind::Set(vocab) = &field.kind else { return Ok(Vec::new()) };
    text.split([',', ';', '、', '\u{ff0c}', '\u{ff1b}'])
        .map(str::trim)
        .filter(|part| !part.is_empty())
        .map(|part| {
            in_vocab(catalogue, vocab, part).ok_or_else(|| {
                error(field, &format!("没有「{part}」这一项"), &format!("no choice `{part}`"))
            })
        })
        .collect()
}

fn in_vocab(catalogue: &Catalogue, vocab: &str, text: &str) -> Option<String> {
    let vocab = catalogue.vocabs.get(vocab)?;
    vocab
        .values
        .iter()
        .find(|(id, label)| id == text || label.zh == text || label.en == text)
        .map(|(id, _)| id.clone())
}

/// 分 from a text of 元 (people) or 分 (data).
fn money(text: &str, source: Source) -> Option<i64> {
    if source == Source::Data {
        return text.parse().ok();
    }
    let text: String = text
        .chars()
        .filter(|c| !matches!(c, ',' | '\u{ff0c}' | '¥' | '\u{ffe5}' | '元' | ' '))
        .collect();
    let (sign, digits) = text.strip_prefix('-').map_or((1, text.as_str()), |rest| (-1, rest));
    let (yuan, fen) = digits.split_once('.').unwrap_or((digits, ""));
    let plain = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    if yuan.is_empty() || fen.len() > 2 || !plain(yuan) || !plain(fen) {
        return None;
    }
    let fen: i64 = format!("{fen:0<2}").parse().ok()?;
    yuan.parse::<i64>().ok()?.checked_mul(100)?.checked_add(fen).map(|value| sign * value)
}

/// Bands as they are kept, money in 分; people write it in 元.
fn bands(steps: Steps, text: &str, source: Source) -> Option<String> {
    let side = |text: &str, is_money: bool| match is_money {
        true => money(text.trim(), source),
        false => text.trim().parse().ok(),
    };
    let pairs = text.split([',', '\u{ff0c}']).map(|pair| {
        let (from, figure) = pair.split_once('=')?;
        let from = side(from, steps.from_money)?;
        Some(format!("{from}={}", side(figure, steps.figure_money)?))
    });
    let kept = pairs.collect::<Option<Vec<_>>>()?.join(",");
    policy::rises(&kept).then_some(kept)
}

/// Bands as people write them.
fn bands_text(steps: Steps, text: &str) -> String {
    let Some(bands) = policy::bands(text) else { return text.to_owned() };
    let side = |value: i64, is_money: bool| match is_money {
        true => {
            let yuan = yuan(value).replace(',', "");
            yuan.strip_suffix(".00").map(str::to_owned).unwrap_or(yuan)
        }
        false => value.to_string(),
    };
    let pairs = bands.into_iter().map(|(from, figure)| {
        format!("{}={}", side(from, steps.from_money), side(figure, steps.figure_money))
    });
    pairs.collect::<Vec<_>>().join(",")
}

/// A date as people write it: 2018-05-20, 2018/5/20, 2018.5.20, 2018年5月20日, 20180520.
pub fn date(text: &str) -> Option<Date> {
    if let Some(date) = Date::parse(text) {
        return Some(date);
    }
    if text.len() == 8 && text.bytes().all(|b| b.is_ascii_digit()) {
        return Date::parse(&format!("{}-{}-{}", &text[..4], &text[4..6], &text[6..]));
    }
    let parts: Vec<&str> = text
        .split(['-', '/', '.', '年', '月', '日'])
        .map(str::trim)
        .filter(|part| !part.is_empty())
        .collect();
    let [year, month, day] = parts.as_slice() else { return None };
    Date::new(year.parse().ok()?, month.parse().ok()?, day.parse().ok()?)
}

/// A month as people write it: 2018-05, 2018/5, 2018年5月, 201805.
fn month(text: &str) -> Option<String> {
    let text = match text.get(..4) {
        Some(year) if text.len() == 6 && text.bytes().all(|b| b.is_ascii_digit()) => {
            format!("{year}-{}", &text[4..])
        }
        _ => text.to_owned(),
    };
    let parts: Vec<&str> = text
        .split(['-', '/', '.', '年', '月'])
        .map(str::trim)
        .filter(|part| !part.is_empty())
        .collect();
    let [year, month] = parts.as_slice() else { return None };
    let first = Date::new(year.parse().ok()?, month.parse().ok()?, 1)?;
    Some(first.to_string()[..7].to_owned())
}

/// A value for people: labels, 元 with two decimals and separators, 是/否.
pub fn display(kind: &FieldKind, value: &Value, catalogue: &Catalogue, english: bool) -> String {
    match (kind, value) {
        (FieldKind::Money, Value::Int(fen)) => yuan(*fen),
        (FieldKind::Bands(steps), Value::Text(text)) => bands_text(*steps, text),
        (FieldKind::Enum(vocab), Value::Text(id)) => catalogue.value_label(vocab, id, english),
        (_, Value::Bool(value)) => match (value, english) {
            (true, false) => "是".into(),
            (false, false) => "否".into(),
            (true, true) => "yes".into(),
            (false, true) => "no".into(),
        },
        _ => value.to_string(),
    }
}

/// 元 with two decimals and thousands separated.
pub fn yuan(fen: i64) -> String {
    let whole = (fen / 100).abs().to_string();
    let mut grouped = String::new();
    for (at, digit) in whole.chars().enumerate() {
        if at > 0 && (whole.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    let sign = if fen < 0 { "-" } else { "" };
    format!("{sign}{grouped}.{:02}", (fen % 100).abs())
}

/// A value as a form's input carries it: 元 without separators, ids, ISO dates.
pub fn form_text(kind: &FieldKind, value: &Value) -> String {
    match (kind, value) {
        (FieldKind::Money, Value::Int(fen)) => yuan(*fen).replace(',', ""),
        (FieldKind::Bands(steps), Value::Text(text)) => bands_text(*steps, text),
        _ => value.to_string(),
    }
}

/// A value under its masked form (DOMAIN.md §5.2): numbers by their ends only.
pub fn masked(kind: &FieldKind, text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    match kind {
        FieldKind::IdNo if chars.len() >= 10 => {
            let head: String = chars[..6].iter().collect();
            let tail: String = chars[chars.len() - 4..].iter().collect();
            format!("{head}********{tail}")
        }
        FieldKind::BankNo if chars.len() >= 4 => {
            let tail: String = chars[chars.len() - 4..].iter().collect();
            format!("****{tail}")
        }
        _ => HIDDEN.into(),
    }
}

/// What stands for a value that does not show.
pub const HIDDEN: &str = "****";

/// A value as somebody may see it: all of it, the ends of a number, an initial, or that there is one.
pub fn shown(
    field: &Field,
    value: &Value,
    viewer: Viewer,
    catalogue: &Catalogue,
    english: bool,
) -> String {
    let text = display(&field.kind, value, catalogue, english);
    match viewer.sight(field) {
        Sight::Full => text,
        Sight::Ends => masked(&field.kind, &text),
        Sight::Initial => text.chars().next().map(|first| format!("{first}**")).unwrap_or_default(),
        Sight::Hidden => HIDDEN.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bands_of_money_are_typed_and_shown_in_yuan() {
        let tiers = Steps { from_money: true, figure_money: true };
        let kept = "0=100000,2000000=200050";
        assert_eq!(bands(tiers, "0=1000, 20000=2000.5", Source::People).as_deref(), Some(kept));
        assert_eq!(bands(tiers, kept, Source::Data).as_deref(), Some(kept));
        assert_eq!(bands_text(tiers, kept), "0=1000,20000=2000.50");
        let stars = Steps { from_money: true, figure_money: false };
        assert_eq!(bands(stars, "0=1,5000=2", Source::People).as_deref(), Some("0=1,500000=2"));
        assert_eq!(bands(stars, "0=2,5000=1", Source::People), None, "tiers rise");
        assert_eq!(bands(stars, "5000=1,0=2", Source::People), None, "incomes rise");
    }

    #[test]
    fn amounts_of_people_are_yuan_and_of_data_fen() {
        for (text, fen) in [
            ("8000", 800_000),
            ("8,000.01", 800_001),
            ("¥12.5元", 1250),
            ("-3.07", -307),
            ("0.1", 10),
        ] {
            assert_eq!(money(text, Source::People), Some(fen), "{text}");
        }
        for wrong in ["", "1.234", "abc", "1e5", ".5", "--1"] {
            assert_eq!(money(wrong, Source::People), None, "{wrong}");
        }
        assert_eq!(money("800000", Source::Data), Some(800_000));
        assert_eq!(yuan(123_456_789), "1,234,567.89");
        assert_eq!(yuan(-5), "-0.05");
    }

    #[test]
    fn dates_are_read_as_people_write_them() {
        for text in ["2018-05-20", "2018/5/20", "2018.5.20", "2018年5月20日", "20180520"] {
            assert_eq!(date(text).map(|date| date.to_string()).as_deref(), Some("2018-05-20"));
        }
        for wrong in ["2018-02-30", "五月", "2018-5", "201805"] {
            assert_eq!(date(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn months_are_read_as_people_write_them() {
        for text in ["2018-05", "2018/5", "2018.5", "2018年5月", "201805"] {
            assert_eq!(month(text).as_deref(), Some("2018-05"), "{text}");
        }
        for wrong in ["2018-13", "2018", "五月", "2018-05-01"] {
            assert_eq!(month(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn numbers_are_masked_by_their_ends() {
        assert_eq!(masked(&FieldKind::IdNo, "41149919520307002X"), "411499********002X");
        assert_eq!(masked(&FieldKind::BankNo, "6228480000001234"), "****1234");
    }
}

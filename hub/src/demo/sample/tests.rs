//! What the sample must hold.

use taizhang_core::catalogue::{Catalogue, Field, FieldKind, Required, parse::parse};
use taizhang_core::id::Level;
use taizhang_core::rules::id_number;
use taizhang_node::engine::values::{self, Source};

use super::offices::Phase;
use super::*;

fn catalogue() -> Catalogue {
    parse(&taizhang_core::base_catalogue()).unwrap()
}

fn text<'a>(line: &'a SampleLine, field: &str) -> &'a str {
    line.fields.get(field).and_then(Value::as_str).unwrap_or_default()
}

fn of<'a>(lines: &'a [SampleLine], ledger: &str) -> Vec<&'a SampleLine> {
    lines.iter().filter(|one| one.ledger == ledger).collect()
}

#[test]
fn the_same_seed_gives_the_same_text() {
    assert_eq!(to_jsonl(&village(7, 60)), to_jsonl(&village(7, 60)));
    assert_ne!(to_jsonl(&village(7, 60)), to_jsonl(&village(8, 60)));
}

#[test]
fn every_ledger_that_a_village_may_fill_has_records() {
    let lines = village(3, 10);
    for ledger in catalogue().ledgers_for_people() {
        let wanted = ledger.scope.contains(&Level::Village)
            && !ledger.closed
            && ledger.may_create(Level::Village);
        assert_eq!(!of(&lines, &ledger.id).is_empty(), wanted, "{}", ledger.id);
    }
}

fn assert_reads(field: &Field, value: &Value, catalogue: &Catalogue) {
    let word = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    match &field.kind {
        FieldKind::Set(_) => {
            let members = value.as_array().unwrap().iter().map(|one| one.as_str().unwrap());
            let members: Vec<_> = members.collect();
            assert!(values::parse_set(field, &members.join(","), catalogue).is_ok());
        }
        FieldKind::Log(columns) => {
            let lines: Vec<BTreeMap<String, String>> = serde_json::from_str(&word).unwrap();
            for line in &lines {
                assert!(line.keys().all(|id| columns.iter().any(|one| one.id == *id)), "{word}");
                for column in columns {
                    let value = line.get(&column.id).map(String::as_str).unwrap_or_default();
                    assert!(!column.required || !value.is_empty(), "{}: {word}", column.id);
                    let column = Field { kind: column.kind.clone(), ..field.clone() };
                    assert!(values::parse(&column, value, Source::Data, catalogue).is_ok());
                }
            }
        }
        _ => assert!(values::parse(field, &word, Source::Data, catalogue).is_ok(), "{word}"),
    }
}

#[test]
fn every_field_is_its_writers_and_reads_and_refers_to_a_line_before() {
    let catalogue = catalogue();
    let (mut before, mut titles) = (BTreeMap::new(), BTreeSet::new());
    let above = [Level::City, Level::County, Level::Township];
    let phase = |phase| above.map(|level| offices::written(level, phase)).concat();
    let all = [phase(Phase::Above), village(3, 200), phase(Phase::Into)].concat();
    for line in all {
        let ledger = catalogue.ledger(line.ledger).unwrap();
        for field in ledger.fields.iter().filter(|one| one.required == Required::Always) {
            assert!(line.fields.contains_key(&field.id), "{}: {}", line.id, field.id);
        }
        for (id, value) in &line.fields {
            let field = ledger.field(id).unwrap();
            assert!(field.write.contains(&line.level), "{}: {id}", line.ledger);
            assert_reads(field, value, &catalogue);
            if let FieldKind::Ref(to) = &field.kind {
                let name = text(&line, id);
                let known = match name.strip_prefix('@') {
                    Some(alias) => before.get(alias) == Some(to),
                    None => titles.contains(&(to.clone(), name.to_owned())),
                };
                assert!(known, "{}: {id} names {name}", line.id);
            }
        }
        titles.extend(offices::title_of(&line).map(|title| (line.ledger.to_owned(), title)));
        let same = before.insert(line.id.clone(), line.ledger.to_owned());
        assert_eq!(same, None, "{}", line.id);
    }
}

#[test]
fn the_shares_of_appendix_c_hold_for_200_households() {
    let lines = village(21, 200);
    let (homes, members) = (of(&lines, "poor_household"), of(&lines, "household_member"));
    let names: BTreeSet<_> = homes.iter().map(|one| text(one, "head_name")).collect();
    assert_eq!((homes.len(), names.len()), (200, 200));
    let five = homes.iter().filter(|one| text(one, "household_kind") == "five_guarantee");
    assert_eq!((five.count(), of(&lines, "elderly_support").len()), (4, 30));
    let (mut numbers, mut twice) = (BTreeSet::new(), 0);
    for one in &members {
        let number = text(one, "id_no");
        let wrong = one.id.starts_with("misread") || one.id.starts_with("no-id");
        assert_eq!(id_number::check(number).is_err(), wrong, "{}", one.id);
        twice += usize::from(!number.is_empty() && !numbers.insert(number));
    }
    let count = |start: &str| members.iter().filter(|one| one.id.starts_with(start)).count();
    assert_eq!((twice, count("misread"), count("no-id"), count("elder-6")), (5, 3, 2, 2));
    let mut measures = BTreeMap::new();
    for one in of(&lines, "income_measure") {
        *measures.entry(text(one, "household")).or_insert(0) += 1;
    }
    assert_eq!(measures.values().filter(|count| **count >= 2).count(), 180);
}

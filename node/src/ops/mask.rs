//! What of a row an office of a level may take out of the replica (DOMAIN.md §5.2): the city holds
//! every row, but sees and exports no personal data of single people.

use taizhang_core::catalogue::{Catalogue, Ledger};
use taizhang_core::id::Level;
use taizhang_core::record::fold::Row;
use taizhang_core::record::value::{STATE_FIELD, VOID_KEY, Value, split_key};

use crate::engine::values::{HIDDEN, shown};
use crate::viewer::Viewer;

/// Whether a level gets rows masked.
pub fn applies(level: Level) -> bool {
    level == Level::City
}

/// A value of a root key as `level` may see it.
pub fn value(
    ledger: &Ledger,
    key: &str,
    value: &Value,
    level: Level,
    catalogue: &Catalogue,
) -> Value {
    match ledger.field(split_key(key).0) {
        Some(field) if applies(level) && field.privacy > 0 => {
            Value::Text(shown(field, value, Viewer::machine(level), catalogue, false))
        }
        // Nobody can say who may see a field that is not known here.
        None if applies(level) && !is_own(key) => Value::Text(HIDDEN.into()),
        _ => value.clone(),
    }
}

/// A root key as `level` may see it: that of a member of a set names the member.
pub fn key(ledger: &Ledger, key: &str, level: Level) -> String {
    match split_key(key) {
        (field, Some(_)) if applies(level) && is_personal(ledger, field) => {
            format!("{field}/{HIDDEN}")
        }
        _ => key.to_owned(),
    }
}

/// Whether a key is the program's own, of which the catalogue says nothing.
fn is_own(key: &str) -> bool {
    matches!(split_key(key).0, STATE_FIELD | VOID_KEY) || key.starts_with("_ledger")
}

fn is_personal(ledger: &Ledger, field: &str) -> bool {
    ledger.field(field).map_or_else(|| !is_own(field), |field| field.privacy > 0)
}

/// Masks a row in place.
pub fn row(row: &mut Row, ledger: &Ledger, level: Level, catalogue: &Catalogue) {
    if !applies(level) {
        return;
    }
    for (id, one) in &mut row.fields {
        *one = value(ledger, id, one, level, catalogue);
    }
    row.sets.retain(|id, _| !is_personal(ledger, id));
    row.logs.retain(|id, _| !is_personal(ledger, id));
    for conflict in &mut row.conflicts {
        for candidate in &mut conflict.candidates {
            // One made after a move, with whatever values it has, is under a key that no field has.
            candidate.value = value(ledger, &conflict.field, &candidate.value, level, catalogue);
        }
    }
}

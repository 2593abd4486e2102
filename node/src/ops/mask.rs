//! What of a row an office of a level may take out of the replica (DOMAIN.md §5.2): the city holds
//! every row, but sees and exports no personal data of single people.

use taizhang_core::catalogue::{Catalogue, Ledger};
use taizhang_core::id::Level;
use taizhang_core::record::fold::Row;
use taizhang_core::record::moved::MOVED_KEY;
use taizhang_core::record::value::{Value, split_key};

use crate::engine::values::shown;
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
        _ => value.clone(),
    }
}

/// Masks a row in place.
pub fn row(row: &mut Row, ledger: &Ledger, level: Level, catalogue: &Catalogue) {
    if !applies(level) {
        return;
    }
    for (id, one) in &mut row.fields {
        *one = value(ledger, id, one, level, catalogue);
    }
    let personal = |id: &str| ledger.field(id).is_some_and(|field| field.privacy > 0);
    row.sets.retain(|id, _| !personal(id));
    row.logs.retain(|id, _| !personal(id));
    for conflict in &mut row.conflicts {
        for candidate in &mut conflict.candidates {
            candidate.value = match conflict.field == MOVED_KEY {
                // An edit made after a move, with whatever values it has.
                true => Value::Text("***".into()),
                false => value(ledger, &conflict.field, &candidate.value, level, catalogue),
            };
        }
    }
}

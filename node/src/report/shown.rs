//! What an office may see of a report that another one made: villages and townships see all of their people,
//! and what they file shows above them only as the figures of the offices there do (R-PRV-02).

use taizhang_core::catalogue::report::Column;
use taizhang_core::directives::Directives;
use taizhang_core::id::PlaceId;
use taizhang_core::time::Date;

use super::period::Period;
use super::{Cell, Head, Made, TableFigures};
use crate::small::{Close, Small};

/// Takes out of a report of another office what does not show at `office`. The frozen one stays as it is.
pub fn shown(mut made: Made, directives: &Directives, office: PlaceId) -> Made {
    if made.place == office {
        return made;
    }
    let report = directives.catalogue.reports.get(&made.report);
    let period = report.and_then(|report| Period::parse(report.every, &made.period));
    let Some(day) = period.map(Period::last).or_else(|| Date::parse(&made.as_of)) else {
        return made;
    };
    let small = Small::at(directives, office, day);
    for table in &mut made.figures.tables {
        let declared =
            report.and_then(|report| report.tables.iter().find(|one| one.id == table.id));
        let columns = declared.map_or(&[][..], |table| &table.columns[..]);
        hide(&small, columns, table);
    }
    made
}

/// Columns as they are declared now say of what the denominators are made.
fn hide(small: &Small<'_>, columns: &[Column], table: &mut TableFigures) {
    let TableFigures { heads, lines, .. } = table;
    for (at, head) in heads.iter().enumerate() {
        let per = per_of(columns, head);
        let figure = Close { of: &head.indicators, per };
        let mut cells: Vec<&mut Cell> =
            lines.iter_mut().filter_map(|line| line.cells.get_mut(at)).collect();
        let values: Vec<_> = cells.iter().map(|cell| (cell.value, cell.per)).collect();
        for (cell, hidden) in cells.iter_mut().zip(small.column(&figure, &values)) {
            if hidden {
                **cell = Cell { value: 0, per: None, hidden };
            }
        }
    }
}

fn per_of<'a>(columns: &'a [Column], head: &Head) -> &'a [String] {
    columns.iter().find(|column| column.id == head.id).map_or(&[], |column| &column.per)
}

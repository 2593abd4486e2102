//! Boards: tables of a ledger that hang on a wall or stand on a screen, derived at the moment of reading:
//! public contacts, prices of a shop, the platform of workshops (DOMAIN.md S03, S56). Nothing of a board
//! is stored, so nobody can type a figure into it.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::check::row_type;
use super::expression::{Expression, Type};
use super::{Catalogue, Field, FieldKind, Ledger, Text, Uses};
use crate::id::SliceKind;

/// What a column shows.
#[derive(Clone, Debug)]
pub enum Shows {
    /// A field, or `_place`, `_state`.
    Field(String),
    /// A whole number.
    Number(Expression),
    /// One whole number as a share of another, in percent with one decimal.
    Share(Expression, Expression),
}

/// A column of a board.
#[derive(Clone, Debug)]
pub struct BoardColumn {
    /// Its head.
    pub label: Text,
    /// What stands in it.
    pub shows: Shows,
    /// Whether it counts people so closely that small numbers of them do not show (R-PRV-02).
    pub is_small: bool,
}

/// A table of records.
#[derive(Clone, Debug)]
pub struct Board {
    /// Board id, unique in the ledger.
    pub id: String,
    /// Title.
    pub label: Text,
    /// Which records.
    pub filter: Expression,
    /// Columns in order.
    pub columns: Vec<BoardColumn>,
    /// Related rows that numbers read, by name.
    pub uses: BTreeMap<String, Uses>,
    /// Whether anybody may see it, without an account.
    pub public: bool,
}

impl Board {
    /// Whether the numbers of a column read a field that is hidden: of the row, or of related ones.
    pub fn tells(
        &self,
        column: &BoardColumn,
        ledger: &Ledger,
        catalogue: &Catalogue,
        is_hidden: &dyn Fn(&Field) -> bool,
    ) -> bool {
        let reads = |one: &Expression| self.reads(one, ledger, catalogue, is_hidden);
        match &column.shows {
            Shows::Field(_) => false,
            Shows::Number(number) => reads(number),
            Shows::Share(number, per) => reads(number) || reads(per),
        }
    }

    fn reads(
        &self,
        expression: &Expression,
        ledger: &Ledger,
        catalogue: &Catalogue,
        is_hidden: &dyn Fn(&Field) -> bool,
    ) -> bool {
        let own = |field: &Field| is_hidden(field) && expression.reads(&field.id);
        let other = |field: &Field| is_hidden(field) && expression.selects(&field.id);
        let mut related = self.uses.values().filter_map(|uses| catalogue.ledger(&uses.ledger));
        ledger.fields.iter().any(own) || related.any(|one| one.fields.iter().any(other))
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawColumn {
    zh: String,
    en: String,
    show: Option<String>,
    number: Option<String>,
    per: Option<String>,
    #[serde(default)]
    small: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawBoardUses {
    ledger: String,
    by: String,
}

/// As written in a part.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawBoard {
    pub(super) id: String,
    zh: String,
    en: String,
    #[serde(rename = "where")]
    filter: String,
    columns: Vec<RawColumn>,
    #[serde(default)]
    uses: BTreeMap<String, RawBoardUses>,
    #[serde(default)]
    public: bool,
}

impl RawBoard {
    /// Reads what it says; names and types are checked later.
    pub(super) fn read(self) -> Result<Board, String> {
        let columns = self.columns.into_iter().map(column).collect::<Result<_, String>>()?;
        let uses = self.uses.into_iter().map(|(name, uses)| {
            let RawBoardUses { ledger, by } = uses;
            (name, Uses { ledger, by, eq: "_id".into(), path: false, below: false })
        });
        Ok(Board {
            id: self.id,
            label: Text { zh: self.zh, en: self.en },
            filter: Expression::compile(&self.filter)?,
            columns,
            uses: uses.collect(),
            public: self.public,
        })
    }
}

fn column(raw: RawColumn) -> Result<BoardColumn, String> {
    let label = Text { zh: raw.zh, en: raw.en };
    if raw.small && raw.number.is_none() {
        return Err(format!("column {}: only a number counts people", label.en));
    }
    let shows = match (raw.show, raw.number, raw.per) {
        (Some(field), None, None) => Shows::Field(field),
        (None, Some(number), None) => Shows::Number(Expression::compile(&number)?),
        (None, Some(number), Some(per)) => {
            Shows::Share(Expression::compile(&number)?, Expression::compile(&per)?)
        }
        _ => return Err(format!("column {}: `show`, or `number` with or without `per`", label.en)),
    };
    Ok(BoardColumn { label, shows, is_small: raw.small })
}

/// What is wrong with a board: `scope` holds the names of the ledger's row.
pub(super) fn check(
    board: &Board,
    ledger: &Ledger,
    catalogue: &Catalogue,
    mut scope: BTreeMap<String, Type>,
) -> Result<(), String> {
    match board.filter.check(&scope)? {
        Type::Bool | Type::Any => {}
        _ => return Err("`where` is no truth value".into()),
    }
    let personal = |field: &Field| field.privacy > 1;
    if board.public && board.reads(&board.filter, ledger, catalogue, &personal) {
        return Err("`where` reads what no board shows".into());
    }
    for (name, uses) in &board.uses {
        let related = catalogue.ledger(&uses.ledger);
        let related = related.filter(|one| one.field(&uses.by).is_some());
        let related = related.ok_or_else(|| format!("`{name}`: no such ledger and field"))?;
        if related.slice != SliceKind::Ledger || ledger.slice != SliceKind::Ledger {
            return Err(format!("`{name}`: numbers are of rows of the same slice"));
        }
        scope.insert(name.clone(), Type::List(Box::new(Type::Row(row_type(related).into()))));
    }
    for column in &board.columns {
        let numbers = match &column.shows {
            Shows::Field(id) => {
                shows_field(id, ledger, board.public)?;
                continue;
            }
            Shows::Number(number) => vec![number],
            Shows::Share(number, per) => vec![number, per],
        };
        for number in numbers {
            match number.check(&scope)? {
                Type::Int | Type::Any => {}
                _ => return Err(format!("`{}` is no whole number", number.source())),
            }
        }
        if board.public && board.tells(column, ledger, catalogue, &personal) {
            return Err(format!("column {} reads what no board shows", column.label.en));
        }
    }
    Ok(())
}

fn shows_field(id: &str, ledger: &Ledger, public: bool) -> Result<(), String> {
    if ["_place", "_state"].contains(&id) {
        return Ok(());
    }
    let field = ledger.field(id).ok_or_else(|| format!("no field `{id}`"))?;
    if !field.is_printed() || (public && field.privacy > 0) {
        return Err(format!("`{id}` must not stand on a board"));
    }
    match field.kind {
        FieldKind::Attach | FieldKind::Log(_) => Err(format!("`{id}` does not fit a column")),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use crate::catalogue::parse::parse;

    /// What the check says of the workshops' boards when the one with wages is public, its columns changed.
    fn reasons(change: impl Fn(&str) -> String) -> Vec<String> {
        let mut parts = crate::base_catalogue();
        let part = parts.iter_mut().find(|part| part.source.contains("[[ledger.workshop.board]]"));
        let part = part.unwrap();
        let at = part.source.rfind("[[ledger.workshop.board]]").unwrap();
        let (before, board) = part.source.split_at(at);
        let head = "[[ledger.workshop.board]]\npublic = true";
        part.source =
            format!("{before}{}", change(&board.replacen("[[ledger.workshop.board]]", head, 1)));
        let errors = parse(&parts).err().unwrap_or_default();
        errors.into_iter().map(|error| error.reason).collect()
    }

    #[test]
    fn a_public_board_reads_no_wages_however_they_are_written() {
        let refused = "column Wages (yuan) reads what no board shows".to_owned();
        assert!(reasons(str::to_owned).contains(&refused));
        assert!(reasons(|board| board.replace("l.lines", "l . lines")).contains(&refused));
        let other_name = |board: &str| board.replace("map(l, l.lines", "map(f, f.lines");
        assert!(reasons(other_name).contains(&refused));
        let counted = |board: &str| board.replacen("l.lines.map(w, w.amount).sum()", "1", 1);
        assert!(!reasons(counted).contains(&refused), "their number is no wage");
    }
}

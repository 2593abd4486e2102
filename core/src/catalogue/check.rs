//! What must hold between the parts of a catalogue: references, states, authority, types.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::expression::Type;
use super::parse::{CatalogueError, Positions};
use super::{
    Catalogue, Field, FieldKind, Form, Ledger, Localise, Merge, Param, Required, Rule, Workflow,
    board, indicator, report,
};
use crate::id::{Level, SliceKind};

/// Reports everything that is wrong.
pub(super) fn check(
    catalogue: &Catalogue,
    positions: &Positions,
    errors: &mut Vec<CatalogueError>,
) {
    let mut checker = Checker { catalogue, positions, errors };
    for param in catalogue.params.values() {
        checker.param(param);
    }
    for ledger in catalogue.ledgers.values() {
        checker.ledger(ledger);
    }
    for (key, reason) in report::check(catalogue) {
        checker.fail(&key, reason);
    }
}

/// The type under which a field appears in expressions.
fn type_of(kind: &FieldKind) -> Type {
    match kind {
        FieldKind::Bool => Type::Bool,
        FieldKind::Int | FieldKind::Money | FieldKind::Year => Type::Int,
        FieldKind::Attach | FieldKind::Set(_) => Type::List(Box::new(Type::Text)),
        FieldKind::Log(columns) => {
            let mut row: BTreeMap<String, Type> =
                columns.iter().map(|column| (column.id.clone(), type_of(&column.kind))).collect();
            row.insert("_level".into(), Type::Text);
            Type::List(Box::new(Type::Row(Arc::new(row))))
        }
        _ => Type::Text,
    }
}

/// What every expression of a ledger's row may read.
pub(super) fn own_scope(ledger: &Ledger) -> BTreeMap<String, Type> {
    let mut scope = row_type(ledger);
    scope.insert("as_of".into(), Type::Text);
    scope.insert("as_of_year".into(), Type::Int);
    scope.insert("report_year".into(), Type::Int);
    scope
}

/// Names and types of a ledger's row in expressions.
pub fn row_type(ledger: &Ledger) -> BTreeMap<String, Type> {
    let mut row: BTreeMap<String, Type> =
        ledger.fields.iter().map(|field| (field.id.clone(), type_of(&field.kind))).collect();
    row.insert("_id".into(), Type::Text);
    row.insert("state".into(), Type::Text);
    row.insert("passed".into(), Type::List(Box::new(Type::Text)));
    row.insert("superseded".into(), Type::List(Box::new(Type::Text)));
    row.insert("needs_recheck".into(), Type::Bool);
    row.insert("created_level".into(), Type::Text);
    let step = ["to", "date", "level"].map(|name| (name.to_owned(), Type::Text));
    let step = Type::Row(Arc::new(BTreeMap::from(step)));
    row.insert("steps".into(), Type::List(Box::new(step)));
    row
}

/// Whether a field's kind can merge as it says.
fn merges(field: &Field) -> bool {
    match (&field.kind, field.merge) {
        (FieldKind::Attach | FieldKind::Set(_), merge) => merge == Merge::Set,
        (FieldKind::Bands(_) | FieldKind::Weights(_), _) => false,
        (FieldKind::Log(_), merge) => merge == Merge::Log,
        (_, Merge::Set | Merge::Log) => false,
        (
            FieldKind::Int
            | FieldKind::Money
            | FieldKind::Date
            | FieldKind::Month
            | FieldKind::Year,
            _,
        ) => true,
        (_, Merge::Max | Merge::Min) => false,
        (FieldKind::Note, _) => true,
        (_, Merge::Latest) => false,
        _ => true,
    }
}

struct Checker<'a> {
    catalogue: &'a Catalogue,
    positions: &'a Positions,
    errors: &'a mut Vec<CatalogueError>,
}

impl Checker<'_> {
    fn fail(&mut self, key: &str, reason: impl Into<String>) {
        self.errors.push(self.positions.error(key, reason));
    }

    fn param(&mut self, param: &Param) {
        let key = format!("param.{}", param.id);
        if matches!(param.localise, Localise::StricterMax | Localise::StricterMin)
            && !matches!(param.kind, FieldKind::Date | FieldKind::Int | FieldKind::Money)
        {
            self.fail(&key, "only whole numbers, money and dates can be made stricter");
        }
        if matches!(param.localise, Localise::Subset | Localise::Superset)
            && !matches!(param.kind, FieldKind::Set(_))
        {
            self.fail(&key, "only sets can grow or shrink");
        }
        let vocab = match &param.kind {
            FieldKind::Enum(vocab) | FieldKind::Set(vocab) | FieldKind::Weights(vocab) => vocab,
            _ => "",
        };
        if !vocab.is_empty() && !self.catalogue.vocabs.contains_key(vocab) {
            self.fail(&key, format!("no vocabulary `{vocab}`"));
        }
        if let (Some(min), Some(max)) = (param.min, param.max)
            && min > max
        {
            self.fail(&key, format!("min {min} is above max {max}"));
        }
        if let Some(initial) = &param.initial
            && let Err(reason) = crate::policy::check_value(param, initial)
        {
            self.fail(&format!("{key}.initial"), reason);
        }
    }

    fn ledger(&mut self, ledger: &Ledger) {
        let key = format!("ledger.{}", ledger.id);
        if ledger.scope.is_empty() {
            self.fail(&key, "scope names no level");
        }
        let mut seen = BTreeSet::new();
        for field in &ledger.fields {
            if !seen.insert(&field.id) {
                self.fail(&format!("{key}.field.{}", field.id), "declared twice");
            }
            self.field(ledger, field);
        }
        if let Some(due) = &ledger.due {
            let dated = ledger.field(&due.field).is_some_and(|field| field.kind == FieldKind::Date);
            if !dated {
                self.fail(&key, format!("due names no date field: {}", due.field));
            }
            if let Some(param) = due.workdays.as_ref().filter(|id| !self.is_number(id)) {
                self.fail(&key, format!("due names no parameter of whole days: {param}"));
            }
            self.states(ledger, &key, &due.done);
        }
        for title in ledger.title.iter().chain(&ledger.business_date) {
            if ledger.field(title).is_none() {
                self.fail(&key, format!("title or business_date names no field: {title}"));
            }
        }
        if let Some(workflow) = &ledger.workflow {
            self.workflow(ledger, workflow);
        }
        for form in &ledger.forms {
            self.form(ledger, form);
        }
        for board in &ledger.boards {
            if let Err(reason) = board::check(board, ledger, self.catalogue, own_scope(ledger)) {
                self.fail(&format!("{key}.board.{}", board.id), reason);
            }
        }
        let mut rules = BTreeSet::new();
        for rule in &ledger.rules {
            if !rules.insert(&rule.id) {
                self.fail(&format!("{key}.rule.{}", rule.id), "declared twice");
            }
            self.rule(ledger, rule);
        }
        self.indicators(ledger);
    }

    fn is_number(&self, param: &str) -> bool {
        self.catalogue.params.get(param).is_some_and(|param| param.kind == FieldKind::Int)
    }

    /// A form prints fields that exist and may be printed; one that hangs in public prints nothing that
    /// a board must not show (DOMAIN.md §5.3): no household's telephone, no health, no income.
    fn form(&mut self, ledger: &Ledger, form: &Form) {
        let key = format!("ledger.{}.form.{}", ledger.id, form.id);
        let own = form.fields.iter().map(|field| (ledger.id.clone(), field));
        let tables = form.tables.iter();
        let rest = tables.flat_map(|table| {
            table.fields.iter().chain([&table.by]).map(|field| (table.ledger.clone(), field))
        });
        let named: Vec<(String, &String)> = own.chain(rest).collect();
        for (of, id) in named {
            let Some(field) = self.catalogue.ledger(&of).and_then(|ledger| ledger.field(id)) else {
                self.fail(&key, format!("no field `{of}.{id}`"));
                continue;
            };
            if !field.is_printed() {
                self.fail(&key, format!("`{id}` is never printed"));
            }
            let personal = field.privacy == 3
                || (field.privacy == 2 && field.kind != FieldKind::Money)
                || field.kind == FieldKind::Attach
                || (field.privacy > 0 && field.kind == FieldKind::Phone);
            if form.public && personal {
                self.fail(&key, format!("`{id}` must not hang in public"));
            }
        }
    }

    fn field(&mut self, ledger: &Ledger, field: &Field) {
        let key = format!("ledger.{}.field.{}", ledger.id, field.id);
        let reserved = [
            "state",
            "steps",
            "passed",
            "superseded",
            "needs_recheck",
            "void",
            "if",
            "in",
            "for",
            "let",
            "as",
            "true",
            "false",
            "null",
            "p",
            "f",
        ];
        let well_formed =
            field.id.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
                && field.id.starts_with(|c: char| c.is_ascii_lowercase());
        if !well_formed || reserved.contains(&field.id.as_str()) {
            self.fail(&key, "ids are snake_case, start with a letter and are no CEL word");
        }
        if field.privacy > 3 {
            self.fail(&key, "privacy is 0 to 3");
        }
        if field.write.is_empty() {
            self.fail(&key, "no level may write it; derived values are not fields");
        }
        match &field.kind {
            FieldKind::Enum(vocab) | FieldKind::Set(vocab)
                if !self.catalogue.vocabs.contains_key(vocab) =>
            {
                self.fail(&key, format!("no vocabulary `{vocab}`"));
            }
            FieldKind::Ref(of) if self.catalogue.ledger(of).is_none() => {
                self.fail(&key, format!("no ledger `{of}`"));
            }
            _ => {}
        }
        if !merges(field) {
            self.fail(
                &key,
                "this kind cannot merge so: money, identity, status and dates are never \
                silently overwritten, sets and logs have merge rules of their own",
            );
        }
        if field.merge == Merge::Own && field.write.len() != 1 {
            self.fail(&key, "`own` has exactly one writing level");
        }
        self.sealed(ledger, field, &key);
        if let Required::At(states) = &field.required {
            self.states(ledger, &key, states);
        }
    }

    /// A sealed field is unreadable at levels without its key, so nothing there may use it.
    fn sealed(&mut self, ledger: &Ledger, field: &Field, key: &str) {
        if field.sealed.is_empty() {
            return;
        }
        let everywhere = Level::ALL.iter().all(|level| field.sealed.contains(level));
        let reads = |expression: &super::Expression| expression.reads(&field.id);
        let used = ledger
            .rules
            .iter()
            .any(|rule| reads(&rule.assert) || rule.applies.as_ref().is_some_and(reads))
            || ledger.indicators.iter().any(|one| one.reads(&field.id))
            || ledger.title.contains(&field.id);
        if used && !everywhere {
            self.fail(
                key,
                "sealed, but a rule, indicator or title uses it at levels without the key",
            );
        }
    }

    fn states(&mut self, ledger: &Ledger, key: &str, states: &[String]) {
        for state in states {
            let known = ledger
                .workflow
                .as_ref()
                .is_some_and(|workflow| workflow.states.iter().any(|one| one.id == *state));
            if !known {
                self.fail(key, format!("no state `{state}`"));
            }
        }
    }

    fn workflow(&mut self, ledger: &Ledger, workflow: &Workflow) {
        let key = format!("ledger.{}.workflow", ledger.id);
        self.states(ledger, &key, std::slice::from_ref(&workflow.initial));
        let mut reached = BTreeSet::from([workflow.initial.clone()]);
        loop {
            let before = reached.len();
            for step in &workflow.transitions {
                if step.from.iter().any(|from| reached.contains(from)) {
                    reached.insert(step.to.clone());
                }
            }
            if reached.len() == before {
                break;
            }
        }
        for state in &workflow.states {
            if !reached.contains(&state.id) {
                self.fail(&key, format!("state `{}` cannot be reached", state.id));
            }
        }
        for step in &workflow.transitions {
            let at = format!("{key}.{}", step.to);
            self.states(ledger, &at, &step.from);
            self.states(ledger, &at, std::slice::from_ref(&step.to));
            for field in step.certifies.iter().chain(&step.requires) {
                if ledger.field(field).is_none() {
                    self.fail(&at, format!("no field `{field}`"));
                }
            }
            if step.by.is_empty() {
                self.fail(&at, "no level may take this step");
            }
            let role = step.role.as_ref().map(|id| (id, self.catalogue.roles.get(id)));
            match role {
                Some((id, None)) => self.fail(&at, format!("no role `{id}`")),
                Some((id, Some(role))) if !step.by.contains(&role.level) => {
                    self.fail(&at, format!("role `{id}` acts at a level that may not take it"));
                }
                _ => {}
            }
        }
    }

    fn scope_of(&self, ledger: &Ledger, rule: Option<&Rule>) -> BTreeMap<String, Type> {
        let mut scope = own_scope(ledger);
        let Some(rule) = rule else {
            let texts = Type::List(Box::new(Type::Text));
            scope.insert("failed".into(), texts.clone());
            scope.insert("unchecked".into(), texts);
            for (name, uses) in ledger.registers() {
                if let Some(register) = self.catalogue.ledger(&uses.ledger) {
                    let row = Type::Row(Arc::new(row_type(register)));
                    scope.insert(name.to_owned(), Type::List(Box::new(row)));
                }
            }
            return scope;
        };
        for (name, uses) in &rule.uses {
            if let Some(related) = self.catalogue.ledger(&uses.ledger) {
                let row = Type::Row(Arc::new(row_type(related)));
                scope.insert(name.clone(), Type::List(Box::new(row)));
            }
        }
        scope.insert("p".into(), self.params_type(&rule.params));
        scope.insert("f".into(), Self::figures_type(&rule.figures));
        scope
    }

    fn figures_type(ids: &[String]) -> Type {
        Type::Row(Arc::new(ids.iter().map(|id| (id.clone(), Type::Int)).collect()))
    }

    fn params_type(&self, ids: &[String]) -> Type {
        let kind = |id: &String| Some(&self.catalogue.params.get(id)?.kind);
        let named = ids.iter().filter_map(|id| Some((id.clone(), type_of(kind(id)?))));
        Type::Row(Arc::new(named.collect()))
    }

    fn rule(&mut self, ledger: &Ledger, rule: &Rule) {
        let key = format!("ledger.{}.rule.{}", ledger.id, rule.id);
        let declared = |name: &String| self.catalogue.ledger(name).is_some();
        if rule.needs.iter().any(|name| !declared(name)) {
            return;
        }
        for (name, uses) in &rule.uses {
            match self.catalogue.ledger(&uses.ledger).cloned() {
                None => self.fail(&key, format!("`{name}` uses no ledger `{}`", uses.ledger)),
                Some(related) => {
                    if uses.path && related.slice != SliceKind::Directive {
                        self.fail(&key, format!("`{name}`: only registers stand on the path"));
                    }
                    if uses.below && (uses.path || related.slice != SliceKind::Ledger) {
                        self.fail(&key, format!("`{name}`: registers are not looked for below"));
                    }
                    if uses.below && ["", "_id"].contains(&uses.by.as_str()) {
                        let reason = "rows below are found by a field; for totals name standing \
                            indicators in `figures` and read f.INDICATOR";
                        self.fail(&key, format!("`{name}`: {reason}"));
                    }
                    let by_ok = ["", "_id"].contains(&uses.by.as_str())
                        || related.field(&uses.by).is_some();
                    if !by_ok {
                        self.fail(&key, format!("`{name}`: no field `{}`", uses.by));
                    }
                    if uses.eq != "_id" && ledger.field(&uses.eq).is_none() {
                        self.fail(&key, format!("`{name}`: no field `{}`", uses.eq));
                    }
                }
            }
        }
        for id in &rule.figures {
            let found = self.catalogue.indicator(id);
            let stands = found.is_some_and(|(_, indicator)| !indicator.is_flow());
            let ends =
                found.is_some_and(|(of, _)| of.rules.iter().all(|one| one.figures.is_empty()));
            if !stands || !ends {
                let reason = "no standing indicator of a ledger whose rules read no figures";
                self.fail(&key, format!("`{id}` is {reason}"));
            }
        }
        for param in &rule.params {
            if !self.catalogue.params.contains_key(param) {
                self.fail(&key, format!("no parameter `{param}`"));
            }
        }
        for field in &rule.fields {
            if ledger.field(field).is_none() {
                self.fail(&key, format!("no field `{field}`"));
            }
        }
        self.states(ledger, &key, &rule.at);
        let (whole, own) = (self.scope_of(ledger, Some(rule)), own_scope(ledger));
        // What `applies` reads must be there before anything is looked up.
        let parts =
            [("assert", Some(&rule.assert), whole), ("applies", rule.applies.as_ref(), own)];
        for (part, expression, scope) in parts {
            let Some(expression) = expression else { continue };
            match expression.check(&scope) {
                Ok(Type::Bool | Type::Any) => {}
                Ok(_) => self.fail(&format!("{key}.{part}"), "is no truth value"),
                Err(reason) => self.fail(&format!("{key}.{part}"), reason),
            }
        }
    }

    fn indicators(&mut self, ledger: &Ledger) {
        for one in &ledger.indicators {
            let key = format!("ledger.{}.indicator.{}", ledger.id, one.id);
            let mut scope = self.scope_of(ledger, None);
            scope.insert("p".into(), self.params_type(&one.params));
            scope.insert("f".into(), Self::figures_type(&one.figures));
            if let Some(id) = one.params.iter().find(|id| !self.catalogue.params.contains_key(*id))
            {
                self.fail(&key, format!("no parameter `{id}`"));
            }
            // A row is evaluated anew with the figures that its rules read.
            let by_rule = |id: &&String| ledger.rules.iter().any(|rule| rule.figures.contains(id));
            if let Some(id) = one.figures.iter().find(|id| !by_rule(id)) {
                self.fail(&key, format!("no rule here reads the figure `{id}`"));
            }
            if let Err(reason) = indicator::check(one, ledger, scope, type_of) {
                self.fail(&key, reason);
            }
            let same = self.catalogue.ledgers.values().flat_map(|ledger| &ledger.indicators);
            if same.filter(|other| other.id == one.id).count() > 1 {
                self.fail(&key, "declared twice");
            }
        }
    }
}

/// Compares with the last released catalogue: who may write a field never changes under one field
/// id, so that verdicts never do (DESIGN §3).
pub fn compare(old: &Catalogue, new: &Catalogue) -> Vec<String> {
    let mut found = Vec::new();
    for ledger in old.ledgers.values() {
        let Some(successor) = new.ledger(&ledger.id) else {
            found.push(format!("ledger {} is gone; declare it closed instead", ledger.id));
            continue;
        };
        for field in &ledger.fields {
            match successor.field(&field.id) {
                None => found.push(format!("field {}.{} is gone", ledger.id, field.id)),
                Some(now) if now.write != field.write || now.merge != field.merge => {
                    found.push(format!(
                        "field {}.{} changes its writers or merge rule; give it a new id",
                        ledger.id, field.id
                    ))
                }
                Some(_) => {}
            }
        }
    }
    found
}

//! CEL predicates: compiled once, bounded, and checked against the catalogue's types.
//!
//! Variables of an expression: the row's fields by id (absent ones are null), its related rows by
//! name, `p` (parameters), `f` (sums of indicators at the place), `state`, `as_of`, `as_of_year` and
//! `report_year` (in January still the year that ended: its last reports are made then), `_id`;
//! indicators also see `failed` and `unchecked`, the rule ids of the row's findings, and registers. Functions of
//! ours: `distinct`, `sum`, `id_ok`, `days` (between two dates), `age`, `plus_days`, `plus_months`, `band` (of a
//! parameter of bands), `workday` (of the calendar's rows, a date and a count), `workdays` (of these, between two
//! dates), `string` (of a number). Everything else is CEL's standard set.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, OnceLock};

use cel::common::ast::{EntryExpr, Expr, LiteralValue, operators};
use cel::{Context, ExecutionError, IdedExpr, Program, Value as CelValue};

use crate::limits;

/// Operator characters that nest the syntax tree to the left: bounded before the parser, which
/// recurses without a limit on them (measured), sees the text.
const CHAIN_CHARS_MAX: usize = 160;
/// Compiled expressions kept: some of the largest catalogue thinkable.
const KNOWN_MAX: usize = 8192;

/// Names of today, and of what rules found today.
const TODAY: [&str; 5] = ["as_of", "as_of_year", "report_year", "failed", "unchecked"];

/// A compiled expression and its text.
#[derive(Clone)]
pub struct Expression {
    source: String,
    program: Arc<Program>,
    names: BTreeSet<String>,
    parts: BTreeSet<String>,
}

impl fmt::Debug for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Expression").field(&self.source).finish()
    }
}

/// What an expression or a part of it yields.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Type {
    /// Not known: compared with nothing.
    Any,
    /// Truth value.
    Bool,
    /// Whole number.
    Int,
    /// Rows, texts, or whatever else is listed.
    List(Box<Self>),
    /// Null.
    Null,
    /// Parameters or a row: names and their types.
    Row(Arc<BTreeMap<String, Self>>),
    /// Text; dates are ISO texts.
    Text,
}

impl Type {
    fn name(&self) -> &'static str {
        match self {
            Self::Any => "anything",
            Self::Bool => "a truth value",
            Self::Int => "a whole number",
            Self::List(_) => "a list",
            Self::Null => "null",
            Self::Row(_) => "a row",
            Self::Text => "text",
        }
    }

    fn fits(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Any | Self::Null, _) | (_, Self::Any | Self::Null) => true,
            (Self::List(one), Self::List(two)) => one.fits(two),
            (Self::Row(_), Self::Row(_)) => true,
            _ => self == other,
        }
    }
}

impl Expression {
    /// Compiles within the limits of DESIGN §3.
    ///
    /// # Errors
    ///
    /// What is wrong, for the author of the catalogue.
    pub fn compile(source: &str) -> Result<Self, String> {
        // Memoisation of a pure function: catalogues are read part by part as they arrive, and most of
        // their expressions were compiled with the parts before.
        type Known = Mutex<BTreeMap<String, Expression>>;
        static KNOWN: OnceLock<Known> = OnceLock::new();
        let known = KNOWN.get_or_init(Known::default);
        if let Some(found) = known.lock().ok().and_then(|known| known.get(source).cloned()) {
            return Ok(found);
        }
        let expression = Self::compiled(source)?;
        if let Ok(mut known) = known.lock() {
            if known.len() >= KNOWN_MAX {
                known.clear();
            }
            known.insert(source.to_owned(), expression.clone());
        }
        Ok(expression)
    }

    fn compiled(source: &str) -> Result<Self, String> {
        if source.len() > limits::EXPRESSION_BYTES_MAX {
            return Err(format!("longer than {} bytes", limits::EXPRESSION_BYTES_MAX));
        }
        if source.chars().filter(|c| ".[(+-*/%=<>?".contains(*c)).count() > CHAIN_CHARS_MAX {
            return Err(format!("more than {CHAIN_CHARS_MAX} operators"));
        }
        let program = Program::compile(source).map_err(|errors| {
            errors.errors.first().map_or_else(
                || "does not parse".to_owned(),
                |error| format!("column {}: {}", error.pos.1, error.msg),
            )
        })?;
        let (names, parts) = measure(program.expression())?;
        Ok(Self { source: source.to_owned(), program: Arc::new(program), names, parts })
    }

    /// The text.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Whether the result depends on today's date, directly or through findings that do.
    pub fn reads_today(&self) -> bool {
        TODAY.iter().any(|name| self.reads(name))
    }

    /// Whether a variable of that name is read.
    pub fn reads(&self, name: &str) -> bool {
        self.names.contains(name)
    }

    /// Whether a part of that name is read of anything: a related row, a line, a step.
    pub fn selects(&self, name: &str) -> bool {
        self.parts.contains(name)
    }

    /// Checks names and types against `scope`.
    ///
    /// # Errors
    ///
    /// The first thing that cannot be right.
    pub fn check(&self, scope: &BTreeMap<String, Type>) -> Result<Type, String> {
        let mut checker = Checker { scope, locals: Vec::new() };
        checker.infer(self.program.expression())
    }

    /// Evaluates to a truth value.
    ///
    /// # Errors
    ///
    /// A catalogue defect: the text of the evaluation error, without values.
    pub fn holds(&self, context: &Context<'_, '_>) -> Result<bool, String> {
        match self.program.execute(context) {
            Ok(CelValue::Bool(holds)) => Ok(holds),
            Ok(other) => Err(format!("yields {}, not a truth value", other.type_of())),
            Err(error) => Err(describe(&error)),
        }
    }

    /// Evaluates to a whole number; null is 0.
    ///
    /// # Errors
    ///
    /// As [`Expression::holds`].
    pub fn number(&self, context: &Context<'_, '_>) -> Result<i64, String> {
        match self.program.execute(context) {
            Ok(CelValue::Int(number)) => Ok(number),
            Ok(CelValue::Null) => Ok(0),
            Ok(other) => Err(format!("yields {}, not a whole number", other.type_of())),
            Err(error) => Err(describe(&error)),
        }
    }
}

/// Names the kind of error; never its values, which may be personal.
fn describe(error: &ExecutionError) -> String {
    match error {
        ExecutionError::UndeclaredReference(name) => format!("unknown name `{name}`"),
        ExecutionError::NoSuchKey(name) => format!("no field `{name}`"),
        ExecutionError::NoSuchOverload(overload) => {
            format!("`{}` does not take these types", overload.function())
        }
        ExecutionError::FunctionError { function, .. } => format!("`{function}` failed"),
        _ => "evaluation failed".to_owned(),
    }
}

fn children<'a>(node: &'a IdedExpr, visit: &mut dyn FnMut(&'a IdedExpr)) {
    match &node.expr {
        Expr::Unspecified | Expr::Ident(_) | Expr::Literal(_) => {}
        Expr::Select(select) => visit(&select.operand),
        Expr::Call(call) => {
            if let Some(target) = call.target.as_deref() {
                visit(target);
            }
            call.args.iter().for_each(visit);
        }
        Expr::List(list) => list.elements.iter().for_each(visit),
        Expr::Map(map) => map.entries.iter().for_each(|entry| entry_children(&entry.expr, visit)),
        Expr::Struct(one) => {
            one.entries.iter().for_each(|entry| entry_children(&entry.expr, visit))
        }
        Expr::Comprehension(c) => {
            [&c.iter_range, &c.accu_init, &c.loop_cond, &c.loop_step, &c.result]
                .into_iter()
                .for_each(visit);
        }
    }
}

fn entry_children<'a>(entry: &'a EntryExpr, visit: &mut dyn FnMut(&'a IdedExpr)) {
    match entry {
        EntryExpr::MapEntry(pair) => {
            visit(&pair.key);
            visit(&pair.value);
        }
        EntryExpr::StructField(field) => visit(&field.value),
    }
}

/// Bounds depth and nesting of comprehensions without recursion, and gathers the names of variables read, and
/// of parts of what these hold.
fn measure(root: &IdedExpr) -> Result<(BTreeSet<String>, BTreeSet<String>), String> {
    let (mut names, mut parts) = (BTreeSet::new(), BTreeSet::new());
    let mut open = vec![(root, 1, 0)];
    while let Some((node, depth, loops)) = open.pop() {
        let loops = loops + usize::from(matches!(node.expr, Expr::Comprehension(_)));
        if depth > limits::EXPRESSION_DEPTH_MAX {
            return Err(format!("nested deeper than {}", limits::EXPRESSION_DEPTH_MAX));
        }
        if loops > limits::COMPREHENSION_DEPTH_MAX + 1 {
            return Err(format!("loops nested deeper than {}", limits::COMPREHENSION_DEPTH_MAX));
        }
        match &node.expr {
            Expr::Ident(name) => drop(names.insert(name.trim_start_matches('.').to_owned())),
            Expr::Select(select) => drop(parts.insert(select.field.clone())),
            _ => {}
        }
        children(node, &mut |child| open.push((child, depth + 1, loops)));
    }
    Ok((names, parts))
}

struct Checker<'a> {
    scope: &'a BTreeMap<String, Type>,
    locals: Vec<(String, Type)>,
}

impl Checker<'_> {
    fn infer(&mut self, node: &IdedExpr) -> Result<Type, String> {
        match &node.expr {
            Expr::Unspecified => Err("empty expression".into()),
            Expr::Ident(name) => self.ident(name),
            Expr::Literal(literal) => Ok(match literal {
                LiteralValue::Boolean(_) => Type::Bool,
                LiteralValue::Int(_) => Type::Int,
                LiteralValue::Null => Type::Null,
                LiteralValue::String(_) => Type::Text,
                _ => return Err("only text, whole numbers, truth values and null".into()),
            }),
            Expr::Select(select) => self.select(&select.operand, &select.field),
            Expr::List(list) => {
                let mut of = Type::Any;
                for element in &list.elements {
                    let found = self.infer(element)?;
                    if !of.fits(&found) {
                        return Err("a list mixes types".into());
                    }
                    of = if of == Type::Any { found } else { of };
                }
                Ok(Type::List(Box::new(of)))
            }
            Expr::Map(_) | Expr::Struct(_) => Err("maps and structs are not used here".into()),
            Expr::Call(call) => {
                let target = call.target.as_deref();
                let arguments: Vec<Type> = target
                    .into_iter()
                    .chain(&call.args)
                    .map(|argument| self.infer(argument))
                    .collect::<Result<_, _>>()?;
                call_type(&call.func_name, &arguments)
            }
            Expr::Comprehension(c) => {
                let of = match self.infer(&c.iter_range)? {
                    Type::List(of) => *of,
                    Type::Any => Type::Any,
                    other => return Err(format!("a loop over {}", other.name())),
                };
                let start = self.infer(&c.accu_init)?;
                self.locals.push((c.accu_var.clone(), start));
                self.locals.push((c.iter_var.clone(), of));
                self.infer(&c.loop_cond)?;
                let step = self.infer(&c.loop_step)?;
                self.locals.pop();
                if let Some(accumulator) = self.locals.last_mut() {
                    accumulator.1 = step;
                }
                let result = self.infer(&c.result);
                self.locals.pop();
                result
            }
        }
    }

    fn ident(&self, name: &str) -> Result<Type, String> {
        self.locals
            .iter()
            .rev()
            .find(|(local, _)| local == name)
            .map(|(_, of)| of.clone())
            .or_else(|| self.scope.get(name).cloned())
            .ok_or_else(|| format!("unknown name `{name}`"))
    }

    fn select(&mut self, operand: &IdedExpr, field: &str) -> Result<Type, String> {
        match self.infer(operand)? {
            Type::Any => Ok(Type::Any),
            Type::Row(fields) => {
                fields.get(field).cloned().ok_or_else(|| format!("no field `{field}`"))
            }
            other => Err(format!("`.{field}` of {}", other.name())),
        }
    }
}

fn want(name: &str, found: &Type, wanted: &Type) -> Result<(), String> {
    if found.fits(wanted) && *found != Type::Null {
        Ok(())
    } else {
        Err(format!("`{name}` needs {}, found {}", wanted.name(), found.name()))
    }
}

fn call_type(name: &str, arguments: &[Type]) -> Result<Type, String> {
    let pair = || match arguments {
        [one, two] => Ok((one, two)),
        _ => Err(format!("`{name}` takes two values")),
    };
    match name {
        operators::LOGICAL_AND
        | operators::LOGICAL_OR
        | operators::LOGICAL_NOT
        | operators::NOT_STRICTLY_FALSE => {
            arguments.iter().try_for_each(|one| want(name, one, &Type::Bool))?;
            Ok(Type::Bool)
        }
        operators::EQUALS | operators::NOT_EQUALS => {
            let (one, two) = pair()?;
            if !one.fits(two) {
                return Err(format!("compares {} with {}", one.name(), two.name()));
            }
            Ok(Type::Bool)
        }
        operators::LESS
        | operators::LESS_EQUALS
        | operators::GREATER
        | operators::GREATER_EQUALS => {
            let (one, two) = pair()?;
            let ordered = |of: &Type| matches!(of, Type::Any | Type::Int | Type::Text);
            if !ordered(one) || !ordered(two) || !one.fits(two) {
                return Err(format!("orders {} and {}", one.name(), two.name()));
            }
            Ok(Type::Bool)
        }
        operators::ADD => {
            let (one, two) = pair()?;
            if matches!(one, Type::List(_)) {
                return Ok(if *one == Type::List(Box::new(Type::Any)) { two } else { one }.clone());
            }
            want(name, one, &Type::Int)?;
            want(name, two, &Type::Int)?;
            Ok(Type::Int)
        }
        operators::SUBSTRACT
        | operators::MULTIPLY
        | operators::DIVIDE
        | operators::MODULO
        | operators::NEGATE => {
            arguments.iter().try_for_each(|one| want(name, one, &Type::Int))?;
            Ok(Type::Int)
        }
        operators::CONDITIONAL => match arguments {
            [condition, one, two] if one.fits(two) => {
                want(name, condition, &Type::Bool)?;
                Ok(if *one == Type::Null { two } else { one }.clone())
            }
            _ => Err("both branches of ?: need one type".into()),
        },
        operators::IN => {
            let (element, list) = pair()?;
            want(name, list, &Type::List(Box::new(element.clone())))?;
            Ok(Type::Bool)
        }
        _ => function_type(name, arguments),
    }
}

fn function_type(name: &str, arguments: &[Type]) -> Result<Type, String> {
    let list = Type::List(Box::new(Type::Any));
    match (name, arguments) {
        (operators::INDEX, [Type::List(of), Type::Int]) => Ok((**of).clone()),
        ("size", [Type::Text | Type::List(_) | Type::Any]) => Ok(Type::Int),
        ("distinct", [of @ (Type::List(_) | Type::Any)]) => Ok(of.clone()),
        ("sum", [of]) => want(name, of, &list).map(|()| Type::Int),
        ("digit_run", [of]) => want(name, of, &Type::Text).map(|()| Type::Int),
        ("id_ok", [of]) => want(name, of, &Type::Text).map(|()| Type::Bool),
        ("id_birth" | "id_sex", [of]) => want(name, of, &Type::Text).map(|()| Type::Text),
        ("near", [one, two]) => {
            want(name, one, &Type::Text)?;
            want(name, two, &Type::Text)?;
            Ok(Type::Bool)
        }
        ("age" | "days", [one, two]) => {
            want(name, one, &Type::Text)?;
            want(name, two, &Type::Text)?;
            Ok(Type::Int)
        }
        ("band", [bands, amount]) => {
            want(name, bands, &Type::Text)?;
            want(name, amount, &Type::Int).map(|()| Type::Int)
        }
        ("plus_days" | "plus_months", [date, count]) => {
            want(name, date, &Type::Text)?;
            want(name, count, &Type::Int).map(|()| Type::Text)
        }
        ("string", [of]) => want(name, of, &Type::Int).map(|()| Type::Text),
        ("workday", [calendar, date, count]) => {
            want(name, calendar, &list)?;
            want(name, date, &Type::Text)?;
            want(name, count, &Type::Int).map(|()| Type::Text)
        }
        ("workdays", [calendar, from, to]) => {
            want(name, calendar, &list)?;
            function_type("days", &[from.clone(), to.clone()])
        }
        ("startsWith" | "endsWith" | "contains", [one, two]) => {
            want(name, one, &Type::Text)?;
            want(name, two, &Type::Text)?;
            Ok(Type::Bool)
        }
        _ => Err(format!("no function `{name}` for {} value(s)", arguments.len())),
    }
}

#[cfg(test)]
mod tests {
    use super::super::functions::base_context;
    use super::*;

    fn scope() -> BTreeMap<String, Type> {
        let member = Type::Row(Arc::new(BTreeMap::from([
            ("relation".to_owned(), Type::Text),
            ("age".to_owned(), Type::Int),
        ])));
        BTreeMap::from([
            ("name".to_owned(), Type::Text),
            ("count".to_owned(), Type::Int),
            ("members".to_owned(), Type::List(Box::new(member))),
        ])
    }

    fn check(source: &str) -> Result<Type, String> {
        Expression::compile(source)?.check(&scope())
    }

    #[test]
    fn sound_rules_pass() {
        for source in [
            "members.filter(m, m.relation == 'head' && m.age > 3).size() == 1",
            "members.map(m, m.relation).distinct().size() >= count",
            "name == null || name.startsWith('x')",
            "name in ['a', 'b'] ? count > 1 : true",
            "members.all(m, m.age < 100) && members.exists(m, m.age == count)",
            "members.map(m, m.age).sum() <= count + 2",
        ] {
            assert_eq!(check(source), Ok(Type::Bool), "{source}");
        }
    }

    #[test]
    fn unknown_names_fields_and_mixed_types_are_refused() {
        for source in [
            "missing == 1",
            "members.exists(m, m.wage > 1)",
            "name == 1",
            "count < name",
            "members == 3",
            "frobnicate(name)",
            "count && true",
            "members.filter(m, m.relation == 3).size() == 1",
        ] {
            assert!(check(source).is_err(), "{source}");
        }
    }

    #[test]
    fn the_limits_are_kept_before_the_parser_recurses() {
        assert!(Expression::compile(&"1+".repeat(500)).is_err());
        assert!(Expression::compile(&format!("1{}", "+1".repeat(120))).is_err());
        assert!(Expression::compile(&"x".repeat(2000)).is_err());
        assert!(
            Expression::compile("a.all(x, a.all(y, a.all(z, a.all(w, true))))").is_err(),
            "four loops"
        );
        assert!(Expression::compile("a ==").is_err());
    }

    #[test]
    fn our_functions_evaluate() {
        let context = base_context();
        for source in [
            "[1, 2, 2].distinct().size() == 2",
            "[1, 2, 3].sum() == 6",
            "digit_run('张三 138 0013800') == 7 && digit_run('') == 0",
            "id_ok('11010519491231002X')",
            "!id_ok('110105194912310020')",
            "days('2018-02-27', '2018-03-01') == 2",
            "age('1953-04-09', '2018-04-09') == 65 && age('1953-04-10', '2018-04-09') == 64",
            "band('0=1,300000=2', 299999) == 1 && band('0=1,300000=2', 300000) == 2",
            "'2018-01-31'.plus_months(1) == '2018-02-28' && '2018-01-31'.plus_days(1) == '2018-02-01'",
            "[].workday('2018-06-15', 1) == '2018-06-18'",
            "[].workdays('2018-06-15', '2018-06-18') == 1 && [].workdays('2018-06-18', '2018-06-15') == -1",
            "string(2018) == '2018'",
        ] {
            assert_eq!(Expression::compile(source).unwrap().holds(&context), Ok(true), "{source}");
        }
    }
}

//! From TOML to a [`Catalogue`], with file, line and key in every error.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::Deserialize;
use toml::Spanned;

use super::board::RawBoard;
use super::expression::Expression;
use super::indicator::RawIndicator;
use super::report::{RawChart, RawReport};
use super::rule::RawRule;
use super::workflow::RawWorkflow;
use super::{
    Board, Catalogue, Chart, Field, FieldKind, Form, FormTable, Indicator, Ledger, Localise,
    LogColumn, Merge, Param, Report, Required, Role, Rule, Steps, Text, Unconfirmed, Vocab,
    Workflow, check,
};
use crate::id::{Hash, Lane, Level, SliceKind};
use crate::limits;
use crate::record::value::Value;

/// One TOML text: the base, or one ledger.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Part {
    /// File name, or `directive NAME vN`.
    pub name: String,
    /// The TOML text.
    pub source: String,
}

/// What is wrong in a catalogue, and where.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{file}:{line}: {key}: {reason}")]
pub struct CatalogueError {
    /// File or part.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// The key that is wrong.
    pub key: String,
    /// What is wrong and what is allowed.
    pub reason: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawPart {
    part: RawHead,
    #[serde(default)]
    vocab: BTreeMap<String, RawVocab>,
    #[serde(default)]
    role: BTreeMap<String, RawRole>,
    #[serde(default)]
    param: BTreeMap<String, Spanned<RawParam>>,
    #[serde(default)]
    ledger: BTreeMap<String, Spanned<RawLedger>>,
    #[serde(default)]
    report: BTreeMap<String, Spanned<RawReport>>,
    #[serde(default)]
    chart: Vec<Spanned<RawChart>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawHead {
    name: String,
    version: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawVocab {
    zh: String,
    en: String,
    values: Vec<RawValue>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawValue {
    id: String,
    zh: String,
    en: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRole {
    zh: String,
    en: String,
    level: Level,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawParam {
    zh: String,
    en: String,
    kind: String,
    #[serde(default)]
    unit_zh: String,
    #[serde(default)]
    unit_en: String,
    owner: Level,
    localise: Localise,
    min: Option<i64>,
    max: Option<i64>,
    initial: Option<Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawLedger {
    zh: String,
    en: String,
    #[serde(default)]
    clause: String,
    scope: Vec<Level>,
    #[serde(default = "ledger_slice")]
    slice: SliceKind,
    #[serde(default)]
    urgent: bool,
    #[serde(default)]
    void_wins: bool,
    identity: Option<String>,
    #[serde(default)]
    closed: bool,
    title: Vec<String>,
    business_date: Option<String>,
    due: Option<super::Due>,
    resolve: Level,
    field: Vec<Spanned<RawField>>,
    workflow: Option<Spanned<RawWorkflow>>,
    #[serde(default)]
    form: Vec<Spanned<RawForm>>,
    #[serde(default)]
    board: Vec<Spanned<RawBoard>>,
    #[serde(default)]
    rule: Vec<Spanned<RawRule>>,
    #[serde(default)]
    indicator: Vec<Spanned<RawIndicator>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawForm {
    id: String,
    zh: String,
    en: String,
    fields: Vec<String>,
    #[serde(default)]
    tables: Vec<FormTable>,
    #[serde(default)]
    signatures: Vec<Text>,
    #[serde(default)]
    public: bool,
}

fn ledger_slice() -> SliceKind {
    SliceKind::Ledger
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawField {
    id: String,
    zh: String,
    en: String,
    kind: String,
    #[serde(default)]
    required: Option<RawRequired>,
    privacy: u8,
    write: Vec<Level>,
    merge: Merge,
    resolve: Option<Level>,
    #[serde(default)]
    sealed: Vec<Level>,
    #[serde(default)]
    group_zh: String,
    #[serde(default)]
    group_en: String,
    #[serde(default)]
    help_zh: String,
    #[serde(default)]
    help_en: String,
    #[serde(default)]
    headers: Vec<String>,
    #[serde(default)]
    columns: Vec<RawColumn>,
    #[serde(default)]
    once_by: Vec<String>,
    unconfirmed: Option<Unconfirmed>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum RawRequired {
    Word(String),
    At { at: Vec<String> },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawColumn {
    id: String,
    zh: String,
    en: String,
    kind: String,
    #[serde(default)]
    required: bool,
}

/// Positions of the things that [`check`] speaks about.
#[derive(Default)]
pub(super) struct Positions {
    at: BTreeMap<String, (String, usize)>,
}

impl Positions {
    fn put(&mut self, key: String, file: &str, line: usize) {
        self.at.entry(key).or_insert_with(|| (file.to_owned(), line));
    }

    /// An error about `key`, at its position or that of the thing that holds it.
    pub(super) fn error(&self, key: &str, reason: impl Into<String>) -> CatalogueError {
        let mut holder = key;
        loop {
            if let Some((file, line)) = self.at.get(holder) {
                let (file, line) = (file.clone(), *line);
                return CatalogueError { file, line, key: key.into(), reason: reason.into() };
            }
            match holder.rsplit_once('.') {
                Some((upper, _)) => holder = upper,
                None => {
                    return CatalogueError {
                        file: "catalogue".into(),
                        line: 0,
                        key: key.into(),
                        reason: reason.into(),
                    };
                }
            }
        }
    }
}

/// Line of a byte position, from 1.
pub(super) fn line_of(source: &str, at: usize) -> usize {
    1 + source.as_bytes().iter().take(at).filter(|byte| **byte == b'\n').count()
}

/// The name and version that a part states, without reading the rest.
///
/// # Errors
///
/// The TOML error with its line.
pub fn head(part: &Part) -> Result<(String, u32), CatalogueError> {
    #[derive(Deserialize)]
    struct Head {
        part: RawHead,
    }
    let head: Head = read(part)?;
    Ok((head.part.name, head.part.version))
}

fn read<T: serde::de::DeserializeOwned>(part: &Part) -> Result<T, CatalogueError> {
    if part.source.len() > limits::CATALOGUE_BYTES_MAX {
        return Err(CatalogueError {
            file: part.name.clone(),
            line: 1,
            key: "file".into(),
            reason: format!("larger than {} bytes", limits::CATALOGUE_BYTES_MAX),
        });
    }
    toml::from_str(&part.source).map_err(|error| CatalogueError {
        file: part.name.clone(),
        line: error.span().map_or(1, |span| line_of(&part.source, span.start)),
        key: "toml".into(),
        reason: error.message().to_owned(),
    })
}

/// Builds the catalogue of `parts` and proves that it is consistent.
///
/// # Errors
///
/// Everything that is wrong, each with file, line and key. A part that does not parse hides what it
/// would have declared, so mend those first.
pub fn parse(parts: &[Part]) -> Result<Catalogue, Vec<CatalogueError>> {
    let mut catalogue = Catalogue::default();
    let mut positions = Positions::default();
    let mut errors = Vec::new();
    for part in parts {
        match read::<RawPart>(part) {
            Ok(raw) => {
                let ends = part.source.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
                let ends = ends.map(|(at, _)| at).collect();
                let (positions, errors) = (&mut positions, &mut errors);
                let mut builder = Builder { part, ends, positions, errors };
                builder.add(raw, &mut catalogue);
            }
            Err(error) => errors.push(error),
        }
    }
    index_related(&mut catalogue);
    check::check(&catalogue, &positions, &mut errors);
    if errors.is_empty() { Ok(catalogue) } else { Err(errors) }
}

/// Marks the fields by which rules look rows up.
fn index_related(catalogue: &mut Catalogue) {
    let mut wanted: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for ledger in catalogue.ledgers.values() {
        for field in &ledger.fields {
            if matches!(field.kind, FieldKind::Ref(_)) {
                wanted.entry(ledger.id.clone()).or_default().insert(field.id.clone());
            }
        }
        let identity = ledger.identity.iter().cloned();
        wanted.entry(ledger.id.clone()).or_default().extend(identity);
        for uses in ledger.rules.iter().flat_map(|rule| rule.uses.values()) {
            if uses.by != "_id" && !uses.by.is_empty() {
                wanted.entry(uses.ledger.clone()).or_default().insert(uses.by.clone());
            }
            if uses.eq != "_id" {
                wanted.entry(ledger.id.clone()).or_default().insert(uses.eq.clone());
            }
        }
        for uses in ledger.boards.iter().flat_map(|board| board.uses.values()) {
            wanted.entry(uses.ledger.clone()).or_default().insert(uses.by.clone());
        }
    }
    for (ledger, fields) in wanted {
        if let Some(ledger) = catalogue.ledgers.get_mut(&ledger) {
            Arc::make_mut(ledger).indexed = fields;
        }
    }
}

struct Builder<'a> {
    part: &'a Part,
    /// Where the lines of its source end.
    ends: Vec<usize>,
    positions: &'a mut Positions,
    errors: &'a mut Vec<CatalogueError>,
}

impl Builder<'_> {
    fn mark<T>(&mut self, key: &str, spanned: &Spanned<T>) {
        let line = 1 + self.ends.partition_point(|end| *end < spanned.span().start);
        self.positions.put(key.to_owned(), &self.part.name, line);
    }

    fn fail(&mut self, key: &str, reason: impl Into<String>) {
        self.errors.push(self.positions.error(key, reason));
    }

    fn add(&mut self, raw: RawPart, catalogue: &mut Catalogue) {
        self.positions.put(raw.part.name.clone(), &self.part.name, 1);
        let hash = Hash(*blake3::hash(self.part.source.as_bytes()).as_bytes());
        let version = raw.part.version;
        if catalogue.parts.insert(raw.part.name.clone(), (version, hash)).is_some() {
            self.fail(&raw.part.name, "a second part of this name");
        }
        for (id, vocab) in raw.vocab {
            let values = vocab
                .values
                .into_iter()
                .map(|value| (value.id, Text { zh: value.zh, en: value.en }))
                .collect();
            let label = Text { zh: vocab.zh, en: vocab.en };
            let key = format!("{}.vocab.{id}", raw.part.name);
            if catalogue.vocabs.insert(id, Vocab { label, values }).is_some() {
                self.fail(&key, "declared twice");
            }
        }
        for (id, role) in raw.role {
            let label = Text { zh: role.zh, en: role.en };
            catalogue.roles.insert(id, Role { label, level: role.level });
        }
        for (id, param) in raw.param {
            let key = format!("param.{id}");
            self.mark(&key, &param);
            let param = self.param(id.clone(), &key, param.into_inner());
            if catalogue.params.insert(id, param).is_some() {
                self.fail(&key, "declared twice");
            }
        }
        for (id, ledger) in raw.ledger {
            let key = format!("ledger.{id}");
            self.mark(&key, &ledger);
            let ledger = self.ledger(&id, &key, version, ledger.into_inner());
            if catalogue.ledgers.insert(id, Arc::new(ledger)).is_some() {
                self.fail(&key, "declared twice");
            }
        }
        for (id, report) in raw.report {
            let Some(report) = self.report(&id, report) else { continue };
            if catalogue.reports.insert(id.clone(), report).is_some() {
                self.fail(&format!("report.{id}"), "declared twice");
            }
        }
        for chart in raw.chart {
            let key = format!("chart.{}", chart.get_ref().id);
            self.mark(&key, &chart);
            let chart = Chart::from(chart.into_inner());
            if catalogue.charts.iter().any(|known| known.id == chart.id) {
                self.fail(&key, "declared twice");
            }
            catalogue.charts.push(Arc::new(chart));
        }
    }

    fn param(&mut self, id: String, key: &str, raw: RawParam) -> Param {
        Param {
            id,
            label: Text { zh: raw.zh, en: raw.en },
            kind: self.kind(key, &raw.kind, Vec::new()),
            unit: Text { zh: raw.unit_zh, en: raw.unit_en },
            owner: raw.owner,
            localise: raw.localise,
            min: raw.min,
            max: raw.max,
            initial: raw.initial,
        }
    }

    fn kind(&mut self, key: &str, word: &str, columns: Vec<RawColumn>) -> FieldKind {
        let (name, of) = word.split_once(':').map_or((word, ""), |(name, of)| (name, of));
        if !columns.is_empty() && name != "log" {
            self.fail(key, "only a log has columns");
        }
        match (name, of) {
            ("attach", "") => FieldKind::Attach,
            ("bands", of @ ("" | "money" | ",money" | "money,money")) => FieldKind::Bands(Steps {
                from_money: of.starts_with("money"),
                figure_money: of.ends_with(",money"),
            }),
            ("bank_no", "") => FieldKind::BankNo,
            ("bool", "") => FieldKind::Bool,
            ("date", "") => FieldKind::Date,
            ("enum", vocab) if !vocab.is_empty() => FieldKind::Enum(vocab.to_owned()),
            ("id_no", "") => FieldKind::IdNo,
            ("int", "") => FieldKind::Int,
            ("log", "") => FieldKind::Log(self.columns(key, columns)),
            ("money", "") => FieldKind::Money,
            ("month", "") => FieldKind::Month,
            ("note", "") => FieldKind::Note,
            ("phone", "") => FieldKind::Phone,
            ("place", "") => FieldKind::Place,
            ("ref", ledger) if !ledger.is_empty() => FieldKind::Ref(ledger.to_owned()),
            ("set", vocab) if !vocab.is_empty() => FieldKind::Set(vocab.to_owned()),
            ("text", "") => FieldKind::Text,
            ("weights", vocab) if !vocab.is_empty() => FieldKind::Weights(vocab.to_owned()),
            ("year", "") => FieldKind::Year,
            _ => {
                self.fail(key, format!("unknown kind `{word}`"));
                FieldKind::Text
            }
        }
    }

    fn columns(&mut self, key: &str, raw: Vec<RawColumn>) -> Vec<LogColumn> {
        raw.into_iter()
            .map(|column| {
                let kind = self.kind(key, &column.kind, Vec::new());
                if matches!(kind, FieldKind::Attach | FieldKind::Log(_) | FieldKind::Set(_)) {
                    self.fail(key, format!("column {} must be a scalar", column.id));
                }
                LogColumn {
                    id: column.id,
                    label: Text { zh: column.zh, en: column.en },
                    kind,
                    required: column.required,
                }
            })
            .collect()
    }

    fn ledger(&mut self, id: &str, key: &str, version: u32, raw: RawLedger) -> Ledger {
        let lane = match (raw.slice, raw.urgent) {
            (SliceKind::Directive, _) => Lane::Directive,
            (SliceKind::Ledger, true) => Lane::Urgent,
            (SliceKind::Ledger, false) => Lane::Ordinary,
        };
        let fields: Vec<Field> =
            raw.field.into_iter().map(|field| self.field(key, field, raw.resolve)).collect();
        let indicators = raw
            .indicator
            .into_iter()
            .filter_map(|indicator| self.indicator(key, &fields, indicator))
            .collect();
        Ledger {
            id: id.to_owned(),
            version,
            label: Text { zh: raw.zh, en: raw.en },
            clause: raw.clause,
            scope: raw.scope,
            slice: raw.slice,
            lane,
            title: raw.title,
            business_date: raw.business_date,
            due: raw.due,
            fields,
            workflow: raw.workflow.map(|workflow| self.workflow(key, workflow)),
            forms: raw.form.into_iter().map(|form| self.form(key, form)).collect(),
            boards: raw.board.into_iter().filter_map(|board| self.board(key, board)).collect(),
            void_wins: raw.void_wins,
            identity: raw.identity,
            closed: raw.closed,
            rules: raw.rule.into_iter().filter_map(|rule| self.rule(key, rule)).collect(),
            indicators,
            indexed: BTreeSet::new(),
        }
    }

    fn field(&mut self, ledger: &str, raw: Spanned<RawField>, resolve: Level) -> Field {
        let key = format!("{ledger}.field.{}", raw.get_ref().id);
        self.mark(&key, &raw);
        let raw = raw.into_inner();
        let required = match raw.required {
            None => Required::No,
            Some(RawRequired::Word(word)) if word == "always" => Required::Always,
            Some(RawRequired::Word(word)) => {
                self.fail(&key, format!("required is `always` or {{ at = [..] }}, not `{word}`"));
                Required::No
            }
            Some(RawRequired::At { at }) => Required::At(at),
        };
        Field {
            kind: self.kind(&key, &raw.kind, raw.columns),
            id: raw.id,
            label: Text { zh: raw.zh, en: raw.en },
            help: Text { zh: raw.help_zh, en: raw.help_en },
            required,
            privacy: raw.privacy,
            write: raw.write,
            merge: raw.merge,
            resolve: raw.resolve.unwrap_or(resolve),
            sealed: raw.sealed,
            group: Text { zh: raw.group_zh, en: raw.group_en },
            headers: raw.headers,
            once_by: raw.once_by,
            unconfirmed: raw.unconfirmed,
        }
    }

    fn form(&mut self, ledger: &str, raw: Spanned<RawForm>) -> Form {
        self.mark(&format!("{ledger}.form.{}", raw.get_ref().id), &raw);
        let raw = raw.into_inner();
        Form {
            id: raw.id,
            label: Text { zh: raw.zh, en: raw.en },
            fields: raw.fields,
            tables: raw.tables,
            signatures: raw.signatures,
            public: raw.public,
        }
    }

    fn board(&mut self, ledger: &str, raw: Spanned<RawBoard>) -> Option<Arc<Board>> {
        let key = format!("{ledger}.board.{}", raw.get_ref().id);
        self.mark(&key, &raw);
        match raw.into_inner().read() {
            Ok(board) => Some(Arc::new(board)),
            Err(reason) => {
                self.fail(&key, reason);
                None
            }
        }
    }

    fn workflow(&mut self, ledger: &str, raw: Spanned<RawWorkflow>) -> Workflow {
        let key = format!("{ledger}.workflow");
        self.mark(&key, &raw);
        let raw = raw.into_inner();
        for step in &raw.transition {
            self.mark(&format!("{key}.{}", step.get_ref().to), step);
        }
        raw.into()
    }

    fn expression(&mut self, key: &str, source: Spanned<String>) -> Option<Expression> {
        self.mark(key, &source);
        match Expression::compile(source.get_ref()) {
            Ok(expression) => Some(expression),
            Err(reason) => {
                self.fail(key, reason);
                None
            }
        }
    }

    fn rule(&mut self, ledger: &str, raw: Spanned<RawRule>) -> Option<Arc<Rule>> {
        let key = format!("{ledger}.rule.{}", raw.get_ref().id);
        self.mark(&key, &raw);
        let raw = raw.into_inner();
        let assert = self.expression(&format!("{key}.assert"), raw.assert.clone())?;
        let applies = match raw.applies.clone() {
            Some(source) => Some(self.expression(&format!("{key}.applies"), source)?),
            None => None,
        };
        Some(Arc::new(raw.read(assert, applies)))
    }

    fn indicator(
        &mut self,
        ledger: &str,
        fields: &[Field],
        raw: Spanned<RawIndicator>,
    ) -> Option<Arc<Indicator>> {
        let key = format!("{ledger}.indicator.{}", raw.get_ref().id);
        self.mark(&key, &raw);
        let raw = raw.into_inner();
        let filter = self.expression(&format!("{key}.where"), raw.filter.clone())?;
        match raw.read(filter, fields) {
            Ok(indicator) => Some(Arc::new(indicator)),
            Err(reason) => {
                self.fail(&key, reason);
                None
            }
        }
    }

    fn report(&mut self, id: &str, raw: Spanned<RawReport>) -> Option<Arc<Report>> {
        let key = format!("report.{id}");
        self.mark(&key, &raw);
        match raw.into_inner().read(id) {
            Ok(report) => Some(Arc::new(report)),
            Err(reason) => {
                self.fail(&key, reason);
                None
            }
        }
    }
}

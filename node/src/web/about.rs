//! A ledger in plain words: what stands in it, who writes what and until when, which steps there are, what
//! is checked and counted, and on which clause each rests. An official reads the catalogue here.

use askama::Template;
use axum::extract::{Path, State};
use axum::response::Html;
use taizhang_core::catalogue::{
    Catalogue, Field, FieldKind, Ledger, Merge, Required, Rule, Severity, Text, Transition,
};
use taizhang_core::id::Level;

use super::Page;
use super::ledger::state_label;
use super::policy::Values;
use super::reading::ledger_of;
use super::shell::{Shell, Visitor, level_word};
use super::words::word;
use crate::driver::{Replica, clock};

struct FieldLine {
    group: String,
    label: String,
    kind: String,
    required: String,
    writers: String,
    meets: String,
    privacy: &'static str,
    help: String,
}

struct StepLine {
    from: String,
    label: String,
    to: String,
    by: String,
    needs: String,
}

struct RuleLine {
    id: String,
    class: &'static str,
    severity: &'static str,
    text: String,
    at: String,
    params: String,
}

#[derive(Template)]
#[template(path = "about.html")]
struct About {
    shell: Shell,
    id: String,
    label: String,
    clause: String,
    closed: bool,
    kept_at: String,
    due: String,
    fields: Vec<FieldLine>,
    steps: Vec<StepLine>,
    rules: Vec<RuleLine>,
    papers: Vec<String>,
    boards: Vec<(String, String)>,
    figures: Vec<String>,
}

/// Words for what the catalogue says.
struct Words<'a> {
    catalogue: &'a Catalogue,
    ledger: &'a Ledger,
    english: bool,
}

impl Words<'_> {
    fn t(&self, key: &'static str) -> &'static str {
        word(key, self.english)
    }

    fn of(&self, text: &Text) -> String {
        text.in_lang(self.english).to_owned()
    }

    fn list<T: AsRef<str>>(&self, parts: impl IntoIterator<Item = T>) -> String {
        let parts: Vec<T> = parts.into_iter().collect();
        let parts: Vec<&str> = parts.iter().map(AsRef::as_ref).collect();
        parts.join(if self.english { ", " } else { "、" })
    }

    fn levels(&self, levels: &[Level]) -> String {
        self.list(levels.iter().map(|level| level_word(*level, self.english)))
    }

    fn states(&self, ids: &[String]) -> String {
        self.list(ids.iter().map(|id| state_label(self.ledger, id, self.english)))
    }

    fn field(&self, id: &str) -> String {
        self.ledger.field(id).map_or_else(|| id.to_owned(), |field| self.of(&field.label))
    }

    fn choices(&self, key: &'static str, vocab: &str) -> String {
        let values = self.catalogue.vocabs.get(vocab).map(|vocab| &vocab.values);
        let labels = values.into_iter().flatten().map(|(_, label)| self.of(label));
        format!("{}: {}", self.t(key), self.list(labels))
    }

    fn kind(&self, kind: &FieldKind) -> String {
        let key = match kind {
            FieldKind::Enum(vocab) => return self.choices("about.one_of", vocab),
            FieldKind::Set(vocab) | FieldKind::Weights(vocab) => {
                return self.choices("about.some_of", vocab);
            }
            FieldKind::Log(columns) => {
                let heads = columns.iter().map(|column| self.of(&column.label));
                return format!("{}: {}", self.t("about.lines"), self.list(heads));
            }
            FieldKind::Ref(to) => {
                let to = self.catalogue.ledger(to).map(|to| self.of(&to.label));
                return format!("{}: {}", self.t("about.refers"), to.unwrap_or_default());
            }
            FieldKind::Attach => "about.files",
            FieldKind::BankNo | FieldKind::IdNo | FieldKind::Phone => "about.number_of",
            FieldKind::Bool => "about.yes_no",
            FieldKind::Date => "about.date",
            FieldKind::Bands(_) | FieldKind::Int => "about.number",
            FieldKind::Money => "about.money",
            FieldKind::Month => "about.month",
            FieldKind::Year => "about.year",
            FieldKind::Note | FieldKind::Text => "about.text",
            FieldKind::Place => "about.place",
        };
        self.t(key).to_owned()
    }

    fn meets(&self, field: &Field) -> String {
        let key = match field.merge {
            Merge::Conflict => {
                let by = level_word(field.resolve, self.english);
                return format!("{} {by}", self.t("about.decided"));
            }
            Merge::Fixed => "about.fixed",
            Merge::Latest => "about.latest",
            Merge::Log | Merge::Set => "about.both",
            Merge::Max => "about.greatest",
            Merge::Min => "about.least",
            Merge::Own => "about.own",
        };
        self.t(key).to_owned()
    }

    fn field_line(&self, field: &Field) -> FieldLine {
        FieldLine {
            group: self.of(&field.group),
            label: self.of(&field.label),
            kind: self.kind(&field.kind),
            required: match &field.required {
                Required::Always => self.t("about.always").to_owned(),
                Required::At(states) => {
                    format!("{} {}", self.t("about.before"), self.states(states))
                }
                Required::No => String::new(),
            },
            writers: self.levels(&field.write),
            meets: self.meets(field),
            privacy: self.t(match field.privacy {
                0 => "about.p0",
                1 => "about.p1",
                2 => "about.p2",
                _ => "about.p3",
            }),
            help: self.of(&field.help),
        }
    }

    fn step_line(&self, step: &Transition) -> StepLine {
        let mut needs = Vec::new();
        if !step.requires.is_empty() {
            needs.push(self.list(step.requires.iter().map(|id| self.field(id))));
        }
        let role = step.role.as_ref().and_then(|id| self.catalogue.roles.get(id));
        needs.extend(role.map(|role| self.of(&role.label)));
        for (holds, key) in [
            (step.reason, "about.reason"),
            (step.irrevocable, "about.final"),
            (step.office.is_some(), "about.office"),
            (step.number.is_some(), "about.gives_number"),
            (step.spend.is_some(), "about.spends"),
        ] {
            needs.extend(holds.then(|| self.t(key).to_owned()));
        }
        StepLine {
            from: self.states(&step.from),
            label: self.of(&step.label),
            to: state_label(self.ledger, &step.to, self.english),
            by: self.levels(&step.by),
            needs: self.list(needs),
        }
    }

    fn rule_line(&self, rule: &Rule, replica: &Replica) -> RuleLine {
        let (class, key) = match rule.severity {
            Severity::Block => ("bad", "about.blocks"),
            Severity::Violation => ("bad", "about.violation"),
            Severity::Warn => ("warn", "about.warning"),
        };
        let directives = replica.directives();
        let today = clock::now().date();
        let values = Values { catalogue: self.catalogue, english: self.english };
        let params = rule.params.iter().filter_map(|id| self.catalogue.params.get(id));
        let params = params.map(|param| {
            let value = directives.param(&param.id, replica.place(), today).value;
            format!("{} {}", self.of(&param.label), values.or_unset(param, value.as_ref()))
        });
        RuleLine {
            id: rule.id.clone(),
            class,
            severity: self.t(key),
            text: self.of(&rule.text),
            at: self.states(&rule.at),
            params: self.list(params),
        }
    }
}

/// What a ledger is, in plain words.
///
/// # Errors
///
/// [`super::PageError::NotFound`] for an unknown ledger.
pub async fn show(
    State(replica): State<Replica>,
    Path(id): Path<String>,
    visitor: Visitor,
) -> Page {
    let directives = replica.directives();
    let ledger = ledger_of(&directives, &id)?;
    let english = visitor.english;
    let words = Words { catalogue: &directives.catalogue, ledger, english };
    let steps = ledger.workflow.iter().flat_map(|workflow| &workflow.transitions);
    let due = ledger.due.as_ref().map(|due| words.field(&due.field));
    let page = About {
        shell: Shell::new(&replica, &visitor)?,
        label: words.of(&ledger.label),
        clause: ledger.clause.clone(),
        closed: ledger.closed,
        kept_at: words.levels(&ledger.scope),
        due: due.unwrap_or_default(),
        fields: ledger.fields.iter().map(|field| words.field_line(field)).collect(),
        steps: steps.map(|step| words.step_line(step)).collect(),
        rules: ledger.rules.iter().map(|rule| words.rule_line(rule, &replica)).collect(),
        papers: ledger.forms.iter().map(|form| words.of(&form.label)).collect(),
        boards: ledger
            .boards
            .iter()
            .map(|board| (format!("/boards/{id}/{}", board.id), words.of(&board.label)))
            .collect(),
        figures: ledger.indicators.iter().map(|one| words.of(&one.label)).collect(),
        id,
    };
    Ok(Html(page.render()?))
}

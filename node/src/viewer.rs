//! What of a field whoever looks may see: by level, by duty, and whether it was revealed (DOMAIN.md §5.2).

use taizhang_core::catalogue::{Field, FieldKind, Ledger};
use taizhang_core::id::Level;

use crate::account::Duty;

/// Who looks.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Viewer {
    /// Level of the office.
    pub level: Level,
    /// Duty of the account; none is whoever runs commands on the machine itself.
    pub duty: Option<Duty>,
    /// Whether this record was revealed, which the audit says.
    pub revealed: bool,
}

/// How much of a value shows.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Sight {
    /// All of it.
    Full,
    /// The ends of a number.
    Ends,
    /// The first character of a name.
    Initial,
    /// That there is a value.
    Hidden,
}

impl Viewer {
    /// Whoever runs commands on the machine of an office.
    pub fn machine(level: Level) -> Self {
        Self { level, duty: None, revealed: false }
    }

    /// How much of a field's values shows.
    pub fn sight(self, field: &Field) -> Sight {
        let number = matches!(field.kind, FieldKind::IdNo | FieldKind::BankNo);
        if self.level == Level::City {
            return match field.privacy {
                0 => Sight::Full,
                1 if field.kind == FieldKind::Text => Sight::Initial,
                _ => Sight::Hidden,
            };
        }
        // The whole account number is for those who pay (DOMAIN.md §5.2).
        if field.kind == FieldKind::BankNo {
            return match self.duty {
                Some(Duty::Administrator | Duty::Inspector) => Sight::Hidden,
                Some(_) if self.revealed && self.level == Level::County => Sight::Full,
                _ => Sight::Ends,
            };
        }
        match (self.duty, field.privacy) {
            (_, 0 | 1) if !number => Sight::Full,
            (Some(Duty::Administrator), _) | (Some(Duty::Inspector), 3..) => Sight::Hidden,
            (Some(Duty::Inspector), _) if number => Sight::Ends,
            (Some(Duty::Clerk | Duty::Reviewer), _) if self.revealed => Sight::Full,
            (Some(Duty::Clerk | Duty::Reviewer), 3..) if self.level != Level::Village => {
                Sight::Hidden
            }
            _ if number => Sight::Ends,
            _ => Sight::Full,
        }
    }

    /// A record's title as far as its first part shows.
    pub fn title(self, text: &str, ledger: &Ledger) -> String {
        let first = ledger.title.first().and_then(|id| ledger.field(id));
        let first = first.filter(|one| matches!(one.kind, FieldKind::Text | FieldKind::Ref(_)));
        match first.map_or(Sight::Full, |field| self.sight(field)) {
            Sight::Full => text.to_owned(),
            _ => text.chars().next().map(|first| format!("{first}**")).unwrap_or_default(),
        }
    }

    /// Whether revealing a record would show more of a field.
    pub fn may_reveal(self, field: &Field) -> bool {
        let more = Self { revealed: true, ..self };
        !self.revealed && more.sight(field) != self.sight(field)
    }
}

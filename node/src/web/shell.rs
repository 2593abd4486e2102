//! What every page shows: place, menu, badge, language, person.

use axum::extract::FromRequestParts;
use axum::http::{header, request::Parts};
use taizhang_core::directives::Directives;
use taizhang_core::feed::entry::Person;
use taizhang_core::id::{Level, PlaceId};

use super::PageError;
use super::words::word;
use crate::driver::Replica;
use crate::status::{Badge, BadgeState};

/// What the browser remembers: language and person.
#[derive(Clone, Debug, Default)]
pub struct Visitor {
    /// English instead of Chinese.
    pub english: bool,
    /// Person and role as claimed.
    pub person: Person,
    /// The page asked for.
    pub path: String,
}

/// Reads one cookie.
fn cookie(parts: &Parts, name: &str) -> Option<String> {
    let all = parts.headers.get(header::COOKIE)?.to_str().ok()?;
    let found = all.split(';').find_map(|one| one.trim().strip_prefix(name)?.strip_prefix('='))?;
    let bytes = taizhang_core::id::unhex(found)?;
    String::from_utf8(bytes).ok()
}

/// A cookie that carries any text.
pub fn set_cookie(name: &str, value: &str) -> String {
    let value = taizhang_core::id::hex(value.as_bytes());
    format!("{name}={value}; Path=/; SameSite=Strict; HttpOnly; Max-Age=31536000")
}

impl<S: Send + Sync> FromRequestParts<S> for Visitor {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        Ok(Self {
            english: cookie(parts, "lang").as_deref() == Some("en"),
            person: Person {
                name: cookie(parts, "person").unwrap_or_default(),
                role: cookie(parts, "role").unwrap_or_default(),
            },
            path: parts.uri.path().to_owned(),
        })
    }
}

/// The frame of a page.
pub struct Shell {
    /// Language of the page.
    pub lang: &'static str,
    /// The other language.
    pub other_lang: &'static str,
    /// Place by name.
    pub place: String,
    /// Whether the office has children.
    pub is_hub: bool,
    /// Whether the office has a parent.
    pub has_parent: bool,
    /// State of the badge, as a class.
    pub badge_class: &'static str,
    /// State as a word.
    pub badge_word: String,
    /// State as a sign: never colour alone.
    pub badge_icon: &'static str,
    /// Counts and ages.
    pub badge_detail: String,
    /// Last successful contact.
    pub last_contact: String,
    /// Who acts.
    pub person: String,
    /// This page.
    pub path: String,
    /// English.
    pub english: bool,
}

impl Shell {
    /// Makes the frame for a visitor.
    ///
    /// # Errors
    ///
    /// If the store cannot be read.
    pub fn new(replica: &Replica, visitor: &Visitor) -> Result<Self, PageError> {
        let badge = replica.badge()?;
        let directives = replica.directives();
        let english = visitor.english;
        let (badge_class, badge_icon) = match badge.state {
            BadgeState::Attention => ("attention", "!"),
            BadgeState::Offline => ("offline", "–"),
            BadgeState::Pending => ("pending", "↑"),
            BadgeState::Synced => ("synced", "✓"),
            BadgeState::Syncing => ("syncing", "⇅"),
        };
        Ok(Self {
            lang: if english { "en" } else { "zh-CN" },
            other_lang: if english { "zh" } else { "en" },
            place: directives.tree.full_name(replica.place()),
            is_hub: replica.identity().authority.is_some(),
            has_parent: badge.has_parent,
            badge_class,
            badge_word: word(&format!("badge.{badge_class}"), english).to_owned(),
            badge_icon,
            badge_detail: badge_detail(&badge, english),
            last_contact: match badge.last_contact.0 {
                0 => word("badge.never", english).to_owned(),
                _ => format!(
                    "{} ({})",
                    Replica::ago(badge.last_contact, english),
                    badge.last_contact.local_text()
                ),
            },
            person: visitor.person.name.clone(),
            path: visitor.path.clone(),
            english,
        })
    }

    /// A text of the page.
    pub fn t<'a>(&self, key: &'a str) -> &'a str {
        word(key, self.english)
    }
}

fn badge_detail(badge: &Badge, english: bool) -> String {
    let t = |key| word(key, english);
    let mut parts = Vec::new();
    if badge.remaining > 0 {
        parts.push(format!("{} {} {}", t("badge.remaining"), badge.remaining, t("badge.items")));
    }
    if badge.pending.entries > 0 {
        parts.push(format!(
            "{} {} {}, {} {}",
            t("badge.pending"),
            badge.pending.entries,
            t("badge.items"),
            t("badge.oldest"),
            Replica::ago(badge.pending.oldest, english)
        ));
    }
    if badge.conflicts > 0 {
        parts.push(format!("{} {}", t("home.conflicts"), badge.conflicts));
    }
    if badge.parked > 0 {
        parts.push(format!("{} {}", t("home.parked"), badge.parked));
    }
    if badge.skew_ms.abs() > taizhang_core::limits::CLOCK_SKEW_MS {
        parts.push(t("badge.clock").to_owned());
    }
    parts.join(" · ")
}

/// A place's own name.
pub fn place_name(directives: &Directives, place: PlaceId) -> String {
    directives.tree.place(place).map(|place| place.name().to_owned()).unwrap_or_default()
}

/// A level as a word.
pub fn level_word(level: Level, english: bool) -> &'static str {
    match level {
        Level::Village => word("record.village", english),
        Level::Township => word("record.township", english),
        Level::County => word("record.county", english),
        Level::City => word("record.city", english),
    }
}

//! What every page shows: place, menu, badge, language, person.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::{HeaderMap, header, request::Parts};
use taizhang_core::directives::Directives;
use taizhang_core::feed::entry::Person;
use taizhang_core::id::{Level, PlaceId};

use super::PageError;
use super::access::Need;
use super::words::word;
use crate::account::{Duty, Session};
use crate::driver::Replica;
use crate::status::{Badge, BadgeState};
use crate::viewer::Viewer;

/// Who looks at a page, and how.
#[derive(Clone, Debug, Default)]
pub struct Visitor {
    /// English instead of Chinese.
    pub english: bool,
    /// Person and role of the account.
    pub person: Person,
    /// The page asked for.
    pub path: String,
    session: Option<Arc<Session>>,
}

impl Visitor {
    /// Somebody without an account.
    pub fn stranger(english: bool) -> Self {
        Self { english, ..Self::default() }
    }

    /// Login of the account; empty before sign-in.
    pub fn login(&self) -> &str {
        self.session.as_ref().map(|session| session.account.login.as_str()).unwrap_or_default()
    }

    /// Duty of the account.
    pub fn duty(&self) -> Option<Duty> {
        self.session.as_ref().map(|session| session.account.duty)
    }

    /// The word that every form carries.
    pub fn csrf(&self) -> &str {
        self.session.as_ref().map(|session| session.csrf.as_str()).unwrap_or_default()
    }

    /// What this visitor may see of fields at a replica.
    pub fn viewer(&self, replica: &Replica) -> Viewer {
        let level = replica.identity().checked.name.level();
        // Without a session nothing sensitive shows.
        let duty = self.duty().or(Some(Duty::Administrator));
        Viewer { level, duty, revealed: false, inspects: false }
    }

    /// The same before a record of a place: an inspector sees by the rounds that run.
    ///
    /// # Errors
    ///
    /// If the store cannot be read.
    pub fn viewer_at(&self, replica: &Replica, place: PlaceId) -> Result<Viewer, PageError> {
        let viewer = self.viewer(replica);
        Ok(viewer.at(place, &super::inspection::scope_of(replica, viewer)?))
    }

    /// Whether the account may do that with records of a ledger.
    pub fn may_in(&self, need: Need, replica: &Replica, ledger: &str) -> bool {
        let level = replica.identity().checked.name.level();
        self.duty().is_some_and(|duty| need.allows_in(duty, level, ledger))
    }

    /// Whether the account may do what a need names.
    pub fn may(&self, need: Need, replica: &Replica) -> bool {
        let level = replica.identity().checked.name.level();
        self.duty().is_some_and(|duty| need.allows(duty, level))
    }
}

/// Reads one cookie.
pub(super) fn cookie(headers: &HeaderMap, name: &str) -> Option<String> {
    let all = headers.get(header::COOKIE)?.to_str().ok()?;
    let found = all.split(';').find_map(|one| one.trim().strip_prefix(name)?.strip_prefix('='))?;
    let bytes = taizhang_core::id::unhex(found)?;
    String::from_utf8(bytes).ok()
}

/// A path of this site to go on to; the first page if it is anything else. Browsers read `\\` as `/`.
pub(super) fn onward(path: &str) -> &str {
    let local = path.starts_with('/') && !path.starts_with("//");
    let plain = path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    if local && plain { path } else { "/" }
}

/// Whether the browser asked for English.
pub(super) fn is_english(headers: &HeaderMap) -> bool {
    cookie(headers, "lang").as_deref() == Some("en")
}

/// A cookie that carries any text.
pub fn set_cookie(name: &str, value: &str) -> String {
    let value = taizhang_core::id::hex(value.as_bytes());
    format!("{name}={value}; Path=/; SameSite=Strict; HttpOnly; Max-Age=31536000")
}

impl<S: Send + Sync> FromRequestParts<S> for Visitor {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        let session = parts.extensions.get::<Arc<Session>>().cloned();
        Ok(Self {
            english: is_english(&parts.headers),
            person: session.as_ref().map(|one| one.account.person()).unwrap_or_default(),
            path: parts.uri.path().to_owned(),
            session,
        })
    }
}

/// The frame of a page before sign-in.
pub struct Frame {
    /// Language of the page.
    pub lang: &'static str,
    /// The other language.
    pub other_lang: &'static str,
    /// Place by name.
    pub place: String,
    /// This page.
    pub path: String,
    /// English.
    pub english: bool,
}

impl Frame {
    /// Makes the frame.
    pub fn new(replica: &Replica, visitor: &Visitor) -> Self {
        let english = visitor.english;
        Self {
            lang: if english { "en" } else { "zh-CN" },
            other_lang: if english { "zh" } else { "en" },
            place: replica.directives().tree.full_name(replica.place()),
            path: visitor.path.clone(),
            english,
        }
    }

    /// A text of the page.
    pub fn t<'a>(&self, key: &'a str) -> &'a str {
        word(key, self.english)
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
    /// The word that every form carries.
    pub csrf: String,
    /// Whether rounds of inspection are for this account.
    pub may_inspect: bool,
    /// Whether the page about the network is for this account.
    pub may_office: bool,
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
            csrf: visitor.csrf().to_owned(),
            may_inspect: visitor.may(Need::Inspect, replica),
            may_office: visitor.may(Need::Office, replica),
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

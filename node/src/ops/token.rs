//! Requests about tokens of other systems, and their use.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use taizhang_core::id::hex;
use taizhang_core::time::UtcMillis;

use super::{OpsError, find_place};
use crate::account::{Duty, NAME_CHARS_MAX, SEEN_STEP_MS};
use crate::driver::{Replica, clock};
use crate::engine::command::{CommandError, refuse};
use crate::token::{DAYS_MAX, FIGURES, METRICS, SECRET_MARK, TOKENS_MAX, Token, secret_hash};

const DAY_MS: i64 = 86_400_000;

/// A new token, as a person asks for it.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct NewToken {
    /// What people call it.
    pub name: String,
    /// `figures`, `metrics` and ids of ledgers, separated by commas.
    pub scope: String,
    /// The place whose subtree it may read, by id or code; the own one if empty.
    #[serde(default)]
    pub place: String,
    /// The duty with whose eyes it sees fields.
    pub duty: Duty,
    /// Days until it holds no longer.
    pub days: i64,
}

/// What can be asked of tokens.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "snake_case", tag = "what")]
pub enum TokenRequest {
    /// All of them, without secrets.
    List,
    /// Make one; its secret is told this once.
    Add(NewToken),
    /// Let one hold no longer.
    Withdraw {
        /// Which.
        name: String,
    },
}

impl Replica {
    /// Answers a request about tokens; `by` is whoever asks, for the audit.
    ///
    /// # Errors
    ///
    /// [`OpsError`]: the refusal.
    pub async fn tokens(&self, request: TokenRequest, by: &str) -> Result<Value, OpsError> {
        Ok(match request {
            TokenRequest::List => {
                json!({"rows": self.readers().with(|reader| reader.tokens())?})
            }
            TokenRequest::Add(new) => {
                let token = self.checked_token(&new)?;
                let (name, expires) = (token.name.clone(), token.expires.local_text());
                let secret = self.add_token(token, by).await?;
                json!({"added": name, "token": secret, "expires": expires})
            }
            TokenRequest::Withdraw { name } => {
                self.withdraw_token(&name, by).await?;
                json!({"withdrawn": name})
            }
        })
    }

    fn checked_token(&self, new: &NewToken) -> Result<Token, CommandError> {
        let name = new.name.trim().to_owned();
        let length = name.chars().count();
        if length == 0 || length > NAME_CHARS_MAX || name.chars().any(char::is_control) {
            return refuse(
                format!("名称应为1至{NAME_CHARS_MAX}个字符"),
                format!("a name has 1 to {NAME_CHARS_MAX} characters"),
            );
        }
        let directives = self.directives();
        let words = new.scope.split(',').map(str::trim).filter(|word| !word.is_empty());
        let scope: BTreeSet<String> = words.map(str::to_owned).collect();
        let known = |word: &str| {
            let ledger = directives.catalogue.ledgers_for_people().find(|one| one.id == word);
            word == FIGURES || word == METRICS || ledger.is_some_and(|one| !one.closed)
        };
        if scope.is_empty() {
            return refuse("请填写范围", "give a scope");
        }
        if let Some(unknown) = scope.iter().find(|word| !known(word)) {
            return refuse(
                format!("范围「{unknown}」应为 figures、metrics 或已开放的台账"),
                format!("`{unknown}` is not figures, metrics or an open ledger"),
            );
        }
        let place = match new.place.trim() {
            "" => self.place(),
            text => find_place(&directives, text)
                .or_else(|_| refuse(format!("没有区划{text}"), format!("no place {text}")))?,
        };
        if !directives.tree.is_above_or_same(self.place(), place) {
            return refuse("令牌只能用于本单位及其下级", "a token is for this office and below");
        }
        if scope.contains(METRICS) && place != self.place() {
            return refuse("metrics 只能用于本单位", "metrics are of this office only");
        }
        if !(1..=DAYS_MAX).contains(&new.days) {
            return refuse(
                format!("有效期应为1至{DAYS_MAX}天"),
                format!("a token holds 1 to {DAYS_MAX} days"),
            );
        }
        let now = clock::now();
        Ok(Token {
            name,
            scope,
            place,
            duty: new.duty,
            created: now,
            expires: now.plus(new.days * DAY_MS),
            withdrawn: false,
            used: UtcMillis(0),
        })
    }

    /// Makes the secret of a token; only its hash is kept.
    async fn add_token(&self, token: Token, by: &str) -> Result<String, CommandError> {
        let mut bytes = [0; 32];
        crate::driver::machine::chance()(&mut bytes);
        let secret = format!("{SECRET_MARK}{}", hex(&bytes));
        let (hash, by) = (secret_hash(&secret), by.to_owned());
        self.run(move |engine, now| {
            if engine.store.token_count(now)? >= TOKENS_MAX as u64 {
                return refuse("令牌过多,请先撤销不用的", "too many tokens; withdraw unused ones");
            }
            if !engine.store.put_token(hash, &token)? {
                return refuse(
                    format!("名称 {} 已被使用", token.name),
                    format!("the name {} is taken", token.name),
                );
            }
            let scope = token.scope.iter().map(String::as_str).collect::<Vec<_>>().join(",");
            let (name, duty) = (&token.name, token.duty.word());
            let text = format!("{name} for {scope} of {} as {duty}, by {by}", token.place);
            Ok(engine.store.audit("token made", &text, now)?)
        })
        .await?;
        Ok(secret)
    }

    async fn withdraw_token(&self, name: &str, by: &str) -> Result<(), CommandError> {
        let (name, by) = (name.to_owned(), by.to_owned());
        self.run(move |engine, now| {
            if !engine.store.withdraw_token(&name, now)? {
                return refuse(
                    format!("没有有效的令牌 {name}"),
                    format!("there is no token {name} to withdraw"),
                );
            }
            Ok(engine.store.audit("token withdrawn", &format!("{name}, by {by}"), now)?)
        })
        .await
    }

    /// The token of a secret, if it holds. The first use on a day of one that reads records is written
    /// down before anything is read.
    ///
    /// # Errors
    ///
    /// If the store fails.
    pub async fn use_token(&self, secret: &str) -> Result<Option<Token>, OpsError> {
        let (hash, now) = (secret_hash(secret), clock::now());
        let found = self.readers().with(|reader| reader.token(hash))?;
        let Some(token) = found.filter(|token| token.holds(now)) else { return Ok(None) };
        if token.is_personal() && token.used.date() != now.date() {
            let name = token.name.clone();
            self.run(move |engine, now| {
                if engine.store.touch_token(hash, now)? {
                    engine.store.audit("token used", &name, now)?;
                }
                Ok(())
            })
            .await?;
        } else if now.since(token.used) > SEEN_STEP_MS {
            self.later(move |engine, now| engine.store.touch_token(hash, now).map(|_| ()));
        }
        Ok(Some(token))
    }
}

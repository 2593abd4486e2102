//! Requests about accounts, and sign-in. Passwords are hashed outside of the engine's thread.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use taizhang_core::catalogue::Text;
use taizhang_core::id::{Level, hex};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::OpsError;
use crate::account::{
    Account, Duty, NAME_CHARS_MAX, PASSWORD_CHARS_MAX, PASSWORD_CHARS_MIN, SEEN_STEP_MS, Session,
    hash_password, is_password, token_hash,
};
use crate::driver::{Replica, clock};
use crate::engine::command::{CommandError, refuse};

/// A new account, as a person asks for it.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct NewAccount {
    /// What is typed at sign-in.
    pub login: String,
    /// The person's name.
    pub name: String,
    /// A role of the catalogue at this level; empty for administrators and inspectors.
    #[serde(default)]
    pub role: String,
    /// What for.
    pub duty: Duty,
    /// The first password.
    pub password: String,
}

/// What can be asked of accounts.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "snake_case", tag = "what")]
pub enum AccountRequest {
    /// All of them, without passwords.
    List,
    /// Open one.
    Add(NewAccount),
    /// Give one a new password, and end its sessions.
    Reset {
        /// Whose.
        login: String,
        /// The password.
        password: String,
    },
    /// Close one, or open it again.
    Disable {
        /// Whose.
        login: String,
        /// Whether it is closed.
        disabled: bool,
    },
}

/// What a browser gets at sign-in.
#[derive(Clone, Debug)]
pub struct SignedIn {
    /// The session's secret, for the cookie.
    pub token: String,
}

fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    crate::driver::machine::chance()(&mut bytes);
    bytes
}

/// Checks of passwords that wait for their turn at most; more are sent away.
const CHECKS_WAITING_MAX: usize = 16;

/// Passwords are hashed one after the other: a check costs 19 MiB, and counts before the next one begins.
pub struct Passwords {
    room: Arc<Semaphore>,
    turn: Arc<Semaphore>,
}

/// A turn; it goes with the work, which goes on when whoever asked for it has gone.
type Turn = (OwnedSemaphorePermit, OwnedSemaphorePermit);

impl Default for Passwords {
    fn default() -> Self {
        let room = Arc::new(Semaphore::new(CHECKS_WAITING_MAX));
        Self { room, turn: Arc::new(Semaphore::new(1)) }
    }
}

impl Passwords {
    /// The turn to check one, unless too many wait for theirs.
    async fn turn(&self) -> Result<Turn, CommandError> {
        let busy = |_| {
            CommandError::Busy(Text {
                zh: "正在登录的人过多,请稍后再试".into(),
                en: "too many are signing in; try again in a moment".into(),
            })
        };
        let room = self.room.clone().try_acquire_owned().map_err(busy)?;
        let turn = self.turn.clone().acquire_owned().await.or_else(|error| unhashed(&error))?;
        Ok((room, turn))
    }

    /// The hash of a new one.
    async fn hash(&self, password: String) -> Result<String, CommandError> {
        let length = password.chars().count();
        if !(PASSWORD_CHARS_MIN..=PASSWORD_CHARS_MAX).contains(&length) {
            return refuse(
                format!("口令应为{PASSWORD_CHARS_MIN}至{PASSWORD_CHARS_MAX}个字符"),
                format!("a password has {PASSWORD_CHARS_MIN} to {PASSWORD_CHARS_MAX} characters"),
            );
        }
        let turn = self.turn.clone().acquire_owned().await.or_else(|error| unhashed(&error))?;
        let work = tokio::task::spawn_blocking(move || {
            let hash = hash_password(&password, random());
            drop(turn);
            hash
        });
        work.await.or_else(|error| unhashed(&error))
    }
}

fn unhashed<T>(error: &dyn std::error::Error) -> Result<T, CommandError> {
    refuse("口令无法处理", error.to_string())
}

impl Replica {
    /// Answers a request about accounts.
    ///
    /// # Errors
    ///
    /// [`OpsError`]: the refusal.
    pub async fn account(&self, request: AccountRequest) -> Result<Value, OpsError> {
        Ok(match request {
            AccountRequest::List => {
                json!({"rows": self.readers().with(|reader| reader.accounts())?})
            }
            AccountRequest::Add(new) => {
                let login = new.login.trim().to_owned();
                self.add_accounts(vec![new], false).await?;
                json!({"added": login})
            }
            AccountRequest::Reset { login, password } => {
                self.reset_password(&login, password).await?;
                json!({"reset": login})
            }
            AccountRequest::Disable { login, disabled } => {
                self.disable_account(&login, disabled).await?;
                json!({"login": login, "disabled": disabled})
            }
        })
    }

    fn checked(&self, new: &NewAccount) -> Result<Account, CommandError> {
        let (login, name) = (new.login.trim().to_owned(), new.name.trim().to_owned());
        for text in [&login, &name] {
            let length = text.chars().count();
            if length == 0 || length > NAME_CHARS_MAX || text.chars().any(char::is_control) {
                return refuse(
                    format!("登录名和姓名应为1至{NAME_CHARS_MAX}个字符"),
                    format!("login and name have 1 to {NAME_CHARS_MAX} characters"),
                );
            }
        }
        let writes = matches!(new.duty, Duty::Clerk | Duty::Reviewer);
        let role = if writes { new.role.clone() } else { new.duty.word().to_owned() };
        if writes && !self.roles().iter().any(|(id, _)| *id == role) {
            return refuse("请选择本级的岗位", "choose a role of this level");
        }
        Ok(Account {
            login,
            name,
            role,
            duty: new.duty,
            password: String::new(),
            failures: 0,
            locked_until: taizhang_core::time::UtcMillis(0),
            disabled: false,
        })
    }

    /// Roles of this office's level: id, and names in Chinese and English.
    pub fn roles(&self) -> Vec<(String, Text)> {
        let level: Level = self.identity().checked.name.level();
        let directives = self.directives();
        let roles = directives.catalogue.roles.iter().filter(|(_, role)| role.level == level);
        roles.map(|(id, role)| (id.clone(), role.label.clone())).collect()
    }

    /// Whether nobody has an account yet.
    ///
    /// # Errors
    ///
    /// If the store cannot be read.
    pub fn needs_set_up(&self) -> Result<bool, OpsError> {
        Ok(self.readers().with(|reader| reader.accounts())?.is_empty())
    }

    /// Opens accounts, all or none; `first` only if there is none yet.
    ///
    /// # Errors
    ///
    /// If a login is taken, a role is not of this level, or a password is too short.
    pub async fn add_accounts(
        &self,
        new: Vec<NewAccount>,
        first: bool,
    ) -> Result<(), CommandError> {
        let mut accounts = Vec::with_capacity(new.len());
        for one in new {
            let mut account = self.checked(&one)?;
            account.password = self.passwords().hash(one.password).await?;
            accounts.push(account);
        }
        self.run(move |engine, now| {
            if first && engine.store.account_count()? > 0 {
                return refuse("本节点已有账号,请登录", "this replica has accounts; sign in");
            }
            for account in &accounts {
                if !engine.store.put_account(account, now)? {
                    return refuse(
                        format!("登录名 {} 已被使用", account.login),
                        format!("the login {} is taken", account.login),
                    );
                }
                let text = format!("{} as {}", account.login, account.duty.word());
                engine.store.audit("account opened", &text, now)?;
            }
            Ok(())
        })
        .await
    }

    /// Gives an account a new password.
    ///
    /// # Errors
    ///
    /// If there is no such account, or the password is too short.
    pub async fn reset_password(&self, login: &str, password: String) -> Result<(), CommandError> {
        let (login, password) = (login.to_owned(), self.passwords().hash(password).await?);
        self.run(move |engine, now| {
            if !engine.store.set_password(&login, &password)? {
                return refuse(format!("没有账号 {login}"), format!("there is no account {login}"));
            }
            Ok(engine.store.audit("password set", &login, now)?)
        })
        .await
    }

    /// Changes the own password.
    ///
    /// # Errors
    ///
    /// If the present one is wrong, or the new one too short.
    pub async fn change_password(
        &self,
        login: &str,
        present: String,
        new: String,
    ) -> Result<(), CommandError> {
        self.verified(login, present).await?;
        self.reset_password(login, new).await
    }

    async fn disable_account(&self, login: &str, disabled: bool) -> Result<(), CommandError> {
        let login = login.to_owned();
        self.run(move |engine, now| {
            if !engine.store.disable_account(&login, disabled, now)? {
                return refuse(format!("没有账号 {login}"), format!("there is no account {login}"));
            }
            let kind = if disabled { "account closed" } else { "account opened again" };
            Ok(engine.store.audit(kind, &login, now)?)
        })
        .await
    }

    /// The account if the password is right; a wrong one is noted, and looks like an unknown login.
    async fn verified(&self, login: &str, password: String) -> Result<Account, CommandError> {
        let login = login.trim().to_owned();
        let long = |text: &str, most: usize| text.chars().nth(most).is_some();
        if long(&login, NAME_CHARS_MAX) || long(&password, PASSWORD_CHARS_MAX) {
            // No account has such a one.
            return self.sign_in_refused(None).await;
        }
        // A locked account takes nobody's turn.
        self.unlocked(&login)?;
        let turn = self.passwords().turn().await?;
        // What others tried meanwhile counts.
        let found = self.unlocked(&login)?;
        let kept = found.as_ref().map(|one| one.password.clone()).unwrap_or_default();
        let work = tokio::task::spawn_blocking(move || (is_password(&password, &kept), turn));
        // The turn ends when a wrong one is written down.
        let (right, _turn) = work.await.map_or((false, None), |(right, turn)| (right, Some(turn)));
        match found {
            Some(account) if right && !account.disabled => Ok(account),
            other => self.sign_in_refused(other.map(|account| account.login)).await,
        }
    }

    /// The account of a login, if there is one.
    fn unlocked(&self, login: &str) -> Result<Option<Account>, CommandError> {
        let found = self.readers().with(|reader| reader.account(login))?;
        let now = clock::now();
        let Some(locked) = found.as_ref().filter(|account| account.locked_until > now) else {
            return Ok(found);
        };
        let minutes = locked.locked_until.since(now) / 60_000 + 1;
        refuse(
            format!("口令多次错误,账号已锁定,请{minutes}分钟后再试,或请管理员重设"),
            format!(
                "locked after wrong passwords; try again in {minutes} minutes, or ask the administrator"
            ),
        )
    }

    /// Notes a wrong password. What was typed as a login that nobody has may be a password, and stands nowhere.
    async fn sign_in_refused(&self, login: Option<String>) -> Result<Account, CommandError> {
        self.run(move |engine, now| {
            if let Some(login) = &login {
                engine.store.note_failure(login, now)?;
            }
            let text = login.as_deref().unwrap_or("unknown login");
            Ok(engine.store.audit_refusal("sign-in refused", text, now)?)
        })
        .await?;
        refuse("登录名或口令不对", "the login or the password is wrong")
    }

    /// Opens a session.
    ///
    /// # Errors
    ///
    /// If login or password is wrong, or the account is locked.
    pub async fn sign_in(&self, login: &str, password: String) -> Result<SignedIn, CommandError> {
        let account = self.verified(login, password).await?;
        let (token, csrf) = (hex(&random::<32>()), hex(&random::<16>()));
        let hash = token_hash(&token);
        self.run(move |engine, now| {
            engine.store.put_session(hash, &account.login, &csrf, now)?;
            Ok(engine.store.audit("signed in", &account.login, now)?)
        })
        .await?;
        Ok(SignedIn { token })
    }

    /// Ends a session.
    ///
    /// # Errors
    ///
    /// If the store fails.
    pub async fn sign_out(&self, token: &str) -> Result<(), CommandError> {
        let hash = token_hash(token);
        self.run(move |engine, _| Ok(engine.store.end_session(hash)?)).await
    }

    /// The session of a cookie, if it holds; what a person asks for prolongs it.
    ///
    /// # Errors
    ///
    /// If the store cannot be read.
    pub fn session(&self, token: &str, prolongs: bool) -> Result<Option<Session>, OpsError> {
        let (hash, now) = (token_hash(token), clock::now());
        let found = self.readers().with(|reader| reader.session(hash))?;
        let found = found.filter(|session| session.holds(now));
        if prolongs
            && found.as_ref().is_some_and(|session| now.since(session.seen).abs() > SEEN_STEP_MS)
        {
            self.later(move |engine, now| engine.store.touch_session(hash, now));
        }
        Ok(found)
    }
}

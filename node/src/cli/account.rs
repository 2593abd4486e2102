//! `account`: who may use the pages, for whoever has the machine.

use clap::{Args, Subcommand};

use crate::account::Duty;
use crate::ops::Request;
use crate::ops::account::{AccountRequest, NewAccount};

/// Commands on accounts.
#[derive(Clone, Debug, Subcommand)]
pub enum AccountCommand {
    /// All accounts / 列表
    List,
    /// Open one / 新增
    Add(AddArgs),
    /// Give one a new password / 重设口令
    Reset {
        /// Login.
        login: String,
        /// The password; from the environment it stays out of the shell's history.
        #[arg(long, env = "TAIZHANG_PASSWORD", hide_env_values = true)]
        password: String,
    },
    /// Close one / 停用
    Close {
        /// Login.
        login: String,
    },
    /// Open a closed one again / 恢复
    Reopen {
        /// Login.
        login: String,
    },
}

/// A new account.
#[derive(Args, Clone, Debug)]
pub struct AddArgs {
    /// Login / 登录名
    pub login: String,
    /// The person's name / 姓名
    #[arg(long)]
    pub name: String,
    /// administrator, clerk, inspector or reviewer / 职责
    #[arg(long, value_parser = duty)]
    pub duty: Duty,
    /// Role of the catalogue, for clerks and reviewers / 岗位
    #[arg(long, default_value = "")]
    pub post: String,
    /// The first password / 口令
    #[arg(long, env = "TAIZHANG_PASSWORD", hide_env_values = true)]
    pub password: String,
}

pub(super) fn duty(text: &str) -> Result<Duty, String> {
    Duty::of_word(text).ok_or_else(|| "administrator, clerk, inspector or reviewer".into())
}

impl AccountCommand {
    /// The request that a command means.
    pub fn request(self) -> Request {
        let ask = match self {
            Self::List => AccountRequest::List,
            Self::Add(one) => AccountRequest::Add(NewAccount {
                login: one.login,
                name: one.name,
                role: one.post,
                duty: one.duty,
                password: one.password,
            }),
            Self::Reset { login, password } => AccountRequest::Reset { login, password },
            Self::Close { login } => AccountRequest::Disable { login, disabled: true },
            Self::Reopen { login } => AccountRequest::Disable { login, disabled: false },
        };
        Request::Account { ask }
    }
}

//! `token`: what other systems may read, for whoever has the machine.

use clap::{Args, Subcommand};

use crate::account::Duty;
use crate::ops::Request;
use crate::ops::token::{NewToken, TokenRequest};

/// Commands on tokens.
#[derive(Clone, Debug, Subcommand)]
pub enum TokenCommand {
    /// All tokens / 列表
    List,
    /// Make one; its secret is printed this once / 新增,密钥只显示一次
    Add(AddArgs),
    /// Let one hold no longer / 撤销
    Withdraw {
        /// Name.
        name: String,
    },
}

/// A new token.
#[derive(Args, Clone, Debug)]
pub struct AddArgs {
    /// Name / 名称
    pub name: String,
    /// figures, metrics, ids of ledgers, separated by commas / 范围
    #[arg(long)]
    pub scope: String,
    /// Place id or code whose subtree it may read; the own one if absent / 区划
    #[arg(long, default_value = "")]
    pub place: String,
    /// The duty with whose eyes it sees fields: administrator sees the least / 按何种职责显示
    #[arg(long, default_value = "administrator", value_parser = super::account::duty)]
    pub sees: Duty,
    /// Days until it holds no longer / 有效天数
    #[arg(long, default_value_t = 365)]
    pub days: i64,
}

impl TokenCommand {
    /// The request that a command means.
    pub fn request(self) -> Request {
        let ask = match self {
            Self::List => TokenRequest::List,
            Self::Add(one) => TokenRequest::Add(NewToken {
                name: one.name,
                scope: one.scope,
                place: one.place,
                duty: one.sees,
                days: one.days,
            }),
            Self::Withdraw { name } => TokenRequest::Withdraw { name },
        };
        Request::Token { ask }
    }
}

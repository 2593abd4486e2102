//! Commands about the network itself.

use clap::Subcommand;
use taizhang_core::id::RecordId;

use crate::ops::office::OfficeRequest;

/// Commands on places, replicas, rights, duplicates and entries held back.
#[derive(Clone, Debug, Subcommand)]
pub enum OfficeCommand {
    /// Replicas in the roster / 节点名册
    Replicas,
    /// Revoke a replica's key: what is held of it counts, nothing later does / 吊销节点
    Revoke {
        /// Seal key, or its first characters (see `replicas`).
        key: String,
        /// replaced, lost or compromised.
        #[arg(long)]
        reason: String,
    },
    /// Publish a place event, at the city / 区划变更
    PlaceEvent {
        /// add, hand-over, merge, recode or rename.
        kind: String,
        /// Place id or code; of add the parent.
        place: String,
        /// New parent, successor, new code or new name.
        to: String,
        /// Of add, the new place's 12-digit code.
        #[arg(long, default_value = "")]
        code: String,
        /// First day, YYYY-MM-DD.
        #[arg(long)]
        from: String,
    },
    /// Move a record, and what refers to it, to another place / 迁移
    Move {
        /// Record id.
        id: RecordId,
        /// Place id or code.
        to: String,
        /// First day there.
        #[arg(long)]
        date: String,
        /// Why.
        #[arg(long)]
        reason: String,
    },
    /// Carry later edits of a moved record over to the new one / 转交
    CarryOver {
        /// The old record.
        id: RecordId,
    },
    /// Entries that do not count here / 未计入的修改
    HeldBack,
    /// Write one of them again in your name / 采纳
    Adopt {
        /// As listed.
        arrival: u64,
        /// As listed.
        entry: usize,
    },
    /// Records of one identity / 重复登记
    Duplicates,
    /// Decide on such a pair / 重复认定
    Same {
        /// As listed.
        item: String,
        /// They are not the same.
        #[arg(long)]
        different: bool,
        /// Why.
        #[arg(long)]
        reason: String,
    },
    /// Rights and who holds them / 额度
    Rights,
    /// Open a right at this office / 开立额度
    RightOpen {
        /// Name, e.g. industry_subsidy_total:2018, office:pay, workshop_no.
        name: String,
        /// Amount in its unit, money in fen.
        amount: i64,
    },
    /// Give a share away / 划拨额度
    RightTransfer {
        /// Pool, as listed.
        pool: RecordId,
        /// Seal key of the receiver, or its first characters.
        to: String,
        /// Amount.
        amount: i64,
    },
    /// Take back what a lost replica holds / 核销额度
    RightWriteOff {
        /// Pool, as listed.
        pool: RecordId,
        /// Holder, as listed.
        holder: String,
    },
}

/// The request that a command means.
pub fn request(command: OfficeCommand) -> OfficeRequest {
    use OfficeCommand as From;
    use OfficeRequest as Ask;
    match command {
        From::Replicas => Ask::Replicas,
        From::Revoke { key, reason } => Ask::Revoke { key, reason },
        From::PlaceEvent { kind, place, to, code, from } => {
            Ask::PlaceEvent { kind, place, to, code, from }
        }
        From::Move { id, to, date, reason } => Ask::Move { id, to, date, reason },
        From::CarryOver { id } => Ask::CarryOver { id },
        From::HeldBack => Ask::HeldBack,
        From::Adopt { arrival, entry } => Ask::Adopt { arrival, entry },
        From::Duplicates => Ask::Duplicates,
        From::Same { item, different, reason } => {
            Ask::DecideSame { item, same: !different, reason }
        }
        From::Rights => Ask::Rights,
        From::RightOpen { name, amount } => Ask::RightOpen { name, amount },
        From::RightTransfer { pool, to, amount } => Ask::RightTransfer { pool, to, amount },
        From::RightWriteOff { pool, holder } => Ask::RightWriteOff { pool, holder },
    }
}

//! `report`: drafts, frozen reports, and their recomputation.

use clap::{Args, Subcommand};
use taizhang_core::feed::entry::Person;
use taizhang_core::id::RecordId;

use crate::ops::Request;
use crate::ops::report::ReportRequest;

/// Commands on reports.
#[derive(Clone, Debug, Subcommand)]
pub enum ReportCommand {
    /// Declared and filed reports / 列表
    List,
    /// The figures as of now / 草稿
    Draft(PeriodArgs),
    /// Keep the figures with everything they were read from / 定稿
    Freeze(FreezeArgs),
    /// File a frozen report with the level above / 报送
    File(ActArgs),
    /// Note that a filed report was received / 签收
    Receive(ActArgs),
    /// Recompute a frozen report / 核验
    Verify {
        /// The filing's record.
        record: RecordId,
    },
}

/// A report and its period.
#[derive(Args, Clone, Debug)]
pub struct PeriodArgs {
    /// Report id, such as R01 / 报表
    pub report: String,
    /// 2018-05, 2018-Q2 or 2018 / 期间
    pub period: String,
}

/// What is frozen.
#[derive(Args, Clone, Debug)]
pub struct FreezeArgs {
    #[command(flatten)]
    what: PeriodArgs,
    /// Why there is another version / 修订原因
    #[arg(long, default_value = "")]
    reason: String,
    /// Why it is late / 迟报原因
    #[arg(long, default_value = "")]
    late_reason: String,
}

/// A step of a filing.
#[derive(Args, Clone, Debug)]
pub struct ActArgs {
    /// The filing's record.
    record: RecordId,
}

fn act(args: ActArgs, to: &str, person: Person) -> ReportRequest {
    ReportRequest::Act { record: args.record, to: to.to_owned(), reason: String::new(), person }
}

impl ReportCommand {
    /// The request that a command means.
    pub fn request(self, person: Person) -> Request {
        let ask = match self {
            Self::List => ReportRequest::List,
            Self::Draft(PeriodArgs { report, period }) => ReportRequest::Draft { report, period },
            Self::Freeze(args) => ReportRequest::Freeze {
                report: args.what.report,
                period: args.what.period,
                reason: args.reason,
                late_reason: args.late_reason,
                person,
            },
            Self::File(args) => act(args, "filed", person),
            Self::Receive(args) => act(args, "received", person),
            Self::Verify { record } => ReportRequest::Verify { record },
        };
        Request::Report { ask }
    }
}

//! The command line, shared by both binaries.
//!
//! Exit codes: 0 done; 1 refused or failed; 2 wrong usage; 3 the data folder cannot be used;
//! 4 `check` found problems.

pub mod account;
pub mod file;
pub mod print;
pub mod report;
pub mod run;
pub mod token;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, Subcommand};
use serde_json::Value;
use taizhang_core::feed::entry::Person;
use taizhang_core::id::RecordId;

use crate::control;
use crate::driver::machine::{chance, outside};
use crate::driver::{Replica, clock};
use crate::engine::Engine;
use crate::engine::command::{Choice, Inputs};
use crate::file::enrol as by_file;
use crate::identity::code::EnrolmentCode;
use crate::identity::found::NewKeys;
use crate::identity::keys::Identity;
use crate::identity::renew::renew_city;
use crate::ops::{OpsError, Request};
use crate::store::StoreError;
use crate::transport::client;

/// Options of every command.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// Data folder / 数据目录
    #[arg(long, global = true, default_value = "taizhang-data", env = "TAIZHANG_DATA")]
    pub data: PathBuf,
    /// Print JSON / 输出 JSON
    #[arg(long, global = true)]
    pub json: bool,
    /// Who acts, recorded as claimed / 操作人(按声明记录)
    #[arg(long = "as", global = true, default_value = "")]
    pub name: String,
    /// Role, recorded as claimed / 角色(按声明记录)
    #[arg(long, global = true, default_value = "")]
    pub role: String,
}

impl Options {
    /// The person of an action.
    pub fn person(&self) -> Person {
        Person { name: self.name.clone(), role: self.role.clone() }
    }
}

/// Commands of every replica.
#[derive(Clone, Debug, Subcommand)]
pub enum NodeCommand {
    /// Join a network with a one-time code / 用一次性注册码加入
    Join {
        /// The code, TZ-...
        code: String,
    },
    /// Enrolment and renewal without a network / 无网络时注册或续期
    #[command(subcommand)]
    Enrol(file::EnrolCommand),
    /// What a neighbour lacks, as files / 用U盘等文件同步
    #[command(subcommand)]
    Bundle(file::BundleCommand),
    /// Copy ledger and keys into an empty folder / 备份
    Backup {
        /// Folder to write.
        path: PathBuf,
    },
    /// Put a backup into an empty data folder / 恢复备份
    Restore {
        /// Folder of the backup.
        path: PathBuf,
    },
    /// Run the replica / 运行节点
    Run(run::RunArgs),
    /// Stop the running replica / 停止节点
    Stop,
    /// Badge, links and counts / 状态
    Status,
    /// Dial the parent at once / 立即同步
    Sync,
    /// Slice hashes / 各切片校验和
    Hashes,
    /// Records / 记录
    #[command(subcommand)]
    Record(RecordCommand),
    /// Records with conflicts / 冲突
    Conflicts,
    /// Import xlsx, csv or jsonl / 导入
    Import {
        /// File.
        path: PathBuf,
        /// Ledger of a sheet.
        #[arg(long, default_value = "")]
        ledger: String,
        /// Only look.
        #[arg(long)]
        preview: bool,
    },
    /// Export jsonl, or one record's Automerge document / 导出
    Export {
        /// File to write.
        path: PathBuf,
        /// Ledger; all if absent.
        #[arg(long, default_value = "")]
        ledger: String,
        /// One record.
        #[arg(long)]
        record: Option<RecordId>,
    },
    /// Verify seals, chains and roll-ups / 校验
    Check {
        /// Only figures against the rows that make them / 只核对汇总
        #[arg(long)]
        rollups: bool,
    },
    /// What other systems may read / 其他系统的令牌
    #[command(subcommand)]
    Token(token::TokenCommand),
    /// Figures and the records that make them, for whoever runs this machine / 导出指标及其依据
    ///
    /// For `conflict-tests/recompute.py`, which adds everything up again. Names, numbers, telephones and
    /// notes are masked; the rest is personal all the same: keep the file on this machine and delete it
    /// after use. 姓名、证件号、账号、电话、备注已隐去,其余仍属个人信息:仅供本机管理员核算,勿外传,用后删除
    Figures {
        /// File to write / 输出文件
        #[arg(long)]
        dump: PathBuf,
    },
    /// Reports: drafts, frozen ones, recomputation / 报表
    #[command(subcommand)]
    Report(report::ReportCommand),
    /// Delete derived.db and make it anew / 重建
    Rebuild,
    /// Security events and enrolments / 审计
    Audit,
    /// Who may use the pages / 网页账号
    #[command(subcommand)]
    Account(account::AccountCommand),
    /// Places, replicas, rights, duplicates, entries held back / 区划、节点、额度、重复、未计入
    #[command(subcommand)]
    Office(crate::ops::office::OfficeRequest),
    /// Sums with coverage / 汇总
    Rollup {
        /// Place id or code.
        #[arg(long)]
        place: Option<String>,
    },
}

/// Commands on records.
#[derive(Clone, Debug, Subcommand)]
pub enum RecordCommand {
    /// List / 列表
    List {
        /// Ledger id.
        #[arg(default_value = "")]
        ledger: String,
        /// Words to find.
        #[arg(long, default_value = "")]
        search: String,
        /// State id.
        #[arg(long, default_value = "")]
        state: String,
        /// Place id or code.
        #[arg(long)]
        place: Option<String>,
        /// Rows at most.
        #[arg(long, default_value_t = 50)]
        limit: usize,
    },
    /// Show / 查看
    Show {
        /// Record id.
        id: RecordId,
    },
    /// History: who, when, where, which device / 历史
    History {
        /// Record id.
        id: RecordId,
    },
    /// Create / 新建
    Create {
        /// Ledger id.
        ledger: String,
        /// field=value ...
        fields: Vec<String>,
        /// Place id or code.
        #[arg(long)]
        place: Option<String>,
    },
    /// Set fields / 修改
    Set {
        /// Record id.
        id: RecordId,
        /// field=value ...; an empty value clears.
        fields: Vec<String>,
    },
    /// Take a workflow step / 办理
    Act {
        /// State to enter.
        to: String,
        /// Record id.
        #[arg(long)]
        id: Option<RecordId>,
        /// Or every record of this ledger
        #[arg(long, default_value = "")]
        ledger: String,
        /// in this state.
        #[arg(long, default_value = "")]
        in_state: String,
        /// Reason.
        #[arg(long, default_value = "")]
        reason: String,
    },
    /// Settle concurrent values / 裁定冲突
    Resolve {
        /// Record id.
        id: RecordId,
        /// Field.
        field: String,
        /// Position of the value to take, 0 is the shown one.
        #[arg(long)]
        take: Option<usize>,
        /// Another value.
        #[arg(long)]
        value: Option<String>,
    },
    /// Void, or take a void back / 作废或恢复
    Void {
        /// Record id.
        id: RecordId,
        /// Reason; without it the void is taken back.
        #[arg(long)]
        reason: Option<String>,
    },
}

fn inputs(fields: &[String]) -> Result<Inputs, String> {
    fields
        .iter()
        .map(|field| {
            field
                .split_once('=')
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .ok_or_else(|| format!("`{field}` is not field=value"))
        })
        .collect()
}

/// The request that a command means; `Err` is wrong usage.
pub fn request(command: &NodeCommand, options: &Options) -> Result<Request, String> {
    let person = options.person();
    Ok(match command.clone() {
        NodeCommand::Stop => Request::Stop,
        NodeCommand::Status => Request::Status,
        NodeCommand::Sync => Request::SyncNow,
        NodeCommand::Hashes => Request::Hashes,
        NodeCommand::Conflicts => Request::Conflicts,
        NodeCommand::Import { path, ledger, preview } => {
            let path = std::path::absolute(&path).map_err(|error| error.to_string())?;
            Request::Import { path, ledger, preview, person }
        }
        NodeCommand::Export { path, ledger, record } => {
            let path = std::path::absolute(&path).map_err(|error| error.to_string())?;
            Request::Export { ledger, id: record, path }
        }
        NodeCommand::Bundle(command) => command.request()?,
        NodeCommand::Backup { path } => Request::Backup { path: file::absolute(&path)? },
        NodeCommand::Token(command) => command.request(),
        NodeCommand::Figures { dump } => Request::FiguresDump { path: file::absolute(&dump)? },
        NodeCommand::Report(command) => command.request(person),
        NodeCommand::Check { rollups } => Request::Check { rollups },
        NodeCommand::Rebuild => Request::Rebuild,
        NodeCommand::Audit => Request::Audit,
        NodeCommand::Rollup { place } => Request::Rollup { place },
        NodeCommand::Account(command) => command.request(),
        NodeCommand::Office(command) => Request::Office { request: command, person },
        NodeCommand::Record(command) => record_request(command, person)?,
        NodeCommand::Join { .. }
        | NodeCommand::Enrol(_)
        | NodeCommand::Restore { .. }
        | NodeCommand::Run(_) => {
            return Err("not a request".into());
        }
    })
}

fn record_request(command: RecordCommand, person: Person) -> Result<Request, String> {
    Ok(match command {
        RecordCommand::List { ledger, search, state, place, limit } => {
            Request::List { ledger, place, search, state, limit }
        }
        RecordCommand::Show { id } => Request::Show { id },
        RecordCommand::History { id } => Request::History { id },
        RecordCommand::Create { ledger, fields, place } => {
            Request::Create { ledger, place, inputs: inputs(&fields)?, person }
        }
        RecordCommand::Set { id, fields } => Request::Set { id, inputs: inputs(&fields)?, person },
        RecordCommand::Act { to, id, ledger, in_state, reason } => {
            if id.is_none() && (ledger.is_empty() || in_state.is_empty()) {
                return Err("give --id, or --ledger and --in-state".into());
            }
            Request::Act { id, ledger, in_state, to, reason, person }
        }
        RecordCommand::Resolve { id, field, take, value } => {
            let choice = match (take, value) {
                (Some(at), None) => Choice::Candidate(at),
                (None, Some(value)) => Choice::Other(value),
                _ => return Err("give --take or --value".into()),
            };
            Request::Resolve { id, field, choice, person }
        }
        RecordCommand::Void { id, reason } => Request::Void { id, reason, person },
    })
}

/// Carries out a command of every replica.
pub fn execute(command: &NodeCommand, options: &Options) -> ExitCode {
    match command {
        NodeCommand::Join { code } => finish(join(code, options), options),
        NodeCommand::Enrol(command) => finish(file::enrol(command, options), options),
        NodeCommand::Restore { path } => finish(file::restore(path, options), options),
        NodeCommand::Run(args) => run::run(args, options),
        other => match request(other, options) {
            Ok(request) => ask(&request, options),
            Err(usage) => {
                eprintln!("{usage}");
                ExitCode::from(2)
            }
        },
    }
}

/// Asks the running replica, or opens the data folder itself.
pub fn ask(request: &Request, options: &Options) -> ExitCode {
    let bar = print::progress();
    let answer = match control::ask(&options.data, request, &|what, done, total| {
        bar(what, done, total);
    }) {
        Some(answer) => answer,
        None => ask_folder(request.clone(), options, bar),
    };
    finish(answer, options)
}

fn ask_folder(
    request: Request,
    options: &Options,
    bar: impl Fn(&str, u64, u64) + Send + Sync + 'static,
) -> Result<Value, (String, Vec<String>)> {
    if matches!(request, Request::Stop | Request::SyncNow) {
        return Err((
            "no replica runs on this folder / 该目录没有正在运行的节点".into(),
            Vec::new(),
        ));
    }
    let replica = open(options).map_err(|error| (error, Vec::new()))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| (error.to_string(), Vec::new()))?;
    let result = runtime.block_on(replica.answer(request, Arc::new(bar)));
    replica.close();
    result.map_err(|error| match error {
        OpsError::Rows(rows) => (OpsError::Rows(rows.clone()).to_string(), rows),
        other => (other.to_string(), Vec::new()),
    })
}

/// Opens the data folder's replica in this process.
///
/// # Errors
///
/// What is wrong with the folder and what to do.
pub fn open(options: &Options) -> Result<Replica, String> {
    if !Identity::exists(&options.data) {
        return Err(format!(
            "{} holds no replica; `join` with a code, or `init` a city / 该目录没有节点",
            options.data.display()
        ));
    }
    let mut identity = Identity::load(&options.data).map_err(|error| error.to_string())?;
    let now_s = clock::now().0.div_euclid(1000);
    if let Some(fresh) = renew_city(&identity, now_s).map_err(|error| error.to_string())? {
        fresh.save(&options.data).map_err(|error| error.to_string())?;
        identity = fresh;
    }
    let engine = Engine::open(&options.data, identity, outside(&options.data), clock::now());
    let engine = engine.map_err(|error: StoreError| error.to_string())?;
    Replica::start(engine).map_err(|error| error.to_string())
}

fn join(code: &str, options: &Options) -> Result<Value, (String, Vec<String>)> {
    join_folder(code, options).map_err(|error| (error, Vec::new()))
}

fn join_folder(code: &str, options: &Options) -> Result<Value, String> {
    let code = EnrolmentCode::parse(code).map_err(|error| error.to_string())?;
    let mut seal = [0; 32];
    chance()(&mut seal);
    // A folder that holds a replica asks for another term of it: the parent's consent after expiry.
    if Identity::exists(&options.data) {
        let old = Identity::load(&options.data).map_err(|error| error.to_string())?;
        if old.root.fingerprint() != code.root {
            let data = options.data.display();
            return Err(format!(
                "{data} holds a replica of another network already / 该目录属于另一个网络"
            ));
        }
    }
    let keys = NewKeys::for_folder(&options.data, seal).map_err(|error| error.to_string())?;
    let wanted = keys.request().map_err(|error| error.to_string())?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    let enrolled = runtime.block_on(client::enrol(&code, &wanted));
    let (root, admission) = enrolled.map_err(|error| error.to_string())?;
    let (data, outside) = (&options.data, outside(&options.data));
    let parents = code.addresses;
    let engine = by_file::settle(data, keys, root, admission, parents, outside, clock::now())?;
    let name = &engine.identity.checked.name;
    let place = engine.directives.tree.full_name(name.place());
    Ok(serde_json::json!({"place": place, "level": name.level(), "replica": name.replica}))
}

/// Prints an answer and gives the exit code.
pub fn finish(answer: Result<Value, (String, Vec<String>)>, options: &Options) -> ExitCode {
    match answer {
        Ok(value) => {
            print::answer(&value, options.json);
            ExitCode::SUCCESS
        }
        Err((text, rows)) => {
            if options.json {
                println!("{}", serde_json::json!({"error": text, "rows": rows}));
            }
            eprintln!("{text}");
            for row in &rows {
                eprintln!("  {row}");
            }
            let problems = text.starts_with("check found problems");
            let folder = text.contains("data folder") || text.contains("holds no replica");
            ExitCode::from(if problems {
                4
            } else if folder {
                3
            } else {
                1
            })
        }
    }
}

//! The hub's command line: every command of a village replica, and more.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use taizhang_core::catalogue::cases::{self, is_cases};
use taizhang_core::catalogue::parse::{CatalogueError, Part, head, parse};
use taizhang_core::directives::SYSTEM_CATALOGUE;
use taizhang_core::record::value::Value;
use taizhang_node::cli::{NodeCommand, Options, ask, execute, finish};
use taizhang_node::engine::policy::NewPolicy;
use taizhang_node::identity::code::LIFE_HOURS;
use taizhang_node::ops::Request;

use crate::demo::DemoArgs;
use crate::init::{InitArgs, init};

/// Taizhang (台账): a replica with children, at a township, a county or the city.
#[derive(Parser)]
#[command(name = "taizhang-hub", version, about)]
struct Cli {
    #[command(flatten)]
    options: Options,
    #[command(subcommand)]
    command: HubCommand,
}

#[derive(Subcommand)]
enum HubCommand {
    #[command(flatten)]
    Node(NodeCommand),
    /// Found a network: root key, city, places, catalogue / 建立网络
    Init(InitArgs),
    /// A one-time code for a place below / 生成一次性注册码
    Invite {
        /// Place id or 12-digit code.
        place: String,
        /// Address of this hub for the child, host:port; may be repeated.
        #[arg(long, required = true)]
        address: Vec<String>,
        /// Hours until it expires.
        #[arg(long, default_value_t = LIFE_HOURS)]
        hours: i64,
    },
    /// Answer a request file of a replica below, where there is no network / 答复申请文件
    Admit {
        /// The request.
        request: PathBuf,
        /// Place id or 12-digit code that it gets.
        #[arg(long)]
        place: String,
        /// The answer to write.
        #[arg(long)]
        answer: PathBuf,
    },
    /// Known places / 区划
    Places {
        /// Only children of this place.
        #[arg(long)]
        under: Option<String>,
    },
    /// Policy / 政策
    #[command(subcommand)]
    Policy(PolicyCommand),
    /// Catalogue / 目录
    #[command(subcommand)]
    Catalogue(CatalogueCommand),
    /// Show the whole thing on this machine / 本机演示
    Demo(DemoArgs),
}

#[derive(Subcommand)]
enum PolicyCommand {
    /// Publish a version; a county localises / 发布
    Publish {
        /// 文号
        doc_no: String,
        /// parameter=value ...; money in 分.
        values: Vec<String>,
        /// Title.
        #[arg(long, default_value = "")]
        title: String,
        /// First day, YYYY-MM-DD.
        #[arg(long)]
        from: String,
        /// The second person, who approves it: another name than --as / 批准人
        #[arg(long)]
        approved_by: String,
    },
    /// Versions and values in force / 列表
    List,
    /// Which places hold and have applied each version / 触达
    Reach {
        /// Only this document.
        #[arg(default_value = "")]
        doc_no: String,
    },
}

#[derive(Subcommand)]
enum CatalogueCommand {
    /// Check files; without files the built-in ones / 校验目录
    Check {
        /// TOML files: parts of a catalogue and cases of its rules; the program's own stand for the rest.
        files: Vec<PathBuf>,
    },
    /// Publish files as directives / 发布目录
    Publish {
        /// TOML files.
        files: Vec<PathBuf>,
    },
}

/// Runs the command line.
pub fn main() -> ExitCode {
    let Cli { options, command } = Cli::parse();
    match command {
        HubCommand::Node(command) => execute(&command, &options),
        HubCommand::Init(args) => {
            finish(init(&args, &options).map_err(|error| (error, Vec::new())), &options)
        }
        HubCommand::Admit { request, place, answer } => {
            let path = |path: PathBuf| std::path::absolute(&path).unwrap_or(path);
            ask(
                &Request::AdmitFile { place, request: path(request), answer: path(answer) },
                &options,
            )
        }
        HubCommand::Invite { place, address, hours } => {
            ask(&Request::Invite { place, addresses: address, hours }, &options)
        }
        HubCommand::Places { under } => ask(&Request::Places { under }, &options),
        HubCommand::Policy(command) => policy(command, &options),
        HubCommand::Catalogue(command) => catalogue(command, &options),
        HubCommand::Demo(args) => crate::demo::run(&args),
    }
}

fn value(text: &str) -> Value {
    match text {
        "true" => Value::Bool(true),
        "false" => Value::Bool(false),
        _ => text.parse().map_or_else(|_| Value::from(text), Value::Int),
    }
}

fn policy(command: PolicyCommand, options: &Options) -> ExitCode {
    let request = match command {
        PolicyCommand::List => Request::PolicyList,
        PolicyCommand::Reach { doc_no } => Request::PolicyReach { doc_no },
        PolicyCommand::Publish { doc_no, values, title, from, approved_by } => {
            if approved_by.trim().is_empty() || options.name.trim().is_empty() {
                eprintln!("give two persons: --as and --approved-by / 请写明起草人和批准人");
                return ExitCode::from(2);
            }
            let mut parsed = BTreeMap::new();
            for one in &values {
                let Some((id, text)) = one.split_once('=') else {
                    eprintln!("`{one}` is not parameter=value");
                    return ExitCode::from(2);
                };
                parsed.insert(id.to_owned(), value(text));
            }
            let policy = NewPolicy { doc_no, title, effective_from: from, values: parsed };
            Request::PolicyPublish { policy, person: options.person(), approved_by }
        }
    };
    ask(&request, options)
}

fn read(files: &[PathBuf]) -> Result<Vec<Part>, String> {
    files
        .iter()
        .map(|path| {
            let source = std::fs::read_to_string(path)
                .map_err(|error| format!("{}: {error}", path.display()))?;
            Ok(Part { name: path.display().to_string(), source })
        })
        .collect()
}

fn catalogue(command: CatalogueCommand, options: &Options) -> ExitCode {
    let (files, publish) = match command {
        CatalogueCommand::Check { files } => (files, false),
        CatalogueCommand::Publish { files } => (files, true),
    };
    let parts = match read(&files) {
        Ok(parts) => parts,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::from(1);
        }
    };
    if publish {
        let parts = parts.into_iter().map(|part| (part.name, part.source)).collect();
        return ask(&Request::CataloguePublish { parts, person: options.person() }, options);
    }
    let (mut cases, mut chosen): (Vec<Part>, Vec<Part>) =
        parts.into_iter().partition(|part| is_cases(&part.source));
    complete(&mut chosen, taizhang_core::base_catalogue(), |part| head(part).ok().map(|one| one.0));
    complete(&mut cases, taizhang_core::base_cases(), cases::ledger_of);
    let mut all = vec![Part { name: "system.toml".into(), source: SYSTEM_CATALOGUE.into() }];
    all.extend(chosen);
    match parse(&all) {
        Ok(catalogue) => {
            let errors = cases::check(&catalogue, &cases);
            if errors.is_empty() {
                let ledgers = catalogue.ledgers_for_people().count();
                let rules: usize = catalogue.ledgers.values().map(|one| one.rules.len()).sum();
                println!(
                    "{ledgers} ledgers, {} parameters, {rules} rules with cases: sound",
                    catalogue.params.len()
                );
                return ExitCode::SUCCESS;
            }
            refused(&errors)
        }
        Err(errors) => refused(&errors),
    }
}

/// Adds the program's own files for what the given ones leave out.
fn complete<T: PartialEq>(
    given: &mut Vec<Part>,
    own: Vec<Part>,
    name: impl Fn(&Part) -> Option<T>,
) {
    let names: Vec<T> = given.iter().filter_map(&name).collect();
    let lacks = |part: &Part| name(part).is_some_and(|name| !names.contains(&name));
    let own: Vec<Part> = own.into_iter().filter(lacks).collect();
    given.extend(own);
}

fn refused(errors: &[CatalogueError]) -> ExitCode {
    for error in errors {
        eprintln!("{error}");
    }
    ExitCode::from(4)
}

//! Load figures with real processes: N records imported into a village, through township and county
//! to the city, on loopback. Prints times and the memory of each process.

use std::io::Write as _;
use std::time::{Duration, Instant};

use clap::Parser;
use conflict_tests::pages::Pages;
use conflict_tests::world::household;
use serde_json::json;
use taizhang_core::feed::entry::Person;
use taizhang_hub::demo::process::{Link, Office};
use taizhang_node::account::Duty;
use taizhang_node::ops::Request;
use taizhang_node::ops::account::{AccountRequest, NewAccount};

/// Imports records into a village and times their way to the city.
#[derive(Parser)]
struct Arguments {
    /// Records.
    #[arg(long, default_value_t = 20_000)]
    records: u64,
    /// Measure the village's pages after the import: this many of each.
    #[arg(long, default_value_t = 0)]
    pages: usize,
    /// The hub program; beside this one if absent.
    #[arg(long)]
    program: Option<std::path::PathBuf>,
}

const CODES: [&str; 4] = ["411400000000", "411423000000", "411423101000", "411423101201"];

fn total(office: &Office) -> u64 {
    let request = Request::List {
        ledger: "poor_household".into(),
        place: None,
        search: String::new(),
        state: String::new(),
        limit: 1,
    };
    office.ask(&request).ok().and_then(|answer| answer["total"].as_u64()).unwrap_or(0)
}

/// Resident and peak memory in MiB.
fn memory(office: &Office) -> (u64, u64) {
    let Some(pid) = office.pid() else { return (0, 0) };
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let field = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0)
    };
    (field("VmRSS:") / 1024, field("VmHWM:") / 1024)
}

fn start(folder: &std::path::Path) -> Result<Vec<Office>, String> {
    let mut offices: Vec<Office> = Vec::new();
    for (at, code) in CODES.iter().enumerate() {
        let is_hub = at < 3;
        let mut office = Office::new(code, code, &folder.join(at.to_string()), is_hub);
        match offices.last() {
            None => {
                let key = folder.join("root-key.json");
                let key = key.to_string_lossy();
                office.once(&["init", "--root-key", &key, "--password", "load password"])?;
            }
            Some(parent) => {
                let address = parent.children.ok_or("the parent does not listen")?;
                let link = Link::to(address).map_err(|error| error.to_string())?;
                let under = Request::Places { under: Some((*code).to_owned()) };
                parent.wait_for(Duration::from_secs(60), "the tree", |parent| {
                    !is_hub || parent.ask(&under).is_ok_and(|one| one["total"].as_u64() > Some(0))
                })?;
                let code = parent.ask(&Request::Invite {
                    place: (*code).to_owned(),
                    addresses: vec![link.address.to_string()],
                    hours: 1,
                })?;
                office.once(&["join", code["code"].as_str().unwrap_or_default()])?;
                office.link = Some(link);
            }
        }
        office.start()?;
        offices.push(office);
    }
    Ok(offices)
}

fn run(arguments: &Arguments) -> Result<(), String> {
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let offices = start(folder.path())?;
    let path = folder.path().join("records.jsonl");
    let mut file = std::fs::File::create(&path).map_err(|error| error.to_string())?;
    for at in 0..arguments.records {
        let line = json!({"ledger": "poor_household", "fields": {
            "head_name": format!("户主{at}"), "group_no": format!("{}组", at % 9 + 1),
            "household_kind": "general", "main_cause": "illness", "address": format!("{at}号")}});
        writeln!(file, "{line}").map_err(|error| error.to_string())?;
    }
    let village = &offices[3];
    let begin = Instant::now();
    let person = Person { name: "压力".into(), role: "village_clerk".into() };
    let import = Request::Import { path, ledger: String::new(), preview: false, person };
    village.ask_watching(&import, &|what, done, total| {
        if done % 4000 == 0 {
            println!("{:7.1} s  village {what} {done}/{total}", begin.elapsed().as_secs_f64());
        }
    })?;
    println!("{:7.1} s  village: import committed", begin.elapsed().as_secs_f64());
    let mut left: Vec<usize> = vec![2, 1, 0];
    let mut shown = Instant::now();
    while !left.is_empty() {
        std::thread::sleep(Duration::from_millis(200));
        left.retain(|at| {
            let there = total(&offices[*at]) == arguments.records;
            if there {
                let names = ["city", "county", "township"];
                println!("{:7.1} s  {}: all rows", begin.elapsed().as_secs_f64(), names[*at]);
            }
            !there
        });
        if shown.elapsed() > Duration::from_secs(2) {
            shown = Instant::now();
            let counts: Vec<u64> = offices.iter().map(total).collect();
            println!(
                "{:7.1} s  rows city, county, township, village: {counts:?}",
                begin.elapsed().as_secs_f64()
            );
        }
        if begin.elapsed() > Duration::from_secs(600) {
            return Err("not all records arrived within 600 s".into());
        }
    }
    if arguments.pages > 0 {
        pages(village, arguments.pages)?;
    }
    for (office, name) in offices.iter().zip(["city", "county", "township", "village"]) {
        let (now, peak) = memory(office);
        println!("memory {name}: {now} MiB now, {peak} MiB at most");
    }
    Ok(())
}

/// Median and 99th percentile in milliseconds.
fn print_times(what: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let at = |percent: usize| times[(times.len() - 1) * percent / 100].as_secs_f64() * 1000.0;
    println!("{what}: median {:.1} ms, p99 {:.1} ms", at(50), at(99));
}

/// List, form and save as a clerk's browser asks for them; a save is durable when it is answered.
fn pages(village: &Office, times: usize) -> Result<(), String> {
    let (login, password) = ("load", "load password");
    let new = NewAccount {
        login: login.into(),
        name: "压力".into(),
        role: "village_clerk".into(),
        duty: Duty::Clerk,
        password: password.into(),
    };
    village.ask(&Request::Account { ask: AccountRequest::Add(new) })?;
    let browser = Pages::sign_in(&village.pages, login, password)?;
    for (what, path) in [
        ("first page", "/"),
        ("list", "/ledgers/poor_household"),
        ("list, searched", "/ledgers/poor_household?q=%E6%88%B7%E4%B8%BB77"),
        ("form", "/ledgers/poor_household/new"),
    ] {
        let all: Result<Vec<Duration>, String> =
            (0..times).map(|_| browser.get(path).map(|answer| answer.time)).collect();
        print_times(what, all?);
    }
    let mut all = Vec::new();
    for at in 0..times {
        let name = format!("新户{at}");
        let fields = household(&name);
        let answer = browser.post("/ledgers/poor_household/new", &fields)?;
        if !answer.head.contains("/records/") {
            return Err(format!("not saved: {}", answer.head));
        }
        all.push(answer.time);
    }
    print_times("save", all);
    Ok(())
}

fn main() -> std::process::ExitCode {
    let arguments = Arguments::parse();
    if let Some(program) = &arguments.program {
        taizhang_hub::demo::process::use_program(program.clone());
    } else if let Ok(own) = std::env::current_exe() {
        taizhang_hub::demo::process::use_program(own.with_file_name("taizhang-hub"));
    }
    match run(&arguments) {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            std::process::ExitCode::FAILURE
        }
    }
}

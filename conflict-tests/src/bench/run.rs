//! The steps of one run, in order, and what each took.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use taizhang_core::directives::Directives;
use taizhang_core::feed::frontier::Frontiers;
use taizhang_core::id::{Level, SealKey};
use taizhang_hub::demo::process::Office;
use taizhang_node::driver::clock;
use taizhang_node::ops::Request;
use tokio::runtime::Runtime;

use super::feeds::{LOAD, PHASES, PROBE, STORM};
use super::generate::{Load, Probe, generate};
use super::measure::{
    Backlog, LOGIN, Meter, figures, first_answer, machine, page, prove, seconds, sign_in, sizes,
    spread,
};
use super::network::{Founded, found};
use super::player::{Link, Order, Player};
use super::receipts::{Stated, frontiers, receipts};
use super::{Plan, words};
use crate::pages::Pages;

/// How often the hub is looked at while it works.
const LOOK: Duration = Duration::from_millis(100);
/// How often progress is told.
const TELL: Duration = Duration::from_secs(5);
/// How long one edit may take to its figure, and a process to its end or start.
const SHORT: Duration = Duration::from_secs(120);
/// The pages that are asked for: figures by place, policy in force, and what there is to do.
const PAGES: [(&str, &str); 3] = [("overview", "/overview"), ("policy", "/policy"), ("first", "/")];

/// Plays a plan in a folder and gives all figures.
///
/// # Errors
///
/// What did not happen, or not in time.
pub fn run(plan: &Plan, folder: &Path) -> Result<Value, String> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(words)?;
    let founded = found(plan, folder)?;
    let begun = Instant::now();
    let load = generate(plan, &founded)?;
    let generated = begun.elapsed();
    let records = load.records_at(LOAD);
    let mut report = json!({
        "bench": if plan.level == Level::City { "city" } else { "county" },
        "seed": plan.seed,
        "machine": machine(),
        "villages": plan.villages,
        "links": founded.children.len(),
        "records": records.values().sum::<u64>(),
        "ledgers": records.len(),
        "entries": load.entries(),
        "generate_s": seconds(generated),
    });
    for (name, phase) in [("load", LOAD), ("all", STORM)] {
        let (segments, bytes) = load.size(phase);
        report["sealed"][name] = json!({"segments": segments, "bytes": bytes});
    }
    let mut stage = Stage::open(plan, founded, load, runtime)?;
    report["load"] = stage.connect(LOAD)?;
    report["edit"] = stage.edits()?;
    report["pages"] = stage.pages()?;
    report["storm"] = stage.storm()?;
    report["databases"] = sizes(&stage.office);
    report["restart"] = stage.restart()?;
    Ok(report)
}

/// The hub and what is played around it.
struct Stage<'a> {
    plan: &'a Plan,
    office: Office,
    key: SealKey,
    directives: Arc<Directives>,
    address: String,
    links: Vec<Link>,
    players: Vec<Player>,
    backlog: Backlog,
    runtime: Runtime,
    probes: Vec<Probe>,
    /// Records that the hub must show at the end of each phase.
    records: [BTreeMap<String, u64>; PHASES],
    /// What each child held when its offices' receipts were last signed.
    stated: Vec<Frontiers>,
    /// How often they were.
    signed: u64,
}

impl<'a> Stage<'a> {
    fn open(
        plan: &'a Plan,
        founded: Founded,
        load: Load,
        runtime: Runtime,
    ) -> Result<Self, String> {
        let records = [LOAD, PROBE, STORM].map(|phase| load.records_at(phase));
        let Founded { mut office, key, directives, children, .. } = founded;
        office.start()?;
        let hub = children.first().map(|child| child.config.place).ok_or("a hub has children")?;
        let players = children.into_iter().zip(load.stocks);
        let players: Vec<Player> =
            players.map(|(child, stock)| Player::new(child, stock, hub)).collect();
        Ok(Self {
            plan,
            key,
            directives,
            address: office.children.ok_or("the hub does not listen")?.to_string(),
            links: Vec::new(),
            stated: players.iter().map(|_| Frontiers::default()).collect(),
            players,
            backlog: Backlog::open(&office.folder)?,
            office,
            runtime,
            probes: load.probes,
            records,
            signed: 0,
        })
    }

    /// All children connect with what they hold at the end of a phase; until every figure is ready.
    fn connect(&mut self, phase: usize) -> Result<Value, String> {
        self.players.iter_mut().for_each(|player| player.show_phase(phase));
        let waiting = self.sign(phase);
        let count: usize = waiting.iter().map(Vec::len).sum();
        let meter = Meter::start(&self.office)?;
        for player in std::mem::take(&mut self.players) {
            self.links.push(Link::start(player, self.address.clone(), &self.runtime));
        }
        let times = self.settle(&meter, waiting)?;
        let mut found = meter.read()?;
        found["receipts"] = count.into();
        found["durable_s"] = seconds(times.durable).into();
        found["rows_s"] = seconds(times.rows).into();
        found["ready_s"] = seconds(times.ready).into();
        prove(&self.office, &self.records[phase])?;
        Ok(found)
    }

    /// The receipts of each child's offices, for what moved since they were last signed.
    fn sign(&mut self, phase: usize) -> Vec<Vec<Stated>> {
        self.signed += 1;
        let (number, now) = (self.signed, clock::now());
        let mut all = Vec::new();
        for (player, before) in self.players.iter().zip(&mut self.stated) {
            let (child, stock) = (&player.child, &player.stock);
            let held = frontiers(child, &stock.feeds, |_, feed| feed.marks[phase]);
            let moved = (&*before, &held);
            all.push(receipts(child, stock, &self.directives, moved, number, now));
            *before = held;
        }
        all
    }

    /// Waits until everything is durable, has its rows, and then until it is evaluated and the receipts
    /// of the offices below are kept: a hub keeps none of an office that it does not know yet.
    fn settle(&mut self, meter: &Meter, waiting: Vec<Vec<Stated>>) -> Result<Times, String> {
        let stated: usize = waiting.iter().map(Vec::len).sum();
        let (mut durable, mut rows) = (None, None);
        let (mut waiting, mut told) = (Some(waiting), Instant::now());
        loop {
            self.links_hold()?;
            let behind = self.backlog.segments()?;
            if self.links.iter().all(Link::is_settled) {
                durable.get_or_insert_with(|| meter.elapsed());
            }
            let kept = match waiting {
                Some(_) => 0,
                None => self.backlog.receipts(self.signed, self.key)?,
            };
            if let Some(durable) = durable.filter(|_| behind == 0) {
                let rows = *rows.get_or_insert_with(|| meter.elapsed());
                if let Some(waiting) = waiting.take() {
                    for (link, stated) in self.links.iter_mut().zip(waiting) {
                        link.tell(Order::Pass(stated));
                    }
                } else if kept >= stated && self.is_idle()? {
                    return Ok(Times { durable, rows, ready: meter.elapsed() });
                }
            }
            let missing: u64 = self.links.iter().filter_map(Link::missing).sum();
            let left = format!(
                "{missing} segments to send, {behind} without rows, {kept} of {stated} receipts"
            );
            if told.elapsed() > TELL {
                told = Instant::now();
                eprintln!("{} s: {left}", seconds(meter.elapsed()));
            }
            if meter.elapsed() > self.plan.limit {
                return Err(format!("not ready after {} s: {left}", self.plan.limit.as_secs()));
            }
            std::thread::sleep(LOOK);
        }
    }

    /// Fails with the reason if a link has ended.
    fn links_hold(&mut self) -> Result<(), String> {
        let Some(at) = self.links.iter().position(Link::ended) else { return Ok(()) };
        let ended = self.links.swap_remove(at).leave(&self.runtime);
        Err(format!("a link ended: {}", ended.err().unwrap_or_default()))
    }

    /// Whether nothing is under way, and every row is evaluated.
    fn is_idle(&self) -> Result<bool, String> {
        Ok(self.links.iter().all(Link::is_settled)
            && !self.backlog.is_evaluating()?
            && self.backlog.segments()? == 0)
    }

    /// One edit at a time, from the child that sends it to the hub's own figure.
    fn edits(&mut self) -> Result<Value, String> {
        let meter = Meter::start(&self.office)?;
        let (mut times, mut answers) = (Vec::new(), Vec::new());
        for probe in self.probes.clone() {
            let asked = Instant::now();
            let before = figures(&self.office)?;
            answers.push(asked.elapsed());
            let link = self.links.get_mut(probe.child).ok_or("a probe without a link")?;
            let start = Instant::now();
            link.tell(Order::Show(probe.feed, probe.count));
            while figures(&self.office)? == before {
                if start.elapsed() > SHORT {
                    return Err("an edit changed no figure".into());
                }
            }
            times.push(start.elapsed());
            while !self.is_idle()? {
                self.links_hold()?;
                if start.elapsed() > self.plan.limit {
                    return Err("the hub did not come to rest after an edit".into());
                }
                std::thread::sleep(LOOK);
            }
        }
        let mut found = meter.read()?;
        found["to_figure"] = spread(times);
        // How long one look at the figures takes: the resolution of the line above.
        found["answer"] = spread(answers);
        prove(&self.office, &self.records[PROBE])?;
        Ok(found)
    }

    fn pages(&self) -> Result<Value, String> {
        let meter = Meter::start(&self.office)?;
        let pages = sign_in(&self.office, &self.directives, self.plan.level)?;
        let times = PAGES.map(|(name, path)| (name, page(&pages, path, self.plan.pages)));
        let mut found = meter.read()?;
        for (name, spread) in times {
            found[name] = spread?;
        }
        Ok(found)
    }

    /// All children were away, and come back with edits of every village.
    fn storm(&mut self) -> Result<Value, String> {
        for link in std::mem::take(&mut self.links) {
            self.players.push(link.leave(&self.runtime)?);
        }
        let mut found = self.connect(STORM)?;
        found["edits"] = (self.plan.edits * self.plan.villages).into();
        Ok(found)
    }

    /// The hub stops and starts again, while nobody is connected.
    fn restart(self) -> Result<Value, String> {
        let Self { mut office, backlog, links, runtime, .. } = self;
        for link in links {
            link.leave(&runtime)?;
        }
        drop(backlog);
        office.ask(&Request::Stop)?;
        office.wait_for(SHORT, "its end", |office| office.ask(&Request::Status).is_err())?;
        office.kill();
        let (pages, start) = (office.pages.clone(), Instant::now());
        let watch = std::thread::spawn(move || first_answer(&pages, start, SHORT));
        office.start()?;
        let answered = start.elapsed();
        let serving = watch.join().map_err(|_| "the watch over the restart failed")??;
        let pages = Pages::sign_in(&office.pages, LOGIN.0, LOGIN.1)?;
        let first = page(&pages, "/overview", 1)?;
        Ok(json!({
            "serving_s": seconds(serving),
            "status_s": seconds(answered),
            "overview_first_ms": first["first_ms"],
        }))
    }
}

struct Times {
    durable: Duration,
    rows: Duration,
    ready: Duration,
}

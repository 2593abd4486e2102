//! Whoever works in the world: clerks at every level, and what befalls them ([`faults`], [`hostile`]), and
//! what two of them do [`apart`].

mod apart;
mod bundles;
mod faults;
mod hostile;

use taizhang_core::catalogue::parse::Part;
use taizhang_core::id::{Level, RecordId, SliceId};
use taizhang_core::sabotage::Sabotage;
use taizhang_node::engine::Engine;
use taizhang_node::engine::values::Source;

use crate::oracle::past::{Written, tips};
use crate::oracle::register::{Registers, shown};
use crate::plan::{Fault, Plan};
use crate::world::{Node, World, clerk};

/// What the county gives the township of its budget, in 分.
pub(crate) const SHARE: i64 = 60_000;

/// Who is paid on behalf of every household.
const HOLDER: &str = "户主";

/// A record of the workload.
#[derive(Clone, Copy)]
pub struct Known {
    /// Its id.
    pub id: RecordId,
    /// Byte of its place.
    pub place: u8,
    /// Its ledger.
    pub ledger: &'static str,
}

/// The workload and what it knows to be acknowledged.
pub struct Player {
    /// The world.
    pub world: World,
    /// Acknowledged values.
    pub registers: Registers,
    /// Acknowledged records.
    pub records: Vec<Known>,
    /// Acknowledged lines: record, place, text.
    pub lines: Vec<(RecordId, u8, String)>,
    /// Grants whose payment was acknowledged.
    pub paid: Vec<(RecordId, u8)>,
    /// What acknowledged approvals took from the township's share, in 分.
    pub spent: u64,
    /// Acknowledged writes and what their writers had.
    pub written: Vec<Written>,
    /// Whether something was forged.
    pub forged: bool,
    /// Forged changes that went out: hash, bytes, place of their slice.
    pub evidence: Vec<(taizhang_core::id::Hash, Vec<u8>, u8)>,
    /// The revoked office.
    pub revoked: Option<Node>,
    /// Whether a clone was made.
    pub cloned: bool,
    /// The county's standard of subsidies; empty where there is no county.
    standard: String,
    /// Bundles that were written, and for whom.
    sticks: Vec<(Node, Vec<u8>)>,
    counter: u32,
}

/// Parts of the catalogue that no player writes, and to which no other part refers: every office would only
/// apply and never use them.
const UNPLAYED: [&str; 28] = [
    "area_profile.toml",
    "civic_training.toml",
    "commendation_criticism.toml",
    "finding.toml",
    "guidance_followup.toml",
    "implementation_plan_filing.toml",
    "loan_support.toml",
    "overview.toml",
    "party_building.toml",
    "policy_item.toml",
    "quarterly_briefing.toml",
    "report_filing.toml",
    "reports.toml",
    "reports_income.toml",
    "reports_motivation.toml",
    "reports_toilet.toml",
    "reports_work.toml",
    "reports_workshop.toml",
    "satisfaction_survey.toml",
    "star_rating.toml",
    "supervision_notice.toml",
    "supervision_round.toml",
    "talent.toml",
    "toilet_fund.toml",
    "toilet_maintenance.toml",
    "toilet_plan.toml",
    "village_collective.toml",
    "workshop_lease.toml",
];

fn ledgers() -> Vec<Part> {
    let mut parts = taizhang_core::base_catalogue();
    parts.retain(|part| !UNPLAYED.contains(&part.name.as_str()));
    parts
}

impl Player {
    /// A world at work: enrolled, in sync, with rights opened.
    pub fn new(seed: u64, plan: &Plan, sabotage: Option<Sabotage>) -> Self {
        let world = World::with(seed, plan.offices, sabotage, &ledgers());
        let mut player = Self {
            world,
            registers: Registers::default(),
            records: Vec::new(),
            lines: Vec::new(),
            paid: Vec::new(),
            spent: 0,
            written: Vec::new(),
            forged: false,
            evidence: Vec::new(),
            revoked: None,
            cloned: false,
            standard: String::new(),
            sticks: Vec::new(),
            counter: 0,
        };
        if player.world.replicas.len() > 2 {
            player.rights();
            player.standard = player.county_standard().to_string();
        }
        player.world.settle(2_000);
        player.world.weather = plan.weather;
        player.world.crash_percent = plan.crash_percent;
        player
    }

    /// The county opens its budget and its office, and gives the township a share.
    fn rights(&mut self) {
        let open = |world: &mut World, name: &str, amount: i64| {
            world.job(1, |engine, now| engine.open_right(name, amount, &clerk(), now)).unwrap()
        };
        open(&mut self.world, "office:pay", 1);
        let pool = open(&mut self.world, "industry_subsidy_total:2018", 100_000);
        self.world.settle(500);
        let township = self.world.engine(2).author.key;
        self.world
            .job(1, |engine, now| engine.transfer_right(pool, township, SHARE, &clerk(), now))
            .unwrap();
    }

    /// The county's standard, which every subsidy names.
    fn county_standard(&mut self) -> RecordId {
        let slice = SliceId::directive(self.world.replicas[1].place);
        let inputs = [
            ("item", "红薯"),
            ("industry_kind", "crop"),
            ("unit_amount", "100"),
            ("valid_from", "2018-01-01"),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into();
        let create = |engine: &mut Engine, now| {
            let (ledger, source) = ("industry_standard", Source::People);
            let id = engine.create(slice, ledger, &inputs, source, &clerk(), None, now)?;
            engine.project_own_directives(now)?;
            Ok(id)
        };
        self.world.job(1, create).unwrap()
    }

    /// How many acknowledged edits are judged.
    pub fn edits(&self) -> usize {
        self.registers.len() + self.lines.len() + self.paid.len()
    }

    fn runs(&self, node: Node) -> bool {
        self.world.replicas[node].engine.is_some() && self.revoked != Some(node)
    }

    fn token(&mut self) -> u32 {
        self.counter += 1;
        self.counter
    }

    /// One action of somebody.
    pub fn work(&mut self) {
        use Level::{City, County, Township, Village};
        let action = self.world.dice.below(24);
        let levels = match action {
            0..=4 | 10..=12 => Village..=Village,
            5..=9 => Village..=Township,
            13..=17 => Village..=County,
            18 => County..=City,
            19..=20 => Township..=Township,
            _ => Village..=City,
        };
        let offices = 0..self.world.replicas.len();
        let fit: Vec<Node> =
            offices.filter(|node| levels.contains(&self.world.replicas[*node].level)).collect();
        if fit.is_empty() {
            return;
        }
        let node = fit[self.world.dice.index(fit.len())];
        if !self.runs(node) {
            self.world.restart(node);
            return;
        }
        match action {
            0..=3 => self.create(node),
            4..=9 => self.edit(node),
            10..=12 => self.line(node),
            13..=17 => self.step_on(node),
            18 => self.publish(node),
            19..=20 => self.subsidise(node),
            21 => self.write_apart(),
            22 => self.pay_apart(),
            _ => (0..20).for_each(|_| self.world.step()),
        }
    }

    fn create(&mut self, node: Node) {
        let replica = &self.world.replicas[node];
        if replica.level != Level::Village {
            return;
        }
        let place = replica.place.0[0];
        let token = self.token();
        let name = format!("户{token}");
        let household = self.world.household(node, &name);
        self.deed(node, format!("creates household {household}"));
        self.members(node, household);
        self.registers.created(household, place);
        self.records.push(Known { id: household, place, ledger: "poor_household" });
        let (text, standard) = (household.to_string(), self.standard.clone());
        let (ledger, inputs): (_, Vec<(&str, &str)>) = match self.world.dice.below(3) {
            0 => ("points_account", vec![("household", &text), ("card_no", &name)]),
            1 => (
                "industry_subsidy",
                vec![
                    ("household", &text),
                    ("year", "2018"),
                    ("industry", &name),
                    ("beneficiary_kind", "household"),
                    ("industry_kind", "crop"),
                    ("scale", "1"),
                    ("standard", &standard),
                    ("implemented_on", "2018-05-01"),
                    ("claimed_on", "2018-06-01"),
                ],
            ),
            _ => {
                self.grant(node, household);
                return;
            }
        };
        let id = self.world.create(node, ledger, &inputs);
        self.records.push(Known { id, place, ledger });
    }

    /// Who is paid on behalf of a household, and who helps it: nothing is granted without.
    fn members(&mut self, node: Node, household: RecordId) {
        let text = household.to_string();
        let head = [
            ("household", text.as_str()),
            ("name", HOLDER),
            ("relation", "head"),
            ("living", "registered"),
            ("health", "healthy"),
            ("labour", "ordinary"),
        ];
        self.world.create(node, "household_member", &head);
        // That the helper has left is a finding, and hinders nothing.
        self.world.set(node, household, "helper", &text);
    }

    /// A grant that a village applies for.
    fn grant(&mut self, node: Node, household: RecordId) -> Known {
        let place = self.world.replicas[node].place.0[0];
        let (household, detail) = (household.to_string(), format!("项目{}", self.token()));
        let inputs = [
            ("household", household.as_str()),
            ("apply_date", "2018-06-05"),
            ("project_kind", "planting"),
            ("project_detail", &detail),
            ("requested", "1"),
            ("payee_account", "622848000000123"),
            ("payee_holder", HOLDER),
        ];
        let id = self.world.create(node, "household_grant", &inputs);
        let first = Default::default();
        self.registers.wrote((id, "requested"), place, "100", Level::Village, &first);
        let known = Known { id, place, ledger: "household_grant" };
        self.records.push(known);
        known
    }

    /// A record of some ledgers that the office may work on.
    fn pick(&mut self, node: Node, ledgers: &[&str]) -> Option<Known> {
        let byte = self.world.replicas[node].place.0[0];
        let found: Vec<Known> = self
            .records
            .iter()
            .copied()
            .filter(|one| ledgers.contains(&one.ledger))
            .filter(|one| crate::oracle::may_hold_ledger(&self.world, byte, one.place))
            .collect();
        (!found.is_empty()).then(|| found[self.world.dice.index(found.len())])
    }

    fn edit(&mut self, node: Node) {
        if let Some(known) = self.pick(node, &["poor_household", "household_grant"]) {
            self.write(node, known);
        }
    }

    /// Writes over what the office sees of a record's field.
    fn write(&mut self, node: Node, known: Known) {
        let level = self.world.replicas[node].level;
        let money = known.ledger == "household_grant";
        let field = if money { "requested" } else { "bank_holder" };
        if level > if money { Level::Village } else { Level::Township } {
            return;
        }
        let Some(seen) = shown(&self.world, node, known.id, field) else { return };
        let token = self.token();
        let typed = if money { token.to_string() } else { format!("v{token}") };
        let stored = if money { format!("{token}00") } else { typed.clone() };
        let before = tips(&mut self.world, node, known.id, known.place);
        if self.world.set(node, known.id, field, &typed) {
            let after = tips(&mut self.world, node, known.id, known.place);
            self.written.extend(Written::new(before, &after));
            self.deed(node, format!("writes {field} of {} = {stored}, seeing {seen:?}", known.id));
            self.registers.wrote((known.id, field), known.place, &stored, level, &seen);
        }
    }

    fn line(&mut self, node: Node) {
        if self.world.replicas[node].level != Level::Village {
            return;
        }
        let Some(known) = self.pick(node, &["points_account"]) else { return };
        let text = format!("line{}", self.token());
        let line = serde_json::json!({
            "date": "2018-06-05", "kind": "earn", "points": "1", "what": text,
        });
        if self.world.set(node, known.id, "entries", &line.to_string()) {
            self.deed(node, format!("adds {text} to {}", known.id));
            self.lines.push((known.id, known.place, text));
        }
    }

    /// A workflow step; whatever is refused is refused.
    fn step_on(&mut self, node: Node) {
        let Some(known) = self.pick(node, &["household_grant"]) else { return };
        let steps: &[&str] = match self.world.replicas[node].level {
            Level::Village => &["submitted", "withdrawn"],
            Level::Township => &["reviewed", "returned"],
            Level::County => &["approved", "paid", "rejected", "paid"],
            Level::City => return,
        };
        let to = steps[self.world.dice.index(steps.len())];
        match to {
            "reviewed" => self.check_account(node, known),
            "approved" | "paid" => self.approve(node, known),
            _ => {}
        }
        let acted = self
            .world
            .job(node, |engine, now| engine.act(known.id, to, "按规定", &clerk(), now))
            .is_ok();
        if acted {
            self.deed(node, format!("takes {} to {to}", known.id));
        }
        if acted && to == "paid" {
            self.paid.push((known.id, known.place));
        }
    }

    /// The township approves a subsidy out of its share.
    fn subsidise(&mut self, node: Node) {
        if self.world.replicas[node].level != Level::Township {
            return;
        }
        let Some(known) = self.pick(node, &["industry_subsidy"]) else { return };
        let yuan = 100 + self.world.dice.below(300);
        let act =
            |engine: &mut Engine, now| engine.act(known.id, "approved", "按规定", &clerk(), now);
        if self.world.set(node, known.id, "amount", &yuan.to_string())
            && self.world.job(node, act).is_ok()
        {
            self.deed(node, format!("approves {} with {yuan} yuan", known.id));
            self.spent += yuan * 100;
        }
    }

    fn publish(&mut self, node: Node) {
        if self.world.replicas[node].level >= Level::County {
            let token = self.token();
            let value = 2 + i64::from(token % 5);
            let doc_no = format!("模拟〔{token}〕号");
            let param = "min_income_measures_per_household";
            // A county's weaker value is refused.
            drop(self.world.publish_from(node, &doc_no, "2018-06-01", param, value));
        }
    }

    /// One fault of the kinds allowed.
    pub fn fault(&mut self, kinds: &[Fault]) {
        if kinds.is_empty() {
            return;
        }
        let kind = kinds[self.world.dice.index(kinds.len())];
        let happened = match kind {
            Fault::Bundle => self.bundle(),
            Fault::Clone => self.clone_folder(),
            Fault::Clock => self.wrong_clock(),
            Fault::Crash => self.crash(),
            Fault::Cut => self.cut(),
            Fault::Hostile => self.hostile(),
            Fault::Image => self.old_image(),
            Fault::Lag => self.lag(),
            Fault::OneWay => self.one_way(),
            Fault::Place => self.place_event(),
            Fault::Poison => self.poison(),
            Fault::Reinstall => self.reinstall(),
            Fault::Revoke => self.revoke(),
        };
        if happened {
            self.world.note(format!("fault: {}", kind.name()));
            *self.world.faults.entry(kind.name()).or_default() += 1;
        }
    }

    fn deed(&mut self, node: Node, what: String) {
        self.world.note(format!("{} {what}", self.world.replicas[node].name));
    }

    fn ledger_slice(&self, node: Node) -> SliceId {
        SliceId::ledger(self.world.replicas[node].place)
    }
}

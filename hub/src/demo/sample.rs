//! A sample village: every ledger that a village keeps, from a seed, for demo, tests and benches.
//!
//! People are invented: identity numbers have the unassigned address 411499. Lines carry only what
//! the village may write, a record before whatever refers to it. States, and what township and
//! county fill in, follow from steps that somebody takes later. Sums are in 分, the year is 2018.
//!
//! The cases of DOMAIN.md, Appendix C; shares are of 200 households and scale with their number.
//! From 10 households on, every ledger has records. Ages count on 2018-04-09.
//!
//! | alias | case |
//! |---|---|
//! | `elder-65`, `support-elder-65` | exactly 65 (born 1953-04-09), with a file of support |
//! | `elder-64` | 65 one day later (born 1953-04-10), so without a file: R-ELD-01 |
//! | `support-…` | the 30 of 65 and more; nobody else is born before 1972 |
//! | `twice-0` … `twice-4` | the spouse of the household before, once more: R-ID-02, R-ID-04 |
//! | `misread-0` … `misread-2` | wrong check digit: R-ID-01 |
//! | `no-id-0`, `no-id-1` | no identity number; only the first gives a reason: R-ID-05 |
//! | `h5`, `h55`, `h105`, `h155` | the 4 five-guarantee households |
//! | `h9`, `h19`, `h29` … | the 20 households with no measure and with one, by turns: R-INC-01 |
//! | `grant-at-cap`, `grant-above-cap` | 8000.00 and 8000.01 yuan requested: R-GRT-01 |
//! | `workshop-3-of-10`, `-2-of-7`, `-1-of-4` | poor workers 30.0, 28.6 and 25.0 %: R-WKS-01 |
//! | `workshop-3-of-10-0`, `-1` | wages of 15 000 and 14 999 yuan a year: R-WKS-02 |
//! | `toilet-no-sewer`, `toilet-other-mode` | refused when the works start: R-TOI-14 |
//! | `card-0`, `card-4` | points spent to zero, and one more than there are: R-PTS-01 |
//! | `fund-one-signature` | one signature of two: R-FND-05 |
//! | `fund-twice-1`, `fund-twice-2`, `fund-reversal` | one receipt twice, and reversed: R-FND-06 |
//! | `notice-other` | an objection without an answer: R-NTC-03 |
//! | `ticket-notice` | registered three days after the report, all others after two: R-PRB-10 |
//! | `ticket-conduct`, `ticket-infrastructure` | anonymous; escalated link by link |

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};
use taizhang_core::id::Level;
use taizhang_core::time::Date;

use super::data::Numbers;

pub mod offices;

// Lists of words, and of rows of cells that colons part.
const SURNAMES: &str =
    "王李张刘陈杨赵黄周吴徐孙胡朱高林何郭马罗梁宋郑谢韩唐冯于董萧程曹袁邓许傅沈曾彭逯";
const FIRST: &str =
    "建秀桂志玉国春爱德金永淑长丽保翠铁月广巧文明海红新光庆凤福兰学世景俊士玲成振䶮亓";
const SECOND: &str =
    "军英梅强芳庆花民福霞胜珍河华田莲柱娥林云平山江芝义亮喜启来增顺杰生全才香安𠅤㛃礼";
const CAUSES: &str = "illness disability schooling disaster no_land no_water no_skill no_labour \
    no_capital transport motivation other";
const MEASURES: &str = "specialty_crop:种红薯2亩 livestock:养羊5只 household_project:建小拱棚 \
    entity_led:合作社带动 asset_income:大棚分红 workshop:在车间务工 pv:光伏分红 \
    transfer_employment:在外务工 rural_tourism:在采摘园务工 ecommerce:网上卖特产";
const PROJECTS: &str = "planting:小拱棚种草莓:1亩 breeding:购买母羊:10只 \
    processing:粉条加工设备:1套 ecommerce:开办网店:1个 other:农用三轮车:1辆";
const INDUSTRIES: &str =
    "草莓:crop:亩 肉牛:livestock:头 粉条:processing:吨 代销:trade:个 采摘园:tourism:亩";
const JOBS: &str = "outside_county:苏州样本电子公司 county_park:产业集聚区样本纺织公司 \
    township_business:本乡样本面粉厂 village_workshop:本村扶贫车间";
const CHANNELS: &str = "income policy leading five_good in_laws courtyard evaluation";
const NOTICES: &str = "household:拟纳入户名单 grant:到户增收补助 subsidy:务工和产业补助 \
    asset:光伏收益分配 star:星级户评议结果 model:脱贫励志模范 project_before:道路硬化(实施前) \
    project_after:道路硬化(完成后) honour:文明家庭 policy:政策和责任人 other:公益岗位聘用";
const DOMAINS: &str = "infrastructure:生产桥护栏损坏 public_service:卫生室周末无人 \
    industry:草莓缺少技术指导 collective:村集体厂房空置 livelihood:三组水压不足 \
    two_three:房屋漏雨申请修缮 income:合作社分红未兑现 safety_net:申请临时救助 \
    home:院内地面没有硬化 data:人口与户口簿不一致 notice:公示栏没有更新 hygiene:坑塘边有垃圾 \
    customs:红白事大操大办 project:硬化厚度请复查 conduct:申请长期没有答复 other:村口路灯不亮";
const SOURCES: &str = "visit forum consult phone supervision assigned self other";
/// Records of the village itself: ledger, alias, fields. A `+` repeats the ledger of the line
/// above, a `*` holds what the lines of a ledger have in common.
const OWN: &str = "org_unit unit name=样本村村两委 unit_kind=village active_from=2018-01-01
public_contact * unit=@unit phone=13700000001 office=村委会 office_hours=8:30-17:30 \
    valid_from=2018-01-01
+ contact-secretary chain_link=first_secretary post=驻村第一书记 holder=周明理
+ contact-committee chain_link=village_committee post=村委会主任 holder=吴长河
+ contact-leader chain_link=group_leader post=责任组长 holder=郑广林
+ contact-advice chain_link=advice_point post=政策咨询员 holder=孙巧云
responsibility_item * org_unit=@unit person=@contact-secretary handler=@contact-committee
+ duty-0 line=duty period=standing duty=建立并更新一户一档
+ duty-1 line=policy period=yearly duty=每户两项以上增收措施
+ duty-2 line=work period=monthly duty=问题台账按月汇总上报
+ duty-3 line=work period=quarterly duty=入户走访
+ duty-4 line=policy period=once duty=完成整村改厕
policy_question question-0 asked_on=2018-03-12 to_level=county question=转移就业补助何时申报
points_shop shop name=样本村爱心超市 address=村委会东侧 keeper=吴长河 opened_on=2018-01-15
points_goods * shop=@shop labelled=true
+ goods-rice goods_kind=rice name=大米 unit=袋 points_price=20
+ goods-flour goods_kind=flour name=面粉 unit=袋 points_price=18
+ goods-oil goods_kind=oil name=食用油 unit=桶 points_price=30
+ goods-daily goods_kind=daily name=洗衣粉 unit=袋 points_price=5
+ goods-other goods_kind=other name=作业本 unit=本 points_price=1
points_donation * shop=@shop date=2018-02-20 donor=样本服装公司
+ donation-goods donation_kind=goods goods=@goods-oil quantity=20 amount=120000
+ donation-money donation_kind=money amount=500000
workshop * design_area=200 have_site=true have_sign=true have_intro=true have_safety=true \
    have_payroll=true four_charter=true four_agreement=true four_contract=true \
    four_payroll=true safety_officer=郑广林 fire_equipment=8
+ workshop-3-of-10 name=样本村服装加工车间 product=服装 floor_area=400 have_board=true
+ workshop-2-of-7 name=样本村藤编车间 product=藤编 floor_area=300 have_board=true
+ workshop-1-of-4 name=样本村电子配件车间 product=配件 floor_area=180 have_board=false
filial_account fund name=样本村孝善敬老基金 fund_level=village opened_on=2018-01-10
filial_fund * date=2018-03-20 account=@fund signer_one=村会计
+ fund-business receipt_no=据-1 amount=500000 source=business signer_two=孝善理事会
+ fund-person receipt_no=据-2 amount=100000 source=person signer_two=孝善理事会
+ fund-collective receipt_no=据-3 amount=200000 source=collective signer_two=孝善理事会
+ fund-interest receipt_no=据-4 amount=1250 source=interest signer_two=孝善理事会
+ fund-other receipt_no=据-5 amount=50000 source=other signer_two=孝善理事会
+ fund-one-signature receipt_no=据-6 amount=5000 source=person
+ fund-twice-1 receipt_no=据-7 amount=5000 source=person signer_two=孝善理事会
+ fund-twice-2 receipt_no=据-7 amount=5000 source=person signer_two=孝善理事会
+ fund-reversal receipt_no=据-7 amount=-5000 reverses=@fund-twice-2 signer_two=孝善理事会";
const MONTHS: [&str; 3] = ["2018-05", "2018-06", "2018-07"];
/// Fathers at the limit of age, in the first households: alias, birth, identity number.
const EXACT: [(&str, &str, &str); 2] = [
    ("elder-65", "1953-04-09", "411499195304090038"),
    ("elder-64", "1953-04-10", "41149919530410003X"),
];
const REFERENCE: Date = Date { year: 2018, month: 4, day: 9 };
/// Names of workers from other families have numbers above those of the heads.
const OUTSIDERS: usize = 60_000;

/// One line of a data file.
#[derive(Clone, Debug, PartialEq)]
pub struct SampleLine {
    /// The ledger of the record.
    pub ledger: &'static str,
    /// The name by which later lines refer to the record, as `@name`.
    pub id: String,
    /// Its fields in canonical form; a log is a text that holds the JSON of its lines.
    pub fields: Map<String, Value>,
    /// The level of the office that writes it.
    pub level: Level,
}

/// The records of a village: its families and what concerns them, and what stands in every village. Equal
/// arguments give equal records.
pub fn village(seed: u64, households: usize) -> Vec<SampleLine> {
    let own = offices::written(Level::Village, offices::Phase::Village);
    [families(seed, households), own].concat()
}

/// The records of a village that a seed makes.
pub fn families(seed: u64, households: usize) -> Vec<SampleLine> {
    let mut numbers = Numbers::new(seed, "sample village");
    let offset = numbers.below(1_000_000);
    let mut maker = Maker { numbers, offset, used: BTreeSet::new(), lines: Vec::new() };
    let mut homes: Vec<Home> = Vec::with_capacity(households);
    for at in 0..households {
        let home = maker.home(at, homes.last());
        homes.push(home);
    }
    maker.own(households);
    maker.notices(&homes);
    for home in &homes {
        maker.household(home);
        maker.applications(home);
        maker.income(home);
        maker.toilet_and_card(home);
        for elder in home.members.iter().filter(|one| age(one) >= 65) {
            maker.support(home, elder);
        }
    }
    maker.crews(&homes);
    maker.tickets(&homes);
    maker.lines
}

/// Lines as the import of a village reads them.
pub fn to_jsonl(lines: &[SampleLine]) -> String {
    to_jsonl_at(lines, "")
}

/// Lines as an office's import reads them: what does not belong into its own ledgers names `village`, the
/// code of one below it.
pub fn to_jsonl_at(lines: &[SampleLine], village: &str) -> String {
    let line = |one: &SampleLine| {
        let own = offices::is_kept_at(one.ledger, one.level);
        line_of(one, if own { "" } else { village })
    };
    lines.iter().map(line).collect()
}

fn line_of(one: &SampleLine, place: &str) -> String {
    let mut line = json!({"ledger": one.ledger, "id": one.id, "fields": one.fields});
    if !place.is_empty() {
        line["place"] = place.into();
    }
    line.to_string() + "\n"
}

#[derive(Clone)]
struct Person {
    alias: String,
    name: String,
    /// Empty if there is none.
    id_no: String,
    relation: &'static str,
    birth: Date,
    male: bool,
}

struct Home {
    at: usize,
    /// As other records refer to it.
    id: String,
    kind: &'static str,
    cause: &'static str,
    group: &'static str,
    /// Wages of the year.
    wage: i64,
    head: String,
    /// The head first.
    members: Vec<Person>,
}

fn age(one: &Person) -> i32 {
    one.birth.years_until(REFERENCE)
}

fn letter(list: &str, at: usize) -> char {
    list.chars().nth(at % list.chars().count().max(1)).unwrap_or('某')
}

fn word(list: &'static str, at: usize) -> &'static str {
    let count = list.split_whitespace().count().max(1);
    list.split_whitespace().nth(at % count).unwrap_or_default()
}

fn cells<const N: usize>(table: &'static str, at: usize) -> [&'static str; N] {
    let mut cells = word(table, at).split(':');
    std::array::from_fn(|_| cells.next().unwrap_or_default())
}

/// Every row of a table, with its number.
fn rows<const N: usize>(table: &'static str) -> impl Iterator<Item = (usize, [&'static str; N])> {
    (0..table.split_whitespace().count()).map(move |at| (at, cells(table, at)))
}

/// The check character of 17 digits, GB 11643: the weight of a digit is a power of two, modulo 11.
fn check_character(digits: &str) -> char {
    let digit = |c: char| c.to_digit(10).unwrap_or(0);
    let sum = digits.chars().fold(0, |sum, c| (sum + digit(c)) * 2 % 11);
    char::from_digit((12 - sum) % 11, 10).unwrap_or('X')
}

/// The number with another check character.
fn misread(number: &str) -> String {
    let (digits, last) = number.split_at(number.len().saturating_sub(1));
    format!("{digits}{}", if last == "0" { '1' } else { '0' })
}

/// Fields or columns that stand as `name=value` words; those without a value are left out.
fn pairs(text: &str) -> impl Iterator<Item = (String, &str)> {
    let pairs = text.split_whitespace().filter_map(|word| word.split_once('='));
    pairs
        .filter(|(_, value)| !matches!(*value, "" | "[]"))
        .map(|(name, value)| (name.to_owned(), value))
}

/// The text of a log field, whose lines semicolons part. The import reads every column as a text.
fn log(text: &str) -> String {
    let lines = text.split(';').map(|line| pairs(line).collect::<BTreeMap<_, _>>());
    let lines: Vec<_> = lines.filter(|line| !line.is_empty()).collect();
    serde_json::to_string(&lines).unwrap_or_default()
}

/// The value that a word means: members of a set have a stroke after each.
fn value(text: &str) -> Value {
    match text {
        "true" | "false" => Value::Bool(text == "true"),
        _ if text.ends_with('|') => text.trim_end_matches('|').split('|').collect(),
        // Longer ones are numbers of people, accounts and telephones, which are texts.
        _ if text.len() < 10 => text.parse::<i64>().map_or_else(|_| text.into(), Value::from),
        _ => text.into(),
    }
}

struct Maker {
    numbers: Numbers,
    /// Where the names of heads begin.
    offset: usize,
    /// Identity numbers given out.
    used: BTreeSet<String>,
    lines: Vec<SampleLine>,
}

/// Adds a record: its ledger, its alias, its fields as [`pairs`] reads them.
macro_rules! record {
    ($maker:ident, $ledger:literal, $id:literal => $fields:literal) => {
        $maker.add($ledger, format!($id), &format!($fields))
    };
}

/// Chance and people.
impl Maker {
    fn add(&mut self, ledger: &'static str, id: String, fields: &str) {
        let fields = pairs(fields).map(|(name, text)| (name, value(text))).collect();
        self.lines.push(SampleLine { ledger, id, fields, level: Level::Village });
    }

    fn between(&mut self, low: i64, high: i64) -> i64 {
        let span = usize::try_from(high - low + 1).unwrap_or(1);
        low + i64::try_from(self.numbers.below(span)).unwrap_or(0)
    }

    fn date(&mut self, from: &str, to: &str) -> Date {
        let days = |text: &str| Date::parse(text).unwrap_or(REFERENCE).to_days();
        Date::from_days(self.between(days(from), days(to)))
    }

    fn bank_no(&mut self, at: usize) -> String {
        format!("62284800{:05}{at:06}", self.numbers.below(100_000))
    }

    fn name(&mut self, surname: Option<char>) -> String {
        let [one, two, three] = [0; 3].map(|_| self.numbers.below(1000));
        let surname = surname.unwrap_or_else(|| letter(SURNAMES, one));
        format!("{surname}{}{}", letter(FIRST, two), letter(SECOND, three))
    }

    /// A name that no other number has: sheets refer to households by the head's.
    fn head_name(&self, number: usize) -> String {
        let counts = [SURNAMES, FIRST, SECOND].map(|list| list.chars().count());
        let at = (number * 7919 + self.offset) % counts.iter().product::<usize>();
        let (two, three) = (at / counts[0], at / counts[0] / counts[1]);
        format!("{}{}{}", letter(SURNAMES, at), letter(FIRST, two), letter(SECOND, three))
    }

    fn id_no(&mut self, birth: Date, male: bool) -> String {
        let date = birth.to_string().replace('-', "");
        let start = self.numbers.below(500);
        for step in 0..500 {
            let serial = (start + step) % 500 * 2 + usize::from(male);
            let digits = format!("411499{date}{serial:03}");
            let number = format!("{digits}{}", check_character(&digits));
            if self.used.insert(number.clone()) {
                return number;
            }
        }
        String::new()
    }

    fn person(
        &mut self,
        (alias, relation): (String, &'static str),
        surname: Option<char>,
        (from, to): (i32, i32),
        male: bool,
    ) -> Person {
        let (name, birth) =
            (self.name(surname), self.date(&format!("{from}-01-01"), &format!("{to}-12-31")));
        Person { alias, name, id_no: self.id_no(birth, male), relation, birth, male }
    }

    fn home(&mut self, at: usize, before: Option<&Home>) -> Home {
        let five = at % 50 == 5;
        let (years, male) = (if five { (1933, 1952) } else { (1972, 1988) }, !at.is_multiple_of(5));
        let one = self.person((format!("h{at}-head"), "head"), None, years, male);
        let (id, head, wage) = (format!("@h{at}"), self.head_name(at), self.between(50, 250));
        let members = vec![Person { name: head.clone(), ..one }];
        let (cause, group) = (word(CAUSES, at), word("一组 二组 三组 四组 五组 六组", at));
        let mut home =
            Home { at, id, kind: "five_guarantee", cause, group, wage: 0, head, members };
        if !five {
            home.kind = if at % 6 == 1 { "low_income" } else { "general" };
            home.wage = wage * 10_000;
            self.family(at, before, &mut home.members);
        }
        home
    }

    fn family(&mut self, at: usize, before: Option<&Home>, members: &mut Vec<Person>) {
        let (year, male) = (members[0].birth.year, members[0].male);
        let surname = members[0].name.chars().next();
        let id = |what: &str| format!("h{at}-{what}");
        members.push(self.person((id("spouse"), "spouse"), None, (year, year + 3), !male));
        for (what, after) in [("child0", 23), ("child1", 26)].into_iter().take(at % 3) {
            let (years, son) = ((year + after, year + after + 1), self.numbers.below(2) == 0);
            members.push(self.person((id(what), "child"), surname, years, son));
        }
        if let Some((alias, birth, id_no)) = EXACT.get(at) {
            let one = self.person(((*alias).into(), "parent"), surname, (1953, 1953), true);
            let birth = Date::parse(birth).unwrap_or(REFERENCE);
            members.push(Person { id_no: (*id_no).into(), birth, ..one });
        }
        if at % 8 == 6 {
            members.push(self.person((id("parent"), "parent"), surname, (1933, 1952), true));
        }
        if at % 40 == 2
            && let Some(spouse) = before.and_then(|home| home.members.get(1))
        {
            let alias = format!("twice-{}", at / 40);
            members.push(Person { alias, relation: "other", ..spouse.clone() });
        }
        if at % 67 == 3 {
            let alias = format!("misread-{}", at / 67);
            let one = self.person((alias, "child"), surname, (2015, 2016), false);
            members.push(Person { id_no: misread(&one.id_no), ..one });
        }
        if at % 100 == 4 {
            let alias = format!("no-id-{}", at / 100);
            let one = self.person((alias, "child"), surname, (2017, 2017), true);
            members.push(Person { id_no: String::new(), ..one });
        }
    }
}

/// What the village has of its own.
impl Maker {
    fn own(&mut self, households: usize) {
        let (mut ledger, mut common) = ("", "");
        for line in OWN.lines() {
            let mut parts = line.splitn(3, ' ');
            let [first, id, fields] = [0; 3].map(|_| parts.next().unwrap_or_default());
            if first != "+" {
                (ledger, common) = (first, "");
            }
            match id {
                "*" => common = fields,
                _ => self.add(ledger, id.into(), &format!("{fields} {common}")),
            }
        }
        for at in 0..households.div_ceil(40) {
            let holder = self.name(None);
            record!(self, "public_contact", "helper-{at}" => "chain_link=helper unit=@unit \
                post=帮扶责任人 holder={holder} phone=1370000{at:04} valid_from=2018-01-01");
        }
    }

    fn notices(&mut self, homes: &[Home]) {
        for (nth, [kind, subject]) in rows::<2>(NOTICES) {
            let start = self.date("2018-05-01", "2018-09-30");
            let end = start.plus_days(7);
            // A file's number in place of the name: a family may have minors or disabled persons.
            let three = homes.iter().take(3);
            let three = three.map(|home| {
                format!("name=档案{:03} group={} item={subject} date={start}", home.at, home.group)
            });
            let lines = log(&three.collect::<Vec<_>>().join(";"));
            let objections = match kind {
                "other" => log(&format!("date={start} what=岗位条件不明")),
                _ => log(""),
            };
            let place = word("board website meeting", nth);
            record!(self, "public_notice", "notice-{kind}" => "notice_kind={kind} \
                subject=2018年{subject} content=现予公示,请监督 place={place} \
                fields_shown=file_no|group|item|dates| lines={lines} contact=村委会办公室 \
                start_on={start} end_on={end} objections={objections}");
        }
    }

    fn crews(&mut self, homes: &[Home]) {
        let able = homes.iter().skip(homes.len() / 20).filter(|home| home.wage > 0);
        let (mut able, mut number) = (able, OUTSIDERS);
        for (shop, poor, seats) in
            [("workshop-3-of-10", 3, 10), ("workshop-2-of-7", 2, 7), ("workshop-1-of-4", 1, 4)]
        {
            let mut crew = Vec::new();
            for seat in 0..seats {
                number += 1;
                let home = if seat < poor { able.next() } else { None };
                let name = home.map_or_else(|| self.head_name(number), |home| home.head.clone());
                let member = home.map(|home| format!("{}-head", home.id)).unwrap_or_default();
                let contract = word("labour labour piecework", seat);
                record!(self, "workshop_worker", "{shop}-{seat}" => "workshop=@{shop} \
                    name={name} contract_kind={contract} member={member} start_on=2018-04-20");
                crew.push(name);
            }
            for (nth, month) in MONTHS.into_iter().enumerate() {
                let line = |(seat, name): (usize, &String)| {
                    let (poor, fen) = (seat < poor, if seat < 2 { 125_000 } else { 150_000 });
                    let fen = if (seat, nth) == (1, 2) { 124_975 } else { fen };
                    format!("worker={name} is_poor={poor} amount={fen} paid_on={month}-28")
                };
                let lines: Vec<_> = crew.iter().enumerate().map(line).collect();
                let lines = log(&lines.join(";"));
                record!(self, "workshop_wage", "{shop}-{month}" => "workshop=@{shop} \
                    month={month} lines={lines}");
            }
        }
    }

    fn tickets(&mut self, homes: &[Home]) {
        for (nth, [domain, text]) in rows::<2>(DOMAINS) {
            self.ticket(&format!("ticket-{domain}"), nth, [domain, text], "");
        }
        for home in homes.iter().filter(|home| home.at % 20 == 7) {
            let about = cells(DOMAINS, 5 + home.at / 20 % 4);
            self.ticket(&format!("ticket-h{}", home.at), 100 + home.at, about, &home.id);
        }
    }

    fn ticket(&mut self, id: &str, nth: usize, [domain, text]: [&str; 2], home: &str) {
        let received = self.date("2018-03-01", "2018-10-31");
        let [before, two, later, due] = [-2, 2, 9, 20].map(|days| received.plus_days(days));
        let reported = before.plus_days(if id == "ticket-notice" { -1 } else { 0 });
        let escalations = match domain {
            "infrastructure" => log(&format!(
                "date={two} from=helper to=first_secretary reason=无力解决; \
                 date={later} from=first_secretary to=group_leader reason=无力解决"
            )),
            _ => log(""),
        };
        let (anonymous, source) = (domain == "conduct", word(SOURCES, nth));
        let severity = word("small small large small major", nth);
        let [by, satisfied] =
            ["first_secretary helper other", "yes mostly no"].map(|list| word(list, nth));
        let actions = log(&format!("date={two} who=责任组 text=现场核实,已安排处理"));
        let told = log(&format!("date={later} by={by} how=入户 satisfied={satisfied}"));
        record!(self, "problem_ticket", "{id}" => "ticket_no=样本-2018-{nth:03} source={source} \
            anonymous={anonymous} household={home} domain={domain} severity={severity} \
            description={text} reported_on={reported} received_on={received} due_on={due} \
            holder_level=village holder_org=@unit holder_person=@contact-secretary \
            escalations={escalations} actions={actions} feedback={told}");
    }
}

/// What a household has.
impl Maker {
    fn household(&mut self, home: &Home) {
        let Home { at, id, kind, cause, group, head, members, .. } = home;
        let (nth, number) = (at / 40, &members[0].id_no);
        let allowance = *kind != "general";
        let tags = if allowance { format!("{kind}|") } else { String::new() };
        let (phone, bank, other) =
            (self.numbers.below(10_000), self.bank_no(*at), word(CAUSES, at + 3));
        record!(self, "poor_household", "h{at}" => "head_name={head} head_id_no={number} \
            group_no={group} address=样本村{group}{at}号 phone=1370000{phone:04} household_kind={kind} \
            main_cause={cause} other_causes={other}| priority_tags={tags} helper=@helper-{nth} \
            bank_no={bank} bank_holder={head}");
        for (nth, one) in members.iter().enumerate() {
            let Person { alias, name, id_no, relation, birth, male } = one;
            let health = match (nth, *cause) {
                (0, "disability") => "disabled",
                (0, "illness") => "chronic",
                _ if age(one) >= 75 => "serious",
                _ => "healthy",
            };
            let labour = match (health, age(one)) {
                (_, ..16) => "none",
                (_, 70..) => "lost",
                ("disabled", _) | (_, 60..) => "weak",
                _ => word("ordinary ordinary skilled", at + nth),
            };
            let sex = if *male { "male" } else { "female" };
            let missing = if alias == "no-id-0" { "新生儿未落户" } else { "" };
            record!(self, "household_member", "{alias}" => "household={id} name={name} \
                id_no={id_no} id_missing_reason={missing} relation={relation} sex={sex} \
                birth_date={birth} health={health} labour={labour} \
                low_income_allowance={allowance} living=registered");
        }
    }

    fn applications(&mut self, home: &Home) {
        let Home { at, id, wage, head, .. } = home;
        let (date, bank) = (self.date("2018-03-01", "2018-06-30"), self.bank_no(*at));
        let [claimed, checked] = [30, 40].map(|days| date.plus_days(days));
        let check = log(&format!("date={checked} who=村责任组 found=属实"));
        let (grant, requested) = match *at {
            0 => ("at-cap".to_owned(), 800_000),
            1 => ("above-cap".to_owned(), 800_001),
            _ => (at.to_string(), self.between(20, 79) * 10_000),
        };
        if *at < 2 || at % 8 == 4 {
            let [kind, detail, scale] = cells(PROJECTS, at / 4);
            record!(self, "household_grant", "grant-{grant}" => "household={id} \
                apply_date={claimed} project_kind={kind} project_detail={detail} scale={scale} \
                requested={requested} site_check={check} notice=@notice-grant \
                payee_account={bank} payee_holder={head}");
        }
        if at % 6 == 0 {
            let [kind, employer] = cells(JOBS, at / 6);
            let job = log(&format!("start_on=2018-02-26 employer={employer} job=工人"));
            record!(self, "employment_subsidy", "job-{at}" => "household={id} year=2018 \
                applied_on=2018-12-10 worker={id}-head place_kind={kind} annual_wage={wage} \
                work_place={employer} employment={job}");
        }
        if at % 7 == 3 {
            let [industry, kind, unit] = cells(INDUSTRIES, at / 7);
            let scale = self.between(1, 10);
            let amount = scale * 30_000;
            record!(self, "industry_subsidy", "subsidy-{at}" => "household={id} year=2018 \
                industry={industry} industry_kind={kind} beneficiary_kind=household scale={scale} \
                scale_unit={unit} implemented_on={date} claimed_on={claimed} \
                claimed_amount={amount} site_check={check} notice=@notice-subsidy \
                payee_account={bank} payee_holder={head}");
        }
    }

    fn income(&mut self, home: &Home) {
        let Home { at, id, wage, head, members, .. } = home;
        let persons = i64::try_from(members.len()).unwrap_or(1);
        let (operating, property) = (self.between(30, 90) * 10_000, self.between(0, 20) * 5000);
        let (transfer, cost) = (self.between(20, 80) * 5000, self.between(5, 25) * 10_000);
        let net = wage + operating + property + transfer - cost;
        let each = net.div_euclid(persons);
        record!(self, "income_statement", "income-{at}" => "household={id} year=2018 \
            headcount={persons} wage={wage} operating={operating} property={property} \
            transfer={transfer} operating_cost={cost} net_income={net} per_capita={each} \
            determined_by=村级责任组 householder_ack={head} acknowledged_on=2018-12-05");
        if at % 20 == 0 {
            let visit = log("date=2018-12-12 persons=村文书 finding=属实");
            let tier = 1 + at / 20 % 3;
            record!(self, "star_rating", "star-{at}" => "household={id} year=2018 \
                per_capita_income={each} verify_visit={visit} law_abiding=true \
                deliberated_on=2018-12-18 representatives=30 present=28 votes_for=25 \
                votes_against=1 votes_abstain=2 tier_proposed={tier} notice_ref=@notice-star \
                use_kind=planting|breeding|");
        }
        let count = if at % 10 == 9 { at / 10 % 2 } else { 2 + usize::from(at % 3 == 0) };
        for nth in 0..count {
            let [kind, detail] = cells(MEASURES, at + nth * 3);
            let gain = self.between(10, 60) * 10_000;
            let linked = match kind {
                "household_project" if at % 8 == 4 => format!("linked_grant=@grant-{at}"),
                "transfer_employment" if at % 6 == 0 => format!("linked_employment=@job-{at}"),
                "livestock" if at % 7 == 3 => format!("linked_subsidy=@subsidy-{at}"),
                "workshop" => "linked_workshop=@workshop-3-of-10".to_owned(),
                _ => String::new(),
            };
            record!(self, "income_measure", "measure-{at}-{nth}" => "household={id} year=2018 \
                measure_kind={kind} detail={detail} expected_income={gain} actual_income={gain} \
                start_date=2018-03-01 {linked}");
        }
    }

    fn toilet_and_card(&mut self, home: &Home) {
        let Home { at, id, group, head, members, .. } = home;
        let mode = word("three_chamber double_urn triple_urn integrated", at / 2);
        let (alias, mode, sewer) = match *at {
            odd if odd % 2 == 1 => return,
            6 => ("no-sewer".to_owned(), "integrated", false),
            8 => ("other-mode".to_owned(), "other_harmless", false),
            _ => (at.to_string(), mode, true),
        };
        let start = self.date("2018-04-10", "2018-08-31");
        let [built, checked] = [9, 12].map(|days| start.plus_days(days));
        let given = word("brick sand cement labour other", at / 2);
        let given = log(&format!("what={given} quantity=3"));
        record!(self, "toilet_renovation", "toilet-{alias}" => "householder={head} \
            household={id} group_no={group} mode={mode} sewer_covered={sewer} \
            new_community=false start_on={start} built_on={built} in_kind={given} \
            self_check=true self_checked_on={checked} self_checked_by=村文书 in_use=true");
        if at % 4 != 0 {
            return;
        }
        // 25 points are there.
        let spent = [25, 26].get(at / 4).copied().unwrap_or(10);
        let (channel, persons) = (word(CHANNELS, at / 4), members.len());
        let entries = log(&format!(
            "date=2018-04-15 kind=earn points=30 channel={channel} evidence=评比记录; \
             date=2018-05-20 kind=reverse points=-5 what=登记重复; \
             date=2018-06-05 kind=redeem points={spent} what=日用品 month=2018-06 person={head}"
        ));
        record!(self, "points_account", "card-{at}" => "household={id} card_no=样本卡{at:04} \
            shop=@shop members={persons} issued_on=2018-04-01 entries={entries}");
    }

    fn support(&mut self, home: &Home, elder: &Person) {
        let (Home { at, id, head, kind, .. }, alias) = (home, &elder.alias);
        let (five, nth) = (*kind == "five_guarantee", at / 8);
        let category = if five { *kind } else { word("with_children alone couple other", nth) };
        let (pension, labour) = (self.between(98, 150) * 100, self.between(0, 20) * 1000);
        let (allowance, other) = (if *kind == "general" { 0 } else { 15_400 }, self.name(None));
        let capacity = word("no open", nth);
        let children =
            log(&format!("name={head} capacity=yes; name={other} capacity={capacity} place=外省"));
        let signed = log(&format!("child={head} committed_on=2018-03-01 monthly=20000"));
        let children = format!("children={children} commitments={signed}");
        let paid = MONTHS.map(|one| format!("child={head} month={one} date={one}-10 amount=20000"));
        let talk = "date=2018-07-02 who=调解员 text=已协商,下月起支付";
        let (support, more) = match at % 5 {
            _ if five => (0, String::new()),
            4 => (0, format!("{children} mediation={}", log(talk))),
            _ => (20_000, format!("{children} payments={}", log(&paid.join(";")))),
        };
        let all = pension + allowance + support + labour;
        record!(self, "elderly_support", "support-{alias}" => "member=@{alias} household={id} \
            category={category} monthly_income={all} pension={pension} allowance={allowance} \
            support_income={support} labour_income={labour} determined_by=村级责任组 \
            determined_on=2018-02-20 {more}");
        if !five {
            record!(self, "filial_fund", "fund-in-{alias}" => "date=2018-05-10 amount=20000 \
                receipt_no=收-{alias} account=@fund source=support payer={head} \
                signer_one=村会计 signer_two=孝善理事会");
        }
        record!(self, "filial_fund", "fund-out-{alias}" => "date=2018-06-18 amount=-10000 \
            receipt_no=支-{alias} account=@fund payee_elder=@support-{alias} purpose=慰问 \
            signer_one=村会计 signer_two=孝善理事会");
    }
}

#[cfg(test)]
mod tests;

//! Money, numbers and lists that must add up.

use serde_json::json;

use super::steps::{listed, member};
use crate::scenario::{CITY, COUNTY, COUNTY_2, SECOND, Scenario, Stage, TOWNSHIP, VILLAGE};
use crate::world::clerk;
use taizhang_core::id::RecordId;

pub(super) const LIST: &[Scenario] = &[
    Scenario {
        number: 2,
        title: (
            "两笔补助同时批准,合计超过年度控制额",
            "Two grants approved together exceed the yearly control",
        ),
        outcome: (
            "两笔都显示已批准,并都标出“超过控制额”。拨付只由持有拨付职权的那台电脑办理:先批准的先付,第二笔被拒绝并说明已付、本次和上限,由县里决定暂缓、压减或不予批准。",
            "Both show as approved and both are marked. Only the replica that holds the office pays: the first is paid, the second is refused with what was paid, what is asked and the cap; the county holds, cuts or rejects it.",
        ),
        play: yearly_control,
    },
    Scenario {
        number: 6,
        title: ("积分离线兑换两次", "Points redeemed twice off-line"),
        outcome: (
            "两次兑换都保留(货已取走),余额为负时标出“积分透支”并停止兑换,由管理员补分、追回或记账。设了离线限额后,每台终端在未经上级确认前最多兑到限额。",
            "Both redemptions stand, since the goods are gone; a balance below zero is marked and stops redemption. With an allowance each terminal redeems at most that much before the office above has confirmed it.",
        ),
        play: points_twice,
    },
    Scenario {
        number: 16,
        title: ("工资清单与申报的贫困占比不符", "The wage list against the declared share"),
        outcome: (
            "占比只按工资清单计算,没有可填写占比的地方;低于规定时标出。两台电脑登记同一人同月的工资算一行,内容不同就列为待办。",
            "The share is computed from the wage list and typed nowhere; too low a share is marked. One worker and month entered on two PCs is one line; different contents are a conflict item.",
        ),
        play: wage_share,
    },
    Scenario {
        number: 19,
        title: ("断网时同时编号", "Numbering while cut off"),
        outcome: (
            "编号是县级持有的一段号码:不持有号段的电脑不能编号,划给它一段之后才能;各段不重叠,号码不重复、不重编。",
            "Numbers are a series held by the county: a replica without a share cannot number, and after a transfer numbers from its own run; runs do not overlap, no number is given twice.",
        ),
        play: numbering,
    },
    Scenario {
        number: 22,
        title: ("拨付指令重复发送", "A payment sent twice"),
        outcome: (
            "同一申请同一期次的拨付只算一笔;内容不同则列为待办。",
            "A payment of one application and instalment counts once; differing contents are a conflict item.",
        ),
        play: payment_twice,
    },
    Scenario {
        number: 27,
        title: ("孝善基金同一收据登记两次", "One receipt entered twice"),
        outcome: (
            "两笔都保留并标出“同一收据号登记了两次”,余额按两笔计算,直到村里冲销一笔。",
            "Both entries stand and are marked; the balance counts both until the village reverses one.",
        ),
        play: receipt_twice,
    },
    Scenario {
        number: 31,
        title: ("撤回与拨付交错", "A withdrawal crosses a payment"),
        outcome: (
            "拨付是不可撤销的事实:各处都显示已拨付,迟到的撤回列为待办,由县里决定保留或追回。若县里在拨付前已收到撤回,拨付会被拒绝。",
            "A payment is a fact: every office shows it as paid and the late withdrawal is a conflict item; the county keeps it or recovers the money. Had the withdrawal arrived before, the payment would have been refused.",
        ),
        play: withdrawal_crosses_payment,
    },
];

/// A grant up to the township's review.
pub(super) fn reviewed_grant(stage: &mut Stage, household: RecordId, yuan: &str) -> RecordId {
    let id = submitted_grant(stage, household, yuan);
    stage.sync();
    stage.set(TOWNSHIP, id, "account_checked_tail", "0123");
    stage.act(TOWNSHIP, id, "reviewed");
    stage.sync();
    id
}

pub(super) fn submitted_grant(stage: &mut Stage, household: RecordId, yuan: &str) -> RecordId {
    let household = household.to_string();
    let id = stage.create(
        VILLAGE,
        "household_grant",
        &[
            ("household", &household),
            ("apply_date", "2018-06-05"),
            ("project_kind", "planting"),
            ("project_detail", "大棚"),
            ("requested", yuan),
            ("payee_account", "622848000000123"),
            ("payee_holder", "张三"),
        ],
    );
    stage.act(VILLAGE, id, "submitted");
    id
}

/// A household that may be granted something: listed, and its head a member.
fn entitled(stage: &mut Stage) -> RecordId {
    let household = listed(stage, "张三");
    member(stage, household, "41149919520307002X");
    household
}

/// What the county fills in when it pays.
fn pay_slip(stage: &mut Stage, grant: RecordId) {
    let slip = [("pay_channel", "card"), ("paid_date", "2018-06-20"), ("voucher_no", "凭-2018-31")];
    for (field, value) in slip {
        stage.set(COUNTY, grant, field, value);
    }
}

pub(super) fn open(stage: &mut Stage, name: &str, amount: i64) -> RecordId {
    stage
        .world
        .job(COUNTY, |engine, now| engine.open_right(name, amount, &clerk(), now))
        .unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn yearly_control(stage: &mut Stage) {
    let cap = "household_grant_year_total_yuan";
    stage.world.publish_from(COUNTY, "县发1号", "2018-06-01", cap, 1_000_000).unwrap();
    open(stage, "office:pay", 1);
    let household = entitled(stage);
    let one = reviewed_grant(stage, household, "6000");
    let two = reviewed_grant(stage, household, "6000");
    stage.cut(COUNTY);
    stage.cut(COUNTY_2);
    for (office, id) in [(COUNTY, one), (COUNTY_2, two)] {
        stage.set(office, id, "approved_amount", "6000");
        stage.act(office, id, "approved");
    }
    stage.heal(COUNTY);
    stage.heal(COUNTY_2);
    stage.everywhere(one, "approved");
    stage.everywhere(two, "approved");
    for id in [one, two] {
        assert!(stage.failed(COUNTY, id).contains(&"R-GRT-05".into()));
        pay_slip(stage, id);
    }
    let other = stage.try_act(COUNTY_2, one, "paid").unwrap_err();
    assert!(other.contains("财务节点"), "{other}");
    stage.act(COUNTY, one, "paid");
    let refused = stage.try_act(COUNTY, two, "paid").unwrap_err();
    assert!(refused.contains("超控制额"), "{refused}");
    stage.act(COUNTY, two, "on_hold");
    stage.sync();
    stage.everywhere(one, "paid");
    stage.everywhere(two, "on_hold");
}

fn entry(kind: &str, points: i64) -> serde_json::Value {
    json!({"date": "2018-06-05", "kind": kind, "points": points.to_string(), "what": "兑换"})
}

fn points_twice(stage: &mut Stage) {
    let household = stage.household(VILLAGE, "李四").to_string();
    let account =
        stage.create(VILLAGE, "points_account", &[("household", &household), ("card_no", "1")]);
    stage.add(VILLAGE, account, "entries", entry("earn", 80));
    stage.sync();
    stage.cut(VILLAGE);
    stage.cut(SECOND);
    stage.add(VILLAGE, account, "entries", entry("redeem", 60));
    stage.add(SECOND, account, "entries", entry("redeem", 60));
    stage.heal(VILLAGE);
    stage.heal(SECOND);
    for office in [VILLAGE, SECOND, TOWNSHIP, CITY] {
        assert_eq!(stage.row(office, account).logs["entries"].len(), 3);
        assert!(stage.failed(office, account).contains(&"R-PTS-01".into()));
    }
    stage
        .world
        .publish_from(COUNTY, "县发2号", "2018-06-01", "offline_redeem_allowance", 50)
        .unwrap();
    let other =
        stage.create(VILLAGE, "points_account", &[("household", &household), ("card_no", "2")]);
    stage.add(VILLAGE, other, "entries", entry("earn", 80));
    stage.sync();
    stage.cut(VILLAGE);
    stage.cut(SECOND);
    for office in [VILLAGE, SECOND] {
        stage.add(office, other, "entries", entry("redeem", 40));
        let refused = stage.try_set(office, other, "entries", &entry("redeem", 20).to_string());
        assert!(refused.unwrap_err().contains("离线限额"));
    }
    stage.heal(VILLAGE);
    stage.heal(SECOND);
    stage.set(VILLAGE, other, "entries", &entry("redeem", 20).to_string());
}

fn wage(worker: &str, poor: bool, yuan: &str) -> serde_json::Value {
    json!({"worker": worker, "is_poor": poor.to_string(), "amount": yuan})
}

fn wage_share(stage: &mut Stage) {
    open(stage, "workshop_no", 100);
    let workshop = stage.world.inspected_workshop("服装车间");
    stage.act(COUNTY, workshop, "accepted");
    stage.sync();
    stage.act(VILLAGE, workshop, "operating");
    let month = stage.create(
        VILLAGE,
        "workshop_wage",
        &[("workshop", &workshop.to_string()), ("month", "2018-05")],
    );
    for at in 0..28 {
        stage.add(VILLAGE, month, "lines", wage(&format!("工{at}"), at < 7, "1500"));
    }
    stage.sync();
    stage.cut(VILLAGE);
    stage.cut(SECOND);
    for office in [VILLAGE, SECOND] {
        stage.add(office, month, "lines", wage("赵六", true, "1600"));
    }
    stage.add(VILLAGE, month, "lines", wage("钱七", false, "1600"));
    stage.add(SECOND, month, "lines", wage("钱七", false, "1700"));
    stage.heal(VILLAGE);
    stage.heal(SECOND);
    for office in [VILLAGE, TOWNSHIP, COUNTY] {
        let row = stage.row(office, month);
        assert_eq!(row.logs["lines"].len(), 30, "one worker, one line");
        assert_eq!(row.conflicts.len(), 1, "different contents of one line");
        assert!(stage.failed(office, workshop).contains(&"R-WKS-01".into()), "8 of 30");
    }
}

fn numbering(stage: &mut Stage) {
    let [one, two, three] =
        ["一车间", "二车间", "三车间"].map(|name| stage.world.inspected_workshop(name));
    let pool = open(stage, "workshop_no", 100);
    stage.sync();
    let refused = stage.try_act(TOWNSHIP, one, "accepted").unwrap_err();
    assert!(refused.contains("县级办理"), "{refused}");
    let refused = stage.try_act(COUNTY_2, one, "accepted").unwrap_err();
    assert!(refused.contains("额度不足"), "{refused}");
    let twin = stage.world.engine(COUNTY_2).author.key;
    stage
        .world
        .job(COUNTY, |engine, now| engine.transfer_right(pool, twin, 10, &clerk(), now))
        .unwrap();
    stage.sync();
    stage.cut(COUNTY);
    stage.cut(COUNTY_2);
    stage.act(COUNTY, one, "accepted");
    stage.act(COUNTY, two, "accepted");
    stage.act(COUNTY_2, three, "accepted");
    stage.heal(COUNTY);
    stage.heal(COUNTY_2);
    let mut numbers: Vec<String> =
        [one, two, three].map(|id| stage.row(CITY, id).text("workshop_no")).to_vec();
    numbers.sort();
    numbers.dedup();
    assert_eq!(numbers.len(), 3, "{numbers:?}");
    assert!(stage.world.engine(CITY).balances().unwrap().iter().all(|one| one.amount >= 0));
}

fn payment_twice(stage: &mut Stage) {
    let household = entitled(stage);
    let grant = reviewed_grant(stage, household, "3000");
    stage.set(COUNTY, grant, "approved_amount", "3000");
    stage.act(COUNTY, grant, "approved");
    stage.sync();
    stage.cut(COUNTY);
    stage.cut(COUNTY_2);
    let line = |voucher: &str| json!({"instalment": "1", "amount": "3000", "voucher": voucher});
    stage.add(COUNTY, grant, "payments", line("凭1"));
    stage.add(COUNTY_2, grant, "payments", line("凭1"));
    stage.heal(COUNTY);
    stage.heal(COUNTY_2);
    assert_eq!(stage.row(CITY, grant).logs["payments"].len(), 1);
    assert!(stage.conflicts(CITY, grant).is_empty(), "a repetition is no conflict");
    stage.cut(COUNTY);
    let other = json!({"instalment": "1", "amount": "3000", "voucher": "凭2"});
    stage.add(COUNTY, grant, "payments", other);
    stage.heal(COUNTY);
    assert_eq!(stage.row(CITY, grant).logs["payments"].len(), 1);
    assert_eq!(stage.conflicts(CITY, grant).len(), 1, "differing contents are");
}

fn receipt_twice(stage: &mut Stage) {
    let fund = [("name", "孝善敬老基金"), ("fund_level", "village"), ("opened_on", "2018-01-10")];
    let account = stage.create(VILLAGE, "filial_account", &fund).to_string();
    stage.sync();
    stage.cut(VILLAGE);
    stage.cut(SECOND);
    let account = ("account", account.as_str());
    let receipt = [("date", "2018-06-05"), ("receipt_no", "0042"), ("amount", "500"), account];
    let one = stage.create(VILLAGE, "filial_fund", &receipt);
    let two = stage.create(SECOND, "filial_fund", &receipt);
    stage.heal(VILLAGE);
    stage.heal(SECOND);
    for id in [one, two] {
        assert!(stage.failed(VILLAGE, id).contains(&"R-FND-06".into()));
    }
    assert_eq!(balance(stage), 100_000, "both count");
    stage.create(
        VILLAGE,
        "filial_fund",
        &[
            ("date", "2018-06-06"),
            ("receipt_no", "0042"),
            ("amount", "-500"),
            account,
            ("reverses", &two.to_string()),
        ],
    );
    stage.sync();
    for id in [one, two] {
        assert!(!stage.failed(VILLAGE, id).contains(&"R-FND-06".into()));
    }
    assert_eq!(balance(stage), 50_000);
}

fn balance(stage: &mut Stage) -> i64 {
    let place = hex_upper(&stage.world.replicas[VILLAGE].place.0);
    let facts = crate::oracle::facts::facts(&stage.world.replicas[CITY].folder);
    facts.0.get(&format!("rollup {place} fund_balance")).map_or(0, |value| value.parse().unwrap())
}

pub(super) fn hex_upper(bytes: &[u8]) -> String {
    taizhang_core::id::hex(bytes).to_uppercase()
}

fn withdrawal_crosses_payment(stage: &mut Stage) {
    open(stage, "office:pay", 1);
    let household = entitled(stage);
    let grant = reviewed_grant(stage, household, "6000");
    stage.cut(VILLAGE);
    stage.act(VILLAGE, grant, "withdrawn");
    stage.set(COUNTY, grant, "approved_amount", "6000");
    pay_slip(stage, grant);
    stage.act(COUNTY, grant, "approved");
    stage.act(COUNTY, grant, "paid");
    stage.heal(VILLAGE);
    stage.everywhere(grant, "paid");
    for office in [VILLAGE, COUNTY] {
        let late = stage.conflicts(office, grant);
        assert_eq!(late.len(), 1, "the withdrawal is a conflict item");
        assert!(late[0].candidates[0].value.to_string().contains("withdrawn"));
    }
    let other = reviewed_grant(stage, household, "2000");
    stage.act(VILLAGE, other, "withdrawn");
    stage.sync();
    stage.everywhere(other, "withdrawn");
    let refused = stage.try_act(COUNTY, other, "paid").unwrap_err();
    assert!(refused.contains("已撤回"), "{refused}");
}

//! The document's workflows in a real browser, from the first paper to the last signature.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use fantoccini::Locator;
use serde_json::Value;
use taizhang_core::feed::entry::Person;
use taizhang_core::id::RecordId;
use taizhang_node::account::Duty;
use taizhang_node::ops::Request;
use taizhang_node::ops::office::OfficeRequest;

use crate::desk::{Desk, Driver, POSTS, account, account_of, driver};
use crate::office::{Office, chain};

const CITY: usize = 0;
const COUNTY: usize = 1;
const TOWNSHIP: usize = 2;
const VILLAGE: usize = 3;

fn person(at: usize) -> Person {
    Person { name: "测试员".into(), role: POSTS[at].into() }
}

fn pairs(fields: &[(&str, &str)]) -> BTreeMap<String, String> {
    fields.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn create(office: &Office, at: usize, ledger: &str, fields: &[(&str, &str)]) -> RecordId {
    let made = office
        .ask(&Request::Create {
            ledger: ledger.into(),
            place: None,
            inputs: pairs(fields),
            person: person(at),
        })
        .unwrap();
    made["record"].as_str().unwrap().parse().unwrap()
}

/// Takes a step as soon as the office may: what it needs may be on its way.
fn act(offices: &[Office], at: usize, id: RecordId, to: &str) {
    let start = Instant::now();
    let ask = Request::Act {
        id: Some(id),
        ledger: String::new(),
        in_state: String::new(),
        to: to.into(),
        reason: String::new(),
        person: person(at),
    };
    while let Err(refusal) = offices[at].ask(&ask) {
        assert!(start.elapsed() < Duration::from_secs(20), "{to}: {refusal}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn set(offices: &[Office], at: usize, id: RecordId, fields: &[(&str, &str)]) {
    let inputs = pairs(fields);
    offices[at].ask(&Request::Set { id, inputs, person: person(at) }).unwrap();
}

fn publish(offices: &[Office], at: usize, values: &[(&str, Value)]) {
    let policy = taizhang_node::engine::policy::NewPolicy {
        doc_no: format!("测试〔2018〕{at}号"),
        title: "测试参数".into(),
        effective_from: "2018-01-01".into(),
        values: values
            .iter()
            .map(|(id, value)| ((*id).to_owned(), serde_json::from_value(value.clone()).unwrap()))
            .collect(),
    };
    offices[at]
        .ask(&Request::PolicyPublish {
            policy, person: person(at), approved_by: "分管领导".into()
        })
        .unwrap();
}

/// A household with its head, which the county has let out of poverty.
fn exited(offices: &[Office], name: &str) -> RecordId {
    let mut fields = conflict_tests::world::household(name).to_vec();
    fields.push(("phone", "13700000000"));
    let household = create(&offices[VILLAGE], VILLAGE, "poor_household", &fields);
    let head = [
        ("household", household.to_string()),
        ("name", name.to_owned()),
        ("relation", "head".to_owned()),
        ("id_no", "411499195001010010".to_owned()),
        ("health", "healthy".to_owned()),
        ("labour", "ordinary".to_owned()),
        ("living", "registered".to_owned()),
    ];
    let head: Vec<(&str, &str)> = head.iter().map(|(key, value)| (*key, value.as_str())).collect();
    create(&offices[VILLAGE], VILLAGE, "household_member", &head);
    let helper = create(
        &offices[VILLAGE],
        VILLAGE,
        "public_contact",
        &[
            ("chain_link", "helper"),
            ("post", "帮扶责任人"),
            ("holder", "王帮扶"),
            ("phone", "13700000001"),
            ("valid_from", "2018-01-01"),
        ],
    );
    set(offices, VILLAGE, household, &[("helper", &helper.to_string())]);
    act(offices, COUNTY, household, "listed");
    act(offices, VILLAGE, household, "exit_proposed");
    act(offices, TOWNSHIP, household, "exit_verified");
    offices[COUNTY].wait("verified", |office| {
        let shown = office.ask(&Request::Show { id: household }).unwrap();
        shown["row"]["state"]["state"] == "exit_verified"
    });
    set(offices, COUNTY, household, &[("exit_year", "2018")]);
    act(offices, COUNTY, household, "exited");
    offices[VILLAGE].wait("exited", |office| {
        let shown = office.ask(&Request::Show { id: household }).unwrap();
        shown["row"]["state"]["state"] == "exited"
    });
    household
}

/// A reviewer's desk at an office.
async fn desk(driver: &Driver, offices: &[Office], at: usize, javascript: bool) -> Desk {
    account(&offices[at], POSTS[at], Duty::Reviewer);
    let desk = Desk::open(driver, &offices[at].pages, javascript).await;
    desk.sign_in("reviewer").await;
    desk
}

/// A photo such as a telephone takes: large enough to have a smaller picture.
fn photo(folder: &Path, name: &str, tint: u8) -> PathBuf {
    let picture = image::RgbImage::from_fn(640, 480, |x, y| {
        image::Rgb([((x * y) % 251) as u8, ((x * 7 + y) % 241) as u8, tint])
    });
    let path = folder.join(name);
    picture.save(&path).unwrap();
    assert!(std::fs::metadata(&path).unwrap().len() > 40_000);
    path
}

impl Desk {
    /// Adds a file to a field of the record shown.
    pub(crate) async fn upload(&self, field: &str, path: &Path) {
        let input = self.element(Locator::Id(&format!("file-{field}"))).await;
        input.send_keys(path.to_str().unwrap()).await.unwrap();
        let button = format!("//form[.//input[@id='file-{field}']]//button");
        self.element(Locator::XPath(&button)).await.click().await.unwrap();
        let name = path.file_name().unwrap().to_str().unwrap();
        self.sees(name).await;
    }

    /// Edits fields of a record, and saves.
    async fn edit(&self, record: &str, fields: &[(&str, &str)]) {
        self.go(&format!("{record}/edit")).await;
        self.fill(fields).await;
        self.button("保存").await;
        self.sees("已保存在本机").await;
    }
}

/// Goal: a household that has left poverty is rated in the six steps of the document: application, visit,
/// deliberation, public notice, confirmation and report; a step before its turn says why it cannot be, and the
/// paper for the board shows what may hang there.
#[tokio::test(flavor = "multi_thread")]
async fn a_star_rating_takes_its_six_steps() {
    let Some(driver) = driver() else { return };
    let folder = tempfile::tempdir().unwrap();
    let offices = chain(folder.path(), 0);
    publish(&offices, CITY, &[("public_notice_days", 7.into())]);
    publish(&offices, COUNTY, &[("star_tiers", "0=1,500000=2,800000=3".into())]);
    exited(&offices, "欧阳锋");
    let village = desk(&driver, &offices, VILLAGE, false).await;
    let township = desk(&driver, &offices, TOWNSHIP, true).await;
    village.go("/ledgers/star_rating/new").await;
    village.fill(&[("household", "欧阳锋"), ("year", "2018"), ("per_capita_income", "5200")]).await;
    village.button("保存").await;
    village.sees("已保存在本机").await;
    village.sees("欧阳锋 一组 2018").await;
    let rating = village.path().await;
    let visit =
        [("verify_visit.0.date", "2018-06-02"), ("verify_visit.0.persons", "王帮扶、李组长")];
    village.edit(&rating, &visit).await;
    village.step("入户核实", "").await;
    village
        .edit(
            &rating,
            &[
                ("representatives", "30"),
                ("law_abiding", "true"),
                ("present", "24"),
                ("votes_for", "22"),
                ("votes_against", "1"),
                ("votes_abstain", "1"),
                ("tier_proposed", "2"),
                ("deliberated_on", "2018-06-05"),
            ],
        )
        .await;
    village.step("民主评议", "").await;
    village.go("/ledgers/public_notice/new").await;
    village
        .fill(&[
            ("subject", "2018年星级户评议结果"),
            ("content", "欧阳锋，一组，拟定二星"),
            ("place", "board"),
            ("start_on", "2018-06-06"),
            ("end_on", "2018-06-13"),
            ("contact", "村委会 王文书"),
        ])
        .await;
    village.button("保存").await;
    village.sees("已保存在本机").await;
    village.step("公示", "").await;
    village.step("结束公示", "").await;
    village.edit(&rating, &[("notice_ref", "2018年星级户评议结果 2018-06-06")]).await;
    village.step("公示公告", "").await;
    village.screen("star-rating").await;
    township.wait_for(&rating, "已公示").await;
    township.edit(&rating, &[("tier", "3")]).await;
    township.button("最终确认").await;
    township.sees("星级与人均可支配收入档次不符").await;
    township.edit(&rating, &[("tier", "2")]).await;
    township.step("最终确认", "").await;
    township.step("汇总上报", "").await;
    village.wait_for(&rating, "已汇总上报").await;
    village.go(&format!("{rating}/print/result_notice")).await;
    let paper = village.text().await;
    assert!(paper.contains("星级户评议结果公示") && paper.contains("欧阳锋"), "{paper}");
    assert!(!paper.contains("5,200"), "income is not on the board's paper: {paper}");
    village.screen("paper").await;
    for desk in [village, township] {
        desk.client.close().await.unwrap();
    }
}

/// The clerk enters an application with both proofs.
async fn applied(clerk: &Desk, folder: &Path) -> String {
    clerk.go("/ledgers/employment_subsidy/new").await;
    clerk
        .fill(&[
            ("household", "欧阳锋"),
            ("year", "2018"),
            ("applied_on", "2018-06-05"),
            ("worker", "欧阳锋 户主"),
            ("place_kind", "county_park"),
            ("annual_wage", "24000"),
            ("work_place", "产业集聚区服装厂"),
        ])
        .await;
    clerk.button("保存").await;
    clerk.sees("已保存在本机").await;
    let subsidy = clerk.path().await;
    clerk.upload("proof_company", &photo(folder, "证明.jpg", 1)).await;
    clerk.upload("proof_wage", &photo(folder, "流水.png", 2)).await;
    clerk.step("收入认可", "").await;
    subsidy
}

/// Three people sign, the clerk changes the wage, and they sign again.
async fn signed_twice(village: &Office, clerk: &Desk, signer: &Desk, subsidy: &str) {
    clerk.go(subsidy).await;
    clerk.sees("帮扶责任人签字 (办理: 帮扶责任人)").await;
    let posts = [
        ("helper", "帮扶责任人签字"),
        ("resp_group_leader", "责任组长签字"),
        ("first_secretary", "第一书记签字"),
    ];
    for (post, _) in posts {
        account_of(village, post, post, Duty::Clerk);
    }
    for round in 0..2 {
        for (post, step) in posts {
            signer.sign_in(post).await;
            signer.go(subsidy).await;
            signer.step(step, "").await;
        }
        if round == 0 {
            clerk.edit(subsidy, &[("annual_wage", "23000")]).await;
            clerk.sees("需重新签字").await;
            clerk.go("/").await;
            clerk.sees("待复核或需重新签字").await;
            clerk.go(subsidy).await;
            clerk.screen("sign-again").await;
        }
    }
    clerk.go(subsidy).await;
    clerk.step("汇总上报乡镇", "").await;
}

/// Goal: three people sign with their own accounts, a change makes them sign again, and the county's payment is due
/// fifteen working days after its review, over the holidays of October 2018.
#[tokio::test(flavor = "multi_thread")]
async fn an_employment_subsidy_is_signed_by_three_and_due_in_fifteen_working_days() {
    let Some(driver) = driver() else { return };
    let folder = tempfile::tempdir().unwrap();
    let offices = chain(folder.path(), 0);
    let tiers =
        ["", "_park", "_township", "_workshop"].map(|end| format!("employment_subsidy_tiers{end}"));
    let values: Vec<(&str, Value)> =
        tiers.iter().map(|id| (id.as_str(), "0=100000,2000000=200000".into())).collect();
    publish(&offices, COUNTY, &values);
    offices[COUNTY]
        .ask(&Request::Office {
            request: OfficeRequest::RightOpen { name: "office:pay".into(), amount: 1 },
            person: person(COUNTY),
        })
        .unwrap();
    let city = desk(&driver, &offices, CITY, false).await;
    city.go("/").await;
    city.sees("工作日历缺少").await;
    city.go("/ledgers/work_calendar/import").await;
    let calendar =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/data/work-calendar-2018.csv");
    let input = city.client.find(Locator::Id("file")).await.unwrap();
    input.send_keys(calendar.canonicalize().unwrap().to_str().unwrap()).await.unwrap();
    city.button("上传").await;
    city.button("全部导入").await;
    city.sees("新增 29").await;
    exited(&offices, "欧阳锋");
    let clerk = desk(&driver, &offices, VILLAGE, false).await;
    let signer = Desk::open(&driver, &offices[VILLAGE].pages, true).await;
    let subsidy = applied(&clerk, folder.path()).await;
    signed_twice(&offices[VILLAGE], &clerk, &signer, &subsidy).await;
    let township = desk(&driver, &offices, TOWNSHIP, false).await;
    township.wait_for(&subsidy, "已汇总上报乡镇").await;
    township.edit(&subsidy, &[("amount", "2000")]).await;
    township.step("乡镇审核", "").await;
    let county = desk(&driver, &offices, COUNTY, true).await;
    county.wait_for(&subsidy, "乡镇已审").await;
    county.edit(&subsidy, &[("finance_review_on", "2018-09-28")]).await;
    county.step("财政审核", "").await;
    county.sees("期限 2018-10-24").await;
    county.sees("R-SUB-06").await;
    county.go("/").await;
    county.sees("已逾期").await;
    let fields = [
        ("pay_channel", "card"),
        ("paid_on", "2018-10-24"),
        ("voucher_no", "C-1"),
        ("account", "6228480000001234"),
    ];
    county.edit(&subsidy, &fields).await;
    county.step("拨付", "").await;
    let page = county.text().await;
    assert!(!page.contains("R-SUB-06"), "paid on the fifteenth working day: {page}");
    county.screen("subsidy").await;
    clerk.wait_for(&subsidy, "已拨付").await;
    for desk in [city, clerk, signer, township, county] {
        desk.client.close().await.unwrap();
    }
}

/// What is no photo is refused in words.
async fn refuses_a_text(village: &Desk, folder: &Path) {
    let text = folder.join("假照片.jpg");
    std::fs::write(&text, "不是照片").unwrap();
    let input = village.element(Locator::Id("file-photo_during")).await;
    input.send_keys(text.to_str().unwrap()).await.unwrap();
    let button = "//form[.//input[@id='file-photo_during']]//button";
    village.element(Locator::XPath(button)).await.click().await.unwrap();
    village.sees("不是16MB以内的JPG、PNG照片或PDF文件").await;
}

/// A toilet's file as the village begins it.
const TOILET: [(&str, &str); 6] = [
    ("householder", "欧阳锋"),
    ("mode", "three_chamber"),
    ("toilet_type", "三格式 1.5立方米"),
    ("start_on", "2018-05-02"),
    ("built_on", "2018-05-20"),
    ("self_check", "true"),
];

/// Goal: a toilet's file with photos goes from the village to the county; the photos arrive, the small ones show at
/// once, and the county sees what was there on an earlier day.
#[tokio::test(flavor = "multi_thread")]
async fn a_toilet_file_brings_its_photos_to_the_county() {
    let Some(driver) = driver() else { return };
    let folder = tempfile::tempdir().unwrap();
    let offices = chain(folder.path(), 0);
    let village = desk(&driver, &offices, VILLAGE, false).await;
    let township = desk(&driver, &offices, TOWNSHIP, false).await;
    let county = desk(&driver, &offices, COUNTY, true).await;
    village.go("/ledgers/toilet_renovation/new").await;
    village.fill(&TOILET).await;
    village.button("保存").await;
    village.sees("已保存在本机").await;
    let file = village.path().await;
    let photos = [
        ("application", "同意书.png", 1),
        ("photo_before", "改前.jpg", 2),
        ("photo_after", "改后.jpg", 3),
    ];
    for (field, name, tint) in photos {
        village.upload(field, &photo(folder.path(), name, tint)).await;
    }
    refuses_a_text(&village, folder.path()).await;
    village.go(&file).await;
    village.screen("photos").await;
    // The township numbers the file before the works start.
    township.wait_for(&file, "欧阳锋").await;
    township.edit(&file, &[("file_no", "T-001")]).await;
    village.wait_for(&file, "T-001").await;
    for step in ["开工", "完工", "村自查"] {
        village.step(step, "").await;
    }
    township.wait_for(&file, "村已自查").await;
    township.button("乡镇核查").await;
    township.sees("R-TOI-15").await;
    township.edit(&file, &[("crew", "张弓施工队"), ("cost_total", "1200")]).await;
    township.button("乡镇核查").await;
    township.sees("R-TOI-06").await;
    let trained = [("worker_certificate", "证-1"), ("worker_trained_on", "2018-04-20")];
    township.edit(&file, &trained).await;
    township.step("乡镇核查", "").await;
    county.wait_for(&file, "乡镇已核查").await;
    let pictures = "//figure//img";
    for _ in 0..100 {
        if county.client.find_all(Locator::XPath(pictures)).await.unwrap().len() == 3 {
            break;
        }
        county.go(&file).await;
    }
    let shown = county.client.find_all(Locator::XPath(pictures)).await.unwrap();
    assert_eq!(shown.len(), 3, "{}", county.text().await);
    let loaded = "return [...document.images].every(one => one.naturalWidth > 0)";
    assert_eq!(county.client.execute(loaded, Vec::new()).await.unwrap(), Value::Bool(true));
    county.step("县级验收", "").await;
    county.go(&format!("{file}?as_of=2018-01-01")).await;
    county.sees("没有找到").await;
    village.wait_for(&file, "县已验收").await;
    village.go(&format!("{file}/print/file")).await;
    village.sees("农户改厕档案(一户一档)").await;
    let city = desk(&driver, &offices, CITY, false).await;
    city.wait_for(&file, "县已验收").await;
    let page = city.text().await;
    assert!(!page.contains("改前.jpg"), "photos are not the city's to see: {page}");
    for desk in [village, township, county, city] {
        desk.client.close().await.unwrap();
    }
}

/// A workshop that the township has checked and the county inspected.
fn inspected_workshop(offices: &[Office]) -> RecordId {
    let arrives = |at: usize, shop: RecordId, state: &str| {
        offices[at].wait(state, |office| {
            let shown = office.ask(&Request::Show { id: shop });
            shown.is_ok_and(|shown| shown["row"]["state"]["state"] == state)
        });
    };
    let kept = [("name", "张弓服装加工点"), ("safety_officer", "李四"), ("fire_equipment", "8")];
    let shop = create(&offices[VILLAGE], VILLAGE, "workshop", &kept);
    arrives(TOWNSHIP, shop, "proposed");
    let haves = ["site", "sign", "intro", "safety", "board", "payroll"];
    let haves = haves.map(|one| format!("have_{one}_ok"));
    let mut checked = vec![
        ("build_kind", "rebuilt"),
        ("land_kind", "school"),
        ("operator", "样本服装公司"),
        ("six_checked_on", "2018-05-20"),
    ];
    checked.extend(haves.iter().map(|field| (field.as_str(), "true")));
    set(offices, TOWNSHIP, shop, &checked);
    act(offices, TOWNSHIP, shop, "built");
    arrives(COUNTY, shop, "built");
    let county = [
        ("funding_kind", "government"),
        ("workshop_kind", "poverty"),
        ("safety_designed", "true"),
        ("safety_built", "true"),
        ("safety_used", "true"),
    ];
    set(offices, COUNTY, shop, &county);
    act(offices, COUNTY, shop, "inspected");
    shop
}

/// Goal: a workshop is accepted and numbered by the county, its wage list is entered line by line and printed, and
/// the board's paper names no amounts; the share of poor workers comes from the list alone.
#[tokio::test(flavor = "multi_thread")]
async fn a_workshop_keeps_its_wage_list() {
    let Some(driver) = driver() else { return };
    let folder = tempfile::tempdir().unwrap();
    let offices = chain(folder.path(), 0);
    offices[COUNTY]
        .ask(&Request::Office {
            request: OfficeRequest::RightOpen { name: "workshop_no".into(), amount: 100 },
            person: person(COUNTY),
        })
        .unwrap();
    let shop = inspected_workshop(&offices);
    act(&offices, COUNTY, shop, "accepted");
    let village = desk(&driver, &offices, VILLAGE, true).await;
    let shop = format!("/records/{shop}");
    village.wait_for(&shop, "已验收编号").await;
    village.step("运行", "").await;
    let title = village.client.find(Locator::Css("h1")).await.unwrap().text().await.unwrap();
    let title = title.split(" 扶贫车间台账").next().unwrap().to_owned();
    village.go("/ledgers/workshop_wage/new").await;
    let workers = [("欧阳锋", "true", "1800", "22"), ("欧阳克", "false", "2100.50", "24")];
    village.fill(&[("workshop", title.as_str()), ("month", "2018-05")]).await;
    for (at, (name, poor, amount, days)) in workers.iter().enumerate() {
        let id = |column: &str| format!("lines.{at}.{column}");
        let (worker, is_poor, pay, count) = (id("worker"), id("is_poor"), id("amount"), id("days"));
        let cells = [
            (worker.as_str(), *name),
            (is_poor.as_str(), *poor),
            (pay.as_str(), *amount),
            (count.as_str(), *days),
        ];
        village.fill(&cells).await;
    }
    for (at, (name, ..)) in workers.iter().enumerate() {
        let (worker, band) = (format!("attendance.{at}.worker"), format!("attendance.{at}.band"));
        village.fill(&[(worker.as_str(), *name)]).await;
        let band = village.element(Locator::Id(&band)).await;
        band.select_by_index(1).await.unwrap();
    }
    village.button("保存").await;
    village.sees("2,100.50").await;
    let list = village.path().await;
    village.screen("wages").await;
    village.go(&format!("{list}/print/wage_list")).await;
    for text in ["工资发放清单", "欧阳锋", "1,800.00", "车间负责人"] {
        village.sees(text).await;
    }
    village.go(&format!("{list}/print/board")).await;
    let board = village.text().await;
    assert!(board.contains("欧阳克") && !board.contains("1,800"), "{board}");
    village.go(&shop).await;
    let page = village.text().await;
    assert!(!page.contains("R-WKS-01"), "one of two is poor: {page}");
    village.client.close().await.unwrap();
}

//! Sheets as people make them: three layouts come in, a table goes out, and other programs read it.

use std::path::{Path, PathBuf};
use std::process::Command;

use axum::body::{Body, to_bytes};
use axum::http::{Request, header};
use calamine::{Data, Reader as _, Xlsx, open_workbook};
use conflict_tests::world::{World, clerk, household};
use rust_xlsxwriter::{Format, Formula, Workbook};
use serde_json::{Value, json};
use taizhang_core::id::{Level, RecordId, hex};
use taizhang_node::account::Duty;
use taizhang_node::driver::Replica;
use taizhang_node::ops::account::{AccountRequest, NewAccount};
use taizhang_node::ops::import::import;
use taizhang_node::ops::sheet_import::{Asker, Outcome, prepare, remember};
use taizhang_node::ops::silent;
use taizhang_node::store::read::ListQuery;
use taizhang_node::viewer::Viewer;
use taizhang_node::web::access::Site;
use taizhang_node::web::router;
use tower::ServiceExt as _;

struct Office {
    replica: Replica,
    folder: tempfile::TempDir,
    _world: World,
}

/// A village with two households.
fn office() -> Office {
    let mut world = World::new(91, 4, None);
    for name in ["张三", "李四"] {
        world.household(3, name);
    }
    assert!(world.settle(2000));
    let replica = Replica::start(world.replicas[3].engine.take().unwrap()).unwrap();
    Office { replica, folder: tempfile::tempdir().unwrap(), _world: world }
}

impl Office {
    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn asker(&self) -> Asker {
        let duty = Some(Duty::Clerk);
        let viewer = Viewer { level: Level::Village, duty, revealed: false, inspects: false };
        Asker { person: clerk(), viewer }
    }

    async fn import(&self, name: &str, ledger: &str, preview: bool) -> Outcome {
        let directives = self.replica.directives();
        let ledger = directives.catalogue.ledger(ledger).unwrap();
        let prepared = prepare(&self.replica, &self.path(name), ledger).await.unwrap();
        prepared.import(&self.replica, ledger, preview, self.asker(), silent()).await.unwrap()
    }

    /// Values of a field over a ledger's records, sorted.
    fn values(&self, ledger: &str, field: &str) -> Vec<String> {
        let query = ListQuery { ledger: ledger.into(), limit: 100, ..ListQuery::default() };
        let (rows, _) = self.replica.readers().with(|reader| reader.list(&query)).unwrap();
        let value = |row: &taizhang_node::store::read::Listed| {
            row.row.as_ref().and_then(|row| row.fields.get(field)).map(ToString::to_string)
        };
        let mut values: Vec<String> = rows.iter().filter_map(value).collect();
        values.sort();
        values
    }
}

/// A title, merged groups, headers under them, a blank row, a formula.
fn merged(path: &Path) {
    let mut book = Workbook::new();
    let sheet = book.add_worksheet();
    let plain = Format::new();
    sheet.merge_range(0, 0, 0, 5, "贫困人口花名册", &plain).unwrap();
    sheet.merge_range(1, 2, 1, 4, "家庭成员", &plain).unwrap();
    for (column, text) in [(0, "序号"), (1, "户主"), (5, "在册状态")] {
        sheet.merge_range(1, column, 2, column, text, &plain).unwrap();
    }
    for (column, text) in [(2, "姓名"), (3, "公民身份号码"), (4, "关系")] {
        sheet.write_string(2, column, text).unwrap();
    }
    for (column, text) in [(6, "健康状况"), (7, "劳动能力")] {
        sheet.merge_range(1, column, 2, column, text, &plain).unwrap();
    }
    let rows = [
        ["1", "张三", "张小宝", "411499197003110017", "子女", "在册", "健康", "普通劳动力"],
        ["", "", "", "", "", "", "", ""],
        ["2", "李四", "李小花", "411499850101002", "子女", "在册", "健康", "普通劳动力"],
    ];
    for (row, cells) in (3..).zip(rows) {
        for (column, text) in (0..).zip(cells) {
            sheet.write_string(row, column, text).unwrap();
        }
    }
    let name = Formula::new("=\"张\"&\"小宝\"").set_result("张小宝");
    sheet.write_formula(3, 2, name).unwrap();
    book.save(path).unwrap();
}

/// What Excel writes as csv on a Chinese machine; dates as text, columns in another order.
fn gbk(path: &Path) {
    let text = "出生年月日,成员姓名,户主姓名,与户主关系,在册状态,健康状况,劳动能力\r\n\
                1985.1.1,李小花,李四,子女,在册,患有大病,弱劳动力或半劳动力\r\n\
                2018/3/5,李小牛,李四,孙子女,在册,健康,无劳动力\r\n";
    std::fs::write(path, encoding_rs::GBK.encode(text).0).unwrap();
}

/// Headers that no catalogue knows.
fn foreign(path: &Path, birth: &str) {
    let mut book = Workbook::new();
    let sheet = book.add_worksheet();
    let rows = [
        ["谁家", "姓名", "称呼", "生日", "在册状态", "健康状况", "劳动能力"],
        ["张三", "张大宝", "子女", birth, "在册", "健康", "技能劳动力"],
    ];
    for (row, cells) in (0..).zip(rows) {
        for (column, text) in (0..).zip(cells) {
            sheet.write_string(row, column, text).unwrap();
        }
    }
    book.save(path).unwrap();
}

/// Goal: three layouts come in whole; what comes again changes nothing, what is different changes that alone;
/// a corrected mapping is remembered for the next sheet of the kind.
#[tokio::test(flavor = "multi_thread")]
async fn three_layouts_come_in_and_come_again() {
    let office = office();
    let ledger = "household_member";
    merged(&office.path("merged.xlsx"));
    let first = office.import("merged.xlsx", ledger, false).await;
    assert!(first.errors.is_empty(), "{:?}", first.errors);
    assert_eq!((first.created, first.changed, first.unchanged), (2, 0, 0));
    assert_eq!(office.values(ledger, "id_no"), ["411499197003110017", "411499198501010029"]);
    let again = office.import("merged.xlsx", ledger, false).await;
    assert_eq!((again.created, again.changed, again.unchanged), (0, 0, 2));

    gbk(&office.path("members.csv"));
    let seen = office.import("members.csv", ledger, true).await;
    assert_eq!((seen.created, seen.changed, seen.unchanged), (1, 1, 0));
    let differences: Vec<(&str, &str, &str)> = seen
        .differences
        .iter()
        .map(|one| (one.field.as_str(), one.old.as_str(), one.new.as_str()))
        .collect();
    assert!(differences.contains(&("birth_date", "", "1985-01-01")), "{differences:?}");
    assert!(differences.contains(&("health", "健康", "患有大病")), "{differences:?}");
    assert_eq!(office.values(ledger, "name").len(), 2, "a look changes nothing");
    office.import("members.csv", ledger, false).await;
    assert_eq!(office.values(ledger, "birth_date"), ["1985-01-01", "2018-03-05"]);

    // A sheet is no way to see a number that is masked.
    let text = "户主,姓名,与户主关系,身份证号\n张三,张小宝,子女,411499197003110025\n";
    std::fs::write(office.path("ids.csv"), text).unwrap();
    let seen = office.import("ids.csv", ledger, true).await;
    assert_eq!(seen.differences.len(), 1);
    assert_eq!(seen.differences[0].old, "411499********0017");

    foreign(&office.path("foreign.xlsx"), "1999年9月9日");
    let directives = office.replica.directives();
    let found = directives.catalogue.ledger(ledger).unwrap();
    let path = office.path("foreign.xlsx");
    let mut prepared = prepare(&office.replica, &path, found).await.unwrap();
    assert_eq!(prepared.mapping.unknown(), ["谁家", "称呼", "生日"]);
    for (column, field) in [(0, "household"), (2, "relation"), (3, "birth_date")] {
        prepared.mapping.columns[column].field = field.into();
    }
    remember(&office.replica, ledger, &prepared.mapping).await.unwrap();
    foreign(&office.path("foreign-2.xlsx"), "1999年10月9日");
    let next = office.import("foreign-2.xlsx", ledger, false).await;
    assert!(next.errors.is_empty(), "{:?}", next.errors);
    assert_eq!(next.created, 1, "the mapping is remembered");
    assert!(office.values(ledger, "birth_date").contains(&"1999-10-09".to_owned()));
}

/// Goal: every bad cell is named by row and column; nothing of the sheet is imported.
#[tokio::test(flavor = "multi_thread")]
async fn every_bad_cell_is_named_and_nothing_comes_in() {
    let office = office();
    let text = "户主,姓名,与户主关系,出生日期,在册状态,健康状况,劳动能力\n\
                张三,甲,外星人,2018-02-30,在册,健康,普通劳动力\n\
                王五,乙,子女,2018-02-03,在册,健康,普通劳动力\n\
                张三,丙,子女,2018-02-03,在册,,普通劳动力\n\
                张三,丁,子女,2018-02-03,在册,健康,普通劳动力\n\
                张三,丁,子女,2018-02-04,在册,健康,普通劳动力\n";
    std::fs::write(office.path("bad.csv"), text).unwrap();
    let outcome = office.import("bad.csv", "household_member", false).await;
    let cells: Vec<(usize, &str)> =
        outcome.errors.iter().map(|one| (one.row, one.column.as_str())).collect();
    assert_eq!(cells, [(2, "C"), (2, "D"), (3, "A"), (4, ""), (6, "")], "{:?}", outcome.errors);
    assert!(outcome.errors[0].reason.zh.contains("不在可选项中"));
    assert!(outcome.errors[4].reason.zh.contains("第5行"));
    assert!(office.values("household_member", "name").is_empty());
}

/// The table of the page, as a signed-in clerk downloads it.
async fn export(office: &Office) -> Vec<u8> {
    let account = NewAccount {
        login: "wang".into(),
        name: "王文书".into(),
        role: "village_clerk".into(),
        duty: Duty::Clerk,
        password: "correct horse".into(),
    };
    office.replica.account(AccountRequest::Add(account)).await.unwrap();
    let token = office.replica.sign_in("wang", "correct horse".into()).await.unwrap().token;
    let request = Request::builder()
        .uri("/ledgers/household_grant/export")
        .header(header::HOST, "localhost")
        .header(header::COOKIE, format!("taizhang_session={}", hex(token.as_bytes())))
        .body(Body::empty())
        .unwrap();
    let site = Site::default();
    let response = router(office.replica.clone(), site).oneshot(request).await.unwrap();
    assert!(response.status().is_success(), "{}", response.status());
    to_bytes(response.into_body(), usize::MAX).await.unwrap().to_vec()
}

/// Goal: an exported table opens in other programs with equal values; a text that looks like a formula stays a
/// text; numbers of accounts are masked and the audit says who took the table.
#[tokio::test(flavor = "multi_thread")]
async fn an_exported_table_opens_elsewhere_with_equal_values() {
    let office = office();
    let text = "申请户,申请日期,项目类别,项目内容,申请金额,收款账户\n\
                张三,2018-06-05,种植业,=HYPERLINK(1),1234.5,622848000000123\n";
    std::fs::write(office.path("grants.csv"), text).unwrap();
    let ledger = "household_grant";
    let done = office.import("grants.csv", ledger, false).await;
    assert!(done.errors.is_empty() && done.created == 1, "{:?}", done.errors);
    let path = office.path("out.xlsx");
    std::fs::write(&path, export(&office).await).unwrap();
    let mut book: Xlsx<_> = open_workbook(&path).unwrap();
    let name = book.sheet_names()[0].clone();
    assert!(book.worksheet_formula(&name).unwrap().is_empty(), "no cell is a formula");
    let range = book.worksheet_range(&name).unwrap();
    let row = |at: usize| range.rows().nth(at).unwrap();
    let cell = |head: &str| {
        let column = row(0).iter().position(|one| *one == head).unwrap();
        row(1)[column].clone()
    };
    assert_eq!(cell("项目内容"), Data::String("=HYPERLINK(1)".into()));
    assert_eq!(cell("申请金额"), Data::Float(1234.5));
    assert!(!format!("{range:?}").contains("622848000000123"));
    let audit = office.replica.readers().with(|reader| reader.audit(10)).unwrap();
    assert!(audit.iter().any(|(_, kind, text)| kind == "exported" && text.starts_with("wang")));
    if Command::new("soffice").arg("--version").output().is_err() {
        println!("skipped: soffice");
        assert!(std::env::var_os("TAIZHANG_CI").is_none(), "soffice is missing");
        return;
    }
    let profile = format!("-env:UserInstallation=file://{}", office.path("profile").display());
    let converted = Command::new("soffice")
        .args([&profile, "--headless", "--convert-to", "csv:Text - txt - csv (StarCalc):44,34,76"])
        .arg("--outdir")
        .args([office.folder.path(), &path])
        .output()
        .unwrap();
    assert!(converted.status.success(), "{converted:?}");
    let csv = std::fs::read_to_string(office.path("out.csv")).unwrap();
    assert!(csv.contains("=HYPERLINK(1)") && csv.contains("1,234.50"), "{csv}");
}

/// Imports lines at an office.
async fn import_lines(replica: &Replica, lines: &[Value]) -> Result<Value, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lines.jsonl");
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    std::fs::write(&path, text).unwrap();
    let done = import(replica, &path, "", false, clerk(), silent()).await;
    done.map_err(|error| error.to_string())
}

/// Goal: `@name` means a record of the same place and of the ledger that the field refers to, never another's.
#[tokio::test(flavor = "multi_thread")]
async fn names_in_an_import_stay_in_their_place_and_ledger() {
    let mut world = World::new(95, 5, None);
    assert!(world.settle(3000));
    let replica = Replica::start(world.replicas[2].engine.take().unwrap()).unwrap();
    let (one, other) = ("411426203201", "411426203202");
    let shop = |alias: &str, place: &str| {
        let fields = json!({"name": "服装车间"});
        json!({"ledger": "workshop", "id": alias, "place": place, "fields": fields})
    };
    let talent = |alias: &str, place: &str, shop: &str| {
        let fields = json!({
            "name": "张三", "supplied_on": "2018-05-01", "industry": "服装", "workshop": shop
        });
        json!({"ledger": "outside_talent", "id": alias, "place": place, "fields": fields})
    };
    let lines = [
        shop("shop", one),
        shop("shop", other),
        talent("first", one, "@shop"),
        talent("second", other, "@shop"),
    ];
    import_lines(&replica, &lines).await.unwrap();
    let query = ListQuery { ledger: "outside_talent".into(), limit: 10, ..ListQuery::default() };
    let (rows, _) = replica.readers().with(|reader| reader.list(&query)).unwrap();
    let named = rows.iter().filter_map(|row| row.row.as_ref().map(|row| row.text("workshop")));
    let named: std::collections::BTreeSet<String> = named.collect();
    assert_eq!(named.len(), 2, "each the workshop of its own village: {named:?}");
    let elsewhere = [shop("there", other), talent("third", one, "@there")];
    let another = [talent("fourth", one, ""), talent("fifth", one, "@fourth")];
    for lines in [elsewhere, another] {
        let refused = import_lines(&replica, &lines).await.unwrap_err();
        assert!(refused.contains("another place or ledger"), "{refused}");
    }
    replica.close();
}

/// Goal: references in the lines of a log are resolved as those in fields are; a year or a choice names no record.
#[tokio::test(flavor = "multi_thread")]
async fn names_in_an_import_reach_into_logs() {
    let office = office();
    let home = |alias: &str, head: &str| {
        let mut fields = json!(std::collections::BTreeMap::from(household("赵六")));
        if !head.is_empty() {
            fields["head_member"] = head.into();
        }
        json!({"ledger": "poor_household", "id": alias, "fields": fields})
    };
    let pioneer = |who: &str| {
        let pairs = json!([{"date": "2018-05-01", "action": "start", "household": who}]);
        let fields = json!({
            "name": "王五", "pioneer_kind": "cadre", "listed_on": "2018-05-01", "measure": "供苗",
            "pairs": pairs.to_string()
        });
        json!({"ledger": "pioneer", "fields": fields})
    };
    let member = json!({"ledger": "household_member", "id": "m", "fields": {
        "household": "@h", "name": "赵小", "relation": "child", "health": "healthy",
        "labour": "none", "living": "registered"
    }});
    let lines = [home("h", ""), member, pioneer("@h"), pioneer("张三")];
    import_lines(&office.replica, &lines).await.unwrap();
    let query = ListQuery { ledger: "pioneer".into(), limit: 10, ..ListQuery::default() };
    let (rows, _) = office.replica.readers().with(|reader| reader.list(&query)).unwrap();
    let rows: Vec<_> = rows.into_iter().filter_map(|row| row.row).collect();
    assert_eq!(rows.len(), 2);
    for row in rows {
        let named = row.logs["pairs"][0].columns["household"].to_string();
        assert!(named.parse::<RecordId>().is_ok(), "{named}");
    }
    for lines in [[pioneer("没有这户")], [home("", "child")]] {
        let refused = import_lines(&office.replica, &lines).await.unwrap_err();
        assert!(refused.contains("no record named"), "{refused}");
    }
    import_lines(&office.replica, &[home("", "赵小")]).await.unwrap();
}

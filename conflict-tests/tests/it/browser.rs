//! Days at the desk in a real browser.

use fantoccini::Locator;
use fantoccini::key::Key;
use taizhang_node::account::Duty;

use crate::desk::{Desk, PASSWORD, POSTS, account, driver};
use crate::office::chain;

/// Goal: a clerk sets the replica up, signs in, and enters a household with the keyboard alone; the record is
/// there, saved in words, with JavaScript on and off.
#[tokio::test(flavor = "multi_thread")]
async fn a_clerk_sets_up_and_enters_a_household_by_keyboard() {
    let Some(driver) = driver() else { return };
    for javascript in [true, false] {
        let folder = tempfile::tempdir().unwrap();
        let offices = chain(folder.path(), 0);
        let desk = Desk::open(&driver, &offices[3].pages, javascript).await;
        desk.go("/").await;
        assert_eq!(desk.path().await, "/setup");
        desk.screen("setup").await;
        // The first field has the focus; tabs lead through the form.
        for text in ["王文书", "", "wang", PASSWORD, "李管理", "li", "another-password"] {
            if !text.is_empty() {
                desk.types(text).await;
            }
            desk.press(Key::Tab).await;
        }
        desk.press(Key::Enter).await;
        desk.sees("今日待办").await;
        desk.go("/ledgers/poor_household/new").await;
        // A select takes what its choices begin with; Enter in a field saves.
        let fields = [
            ("head_name", "欧阳䶮"),
            ("group_no", "一组"),
            ("household_kind", "一般"),
            ("main_cause", "因病"),
        ];
        for (id, text) in fields {
            desk.tab_to(id).await;
            desk.types(text).await;
        }
        desk.tab_to("phone").await;
        desk.press(Key::Enter).await;
        desk.sees("已保存在本机").await;
        desk.sees("欧阳䶮").await;
        desk.screen("household").await;
        desk.client.close().await.unwrap();
    }
}

/// Goal: a form that is sent after its session has ended is not lost: it waits on the sign-in page, and goes on with
/// one press after it.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_typed_outlives_the_session() {
    let Some(driver) = driver() else { return };
    let folder = tempfile::tempdir().unwrap();
    let offices = chain(folder.path(), 0);
    account(&offices[3], POSTS[3], Duty::Clerk);
    let desk = Desk::open(&driver, &offices[3].pages, false).await;
    desk.sign_in("clerk").await;
    desk.go("/ledgers/poor_household/new").await;
    let note = "一组 东头第三家";
    desk.fill(&[("head_name", "欧阳锋"), ("group_no", note), ("main_cause", "illness")]).await;
    desk.fill(&[("household_kind", "general")]).await;
    desk.client.delete_all_cookies().await.unwrap();
    desk.button("保存").await;
    desk.sees("您填写的内容会在登录后继续提交").await;
    desk.fill(&[("login", "clerk"), ("password", "wrong-password")]).await;
    desk.button("登录").await;
    desk.sees("您填写的内容会在登录后继续提交").await;
    desk.fill(&[("login", "clerk"), ("password", PASSWORD)]).await;
    desk.button("登录").await;
    desk.button("继续提交").await;
    desk.sees("已保存在本机").await;
    desk.sees(note).await;
    desk.client.close().await.unwrap();
}

/// Goal: two offices that edit one record apart both keep their work; the township's reviewer decides in the
/// browser, and both then show the decision.
#[tokio::test(flavor = "multi_thread")]
async fn a_conflict_of_two_offices_is_decided_in_the_browser() {
    let Some(driver) = driver() else { return };
    let folder = tempfile::tempdir().unwrap();
    let offices = chain(folder.path(), 0);
    for (office, post) in offices.iter().zip(POSTS) {
        account(office, post, Duty::Reviewer);
    }
    let village = Desk::open(&driver, &offices[3].pages, true).await;
    let township = Desk::open(&driver, &offices[2].pages, false).await;
    village.sign_in("reviewer").await;
    township.sign_in("reviewer").await;
    village.go("/ledgers/poor_household/new").await;
    let kind = ("household_kind", "general");
    let cause = ("main_cause", "illness");
    village.fill(&[("head_name", "欧阳锋"), ("group_no", "一组"), kind, cause]).await;
    village.button("保存").await;
    village.sees("已保存在本机").await;
    let record = village.path().await;
    township.wait_for("/ledgers/poor_household", "欧阳锋").await;
    offices[3].link.as_ref().unwrap().set_cut(true);
    for (desk, kind) in [(&village, "low_income"), (&township, "five_guarantee")] {
        desk.go(&format!("{record}/edit")).await;
        desk.fill(&[("household_kind", kind)]).await;
        desk.button("保存").await;
        desk.sees("已保存在本机").await;
    }
    offices[3].link.as_ref().unwrap().set_cut(false);
    township.wait_for("/conflicts", "欧阳锋").await;
    village.wait_for("/conflicts", "欧阳锋").await;
    township.go(&record).await;
    township.screen("conflict").await;
    township.button("采用此值").await;
    let kept = township.text().await;
    assert!(!kept.contains("采用此值"), "it is decided: {kept}");
    village.wait_for("/conflicts", "没有").await;
    for desk in [village, township] {
        desk.client.close().await.unwrap();
    }
}

/// Goal: a villager's problem goes from the village to the county and back, step by step over three desks; each
/// desk sees what the one before did, and a step that is not allowed says who takes it.
#[tokio::test(flavor = "multi_thread")]
async fn a_ticket_goes_to_the_county_and_back() {
    let Some(driver) = driver() else { return };
    let folder = tempfile::tempdir().unwrap();
    let offices = chain(folder.path(), 0);
    let mut desks = Vec::new();
    for (at, post) in POSTS.iter().enumerate().skip(1) {
        account(&offices[at], post, Duty::Reviewer);
        let desk = Desk::open(&driver, &offices[at].pages, true).await;
        desk.sign_in("reviewer").await;
        desks.push(desk);
    }
    let [county, township, village] = desks.as_slice() else { unreachable!("three desks") };
    village.go("/ledgers/problem_ticket/new").await;
    village
        .fill(&[
            ("ticket_no", "2018-001"),
            ("source", "visit"),
            ("domain", "infrastructure"),
            ("severity", "major"),
            ("description", "村东桥面塌陷，学生上学绕行"),
            ("due_on", "2018-06-06"),
            ("received_on", "2018-06-05"),
        ])
        .await;
    village.button("保存").await;
    village.sees("已保存在本机").await;
    let ticket = village.path().await;
    village.go("/").await;
    village.sees("已逾期").await;
    village.go(&ticket).await;
    village.step("登记", "").await;
    village.step("上交乡级", "本村无力修复").await;
    township.wait_for(&ticket, "已上交乡级").await;
    // The work list says what waits, and every count leads to the rows that make it.
    township.go("/").await;
    township.sees("已上交乡级 → 办理").await;
    let waits = "//tr[contains(., '已上交乡级')]/td/a";
    township.element(Locator::XPath(waits)).await.click().await.unwrap();
    township.sees("2018-001").await;
    township.go(&ticket).await;
    township.step("上交县级", "需专项资金").await;
    county.wait_for(&ticket, "已上交县级").await;
    county.screen("ticket").await;
    county.step("办理", "").await;
    county.go(&format!("{ticket}/edit")).await;
    county.fill(&[("actions.0.date", "2018-06-20"), ("actions.0.text", "桥面已修复")]).await;
    county.button("保存").await;
    county.step("办结", "").await;
    village.wait_for(&ticket, "桥面已修复").await;
    village.go(&format!("{ticket}/edit")).await;
    let by = ("feedback.0.by", "first_secretary");
    let date = ("feedback.0.date", "2018-06-21");
    village.fill(&[date, by, ("feedback.0.satisfied", "yes")]).await;
    village.button("保存").await;
    village.step("反馈群众", "").await;
    village.step("销号", "").await;
    village.sees("已销号").await;
    county.wait_for(&ticket, "已销号").await;
    for desk in desks {
        desk.client.close().await.unwrap();
    }
}

/// Goal: a clerk brings in a sheet with mistakes, sees each by row and column, corrects the file and imports it;
/// sensitive numbers are masked until the clerk asks for them.
#[tokio::test(flavor = "multi_thread")]
async fn a_bad_sheet_is_corrected_and_imported() {
    let Some(driver) = driver() else { return };
    let folder = tempfile::tempdir().unwrap();
    let offices = chain(folder.path(), 0);
    account(&offices[3], POSTS[3], Duty::Clerk);
    account(&offices[3], "", Duty::Administrator);
    let made = offices[3].ask(&crate::office::household("欧阳锋")).unwrap();
    assert!(made["record"].is_string());
    let desk = Desk::open(&driver, &offices[3].pages, false).await;
    desk.sign_in("clerk").await;
    let heads = "户主,姓名,身份证号,与户主关系,在册状态,健康状况,劳动能力\n";
    let upload = async |name: &str, row: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, format!("{heads}{row}\n")).unwrap();
        desk.go("/ledgers/household_member/import").await;
        let input = desk.client.find(Locator::Id("file")).await.unwrap();
        input.send_keys(path.to_str().unwrap()).await.unwrap();
        desk.button("上传").await;
    };
    upload("坏.csv", "王五,欧阳克,411499197003110017,子女,在册,健康,超人").await;
    let bad = ["不能导入的单元格： 2", "没有找到「王五」", "「劳动能力」不在可选项中"];
    for text in bad {
        desk.sees(text).await;
    }
    desk.screen("import").await;
    upload("好.csv", "欧阳锋,欧阳克,411499197003110017,子女,在册,患有大病,弱劳动力或半劳动力")
        .await;
    desk.sees("导入后将会").await;
    desk.button("全部导入").await;
    desk.sees("已导入").await;
    desk.wait_for("/ledgers/household_member", "欧阳克").await;
    desk.client.find(Locator::LinkText("欧阳克 子女")).await.unwrap().click().await.unwrap();
    desk.sees("411499********0017").await;
    let record = desk.path().await;
    desk.button("显示隐藏内容").await;
    desk.sees("411499197003110017").await;
    desk.sign_in("administrator").await;
    desk.go(&record).await;
    let page = desk.text().await;
    assert!(page.contains("欧阳克") && !page.contains("患有大病") && !page.contains("0017"));
    desk.screen("masked").await;
    desk.client.close().await.unwrap();
}

/// A ledger that no program knows.
const NEW_LEDGER: &str = r#"
[part]
name = "village_library"
version = 1

[ledger.village_library]
zh = "农家书屋"
en = "Village libraries"
clause = "〔志·四(六)〕"
scope = ["village"]
title = ["name"]
resolve = "township"
field = [
  { id = "name", zh = "书屋名称", en = "Name", kind = "text", required = "always", privacy = 0, write = ["village"], merge = "conflict" },
  { id = "books", zh = "藏书册数", en = "Books", kind = "int", required = "always", privacy = 0, write = ["village"], merge = "conflict" },
]
"#;

/// Goal: the city publishes a ledger as one file; a village then has its form, table, import, export, history and
/// sync, without another program.
#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_published_as_one_file_is_there_in_the_village() {
    let Some(driver) = driver() else { return };
    let folder = tempfile::tempdir().unwrap();
    let offices = chain(folder.path(), 0);
    let file = folder.path().join("village_library.toml");
    std::fs::write(&file, NEW_LEDGER).unwrap();
    let file = file.to_str().unwrap();
    offices[0].once(&["catalogue", "check", file]).unwrap();
    offices[0].once(&["catalogue", "publish", file]).unwrap();
    account(&offices[3], POSTS[3], Duty::Clerk);
    account(&offices[1], POSTS[1], Duty::Reviewer);
    let desk = Desk::open(&driver, &offices[3].pages, false).await;
    desk.sign_in("clerk").await;
    desk.wait_for("/ledgers", "农家书屋").await;
    desk.go("/ledgers/village_library/new").await;
    desk.fill(&[("name", "张弓书屋"), ("books", "一千")]).await;
    desk.button("保存").await;
    desk.sees("不是整数").await;
    desk.fill(&[("books", "1000")]).await;
    desk.button("保存").await;
    desk.sees("已保存在本机").await;
    let record = desk.path().await;
    let sheet = folder.path().join("书屋.csv");
    std::fs::write(&sheet, "藏书册数,书屋名称\n1200,张弓书屋\n300,新书屋\n").unwrap();
    desk.go("/ledgers/village_library/import").await;
    let input = desk.client.find(Locator::Id("file")).await.unwrap();
    input.send_keys(sheet.to_str().unwrap()).await.unwrap();
    desk.button("上传").await;
    desk.button("全部导入").await;
    desk.sees("新增 1 · 修改 1 · 相同 0").await;
    desk.go(&record).await;
    for text in ["1200", "藏书册数: 1000", "测试员 (村文书)"] {
        desk.sees(text).await;
    }
    desk.wait_for("/ledgers/village_library", "新书屋").await;
    desk.client.find(Locator::LinkText("导出表格")).await.unwrap();
    let county = Desk::open(&driver, &offices[1].pages, false).await;
    county.sign_in("reviewer").await;
    county.wait_for(&record, "1200").await;
    for desk in [desk, county] {
        desk.client.close().await.unwrap();
    }
}

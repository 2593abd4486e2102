//! Days at the desk in a real browser: headless Chromium, driven as a person would.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use fantoccini::key::Key;
use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::json;
use taizhang_node::account::Duty;
use taizhang_node::ops::Request;
use taizhang_node::ops::account::{AccountRequest, NewAccount};

use crate::office::{Office, chain};

const PASSWORD: &str = "taizhang-test";
/// Patience for what another office must send.
const PATIENCE: Duration = Duration::from_secs(60);

/// chromedriver, which ends with the test.
struct Driver {
    process: Child,
    port: u16,
}

impl Drop for Driver {
    fn drop(&mut self) {
        // It may be gone already.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// Starts chromedriver; none if it is not installed, which is a failure under CI.
fn driver() -> Option<Driver> {
    let mut command = Command::new("chromedriver");
    command.arg("--port=0").stdout(Stdio::piped()).stderr(Stdio::null());
    let Ok(mut process) = command.spawn() else {
        println!("skipped: chromedriver");
        assert!(std::env::var_os("TAIZHANG_CI").is_none(), "chromedriver is missing");
        return None;
    };
    let lines = BufReader::new(process.stdout.take().unwrap()).lines();
    let port = lines.map_while(Result::ok).find_map(|line| {
        let port = line.split("started successfully on port ").nth(1)?;
        port.trim_end_matches('.').parse().ok()
    });
    Some(Driver { process, port: port.expect("chromedriver's port") })
}

/// One person's browser.
struct Desk {
    client: Client,
    pages: String,
}

impl Desk {
    async fn open(driver: &Driver, pages: &str, javascript: bool) -> Self {
        let allowed = if javascript { 1 } else { 2 };
        let options = json!({
            "args": ["--headless", "--no-sandbox", "--disable-gpu", "--window-size=1366,768",
                     "--hide-scrollbars", "--disable-dev-shm-usage"],
            "prefs": {"profile.managed_default_content_settings.javascript": allowed},
        });
        let wanted = serde_json::Map::from_iter([("goog:chromeOptions".to_owned(), options)]);
        let client = ClientBuilder::new(HttpConnector::new())
            .capabilities(wanted)
            .connect(&format!("http://127.0.0.1:{}", driver.port))
            .await
            .expect("a browser");
        Self { client, pages: pages.to_owned() }
    }

    async fn go(&self, path: &str) {
        self.client.goto(&format!("{}{path}", self.pages)).await.unwrap();
    }

    async fn text(&self) -> String {
        self.client.find(Locator::Css("body")).await.unwrap().text().await.unwrap()
    }

    async fn sees(&self, text: &str) {
        let page = self.text().await;
        assert!(page.contains(text), "{text} is not on the page:\n{page}");
    }

    /// Types into the field that has the focus.
    async fn types(&self, text: &str) {
        let focus = self.client.active_element().await.unwrap();
        focus.send_keys(text).await.unwrap();
    }

    async fn press(&self, key: Key) {
        self.types(&char::from(key).to_string()).await;
    }

    /// Fills fields by their ids.
    async fn fill(&self, values: &[(&str, &str)]) {
        for (id, text) in values {
            let field = self.client.find(Locator::Id(id)).await.unwrap();
            if field.tag_name().await.unwrap() == "select" {
                field.select_by_value(text).await.unwrap();
            } else {
                field.clear().await.unwrap();
                field.send_keys(text).await.unwrap();
            }
        }
    }

    /// Presses the button with a text.
    async fn button(&self, text: &str) {
        let path = format!("//main//button[normalize-space()='{text}' and not(@disabled)]");
        self.client.find(Locator::XPath(&path)).await.unwrap().click().await.unwrap();
    }

    async fn sign_in(&self, login: &str) {
        self.go("/signin").await;
        self.fill(&[("login", login), ("password", PASSWORD)]).await;
        self.button("登录").await;
    }

    /// Goes to a page until it shows a text: something must arrive first.
    async fn wait_for(&self, path: &str, text: &str) {
        let start = std::time::Instant::now();
        loop {
            self.go(path).await;
            if self.text().await.contains(text) {
                return;
            }
            assert!(start.elapsed() < PATIENCE, "{text} did not come to {path}");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// The path of the page shown, without what a save adds.
    async fn path(&self) -> String {
        self.client.current_url().await.unwrap().path().to_owned()
    }

    /// Keeps the page as a small image in both languages, where `SCREENS` says.
    async fn screen(&self, name: &str) {
        let Some(folder) = std::env::var_os("SCREENS") else { return };
        let path = self.path().await;
        for lang in ["en", "zh"] {
            self.go(&format!("/lang?to={lang}&back={path}")).await;
            let image = self.client.screenshot().await.unwrap();
            let file = std::path::Path::new(&folder).join(format!("{name}-{lang}.png"));
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(file, image).unwrap();
        }
    }
}

/// An account of an office; the login is the duty's word.
fn account(office: &Office, post: &str, duty: Duty) {
    let new = NewAccount {
        login: duty.word().into(),
        name: "测试员".into(),
        role: post.into(),
        duty,
        password: PASSWORD.into(),
    };
    office.ask(&Request::Account { ask: AccountRequest::Add(new) }).unwrap();
}

const POSTS: [&str; 4] = ["city_operator", "county_hub", "township_staff", "village_clerk"];

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
        let first = desk.client.find(Locator::Css("main form [id]")).await.unwrap();
        first.send_keys("欧阳䶮").await.unwrap();
        let fields: Vec<String> = {
            let all = desk.client.find_all(Locator::Css("main form [id]")).await.unwrap();
            let mut ids = Vec::new();
            for one in all {
                if one.tag_name().await.unwrap() != "datalist" {
                    ids.push(one.attr("id").await.unwrap().unwrap());
                }
            }
            ids
        };
        for id in &fields[1..] {
            desk.press(Key::Tab).await;
            let text = match id.as_str() {
                "group_no" => "一组",
                // A select takes what its choices begin with.
                "household_kind" => "一般",
                "main_cause" => "因病",
                _ => continue,
            };
            desk.types(text).await;
        }
        desk.press(Key::Tab).await;
        desk.press(Key::Enter).await;
        desk.sees("已保存在本机").await;
        desk.sees("欧阳䶮").await;
        desk.screen("household").await;
        desk.client.close().await.unwrap();
    }
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

//! A desk with a browser: headless Chromium under chromedriver, driven as a person would.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use fantoccini::elements::Element;
use fantoccini::key::Key;
use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::json;
use taizhang_node::account::Duty;
use taizhang_node::ops::Request;
use taizhang_node::ops::account::{AccountRequest, NewAccount};

use crate::office::Office;

pub(crate) const PASSWORD: &str = "taizhang-test";
/// Pixels across a kept screen.
const SCREEN_WIDTH: u32 = 800;
/// Patience for what another office must send.
const PATIENCE: Duration = Duration::from_secs(60);

/// chromedriver, which ends with the test.
pub(crate) struct Driver {
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
pub(crate) fn driver() -> Option<Driver> {
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
pub(crate) struct Desk {
    pub(crate) client: Client,
    pages: String,
}

impl Desk {
    pub(crate) async fn open(driver: &Driver, pages: &str, javascript: bool) -> Self {
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

    pub(crate) async fn go(&self, path: &str) {
        self.client.goto(&format!("{}{path}", self.pages)).await.unwrap();
    }

    pub(crate) async fn text(&self) -> String {
        // A page on its way has no text yet.
        let Ok(body) = self.client.find(Locator::Css("body")).await else { return String::new() };
        body.text().await.unwrap_or_default()
    }

    pub(crate) async fn sees(&self, text: &str) {
        let start = std::time::Instant::now();
        loop {
            let page = self.text().await;
            if page.contains(text) {
                return;
            }
            assert!(start.elapsed() < Duration::from_secs(10), "{text} is not on:\n{page}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Types into the field that has the focus.
    pub(crate) async fn types(&self, text: &str) {
        let focus = self.client.active_element().await.unwrap();
        focus.send_keys(text).await.unwrap();
    }

    /// Presses Tab until a field has the focus.
    pub(crate) async fn tab_to(&self, id: &str) {
        for _ in 0..120 {
            let focus = self.client.active_element().await.unwrap();
            if focus.attr("id").await.unwrap().as_deref() == Some(id) {
                return;
            }
            self.press(Key::Tab).await;
        }
        panic!("no Tab leads to {id}");
    }

    pub(crate) async fn press(&self, key: Key) {
        self.types(&char::from(key).to_string()).await;
    }

    /// Fills fields by their ids.
    pub(crate) async fn fill(&self, values: &[(&str, &str)]) {
        for (id, text) in values {
            let field = self.element(Locator::Id(id)).await;
            if field.tag_name().await.unwrap() == "select" {
                field.select_by_value(text).await.unwrap();
            } else {
                field.clear().await.unwrap();
                field.send_keys(text).await.unwrap();
            }
        }
    }

    /// Presses the button with a text.
    pub(crate) async fn button(&self, text: &str) {
        let path = format!("//main//button[normalize-space()='{text}' and not(@disabled)]");
        self.element(Locator::XPath(&path)).await.click().await.unwrap();
    }

    /// An element, once the page has it.
    pub(crate) async fn element(&self, locator: Locator<'_>) -> Element {
        let wait = self.client.wait().at_most(Duration::from_secs(10));
        match wait.for_element(locator).await {
            Ok(found) => found,
            Err(error) => panic!("{locator:?}: {error}; the page says:\n{}", self.text().await),
        }
    }

    /// Takes a workflow step of the record shown, with a reason if it asks for one.
    pub(crate) async fn step(&self, label: &str, reason: &str) {
        if !reason.is_empty() {
            let path =
                format!("//form[button[normalize-space()='{label}']]//input[@name='reason']");
            let field = self.element(Locator::XPath(&path)).await;
            field.send_keys(reason).await.unwrap();
        }
        self.button(label).await;
        self.sees("已保存在本机").await;
    }

    pub(crate) async fn sign_in(&self, login: &str) {
        self.sign_in_as(login, PASSWORD).await;
    }

    pub(crate) async fn sign_in_as(&self, login: &str, password: &str) {
        self.go("/signin").await;
        self.fill(&[("login", login), ("password", password)]).await;
        self.button("登录").await;
        // The first page comes by itself: what is asked for before that would be lost.
        self.sees("退出").await;
    }

    /// Goes to a page until it shows a text: something must arrive first.
    pub(crate) async fn wait_for(&self, path: &str, text: &str) {
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
    pub(crate) async fn path(&self) -> String {
        self.client.current_url().await.unwrap().path().to_owned()
    }

    /// The same with what it asks for.
    pub(crate) async fn address(&self) -> String {
        let url = self.client.current_url().await.unwrap();
        let query = url.query().map(|query| format!("?{query}")).unwrap_or_default();
        format!("{}{query}", url.path())
    }

    /// Keeps the page as a small image in both languages, where `SCREENS` says.
    pub(crate) async fn screen(&self, name: &str) {
        self.screen_of(name, &self.path().await).await;
    }

    /// The same of an address, with what it asks for.
    pub(crate) async fn screen_of(&self, name: &str, address: &str) {
        let Some(folder) = std::env::var_os("SCREENS") else { return };
        for lang in ["en", "zh"] {
            self.go(&format!("/lang?to={lang}&back={address}")).await;
            let shot = self.client.screenshot().await.unwrap();
            let file = std::path::Path::new(&folder).join(format!("{name}-{lang}.jpg"));
            std::fs::create_dir_all(&folder).unwrap();
            let whole = image::load_from_memory(&shot).unwrap();
            let half = whole.resize(SCREEN_WIDTH, u32::MAX, image::imageops::FilterType::Triangle);
            half.to_rgb8().save(file).unwrap();
        }
    }
}

/// An account of an office; the login is the duty's word.
pub(crate) fn account(office: &Office, post: &str, duty: Duty) {
    account_of(office, duty.word(), post, duty);
}

/// An account with a login of its own.
pub(crate) fn account_of(office: &Office, login: &str, post: &str, duty: Duty) {
    let new = NewAccount {
        login: login.into(),
        name: "测试员".into(),
        role: post.into(),
        duty,
        password: PASSWORD.into(),
    };
    office.ask(&Request::Account { ask: AccountRequest::Add(new) }).unwrap();
}

pub(crate) const POSTS: [&str; 4] =
    ["city_operator", "county_hub", "township_staff", "village_clerk"];

//! The tour runs: `docs/TOUR.md` and its Chinese twin hold blocks marked `tour`, and every line of them is
//! done here against the demo that a reader starts, in a browser as the reader's.
//!
//! | line | what happens |
//! |---|---|
//! | `at village` | goes to an office's pages: city, county, township, neighbour (the first village), village (the last) |
//! | `as demo2` | signs in as another account of that office |
//! | `open /path` | opens an address |
//! | `link text` | follows a link |
//! | `fill id = value` | types into a field, or chooses of a list |
//! | `press label` | presses a button |
//! | `step label: reason` | takes a step of a workflow, with a reason if it asks for one |
//! | `see text` | the page shows it |
//! | `wait text` | the page shows it after it is opened again, within a minute |
//! | `lack text` | the page does not show it |
//! | `photo field` | uploads a photo into a field of the record shown |
//! | `keep name`, `again name` | remembers the page; opens it, at any office |
//! | `cut village`, `heal village` | what is typed into the demo |
//! | `screen name` | the picture beside the text |

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use fantoccini::Locator;

use crate::desk::{Desk, Driver, driver};

const LOGIN: &str = "demo";
const PASSWORD: &str = "taizhang-demo";
/// Patience until the demo stands.
const START: Duration = Duration::from_secs(240);

/// The demo as a process, with the pages of its offices in order.
struct Demo {
    process: Child,
    typed: ChildStdin,
    /// What it prints once its pages are listed.
    said: Receiver<String>,
    pages: Vec<String>,
}

impl Drop for Demo {
    fn drop(&mut self) {
        // Its offices end with it; if it does not hear, it is killed.
        if writeln!(self.typed, "end").is_err() {
            drop(self.process.kill());
        }
        drop(self.process.wait());
    }
}

impl Demo {
    fn start() -> Self {
        // The hub's program, built beside this test.
        let mut process = Command::new(env!("CARGO_BIN_EXE_test-replica"))
            .args(["demo", "--households", "40"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let typed = process.stdin.take().unwrap();
        let start = Instant::now();
        let mut pages = Vec::new();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        for line in lines.by_ref().map_while(Result::ok) {
            assert!(start.elapsed() < START, "the demo does not stand: {line}");
            let mut words = line.split_whitespace();
            let number = words.next().and_then(|word| word.parse::<usize>().ok());
            if let (Some(number), Some(address)) = (number, words.next())
                && address.starts_with("http")
            {
                assert_eq!(number, pages.len());
                pages.push(address.trim_end_matches('/').to_owned());
            }
            if line.starts_with("结束演示") {
                break;
            }
        }
        assert!(pages.len() >= 8, "eight offices: {pages:?}");
        let (sender, said) = channel();
        // It ends with the demo's output.
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                drop(sender.send(line));
            }
        });
        Self { process, typed, said, pages }
    }

    /// Where an office of the tour stands in the demo's list.
    fn number(&self, office: &str) -> usize {
        match office {
            "city" => 0,
            "county" => 1,
            "township" => 3,
            "neighbour" => 5,
            "village" => self.pages.len() - 1,
            other => panic!("the tour knows no office {other}"),
        }
    }

    fn types(&mut self, verb: &str, office: &str) {
        let number = self.number(office);
        writeln!(self.typed, "{verb} {number}").unwrap();
        let done = format!("{verb} {number} ✓");
        while self.said.recv_timeout(START).unwrap() != done {}
    }
}

/// Who walks.
struct Walker<'a> {
    demo: Demo,
    driver: &'a Driver,
    /// A browser for each office and account.
    desks: BTreeMap<(String, String), Desk>,
    at: (String, String),
    kept: BTreeMap<String, String>,
    /// Where photos are made.
    folder: tempfile::TempDir,
    /// Whether pictures are taken.
    pictures: bool,
}

impl Walker<'_> {
    fn desk(&self) -> &Desk {
        &self.desks[&self.at]
    }

    async fn go(&mut self, office: &str, login: &str) {
        self.at = (office.to_owned(), login.to_owned());
        if !self.desks.contains_key(&self.at) {
            let pages = &self.demo.pages[self.demo.number(office)];
            let desk = Desk::open(self.driver, pages, true).await;
            desk.sign_in_as(login, PASSWORD).await;
            self.desks.insert(self.at.clone(), desk);
        }
    }

    async fn photo(&self, field: &str) {
        let path = self.folder.path().join(format!("{field}.jpg"));
        let tint = u8::try_from(field.len() * 7 % 200).unwrap();
        image::RgbImage::from_pixel(320, 240, image::Rgb([tint, 140, 90])).save(&path).unwrap();
        self.desk().upload(field, &path).await;
    }

    async fn line(&mut self, line: &str) {
        let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
        match verb {
            "at" => self.go(rest, LOGIN).await,
            "as" => {
                let office = self.at.0.clone();
                self.go(&office, rest).await;
            }
            "open" => self.desk().go(rest).await,
            "link" => {
                let path = format!("//a[normalize-space()='{rest}']");
                self.desk().element(Locator::XPath(&path)).await.click().await.unwrap();
            }
            "fill" => {
                let (id, value) = rest.split_once(" = ").expect("fill id = value");
                self.desk().fill(&[(id, value)]).await;
            }
            "press" => self.desk().button(rest).await,
            "step" => {
                let (label, reason) = rest.split_once(": ").unwrap_or((rest, ""));
                self.desk().step(label, reason).await;
            }
            "see" => self.desk().sees(rest).await,
            "lack" => {
                let text = self.desk().text().await;
                assert!(!text.contains(rest), "{rest} is on:\n{text}");
            }
            "wait" => {
                let path = self.desk().address().await;
                self.desk().wait_for(&path, rest).await;
            }
            "keep" => {
                let path = self.desk().path().await;
                self.kept.insert(rest.to_owned(), path);
            }
            "again" => {
                let path =
                    self.kept.get(rest).unwrap_or_else(|| panic!("nothing is kept as {rest}"));
                self.desk().go(path).await;
            }
            "photo" => self.photo(rest).await,
            "cut" | "heal" => self.demo.types(verb, rest),
            "screen" if self.pictures => {
                // What a save adds to a record's address is not shown again.
                let address = match self.desk().path().await {
                    record if record.starts_with("/records/") => record,
                    _ => self.desk().address().await,
                };
                self.desk().screen_of(&format!("tour-{rest}"), &address).await;
                self.desk().go(&format!("/lang?to=zh&back={address}")).await;
            }
            "screen" => {}
            other => panic!("the tour knows no `{other}`"),
        }
    }
}

/// The lines of the blocks of a text, with their numbers.
fn script(text: &str) -> Vec<(usize, &str)> {
    let mut inside = false;
    let mut lines = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        match line {
            "```tour" => inside = true,
            "```" => inside = false,
            _ if inside && !line.trim().is_empty() => lines.push((number, line.trim())),
            _ => {}
        }
    }
    lines
}

fn read(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Goal: both languages tell the same steps, and every picture that they show is there.
#[test]
fn both_tours_are_one() {
    let (chinese, english) = (read("TOUR.zh-CN.md"), read("TOUR.md"));
    let steps = |text| -> Vec<String> {
        script(text).into_iter().map(|(_, line)| line.to_owned()).collect()
    };
    assert_eq!(steps(&chinese), steps(&english));
    for (text, lang) in [(&chinese, "zh"), (&english, "en")] {
        for (number, line) in script(text) {
            if let Some(name) = line.strip_prefix("screen ") {
                let file = format!("screens/tour-{name}-{lang}.jpg");
                assert!(text.contains(&file), "line {number}: the text does not show {file}");
                let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").join(&file);
                assert!(path.exists(), "{file} is missing: run with SCREENS");
            }
        }
    }
}

/// Goal: every step of the tour does what its text says, against the demo, in a browser.
#[tokio::test(flavor = "multi_thread")]
async fn the_tour_is_walked_as_it_is_written() {
    let Some(driver) = driver() else { return };
    let text = read("TOUR.md");
    let lines = script(&text);
    let mut walker = Walker {
        demo: Demo::start(),
        driver: &driver,
        desks: BTreeMap::new(),
        at: Default::default(),
        kept: BTreeMap::new(),
        folder: tempfile::tempdir().unwrap(),
        pictures: std::env::var_os("SCREENS").is_some(),
    };
    let start = Instant::now();
    for (number, line) in &lines {
        println!("{:6.1} s  TOUR.md:{number}: {line}", start.elapsed().as_secs_f64());
        walker.line(line).await;
    }
    let desks = std::mem::take(&mut walker.desks);
    let used = desks.len();
    for desk in desks.into_values() {
        desk.client.close().await.unwrap();
    }
    println!("{} steps at {used} desks", lines.len());
}

//! Real replicas in processes of their own, from the program with a settable clock.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use taizhang_core::feed::entry::Person;
use taizhang_hub::demo::process::Link;
use taizhang_node::control;
use taizhang_node::ops::Request;

/// Village, township, county and city of the real tree.
pub(crate) const CODES: [&str; 4] =
    ["411400000000", "411423000000", "411423101000", "411423101201"];

/// One office.
pub(crate) struct Office {
    pub(crate) folder: PathBuf,
    pub(crate) children: Option<SocketAddr>,
    /// Address of its pages, once it runs.
    pub(crate) pages: String,
    pub(crate) link: Option<Link>,
    pub(crate) offset_ms: i64,
    /// Where the next process ends, and at which time that it comes by.
    pub(crate) fail_point: String,
    pub(crate) process: Option<Child>,
}

impl Office {
    pub(crate) fn new(folder: &Path) -> Self {
        let folder = folder.to_owned();
        let (pages, fail_point) = (String::new(), String::new());
        Self { folder, children: None, pages, link: None, offset_ms: 0, fail_point, process: None }
    }

    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_test-replica"));
        command.env("TEST_CLOCK_OFFSET_MS", self.offset_ms.to_string());
        command.env("FAIL_POINT", &self.fail_point);
        command.arg("--data").arg(&self.folder);
        command
    }

    pub(crate) fn once(&self, arguments: &[&str]) -> Result<String, String> {
        let output = self.command().args(arguments).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
    }

    pub(crate) fn start(&mut self) {
        self.spawn();
        self.wait("its endpoint", |office| office.ask(&Request::Status).is_ok());
    }

    /// Starts it, and waits for its ports or its end.
    pub(crate) fn spawn(&mut self) {
        let mut command = self.command();
        command.args(["run", "--http", "127.0.0.1:0"]);
        if self.link.is_none() || self.children.is_some() {
            let address = self.children.map_or_else(|| "127.0.0.1:0".into(), |a| a.to_string());
            command.args(["--listen", &address]);
        }
        if let Some(link) = &self.link {
            command.args(["--parent", &link.address.to_string()]);
        }
        let mut process = command.stdout(Stdio::piped()).spawn().unwrap();
        let output = process.stdout.take().unwrap();
        let is_hub = self.link.is_none() || self.children.is_some();
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            if let Some(address) = line.strip_prefix("children ") {
                self.children = address.parse().ok();
                break;
            }
            if let Some(pages) = line.strip_prefix("pages ") {
                self.pages = pages.trim_end_matches('/').to_owned();
                if !is_hub {
                    break;
                }
            }
        }
        self.process = Some(process);
    }

    pub(crate) fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().unwrap();
            process.wait().unwrap();
        }
    }

    /// Whether its process ended by itself.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.process.as_mut().is_none_or(|process| process.try_wait().unwrap().is_some())
    }

    pub(crate) fn ask(&self, request: &Request) -> Result<Value, String> {
        match control::ask(&self.folder, request, &|_, _, _| {}) {
            Some(Ok(value)) => Ok(value),
            Some(Err((text, rows))) => Err(format!("{text} {}", rows.join("; "))),
            None => Err("does not run".into()),
        }
    }

    pub(crate) fn wait(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        let start = Instant::now();
        while !holds(self) {
            assert!(start.elapsed() < Duration::from_secs(120), "{what} did not come");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    pub(crate) fn hash(&self, slice: &str) -> Option<String> {
        let answer = self.ask(&Request::Hashes).ok()?;
        let rows = answer["rows"].as_array()?.clone();
        let row = rows.into_iter().find(|row| row["slice"] == slice)?;
        row["hash"].as_str().map(str::to_owned)
    }
}

impl Drop for Office {
    fn drop(&mut self) {
        self.kill();
    }
}

pub(crate) fn clerk() -> Person {
    Person { name: "测试员".into(), role: "village_clerk".into() }
}

/// The chain city, county, township, village, enrolled by code and running.
pub(crate) fn chain(folder: &Path, offset_ms: i64) -> Vec<Office> {
    let mut offices: Vec<Office> = Vec::new();
    for (at, code) in CODES.iter().enumerate() {
        let mut office = Office::new(&folder.join(format!("o{at}")));
        office.offset_ms = offset_ms;
        if at == 0 {
            let key = folder.join("root-key.json");
            let key = key.to_string_lossy().into_owned();
            office.once(&["init", "--root-key", &key, "--password", "test password"]).unwrap();
        } else {
            join(&offices[at - 1], &mut office, code, at < CODES.len() - 1);
        }
        office.start();
        offices.push(office);
    }
    offices
}

/// Enrols an office below a running one.
pub(crate) fn join(parent: &Office, office: &mut Office, code: &str, is_hub: bool) {
    let link = Link::to(parent.children.unwrap()).unwrap();
    let under = Request::Places { under: Some(code.to_owned()) };
    parent.wait("the tree below", |parent| {
        parent.ask(&under).is_ok_and(|found| !is_hub || found["total"].as_u64() > Some(0))
    });
    let invited = parent
        .ask(&Request::Invite {
            place: code.to_owned(),
            addresses: vec![link.address.to_string()],
            hours: 24 * 30,
        })
        .unwrap();
    office.once(&["join", invited["code"].as_str().unwrap()]).unwrap();
    office.link = Some(link);
    if is_hub {
        office.children = Some("127.0.0.1:0".parse().unwrap());
    }
}

/// Fields of a household.
pub(crate) fn household(name: &str) -> Request {
    let pairs = conflict_tests::world::household(name);
    Request::Create {
        ledger: "poor_household".into(),
        place: None,
        inputs: pairs.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect(),
        person: clerk(),
    }
}

//! The demo's processes, and a proxy in front of each parent that can refuse the link.

use std::io::{BufRead as _, BufReader};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;
use taizhang_node::control;
use taizhang_node::ops::Request;

static PROGRAM: std::sync::OnceLock<PathBuf> = std::sync::OnceLock::new();

/// Starts offices from another program than this one: for load tools.
pub fn use_program(program: PathBuf) {
    // The first choice stands.
    drop(PROGRAM.set(program));
}

/// One office of the demo.
pub struct Office {
    /// Name for the table.
    pub name: String,
    /// 12-digit code.
    pub code: String,
    /// Data folder.
    pub folder: PathBuf,
    /// Whether it listens for children.
    pub is_hub: bool,
    /// Address of its pages, once it runs.
    pub pages: String,
    /// Address for children, once it runs.
    pub children: Option<SocketAddr>,
    /// The way to its parent, which can be cut.
    pub link: Option<Link>,
    process: Option<Child>,
}

/// A forwarder on loopback: while cut, connections are refused and live ones are broken.
#[derive(Clone)]
pub struct Link {
    /// Where the child dials.
    pub address: SocketAddr,
    cut: Arc<AtomicBool>,
}

impl Link {
    /// Forwards to `target`.
    ///
    /// # Errors
    ///
    /// If loopback gives no port.
    pub fn to(target: SocketAddr) -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let link = Self { address: listener.local_addr()?, cut: Arc::new(AtomicBool::new(false)) };
        let cut = Arc::clone(&link.cut);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if cut.load(Ordering::Relaxed) {
                    drop(client);
                    continue;
                }
                let Ok(server) = TcpStream::connect(target) else { continue };
                forward(&client, &server, &cut);
                forward(&server, &client, &cut);
            }
        });
        Ok(link)
    }

    /// Cuts or restores it.
    pub fn set_cut(&self, cut: bool) {
        self.cut.store(cut, Ordering::Relaxed);
    }
}

fn forward(from: &TcpStream, to: &TcpStream, cut: &Arc<AtomicBool>) {
    let (Ok(mut from), Ok(mut to)) = (from.try_clone(), to.try_clone()) else { return };
    let cut = Arc::clone(cut);
    std::thread::spawn(move || {
        use std::io::{Read as _, Write as _};
        let mut buffer = [0; 16 * 1024];
        let patience = from.set_read_timeout(Some(Duration::from_millis(50)));
        while patience.is_ok() && !cut.load(Ordering::Relaxed) {
            match from.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) if to.write_all(&buffer[..count]).is_err() => break,
                Ok(_) => {}
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(_) => break,
            }
        }
        // Either end may be gone already.
        drop(from.shutdown(std::net::Shutdown::Both));
        drop(to.shutdown(std::net::Shutdown::Both));
    });
}

impl Office {
    /// An office that does not run yet.
    pub fn new(name: &str, code: &str, folder: &Path, is_hub: bool) -> Self {
        Self {
            name: name.to_owned(),
            code: code.to_owned(),
            folder: folder.to_owned(),
            is_hub,
            pages: String::new(),
            children: None,
            link: None,
            process: None,
        }
    }

    fn command(&self) -> Result<Command, String> {
        let program = match PROGRAM.get() {
            Some(program) => program.clone(),
            None => std::env::current_exe().map_err(|error| error.to_string())?,
        };
        let mut command = Command::new(program);
        command.arg("--data").arg(&self.folder);
        Ok(command)
    }

    /// Runs a command that ends, in a process of its own.
    ///
    /// # Errors
    ///
    /// What it printed.
    pub fn once(&self, arguments: &[&str]) -> Result<(), String> {
        let output = self.command()?.args(arguments).output().map_err(|error| error.to_string())?;
        if output.status.success() {
            return Ok(());
        }
        let text = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        Err(format!("{}: {}: {text}", self.name, arguments.first().unwrap_or(&"")))
    }

    /// Starts the replica and waits until it serves.
    ///
    /// # Errors
    ///
    /// If it does not come up.
    pub fn start(&mut self) -> Result<(), String> {
        let mut command = self.command()?;
        let pages = self.pages.strip_prefix("http://").map(|text| text.trim_end_matches('/'));
        command.args(["run", "--http", pages.unwrap_or("127.0.0.1:0")]);
        if self.is_hub {
            let address = self.children.map_or_else(|| "127.0.0.1:0".into(), |a| a.to_string());
            command.args(["--listen", &address]);
        }
        if let Some(link) = &self.link {
            command.args(["--parent", &link.address.to_string()]);
        }
        let mut process = command
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .map_err(|error| format!("{}: {error}", self.name))?;
        let output = process.stdout.take().ok_or("no output")?;
        self.process = Some(process);
        let wanted = if self.is_hub { 2 } else { 1 };
        let mut found = 0;
        for line in BufReader::new(output).lines() {
            let line = line.map_err(|error| error.to_string())?;
            if let Some(address) = line.strip_prefix("pages ") {
                self.pages = address.to_owned();
                found += 1;
            } else if let Some(address) = line.strip_prefix("children ") {
                self.children = address.parse().ok();
                found += 1;
            }
            if found == wanted {
                break;
            }
        }
        if found < wanted {
            return Err(format!("{} did not start", self.name));
        }
        self.wait_for(Duration::from_secs(20), "its endpoint", |office| {
            office.ask(&Request::Status).is_ok()
        })
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            // It may be dead already.
            drop(process.kill());
            drop(process.wait());
        }
    }

    /// Whether the process runs.
    pub fn runs(&self) -> bool {
        self.process.is_some()
    }

    /// Process id, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(Child::id)
    }

    /// Asks the running replica.
    ///
    /// # Errors
    ///
    /// Its refusal.
    pub fn ask(&self, request: &Request) -> Result<Value, String> {
        self.ask_watching(request, &|_, _, _| {})
    }

    /// Asks the running replica and watches the progress.
    ///
    /// # Errors
    ///
    /// Its refusal.
    pub fn ask_watching(
        &self,
        request: &Request,
        progress: &dyn Fn(&str, u64, u64),
    ) -> Result<Value, String> {
        match control::ask(&self.folder, request, progress) {
            Some(Ok(value)) => Ok(value),
            Some(Err((text, rows))) => Err(format!("{}: {text} {}", self.name, rows.join("; "))),
            None => Err(format!("{} does not run", self.name)),
        }
    }

    /// Waits until something holds.
    ///
    /// # Errors
    ///
    /// If it does not within `limit`.
    pub fn wait_for(
        &self,
        limit: Duration,
        what: &str,
        holds: impl Fn(&Self) -> bool,
    ) -> Result<(), String> {
        let start = Instant::now();
        while start.elapsed() < limit {
            if holds(self) {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Err(format!("{}: {what} did not come within {} s", self.name, limit.as_secs()))
    }
}

impl Drop for Office {
    fn drop(&mut self) {
        self.kill();
    }
}

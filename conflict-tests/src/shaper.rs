//! A slow line for real programs: a TCP relay with a rate, a delay, loss that costs time, and outages.
//!
//! Kernels without `netem` are common, so the line is made in user space. A lost packet shows as TCP shows
//! it: what follows waits for the repetition. An outage breaks live connections and refuses new ones.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::chance::Dice;

/// Bytes of a packet's payload.
const PACKET_BYTES: usize = 1400;
/// Time until a lost packet is sent again.
const REPEAT: Duration = Duration::from_secs(1);
/// Packets under way in one direction before the sender waits.
const UNDER_WAY_MAX: usize = 64;

/// What the line can do.
#[derive(Debug, Clone, Copy)]
pub struct Quality {
    /// Bytes a second in each direction.
    pub bytes_per_second: u32,
    /// Time from one end to the other.
    pub delay: Duration,
    /// Percent of packets lost.
    pub loss_percent: u64,
}

impl Quality {
    /// 64 kbit/s, one second there and back.
    pub fn mobile(loss_percent: u64) -> Self {
        Self { bytes_per_second: 8_000, delay: Duration::from_millis(500), loss_percent }
    }
}

/// A relay on loopback.
pub struct Shaper {
    /// Where the child dials.
    pub address: SocketAddr,
    line: Arc<Line>,
}

struct Line {
    quality: Quality,
    up: AtomicBool,
    sent: AtomicU64,
    connections: AtomicU64,
    /// When each direction is free again; all connections share it.
    free_at: [Mutex<Instant>; 2],
    dice: Mutex<Dice>,
}

impl Shaper {
    /// A line to `target`, down at first.
    ///
    /// # Errors
    ///
    /// If loopback gives no port.
    pub fn to(target: SocketAddr, quality: Quality, seed: u64) -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let now = Instant::now();
        let line = Arc::new(Line {
            quality,
            up: AtomicBool::new(false),
            sent: AtomicU64::new(0),
            connections: AtomicU64::new(0),
            free_at: [Mutex::new(now), Mutex::new(now)],
            dice: Mutex::new(Dice::new(seed, "shaper")),
        });
        let shaper = Self { address: listener.local_addr()?, line: Arc::clone(&line) };
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if !line.up.load(Ordering::Relaxed) {
                    continue;
                }
                let Ok(server) = TcpStream::connect(target) else { continue };
                line.connections.fetch_add(1, Ordering::Relaxed);
                carry(&line, 0, &client, &server);
                carry(&line, 1, &server, &client);
            }
        });
        Ok(shaper)
    }

    /// Begins or ends an outage.
    pub fn set_up(&self, up: bool) {
        self.line.up.store(up, Ordering::Relaxed);
    }

    /// Bytes that went on the line in both directions, and connections made.
    pub fn sent(&self) -> (u64, u64) {
        (self.line.sent.load(Ordering::Relaxed), self.line.connections.load(Ordering::Relaxed))
    }
}

impl Line {
    /// Puts a packet on the line: when the line takes the next one, and when this one arrives.
    fn send(&self, direction: usize, bytes: usize) -> (Instant, Instant) {
        self.sent.fetch_add(bytes as u64, Ordering::Relaxed);
        let time = Duration::from_secs(bytes as u64) / self.quality.bytes_per_second;
        let mut free_at = self.free_at[direction].lock().unwrap_or_else(PoisonError::into_inner);
        *free_at = (*free_at).max(Instant::now()) + time;
        let mut dice = self.dice.lock().unwrap_or_else(PoisonError::into_inner);
        let lost = dice.percent(self.quality.loss_percent);
        let waits = if lost { REPEAT } else { Duration::ZERO };
        (*free_at, *free_at + self.quality.delay + waits)
    }

    fn is_up(&self) -> bool {
        self.up.load(Ordering::Relaxed)
    }
}

/// One direction of a connection: a thread that takes packets and one that delivers them in order.
fn carry(line: &Arc<Line>, direction: usize, from: &TcpStream, to: &TcpStream) {
    let (Ok(from), Ok(to)) = (from.try_clone(), to.try_clone()) else { return };
    let (sender, receiver) = sync_channel(UNDER_WAY_MAX);
    let (taking, delivering) = (Arc::clone(line), Arc::clone(line));
    std::thread::spawn(move || take(&taking, direction, from, &sender));
    std::thread::spawn(move || deliver(&delivering, to, &receiver));
}

fn take(
    line: &Line,
    direction: usize,
    mut from: TcpStream,
    sender: &SyncSender<(Instant, Vec<u8>)>,
) {
    let mut buffer = [0; PACKET_BYTES];
    let patience = from.set_read_timeout(Some(Duration::from_millis(50)));
    while patience.is_ok() && line.is_up() {
        match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => {
                let (free, due) = line.send(direction, count);
                if sender.send((due, buffer[..count].to_vec())).is_err() {
                    break;
                }
                std::thread::sleep(free.saturating_duration_since(Instant::now()));
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(_) => break,
        }
    }
    if !line.is_up() {
        // It may be gone already.
        drop(from.shutdown(Shutdown::Both));
    }
}

fn deliver(line: &Line, mut to: TcpStream, receiver: &Receiver<(Instant, Vec<u8>)>) {
    while let Ok((due, bytes)) = receiver.recv() {
        while line.is_up() && Instant::now() < due {
            let rest = due.saturating_duration_since(Instant::now());
            std::thread::sleep(rest.min(Duration::from_millis(50)));
        }
        if !line.is_up() || to.write_all(&bytes).is_err() {
            break;
        }
    }
    // It may be gone already.
    drop(to.shutdown(Shutdown::Both));
}

//! Fifty edits of real programs over a relay that shapes TCP: a rate, a delay, loss as waiting, outages.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use conflict_tests::chance::Dice;
use taizhang_hub::demo::process::Link;
use taizhang_node::ops::Request;

use crate::office::{Office, chain, household};

/// 64 kbit/s.
const BYTES_PER_SECOND: u64 = 8_000;
/// One way.
const DELAY: Duration = Duration::from_millis(500);

/// A line between a child and `target`.
struct Shaper {
    address: SocketAddr,
    up: Arc<AtomicBool>,
    bytes: Arc<AtomicU64>,
}

impl Shaper {
    fn to(target: SocketAddr, loss_percent: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let shaper = Self {
            address: listener.local_addr().unwrap(),
            up: Arc::new(AtomicBool::new(false)),
            bytes: Arc::new(AtomicU64::new(0)),
        };
        let (up, bytes) = (Arc::clone(&shaper.up), Arc::clone(&shaper.bytes));
        std::thread::spawn(move || {
            for (at, client) in listener.incoming().flatten().enumerate() {
                if !up.load(Ordering::Relaxed) {
                    continue;
                }
                let Ok(server) = TcpStream::connect(target) else { continue };
                for (way, (from, to)) in [(&client, &server), (&server, &client)].iter().enumerate()
                {
                    let streams = (from.try_clone().unwrap(), to.try_clone().unwrap());
                    let (up, bytes) = (Arc::clone(&up), Arc::clone(&bytes));
                    let dice = Dice::new(at as u64 * 2 + way as u64, "relay");
                    std::thread::spawn(move || carry(streams, &up, &bytes, dice, loss_percent));
                }
            }
        });
        shaper
    }
}

/// Reads at the line's rate; what was read arrives after the delay, in order.
fn carry(
    (mut from, to): (TcpStream, TcpStream),
    up: &Arc<AtomicBool>,
    bytes: &AtomicU64,
    mut dice: Dice,
    loss_percent: u64,
) {
    let (air, arrivals) = std::sync::mpsc::channel::<(Instant, Vec<u8>)>();
    let (mut out, up_there) = (to.try_clone().unwrap(), Arc::clone(up));
    std::thread::spawn(move || {
        for (due, piece) in arrivals {
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            if !up_there.load(Ordering::Relaxed) || out.write_all(&piece).is_err() {
                break;
            }
        }
        drop(out.shutdown(Shutdown::Both));
    });
    from.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    let mut buffer = [0; 400];
    while up.load(Ordering::Relaxed) {
        let count = match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => continue,
            Err(_) => break,
        };
        bytes.fetch_add(count as u64, Ordering::Relaxed);
        std::thread::sleep(Duration::from_millis(count as u64 * 1000 / BYTES_PER_SECOND));
        let lost = dice.percent(loss_percent * count as u64 / 1400 + 1) && loss_percent > 0;
        let wait = if lost { Duration::from_secs(1) } else { Duration::ZERO };
        if air.send((Instant::now() + DELAY + wait, buffer[..count].to_vec())).is_err() {
            break;
        }
    }
    drop(from.shutdown(Shutdown::Both));
    drop(to.shutdown(Shutdown::Both));
}

/// Fifty edits over a line; gives bytes on it, and seconds.
fn fifty_edits(loss_percent: u64, always_up: bool) -> (u64, u64) {
    let folder = tempfile::tempdir().unwrap();
    let mut offices = chain(folder.path(), 0);
    let shaper = Shaper::to(offices[2].children.unwrap(), loss_percent);
    offices[3].kill();
    offices[3].link = Some(Link::to(shaper.address).unwrap());
    offices[3].start();
    for at in 0..50 {
        offices[3].ask(&household(&format!("户{at}"))).unwrap();
    }
    let (started, mut dice) = (Instant::now(), Dice::new(5, "outages"));
    let count = |office: &Office| {
        let list = Request::List {
            ledger: "poor_household".into(),
            place: None,
            search: String::new(),
            state: String::new(),
            limit: 1,
        };
        office.ask(&list).map_or(0, |found| found["total"].as_u64().unwrap_or(0))
    };
    while count(&offices[2]) < 50 {
        assert!(started.elapsed().as_secs() < 1200, "{} of 50 arrived", count(&offices[2]));
        let up = Duration::from_millis(4000 + dice.below(6000));
        shaper.up.store(true, Ordering::Relaxed);
        let until = Instant::now() + up;
        while Instant::now() < until && count(&offices[2]) < 50 {
            std::thread::sleep(Duration::from_millis(200));
        }
        if !always_up {
            shaper.up.store(false, Ordering::Relaxed);
            std::thread::sleep(up * 9);
        }
    }
    (shaper.bytes.load(Ordering::Relaxed), started.elapsed().as_secs())
}

/// Goal: fifty edits of a real village arrive over a line that is up for a tenth of the time.
/// Method: a relay of 64 kbit/s, one second there and back, 10 % loss as waiting; takes minutes, so it
/// runs when asked (`REAL_LINE=1`), against a clean transfer over the same relay.
#[test]
fn fifty_edits_of_real_programs_arrive_over_a_mountain_line() {
    if std::env::var_os("REAL_LINE").is_none() {
        println!("not played: takes minutes, REAL_LINE=1 asks for it");
        return;
    }
    let (clean, clean_s) = fifty_edits(0, true);
    let (sent, seconds) = fifty_edits(10, false);
    println!("{sent} bytes in {seconds} s, clean {clean} bytes in {clean_s} s");
    assert!(sent * 2 <= clean * 3, "{sent} bytes against {clean}");
}

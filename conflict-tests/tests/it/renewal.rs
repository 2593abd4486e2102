//! Terms of certificates, with real programs whose clock is moved.

use taizhang_node::identity::keys::Identity;
use taizhang_node::ops::Request;

use crate::office::{CODES, Office, chain, household};

const DAY_MS: i64 = 86_400_000;

fn valid_until(office: &Office) -> i64 {
    Identity::load(&office.folder).unwrap().checked.valid_s.1
}

/// Restarts every office at a date, and waits until the village's new record is at the city.
fn works_on(offices: &mut [Office], days: i64, name: &str) {
    restart(offices, days);
    offices[3].ask(&household(name)).unwrap();
    arrives(&offices[0], name);
}

fn restart(offices: &mut [Office], days: i64) {
    offices.iter_mut().for_each(Office::kill);
    for office in offices {
        office.offset_ms = days * DAY_MS;
        office.start();
    }
}

fn arrives(city: &Office, name: &str) {
    let list = Request::List {
        ledger: "poor_household".into(),
        place: None,
        search: String::new(),
        state: String::new(),
        limit: 50,
    };
    let first: String = name.chars().take(1).collect();
    city.wait("the record at the city", |city| {
        city.ask(&list).is_ok_and(|found| found.to_string().contains(&first))
    });
}

/// Goal: certificates are renewed by themselves after 60 % of their term, the city's own too; after expiry
/// only with a code; a clock that is years behind stops neither.
#[test]
fn certificates_are_renewed_in_time_and_after_expiry_with_consent() {
    let folder = tempfile::tempdir().unwrap();
    let mut offices = chain(folder.path(), 0);
    let first: Vec<i64> = offices.iter().map(valid_until).collect();
    works_on(&mut offices, 10, "赵六");
    assert_eq!(first, offices.iter().map(valid_until).collect::<Vec<_>>(), "too early");
    works_on(&mut offices, 300, "钱七");
    for (office, first) in offices.iter().zip(&first) {
        office.wait("its renewal", |office| valid_until(office) > *first);
    }
    // The village sleeps while the offices above it go on; its certificate is over when it wakes.
    let second = valid_until(&offices[3]);
    offices[3].kill();
    for days in [550, 800, 1050] {
        let upper: Vec<i64> = offices[..3].iter().map(valid_until).collect();
        restart(&mut offices[..3], days);
        for (office, before) in offices[..3].iter().zip(&upper) {
            office.wait("its renewal", |office| valid_until(office) > *before);
        }
    }
    offices[3].offset_ms = 1050 * DAY_MS;
    offices[3].start();
    offices[3].ask(&household("孙八")).unwrap();
    std::thread::sleep(std::time::Duration::from_secs(2));
    assert_eq!(valid_until(&offices[3]), second, "no term without consent");
    offices[3].kill();
    let address = offices[3].link.as_ref().unwrap().address.to_string();
    let invite = Request::Invite { place: CODES[3].into(), addresses: vec![address], hours: 24 };
    let code = offices[2].ask(&invite).unwrap()["code"].as_str().unwrap().to_owned();
    offices[3].once(&["join", &code]).unwrap();
    assert!(valid_until(&offices[3]) > second);
    offices[3].start();
    arrives(&offices[0], "孙八");
    // A clock that is years behind stops nothing.
    offices[3].kill();
    offices[3].offset_ms = 0;
    offices[3].start();
    offices[3].ask(&household("李九")).unwrap();
    arrives(&offices[0], "李九");
}

//! Rights of a lost replica, and runs of a series: promise 6 of the design, small enough to read.

use conflict_tests::scenario::{CITY, COUNTY, COUNTY_2, Stage, TOWNSHIP};
use conflict_tests::world::{Node, Weather, clerk};
use taizhang_core::id::{AuthorId, RecordId};
use taizhang_core::revocation::Reason;

fn open(stage: &mut Stage, node: Node, name: &str, amount: i64) -> RecordId {
    let opened =
        stage.world.job(node, |engine, now| engine.open_right(name, amount, &clerk(), now));
    let pool = opened.unwrap();
    stage.sync();
    pool
}

fn transfer(
    stage: &mut Stage,
    from: Node,
    to: Node,
    pool: RecordId,
    amount: i64,
) -> Result<(), String> {
    let key = stage.world.engine(to).author.key;
    let job = |engine: &mut taizhang_node::engine::Engine, now| {
        engine.transfer_right(pool, key, amount, &clerk(), now)
    };
    stage.world.job(from, job).map(|_| ())
}

fn write_off(
    stage: &mut Stage,
    node: Node,
    pool: RecordId,
    holder: AuthorId,
) -> Result<i64, String> {
    let job = |engine: &mut taizhang_node::engine::Engine, now| {
        engine.write_off_right(pool, holder, &clerk(), now)
    };
    stage.world.job(node, job)
}

fn revoke(stage: &mut Stage, by: Node, of: Node) {
    let key = stage.world.engine(of).author.key;
    stage.world.job(by, |engine, now| engine.revoke(key, Reason::Lost, &clerk(), now)).unwrap();
}

fn held(stage: &mut Stage, at: Node, pool: RecordId, holder: AuthorId) -> i64 {
    let balances = stage.world.engine(at).balances().unwrap();
    let found = balances.iter().find(|one| one.pool == pool && one.holder == holder);
    found.map_or(0, |one| one.amount)
}

/// Two offices that both think of it while apart would give the remainder out twice.
#[test]
fn what_a_lost_replica_held_comes_back_once() {
    let mut stage = Stage::new(41, Weather::default());
    let pool = open(&mut stage, COUNTY, "industry_subsidy_total:2018", 100);
    transfer(&mut stage, COUNTY, TOWNSHIP, pool, 60).unwrap();
    stage.sync();
    let lost = stage.world.engine(TOWNSHIP).author;
    let refused = write_off(&mut stage, COUNTY, pool, lost).unwrap_err();
    assert!(refused.contains("吊销"), "{refused}");
    revoke(&mut stage, COUNTY, TOWNSHIP);
    stage.sync();
    for other in [COUNTY_2, CITY] {
        let refused = write_off(&mut stage, other, pool, lost).unwrap_err();
        assert!(refused.contains("首台节点"), "{refused}");
    }
    assert_eq!(write_off(&mut stage, COUNTY, pool, lost).unwrap(), 60);
    stage.sync();
    write_off(&mut stage, COUNTY, pool, lost).unwrap_err();
    let county = stage.world.engine(COUNTY).author;
    for office in [COUNTY, COUNTY_2, CITY] {
        assert_eq!(held(&mut stage, office, pool, county), 100);
        assert_eq!(held(&mut stage, office, pool, lost), 0);
    }
}

/// What the lost replica gave away counts although it comes later than the revocation.
#[test]
fn a_write_off_waits_for_everything_that_counts_of_the_lost_replica() {
    for seed in 0..6 {
        let mut stage = Stage::new(seed, Weather { reorder: 20, duplicate: 0 });
        let pool = open(&mut stage, CITY, "star_award:2018", 100);
        transfer(&mut stage, CITY, TOWNSHIP, pool, 60).unwrap();
        stage.sync();
        let (city, lost) = (stage.world.engine(CITY).author, stage.world.engine(TOWNSHIP).author);
        stage.cut(COUNTY);
        transfer(&mut stage, TOWNSHIP, COUNTY, pool, 20).unwrap();
        stage.sync();
        revoke(&mut stage, COUNTY, TOWNSHIP);
        for index in 0..stage.world.links.len() {
            stage.world.set_link(index, true);
        }
        let mut written_off = None;
        for _ in 0..20_000 {
            stage.world.step();
            if let Ok(amount) = write_off(&mut stage, CITY, pool, lost) {
                written_off = Some(amount);
                break;
            }
        }
        assert_eq!(written_off, Some(40), "seed {seed}");
        stage.sync();
        assert_eq!(held(&mut stage, CITY, pool, lost), 0, "seed {seed}");
        assert_eq!(held(&mut stage, CITY, pool, city), 80, "seed {seed}");
    }
}

/// Numbers are given away in runs: a run is never longer than what is held.
#[test]
fn a_series_in_pieces_gives_no_number_twice() {
    let mut stage = Stage::new(43, Weather::default());
    let pool = open(&mut stage, COUNTY, "workshop_no", 10);
    transfer(&mut stage, COUNTY, COUNTY_2, pool, 4).unwrap();
    transfer(&mut stage, COUNTY, TOWNSHIP, pool, 3).unwrap();
    stage.sync();
    transfer(&mut stage, COUNTY_2, COUNTY, pool, 4).unwrap();
    stage.sync();
    let refused = transfer(&mut stage, COUNTY, COUNTY_2, pool, 6).unwrap_err();
    assert!(refused.contains("最多划拨4个"), "{refused}");
    transfer(&mut stage, COUNTY, COUNTY_2, pool, 4).unwrap();
    transfer(&mut stage, COUNTY, COUNTY_2, pool, 3).unwrap();
    stage.sync();
    let mut numbers = std::collections::BTreeSet::new();
    for office in [COUNTY, COUNTY_2, TOWNSHIP] {
        let author = stage.world.engine(office).author;
        let city = stage.world.engine(CITY);
        let (_, runs) = city.store.holding(pool, author, true, |_, _| false).unwrap();
        for (first, count) in runs {
            for number in first..first + count {
                assert!(numbers.insert(number), "{number} is held twice");
            }
        }
    }
    assert_eq!(numbers.len(), 10);
}

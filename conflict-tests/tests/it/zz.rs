//! Debug.
use conflict_tests::scenario::*;
use conflict_tests::world::Weather;
#[test]
fn debug() {
    let mut stage = Stage::new(1, Weather { reorder: 30, duplicate: 30 });
    stage.world.reports.clear();
    let r = stage.create(3, "workshop", &[("name", "x")]);
    stage.sync();
    for n in 0..4 {
        println!("{n} {} {:?}", stage.world.job(n, |e, _| e.find(r)).is_ok(), stage.world.engine(n).held_back().map(|l| l.iter().map(|x| (x.kind, x.reason.clone(), x.slice.to_string())).collect::<Vec<_>>()));
    }
    println!("{:?}", stage.world.reports);
}

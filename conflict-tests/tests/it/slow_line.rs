//! Fifty edits over the line of a mountain village.

use conflict_tests::chance::Dice;
use conflict_tests::oracle::register::shown;
use conflict_tests::world::line::Line;
use conflict_tests::world::{Node, World};

const VILLAGE: Node = 3;
const TOWNSHIP: Node = 2;

/// Plays 50 edits of a quarter of an hour over a line that is up for a tenth of the time, or always; gives
/// bytes sent, segments sent again, and the simulated seconds.
fn fifty_edits(seed: u64, loss: u64, always_up: bool) -> (u64, u64, i64) {
    let mut world = World::new(seed, 4, None);
    assert!(world.settle(2000));
    let link = world.link_of(VILLAGE);
    world.links[link].line = Some(Box::new(Line::mobile(seed, loss)));
    world.set_link(link, false);
    let (start, mut dice) = (world.now, Dice::new(seed, "outages"));
    let (mut records, mut next_edit, mut change) = (Vec::new(), start, start);
    let arrived = |world: &World, id| {
        shown(world, TOWNSHIP, id, "head_name").is_some_and(|name| !name.is_empty())
    };
    let mut up = false;
    while world.now.since(start) < 4 * 3_600_000 {
        if records.len() < 50 && world.now >= next_edit {
            records.push(world.household(VILLAGE, "张三"));
            next_edit = world.now.plus(5_000 + i64::try_from(dice.below(26_000)).unwrap());
        }
        if world.now >= change {
            if !(always_up && up) {
                up = !up;
                world.set_link(link, up);
            }
            let seconds = i64::try_from(5 + dice.below(25)).unwrap();
            change = world.now.plus(if up { seconds } else { 9 * seconds } * 1000);
        }
        if !up {
            world.now = world.now.plus(490);
        }
        world.step();
        let second = world.now.0 % 1000 < 10;
        if records.len() == 50 && second && records.iter().all(|id| arrived(&world, *id)) {
            let line = world.links[link].line.as_ref().unwrap();
            return (line.sent, line.repeated, world.now.since(start) / 1000);
        }
    }
    panic!("seed {seed}: 50 edits did not arrive in four hours");
}

/// Goal: 50 edits over 64 kbit/s, one second there and back, 10 % loss, up a tenth of the time, all arrive;
/// what the other end had committed is not sent again; the bytes are at most 1.5 times one clean transfer.
#[test]
fn fifty_edits_arrive_over_a_mountain_line_without_being_sent_twice() {
    let (mut worst, mut longest) = (0.0_f64, 0);
    for seed in 0..20 {
        let (clean, _, _) = fifty_edits(seed, 0, true);
        let (sent, repeated, seconds) = fifty_edits(seed, 10, false);
        assert_eq!(repeated, 0, "seed {seed}");
        let ratio = sent as f64 / clean as f64;
        println!("seed {seed}: {sent} bytes, {ratio:.2} of {clean}, {seconds} s");
        assert!(ratio <= 1.5, "seed {seed}: {ratio:.2} times a clean transfer");
        (worst, longest) = (worst.max(ratio), longest.max(seconds));
    }
    println!("20 seeds: at most {worst:.2} times the bytes, {longest} s");
}

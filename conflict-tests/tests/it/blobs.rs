//! Photos: named by an entry, moved beside the feeds, the same bytes at every holder.

use conflict_tests::world::{Node, Weather, World};
use taizhang_core::id::{RecordId, SliceId};
use taizhang_core::limits;
use taizhang_core::record::attachment::{Attachment, BlobRef, Media};
use taizhang_core::sync::message::Message;
use taizhang_core::sync::session::Report;
use taizhang_node::engine::values::Source;
use taizhang_node::file::backup::{backup, restore};
use taizhang_node::store::blobs::blob_path;

const CITY: Node = 0;
const COUNTY: Node = 1;
const TOWNSHIP: Node = 2;
const VILLAGE: Node = 3;
const SIBLING: Node = 4;

fn photo(seed: u8, bytes: usize) -> Vec<u8> {
    let mut photo = vec![0xff, 0xd8, 0xff];
    photo.extend((0..bytes - 3).map(|at| (at * 31 + usize::from(seed)).to_le_bytes()[0]));
    photo
}

fn attach(world: &mut World, node: Node, record: RecordId, bytes: &[u8]) -> BlobRef {
    let blob = world.attach(node, record, "photo_before", bytes);
    assert_eq!(blob, BlobRef::of(bytes));
    blob
}

fn holds(world: &mut World, node: Node, blob: BlobRef) -> bool {
    world.engine(node).store.have_of(blob) == blob.bytes
}

fn file(world: &mut World, node: Node) -> RecordId {
    world.create(node, "toilet_renovation", &[("householder", "张三")])
}

#[test]
fn a_photo_reaches_the_city_and_no_other_village() {
    let mut world = World::new(1, 5, None);
    let record = file(&mut world, VILLAGE);
    let blob = attach(&mut world, VILLAGE, record, &photo(1, 100_000));
    world.settle(20_000);
    for node in [CITY, COUNTY, TOWNSHIP] {
        assert!(holds(&mut world, node, blob), "{}", world.replicas[node].name);
    }
    assert_eq!(world.engine(SIBLING).store.have_of(blob), 0, "promise 4");
    let slice = SliceId::ledger(world.replicas[VILLAGE].place);
    let read = world.engine(CITY).store.read_blob(slice, blob.hash, 65_536).unwrap();
    assert_eq!(read, photo(1, 100_000)[65_536..65_536 + limits::BLOB_PART_BYTES]);
    let other = SliceId::ledger(world.replicas[SIBLING].place);
    assert!(world.engine(CITY).store.read_blob(other, blob.hash, 0).unwrap().is_empty());
    // Asked for outright by the sibling, under the village's name and under its own: it gets no byte.
    let link = world.link_of(SIBLING);
    for slice in [slice, other] {
        world.inject(link, false, Message::WantBlob { slice, hash: blob.hash, from: 0 });
        world.settle(20_000);
    }
    let story = world.trace.story(usize::MAX);
    let parts = story.iter().filter(|line| line.contains("→ village-b part of blob"));
    let empty = parts.filter(|line| line.ends_with(" 0 bytes"));
    assert_eq!(empty.count(), 2, "{story:?}");
}

#[test]
fn a_cut_link_goes_on_where_it_stopped_and_small_pictures_come_first() {
    let mut world = World::new(2, 4, None);
    let record = file(&mut world, VILLAGE);
    let link = world.link_of(VILLAGE);
    world.set_link(link, false);
    let large = attach(&mut world, VILLAGE, record, &photo(1, 400_000));
    let small = attach(&mut world, VILLAGE, record, &photo(2, 5_000));
    world.set_link(link, true);
    let mut cuts = 0;
    let mut before = 0;
    for _ in 0..4_000 {
        world.step();
        let have = world.engine(TOWNSHIP).store.have_of(large);
        if have > 0 {
            assert!(holds(&mut world, TOWNSHIP, small), "thumbnails first");
        }
        assert!(have >= before, "nothing that came is thrown away");
        if have > before && have < large.bytes {
            cuts += 1;
            world.set_link(link, false);
            world.set_link(link, true);
        }
        before = have;
    }
    assert!(holds(&mut world, TOWNSHIP, large));
    assert!(cuts > 5, "{cuts}");
}

#[test]
fn wrong_bytes_are_thrown_away_and_the_right_ones_come_by_another_way() {
    let mut world = World::new(3, 4, None);
    let record = file(&mut world, VILLAGE);
    let link = world.link_of(VILLAGE);
    world.set_link(link, false);
    let bytes = photo(1, 100_000);
    let blob = attach(&mut world, VILLAGE, record, &bytes);
    world.set_link(link, true);
    while !world.trace.story(20).iter().any(|line| line.contains("want blob")) {
        world.step();
    }
    // A peer that once answers with other bytes of the right length.
    let part = limits::BLOB_PART_BYTES;
    while world.engine(TOWNSHIP).store.have_of(blob) <= part as u64 {
        if world.engine(TOWNSHIP).store.have_of(blob) == part as u64 {
            let (hash, from, bytes) = (blob.hash, part as u64, vec![7; part]);
            world.inject(link, false, Message::BlobPart { hash, from, bytes });
        }
        world.step();
    }
    for _ in 0..10_000 {
        if holds(&mut world, TOWNSHIP, blob) {
            break;
        }
        world.step();
    }
    let refused = world.reports.iter().any(|(node, report)| {
        *node == TOWNSHIP && matches!(report, Report::Refused { feed: None, .. })
    });
    assert!(refused, "wrong bytes were noticed");
    assert!(holds(&mut world, TOWNSHIP, blob));
    let slice = SliceId::ledger(world.replicas[VILLAGE].place);
    assert_eq!(world.engine(TOWNSHIP).store.read_blob(slice, blob.hash, 0).unwrap(), bytes[..part]);
}

#[test]
fn a_reinstalled_village_gets_its_photos_back() {
    let mut world = World::new(4, 4, None);
    world.weather = Weather { reorder: 20, duplicate: 20 };
    let record = file(&mut world, VILLAGE);
    let blob = attach(&mut world, VILLAGE, record, &photo(1, 150_000));
    world.settle(20_000);
    assert!(holds(&mut world, TOWNSHIP, blob));
    world.reinstall(VILLAGE);
    world.settle(20_000);
    assert!(holds(&mut world, VILLAGE, blob));
}

#[test]
fn two_who_add_photos_apart_keep_both_and_what_is_taken_away_stays_in_the_history() {
    let mut world = World::new(5, 6, None);
    let (first, second) = (VILLAGE, 5);
    let record = file(&mut world, first);
    world.settle(4_000);
    let links = [world.link_of(first), world.link_of(second)];
    links.iter().for_each(|link| world.set_link(*link, false));
    let one = attach(&mut world, first, record, &photo(1, 9_000));
    let two = attach(&mut world, second, record, &photo(2, 9_000));
    links.iter().for_each(|link| world.set_link(*link, true));
    world.settle(20_000);
    for node in [first, second, TOWNSHIP, CITY] {
        assert!(holds(&mut world, node, one) && holds(&mut world, node, two));
        let row = world.engine(node).find(record).unwrap().row;
        assert_eq!(row.sets["photo_before"].len(), 2);
    }
    let member = Attachment { blob: one, media: Media::Jpeg, thumb: None, name: "a.jpg".into() };
    assert!(world.set(first, record, "photo_before", &format!("-{}", member.member())));
    world.settle(4_000);
    assert_eq!(world.engine(CITY).find(record).unwrap().row.sets["photo_before"].len(), 1);
    assert!(holds(&mut world, CITY, one), "the bytes stay");
}

/// Goal: a backup brings back the photos that no other office has yet.
#[test]
fn a_backup_holds_the_photos() {
    let mut world = World::new(6, 4, None);
    let link = world.link_of(VILLAGE);
    world.set_link(link, false);
    let record = file(&mut world, VILLAGE);
    let blob = attach(&mut world, VILLAGE, record, &photo(1, 40_000));
    let folder = tempfile::tempdir().unwrap();
    let (target, data) = (folder.path().join("backup"), folder.path().join("data"));
    // A replica of the simulator keeps its keys outside its folder.
    std::fs::create_dir_all(world.engine(VILLAGE).store.folder().join("identity")).unwrap();
    let now = world.now_at(VILLAGE);
    backup(world.engine(VILLAGE), &target, now).unwrap();
    restore(&target, &data).unwrap();
    let bytes = std::fs::read(blob_path(&data, blob.hash)).unwrap();
    assert_eq!(bytes, photo(1, 40_000));
}

#[test]
fn a_photo_put_here_by_a_clerk_is_there_for_every_record_that_names_it() {
    let mut world = World::new(9, 4, None);
    let (first, second) = (file(&mut world, VILLAGE), file(&mut world, VILLAGE));
    let bytes = photo(3, 50_000);
    let link = world.link_of(VILLAGE);
    let blob = attach(&mut world, VILLAGE, first, &bytes);
    // The names cross, the bytes are lost on the way: with them gone, nobody has any.
    while !world.trace.story(20).iter().any(|line| line.contains("want blob")) {
        world.step();
    }
    world.set_link(link, false);
    let path = blob_path(world.engine(VILLAGE).store.folder(), blob.hash);
    std::fs::remove_file(path).unwrap();
    let now = world.now_at(VILLAGE);
    world.engine(VILLAGE).rebuild(now).unwrap();
    world.set_link(link, true);
    world.settle(20_000);
    assert!(!holds(&mut world, TOWNSHIP, blob));
    attach(&mut world, VILLAGE, second, &bytes);
    world.settle(20_000);
    assert!(holds(&mut world, TOWNSHIP, blob));
    let slice = SliceId::ledger(world.replicas[VILLAGE].place);
    for node in [VILLAGE, TOWNSHIP] {
        let held = world.engine(node).store.blobs_of(slice, first).unwrap();
        assert_eq!(held, [blob], "{}", world.replicas[node].name);
    }
}

#[test]
fn an_entry_names_no_photo_whose_bytes_are_not_here() {
    let mut world = World::new(10, 4, None);
    let record = file(&mut world, VILLAGE);
    let blob = BlobRef::of(&photo(4, 1_000));
    let one = Attachment { blob, thumb: None, media: Media::Jpeg, name: "a.jpg".into() };
    let inputs = [("photo_before".to_owned(), one.member())].into();
    let (source, person) = (Source::People, conflict_tests::world::clerk());
    let refused = world
        .job(VILLAGE, |engine, now| engine.set(record, &inputs, source, &person, now))
        .unwrap_err();
    assert!(refused.contains("请在记录页面上传"), "{refused}");
}

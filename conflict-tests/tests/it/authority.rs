//! Certified peers that write what they may not, each case small enough to read: promise 5 of the
//! design.

use conflict_tests::scenario::{CITY, COUNTY, Stage, TOWNSHIP, VILLAGE};
use conflict_tests::world::{Node, Weather, clerk};
use taizhang_core::directives::REVOCATION;
use taizhang_core::feed::entry::{Action, Entry, RecordChange};
use taizhang_core::feed::segment::Segment;
use taizhang_core::id::{AuthorId, Epoch, FeedId, Hash, Lane, RecordId, SliceId, SliceKind};
use taizhang_core::record::edit::{KeyWrite, compose, creation};
use taizhang_core::sync::message::Message;

/// Seals, with an office's own key and past its own checks, one change in a slice, and sends it up.
fn forge(stage: &mut Stage, node: Node, slice: SliceId, record: RecordId, keys: &[KeyWrite]) {
    let now = stage.world.now_at(node);
    let engine = stage.world.engine(node);
    let author = AuthorId {
        key: engine.author.key,
        epoch: Epoch([*keys[0].0.as_bytes().last().unwrap(); 16]),
    };
    let log = engine.store.record(slice, record).unwrap().map(|one| one.log).unwrap_or_default();
    let bytes = compose(&log, author.actor(), now, keys).unwrap();
    let sees = engine.directives.applied.iter();
    let is_directive = slice.kind == SliceKind::Directive;
    let lane = if is_directive { Lane::Directive } else { Lane::Urgent };
    let segment = Segment {
        feed: FeedId { slice, lane, author },
        number: 0,
        first_entry: 0,
        previous: Hash::default(),
        sees: sees.map(|((slice, author), count)| (*slice, *author, *count)).collect(),
        entries: vec![Entry {
            time: now,
            person: clerk(),
            action: if is_directive { Action::Directive } else { Action::Set },
            lamport: 1000,
            policy_seen: 0,
            import: None,
            changes: vec![RecordChange { record, bytes }],
        }],
    };
    let sealed = segment.seal(&engine.identity.seal);
    let index = stage.world.link_of(node);
    stage.world.inject(index, false, Message::Segment(sealed));
    stage.sync();
}

/// DESIGN §2: no key can mask a key of its own level or above.
#[test]
fn a_township_cannot_revoke_the_city() {
    let mut stage = Stage::new(51, Weather::default());
    stage.sync();
    let village = stage.world.replicas[VILLAGE].place;
    let key = stage.world.engine(CITY).author.key;
    let keys = [
        creation(REVOCATION),
        ("key".into(), Some(key.to_string().into())),
        ("reason".into(), Some("lost".into())),
        ("line".into(), Some("[]".into())),
    ];
    forge(&mut stage, TOWNSHIP, SliceId::directive(village), RecordId([7; 16]), &keys);
    for office in [CITY, COUNTY, VILLAGE] {
        let engine = stage.world.engine(office);
        let came = engine.store.masked().unwrap();
        assert!(!engine.directives.revoked.contains(key), "{office} takes the city for revoked");
        let is_void = came.iter().any(|one| one.3.contains("no_authority"));
        assert!(is_void || office == VILLAGE, "{office}: {came:?}");
    }
}

/// The mark of a move lets an office carry over what it and those below it write, nothing above.
#[test]
fn the_mark_of_a_move_lends_no_authority_of_a_higher_office() {
    let mut stage = Stage::new(52, Weather::default());
    let household = stage.household(VILLAGE, "张三").to_string();
    let grant = stage.create(
        VILLAGE,
        "household_grant",
        &[
            ("household", &household),
            ("apply_date", "2018-06-05"),
            ("project_kind", "planting"),
            ("project_detail", "大棚"),
            ("requested", "6000"),
            ("payee_account", "622848000000123"),
        ],
    );
    stage.act(VILLAGE, grant, "submitted");
    stage.sync();
    stage.act(TOWNSHIP, grant, "reviewed");
    stage.sync();
    let step = r#"{"from":"reviewed","to":"approved","nonce":"00112233445566778899aabbccddeeff"}"#;
    for (mark, key, value) in
        [("_from/a", "approved_amount", 600_000_i64.into()), ("_from/b", "_state/b", step.into())]
    {
        let slice = SliceId::ledger(stage.world.replicas[VILLAGE].place);
        let keys = [(mark.into(), Some("{}".into())), (key.into(), Some(value))];
        forge(&mut stage, TOWNSHIP, slice, grant, &keys);
        for office in [COUNTY, CITY] {
            let row = stage.row(office, grant);
            assert!(!row.fields.contains_key("approved_amount"), "{office}");
            assert_eq!(stage.state(office, grant), "reviewed", "{office}");
            let came = stage.world.engine(office).store.masked().unwrap();
            let last = came.last().unwrap();
            assert!(last.3.contains("no_authority") && last.3.contains(key), "{office}: {came:?}");
        }
    }
}

//! What a peer can make a session do by messages that cost it nothing.

use conflict_tests::scenario::{COUNTY, Stage, TOWNSHIP};
use conflict_tests::world::Weather;
use taizhang_core::feed::receipt::SealedReceipt;
use taizhang_core::id::{Epoch, FeedId};
use taizhang_core::limits::{RECEIPT_MESSAGES_MAX, RECEIPTS_PER_MESSAGE};
use taizhang_core::sync::message::{Message, Refusal};
use taizhang_core::sync::session::{CloseReason, Input, Output, Report, Session};
use taizhang_core::time::UtcMillis;

/// The county's end of a link to its township, both having greeted; the township's own feeds.
fn greeted() -> (Session, UtcMillis, Vec<FeedId>) {
    let mut stage = Stage::new(61, Weather::default());
    stage.world.contact(TOWNSHIP, "王帮扶");
    stage.sync();
    let places = [COUNTY, TOWNSHIP].map(|node| stage.world.replicas[node].place);
    let ours = stage.world.engine(COUNTY).session_config(places[1]).unwrap();
    let theirs = stage.world.engine(TOWNSHIP).session_config(places[0]).unwrap();
    let now = stage.world.now_at(COUNTY);
    let feeds: Vec<FeedId> = ours
        .held
        .slices
        .iter()
        .flat_map(|(slice, frontier)| {
            frontier.heads.keys().map(|(lane, author)| FeedId {
                slice: *slice,
                lane: *lane,
                author: *author,
            })
        })
        .collect();
    let (mut session, mut peer) = (Session::open(ours, now), Session::open(theirs, now));
    while let Some(output) = peer.poll_output() {
        if let Output::Send(message) = output {
            session.handle(now, Input::Received(message));
        }
    }
    while session.poll_output().is_some() {}
    (session, now, feeds)
}

fn outputs(session: &mut Session) -> Vec<Output> {
    std::iter::from_fn(|| session.poll_output()).collect()
}

fn receipts(count: usize) -> Input {
    let one = SealedReceipt { plain: vec![1; 64], seal: [2; 64] };
    Input::Received(Message::Receipts(vec![one; count]))
}

fn is_closed(outputs: &[Output]) -> bool {
    outputs.iter().any(|one| matches!(one, Output::Close(CloseReason::Protocol(_))))
}

#[test]
fn receipts_that_nobody_has_taken_in_yet_are_bounded() {
    let (mut session, now, _) = greeted();
    for _ in 0..RECEIPT_MESSAGES_MAX {
        session.handle(now, receipts(RECEIPTS_PER_MESSAGE));
    }
    assert!(!is_closed(&outputs(&mut session)), "a burst");
    session.handle(now, Input::ReceiptsTaken);
    session.handle(now, receipts(1));
    assert!(!is_closed(&outputs(&mut session)), "room for one more");
    session.handle(now, receipts(1));
    assert!(is_closed(&outputs(&mut session)), "a flood");
}

#[test]
fn a_message_of_too_many_receipts_ends_the_link() {
    let (mut session, now, _) = greeted();
    session.handle(now, receipts(RECEIPTS_PER_MESSAGE + 1));
    assert!(is_closed(&outputs(&mut session)));
}

#[test]
fn a_refusal_is_reported_once_and_only_of_what_is_held() {
    let (mut session, now, feeds) = greeted();
    let mut unknown = feeds[0];
    unknown.author.epoch = Epoch([9; 16]);
    let mut told = |feed: FeedId| {
        session.handle(now, Input::Received(Message::Refused(feed, Refusal::BadSeal)));
        let told = outputs(&mut session);
        told.iter().filter(|one| matches!(one, Output::Report(Report::RefusedByPeer(..)))).count()
    };
    assert_eq!([told(feeds[0]), told(feeds[0]), told(unknown)], [1, 0, 0]);
}

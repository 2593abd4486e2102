//! A child of the hub without a store: the real session over a real link, from segments in a file.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use taizhang_core::directives::ChainReader as _;
use taizhang_core::feed::frontier::{Frontiers, Head};
use taizhang_core::feed::receipt::SealedReceipt;
use taizhang_core::id::{AuthorId, FeedId, Hash, Lane, PlaceId, SliceId};
use taizhang_core::place::{Tree, is_shared};
use taizhang_core::sync::inbound::{Batch, Stored};
use taizhang_core::sync::message::Message;
use taizhang_core::sync::outbound::{Outgoing, ReadSegments, SegmentsRead};
use taizhang_core::sync::session::{Input, Output, Report, Session, SessionConfig};
use taizhang_node::driver::clock;
use taizhang_node::transport::client::{Wire, open_wire};
use taizhang_node::transport::convert::{from_frame, to_frame};
use taizhang_proto::sync::Frame;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use super::generate::Stock;
use super::network::Child;
use super::receipts::{Stated, frontiers};
use super::words;

/// What a player is told to do.
pub enum Order {
    /// Ends the link.
    Leave,
    /// Passes these receipts on.
    Pass(Vec<Stated>),
    /// Has written more: of a feed, so many segments in all.
    Show(usize, usize),
}

/// How a link stands.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Progress {
    /// Orders carried out.
    pub orders: u64,
    /// Segments that either end lacks; none before the frontiers are known.
    pub missing: Option<u64>,
}

/// One child.
pub struct Player {
    /// Who it is.
    pub child: Child,
    /// What lies below it.
    pub stock: Stock,
    hub: PlaceId,
    by_slice: BTreeMap<(SliceId, Lane), Vec<usize>>,
    /// Segments of each feed that are there now.
    shown: Vec<usize>,
    /// What came from the hub.
    taken: Frontiers,
    /// Tags of receipts that flow down this link, as the greeting sums them up.
    down: BTreeMap<(AuthorId, SliceId), u64>,
    refused: Option<String>,
    progress: Progress,
}

/// A player's link under way.
pub struct Link {
    orders: mpsc::UnboundedSender<Order>,
    sent: u64,
    progress: watch::Receiver<Progress>,
    task: JoinHandle<(Player, Result<(), String>)>,
}

impl Link {
    /// Starts a player's link.
    pub fn start(player: Player, address: String, runtime: &tokio::runtime::Runtime) -> Self {
        let (orders, receiver) = mpsc::unbounded_channel();
        let (sender, progress) = watch::channel(Progress::default());
        let task = runtime.spawn(player.converse(address, receiver, sender));
        Self { orders, sent: 0, progress, task }
    }

    /// Tells the player something.
    pub fn tell(&mut self, order: Order) {
        self.sent += 1;
        // A player that is gone shows in `ended`.
        drop(self.orders.send(order));
    }

    /// Whether all that is there is durable at both ends, all orders included.
    pub fn is_settled(&self) -> bool {
        let progress = *self.progress.borrow();
        progress.orders == self.sent && progress.missing == Some(0)
    }

    /// Segments that either end lacks; none before it is known.
    pub fn missing(&self) -> Option<u64> {
        self.progress.borrow().missing
    }

    /// Whether the link is over.
    pub fn ended(&self) -> bool {
        self.task.is_finished()
    }

    /// Leaves, and gives the player back.
    ///
    /// # Errors
    ///
    /// Why the link had ended before.
    pub fn leave(mut self, runtime: &tokio::runtime::Runtime) -> Result<Player, String> {
        self.tell(Order::Leave);
        let (player, result) = runtime.block_on(self.task).map_err(words)?;
        result.map(|()| player)
    }
}

impl Player {
    /// A child with what lies below it; nothing of it is shown yet.
    pub fn new(child: Child, stock: Stock, hub: PlaceId) -> Self {
        let mut by_slice: BTreeMap<(SliceId, Lane), Vec<usize>> = BTreeMap::new();
        for (at, feed) in stock.feeds.iter().enumerate() {
            by_slice.entry((feed.id.slice, feed.id.lane)).or_default().push(at);
        }
        Self {
            shown: vec![0; stock.feeds.len()],
            child,
            stock,
            hub,
            by_slice,
            taken: Frontiers::default(),
            down: BTreeMap::new(),
            refused: None,
            progress: Progress::default(),
        }
    }

    /// Shows every feed as it is at the end of a phase.
    pub fn show_phase(&mut self, phase: usize) {
        self.shown = self.stock.feeds.iter().map(|feed| feed.marks[phase]).collect();
    }

    fn tree(&self) -> &Tree {
        &self.child.config.tree
    }

    fn config(&self) -> SessionConfig {
        let mut held = frontiers(&self.child, &self.stock.feeds, |at, _| self.shown[at]);
        for (slice, frontier) in &self.taken.slices {
            for ((lane, author), head) in &frontier.heads {
                held.set(FeedId { slice: *slice, lane: *lane, author: *author }, *head);
            }
        }
        SessionConfig {
            place: self.child.keys.place,
            replica: self.child.keys.replica,
            author: self.child.keys.author,
            peer: self.hub,
            receipts: (Hash::default(), self.digest_down()),
            known_receipts: Vec::new(),
            held,
            ..self.child.config.clone()
        }
    }

    /// As a real child sums up the receipts that flow down to it, so that none is sent twice.
    fn digest_down(&self) -> Hash {
        let mut hasher = blake3::Hasher::new();
        for tag in self.down.values() {
            hasher.update(&tag.to_le_bytes());
        }
        Hash(*hasher.finalize().as_bytes())
    }

    async fn converse(
        mut self,
        address: String,
        mut orders: mpsc::UnboundedReceiver<Order>,
        progress: watch::Sender<Progress>,
    ) -> (Self, Result<(), String>) {
        self.progress = Progress::default();
        let (identity, hub) = (&self.child.identity, self.hub);
        let opened = open_wire(identity, hub, &address, Arc::new(|_| false)).await;
        let mut wire = match opened {
            Ok(wire) => wire,
            Err(error) => return (self, Err(error.to_string())),
        };
        let mut session = Session::open(self.config(), clock::now());
        let result = loop {
            if let Some(end) = self.drain(&mut session, &wire.sender).await {
                break end;
            }
            progress.send_replace(self.progress);
            match next(&session, &mut wire, &mut orders).await {
                Next::Input(input) => session.handle(clock::now(), input),
                Next::Order(order) => self.obey(&mut session, order),
                Next::Leave => break Ok(()),
            }
        };
        (self, result)
    }

    fn obey(&mut self, session: &mut Session, order: Order) {
        let now = clock::now();
        match order {
            Order::Leave => {}
            Order::Show(at, count) => {
                self.shown[at] = count;
                let feed = &self.stock.feeds[at];
                session.handle(now, Input::Advanced(vec![(feed.id, feed.head(count))]));
            }
            Order::Pass(stated) => {
                let mut receipts = Vec::with_capacity(stated.len());
                for (author, slice, receipt) in stated {
                    // The child's own on its subtree flow down to its other replicas too.
                    let below = self.tree().is_above_or_same(self.child.keys.place, slice.place);
                    if author == self.child.keys.author && below {
                        self.down.insert((author, slice), receipt.tag());
                    }
                    receipts.push(receipt);
                }
                session.handle(now, Input::SendReceipts(receipts));
            }
        }
        self.progress.orders += 1;
    }

    /// Carries out what the session asks for; gives how it ended, if it did.
    async fn drain(
        &mut self,
        session: &mut Session,
        sender: &mpsc::Sender<Frame>,
    ) -> Option<Result<(), String>> {
        while let Some(output) = session.poll_output() {
            let input = match output {
                Output::Send(message) => {
                    let sent = sender.send(to_frame(message)).await;
                    sent.err().map(|_| Input::LinkLost)
                }
                Output::Commit(id, batch) => Some(Input::Committed(id, self.take(&batch))),
                Output::ReadChain(chain) => {
                    let read = self.child.identity.root.read(&chain);
                    Some(Input::ChainRead(read.map(|certified| certified.key)))
                }
                Output::Read(wanted) => match self.read(&wanted) {
                    Ok(read) => Some(Input::SegmentsRead(read)),
                    Err(error) => return Some(Err(error)),
                },
                Output::ReadBlob { hash, from, .. } => {
                    Some(Input::BlobRead(hash, from, Vec::new()))
                }
                Output::TakeBlob { blob, .. } => Some(Input::BlobTaken(blob, None)),
                Output::TakeReceipts(receipts) => {
                    self.take_receipts(&receipts);
                    Some(Input::ReceiptsTaken)
                }
                Output::ListBlobs => None,
                Output::Report(report) => {
                    self.note(report);
                    None
                }
                Output::Close(reason) => return Some(Err(reason.to_string())),
            };
            if let Some(input) = input {
                session.handle(clock::now(), input);
            }
        }
        self.refused.take().map(Err)
    }

    fn note(&mut self, report: Report) {
        match report {
            Report::Progress { inbound, outbound } => {
                self.progress.missing = Some(inbound + outbound);
            }
            Report::Refused { feed, reason } => {
                self.refused = Some(format!("the hub sent what is refused: {feed:?} {reason}"));
            }
            Report::RefusedByPeer(feed, refusal) => {
                self.refused = Some(format!("the hub refuses {feed}: {refusal:?}"));
            }
            Report::Amnesia(_)
            | Report::ClockSkew(_)
            | Report::Greeted { .. }
            | Report::NotYet(..) => {}
        }
    }

    fn take(&mut self, batch: &Batch) -> Vec<Stored> {
        let stored = batch.segments.iter().map(|one| {
            let head = Head { count: one.number + 1, hash: one.hash };
            self.taken.set(one.feed, head);
            Stored::Stored(one.feed, head, Vec::new())
        });
        stored.collect()
    }

    fn take_receipts(&mut self, receipts: &[SealedReceipt]) {
        for sealed in receipts {
            let Ok(receipt) = sealed.open() else { continue };
            let place = receipt.slice.place;
            if self.tree().is_above_or_same(self.child.keys.place, place) {
                self.down.insert((receipt.issuer, receipt.slice), sealed.tag());
            }
        }
    }

    /// Segments beyond what the hub has, from the file.
    fn read(&self, wanted: &ReadSegments) -> Result<SegmentsRead, String> {
        let (slice, lane) = (wanted.slice, wanted.lane);
        let mut read = SegmentsRead { slice, lane, segments: Vec::new(), more: false };
        let mut bytes = 0;
        let shared = is_shared(self.child.keys.place, self.hub, slice, self.tree());
        let feeds = self.by_slice.get(&(slice, lane)).filter(|_| shared);
        for at in feeds.into_iter().flatten() {
            let feed = &self.stock.feeds[*at];
            if wanted.without.contains(&feed.id.author) {
                continue;
            }
            let have = wanted.have.get(&feed.id.author).copied().unwrap_or(0);
            let have = usize::try_from(have).map_err(words)?;
            for number in have..self.shown[*at] {
                if bytes >= wanted.bytes_max {
                    read.more = true;
                    return Ok(read);
                }
                let (sealed, hash) = feed.read(number)?;
                bytes += sealed.plain.len();
                let first = number == have;
                read.segments.push(Outgoing {
                    feed: feed.id,
                    number: number as u64,
                    hash,
                    sealed,
                    chain: if first { feed.chain.to_vec() } else { Vec::new() },
                });
            }
        }
        Ok(read)
    }
}

/// What happens next on a link.
enum Next {
    Input(Input),
    Leave,
    Order(Order),
}

/// Waits for whatever comes first.
async fn next(
    session: &Session,
    wire: &mut Wire,
    orders: &mut mpsc::UnboundedReceiver<Order>,
) -> Next {
    let deadline = session.deadline().map_or(60_000, |at| at.since(clock::now()));
    let sleep = tokio::time::sleep(Duration::from_millis(deadline.unsigned_abs() + 5));
    tokio::select! {
        frame = wire.receiver.message() => Next::Input(match frame {
            Ok(Some(frame)) => match from_frame(frame) {
                Ok(message) => Input::Received(message),
                Err(error) => Input::Received(Message::Bye(format!("unreadable: {error}"))),
            },
            Ok(None) => Input::LinkLost,
            Err(status) => Input::Received(Message::Bye(status.to_string())),
        }),
        order = orders.recv() => match order {
            Some(Order::Leave) | None => Next::Leave,
            Some(order) => Next::Order(order),
        },
        () = sleep => Next::Input(Input::DeadlineReached),
    }
}

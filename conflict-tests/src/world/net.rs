//! Links between offices: sessions of the production code, pipes of messages, and how unkind they are.

use std::collections::VecDeque;

use taizhang_core::feed::frontier::Head;
use taizhang_core::feed::receipt::SealedReceipt;
use taizhang_core::id::{FeedId, Hash};
use taizhang_core::limits;
use taizhang_core::sync::message::Message;
use taizhang_core::sync::session::{Input, Output, Report, Session};
use taizhang_core::time::UtcMillis;
use taizhang_node::engine::Event;

use super::line::Line;
use super::{Node, World};

/// One direction of a link.
#[derive(Default)]
pub(super) struct Pipe {
    pub(super) queue: VecDeque<Message>,
}

/// A link between a child and its parent.
pub struct Link {
    /// The dialling end.
    pub child: Node,
    /// The listening end.
    pub parent: Node,
    /// Whether it can be used.
    pub up: bool,
    /// Whether nothing gets to the child, or to the parent.
    pub deaf: (bool, bool),
    /// Rounds in which it holds everything back.
    pub held_rounds: u64,
    /// Rounds for each message: a slow line.
    pub rounds_per_message: u64,
    /// A line with a rate and a delay, instead of a message a round.
    pub line: Option<Box<Line>>,
    pub(super) sessions: Option<(Session, Session)>,
    pub(super) to_parent: Pipe,
    pub(super) to_child: Pipe,
}

/// How unkind links are.
#[derive(Clone, Copy, Debug, Default)]
pub struct Weather {
    /// Percent of messages swapped with the next one.
    pub reorder: u64,
    /// Percent of messages delivered twice.
    pub duplicate: u64,
}

impl World {
    /// Cuts or heals a link.
    pub fn set_link(&mut self, index: usize, up: bool) {
        self.links[index].up = up;
        if !up {
            self.links[index].drop_sessions();
        }
    }

    /// Lets a child dial another parent.
    ///
    /// # Panics
    ///
    /// If it dials none.
    pub fn redial(&mut self, child: Node, parent: Node) {
        let link = self.links.iter_mut().find(|link| link.child == child).expect("a link");
        link.drop_sessions();
        link.parent = parent;
    }

    /// Puts a message on a link as if `from` had sent it; for hostile peers.
    pub fn inject(&mut self, index: usize, from_parent: bool, message: Message) {
        let link = &mut self.links[index];
        let pipe = if from_parent { &mut link.to_child } else { &mut link.to_parent };
        pipe.queue.push_back(message);
    }

    /// Whether a session runs on a link.
    pub fn is_connected(&self, index: usize) -> bool {
        self.links[index].sessions.is_some()
    }

    /// One round: connects, flushes, projects, delivers a message on every link.
    pub fn step(&mut self) {
        self.now = self.now.plus(10);
        for node in 0..self.replicas.len() {
            self.work(node);
        }
        for index in 0..self.links.len() {
            self.connect(index);
            let link = &mut self.links[index];
            link.held_rounds = link.held_rounds.saturating_sub(1);
            self.deliver(index, true);
            self.deliver(index, false);
            self.tick(index);
        }
    }

    /// Steps until nothing moves, at most `rounds` rounds; gives whether it became quiet.
    pub fn settle(&mut self, rounds: u32) -> bool {
        let mut quiet = 0;
        for _ in 0..rounds {
            let before = self.activity();
            self.step();
            let idle = self.links.iter().all(|link| {
                let both = link.to_child.queue.iter().chain(&link.to_parent.queue);
                both.into_iter().all(|message| matches!(message, Message::Heartbeat(_)))
            });
            quiet = if idle && before == self.activity() { quiet + 1 } else { 0 };
            // What a link lost is asked for again at the next heartbeat.
            let in_sync = self.links.iter().all(Link::is_in_sync);
            if quiet > 3000 || (quiet > 30 && in_sync) {
                return true;
            }
        }
        false
    }

    fn activity(&self) -> Vec<u64> {
        self.replicas
            .iter()
            .filter_map(|replica| replica.engine.as_ref())
            .map(|engine| engine.store.last_arrival().unwrap_or(0))
            .collect()
    }

    /// A job was done at a replica.
    pub(super) fn stir(&mut self, node: Node) {
        self.replicas[node].is_busy = true;
        self.replicas[node].worked_at = self.now;
    }

    /// A stick was read or written at a replica.
    pub(crate) fn carried(&mut self, node: Node) {
        self.stir(node);
        self.spread_events(node);
    }

    /// What a worker does between jobs; an idle one looks four times a second, as in production.
    fn work(&mut self, node: Node) {
        let now = self.now_at(node);
        let wakes = (self.now.0.unsigned_abs() / 10).is_multiple_of(25);
        let replica = &mut self.replicas[node];
        let Some(engine) = replica.engine.as_mut().filter(|_| replica.is_busy || wakes) else {
            return;
        };
        if engine.needs_healing() {
            engine.heal(now).expect("heal");
        }
        engine.begin().expect("begin");
        engine.flush(now).expect("flush");
        let more = engine.project(now, 16).expect("project");
        engine.commit().expect("commit");
        replica.is_busy = more || engine.needs_healing() || engine.receipts_wait();
        self.spread_events(node);
        let replica = &mut self.replicas[node];
        let Some(engine) = replica.engine.as_mut().filter(|engine| engine.receipts_wait()) else {
            return;
        };
        let since = *replica.receipts_since.get_or_insert(self.now);
        let over = |start: UtcMillis, ms: i64| self.now.since(start) >= ms;
        let quiet = over(since, limits::RECEIPT_DELAY_MS)
            && over(replica.worked_at, limits::RECEIPT_DELAY_MS);
        if quiet || over(since, limits::RECEIPT_DELAY_MAX_MS) {
            replica.receipts_since = None;
            engine.begin().expect("begin");
            engine.issue_receipts(now).expect("receipts");
            engine.commit().expect("commit");
            for event in engine.take_events() {
                if let Event::Receipts(receipts) = &event {
                    self.judge_receipts(node, receipts);
                }
                self.spread(node, &event);
            }
        }
    }

    pub(super) fn spread_events(&mut self, node: Node) {
        let Some(engine) = self.replicas[node].engine.as_mut() else { return };
        for event in engine.take_events() {
            self.spread(node, &event);
        }
    }

    fn spread(&mut self, node: Node, event: &Event) {
        for index in 0..self.links.len() {
            if matches!(event, Event::Forked(_) | Event::Restart) {
                let link = &mut self.links[index];
                if link.child == node || link.parent == node {
                    link.drop_sessions();
                }
                continue;
            }
            self.tell(index, node, event);
        }
    }

    fn tell(&mut self, index: usize, node: Node, event: &Event) {
        let link = &self.links[index];
        if link.sessions.is_none() || (link.child != node && link.parent != node) {
            return;
        }
        let at_child = link.child == node;
        let peer = if at_child { link.parent } else { link.child };
        let peer_place = self.replicas[peer].place;
        let Some(engine) = self.replicas[node].engine.as_ref() else { return };
        let input = match event {
            Event::Advanced(heads) => Input::Advanced(heads.clone()),
            Event::BlobHeld(slice, blob) => Input::BlobHeld(*slice, *blob),
            Event::BlobsMissing(missing) => Input::BlobsMissing(missing.clone()),
            Event::Forked(_) | Event::Restart => return,
            Event::DirectivesChanged => {
                let tree = std::sync::Arc::new(engine.directives.tree.clone());
                Input::ScopeChanged(tree, engine.shared_frontiers(peer_place))
            }
            Event::Receipts(receipts) => {
                Input::SendReceipts(engine.filter_receipts(peer_place, receipts))
            }
        };
        self.feed(index, at_child, input);
    }

    fn connect(&mut self, index: usize) {
        let link = &self.links[index];
        if !link.up || link.sessions.is_some() {
            return;
        }
        let (child, parent) = (link.child, link.parent);
        if !self.may_meet(child, parent) {
            return;
        }
        let config = |world: &Self, node: Node, peer: Node| {
            let engine = world.replicas[node].engine.as_ref()?;
            engine.session_config(world.replicas[peer].place).ok()
        };
        let (Some(one), Some(two)) = (config(self, child, parent), config(self, parent, child))
        else {
            return;
        };
        let sessions =
            (Session::open(one, self.now_at(child)), Session::open(two, self.now_at(parent)));
        self.links[index].sessions = Some(sessions);
        self.note_committed(index);
        self.drain(index, true);
        self.drain(index, false);
    }

    /// For a line: what either end has on disk when they greet.
    fn note_committed(&mut self, index: usize) {
        let (child, parent) = (self.links[index].child, self.links[index].parent);
        if let Some(line) = self.links[index].line.as_mut() {
            line.committed = [child, parent].map(|node| {
                let disk = self.replicas[node].disk();
                let mut query = disk.prepare_cached("SELECT hash FROM segment").expect("own SQL");
                let rows = query.query_map([], |row| row.get::<_, [u8; 32]>(0)).expect("own SQL");
                rows.flatten().map(Hash).collect()
            });
        }
    }

    /// Whether two ends let each other in: neither knows the other's key as revoked.
    fn may_meet(&self, child: Node, parent: Node) -> bool {
        let key = |node: Node| self.replicas[node].identity.seal_key();
        let refuses = |node: Node, other: Node| {
            let engine = self.replicas[node].engine.as_ref();
            engine.is_some_and(|engine| engine.directives.revoked.contains(key(other)))
        };
        !refuses(parent, child) && !refuses(child, parent)
    }

    fn tick(&mut self, index: usize) {
        for at_child in [true, false] {
            let now = self.now_at(self.end(index, at_child));
            let due = self.links[index].session(at_child).and_then(|session| session.deadline());
            if due.is_some_and(|due| due <= now) {
                self.feed(index, at_child, Input::DeadlineReached);
            }
        }
    }

    fn deliver(&mut self, index: usize, at_child: bool) {
        let link = &mut self.links[index];
        let deaf = if at_child { link.deaf.0 } else { link.deaf.1 };
        let round = self.now.0.unsigned_abs() / 10;
        if deaf || link.held_rounds > 0 || !round.is_multiple_of(link.rounds_per_message.max(1)) {
            return;
        }
        let (reorder, duplicate) = (self.weather.reorder, self.weather.duplicate);
        let (swap, twice) = (self.dice.percent(reorder), self.dice.percent(duplicate));
        let link = &mut self.links[index];
        let pipe = if at_child { &mut link.to_child } else { &mut link.to_parent };
        if let Some(line) = link.line.as_mut() {
            if let Some(message) = line.round(usize::from(!at_child), round, &mut pipe.queue) {
                self.hand_over(index, at_child, message, false);
            }
            return;
        }
        let settled = |message: &Message| !matches!(message, Message::Hello(_));
        if swap && pipe.queue.len() > 1 && pipe.queue.iter().take(2).all(settled) {
            pipe.queue.swap(0, 1);
        }
        let Some(message) = pipe.queue.pop_front() else { return };
        let twice = twice && settled(&message);
        self.hand_over(index, at_child, message, twice);
    }

    fn hand_over(&mut self, index: usize, at_child: bool, message: Message, twice: bool) {
        let (from, to) = (self.end(index, !at_child), self.end(index, at_child));
        let (from, to) = (self.replicas[from].name, self.replicas[to].name);
        self.trace.add(format!("{} {from} → {to} {}", self.now.0, crate::trace::words(&message)));
        let link = &mut self.links[index];
        if link.sessions.is_none() {
            return;
        }
        if twice {
            self.feed(index, at_child, Input::Received(message.clone()));
        }
        self.feed(index, at_child, Input::Received(message));
    }

    fn feed(&mut self, index: usize, at_child: bool, input: Input) {
        let now = self.now_at(self.end(index, at_child));
        let Some(session) = self.links[index].session(at_child) else { return };
        session.handle(now, input);
        self.drain(index, at_child);
    }

    fn end(&self, index: usize, at_child: bool) -> Node {
        if at_child { self.links[index].child } else { self.links[index].parent }
    }

    /// Carries out what a session asks for: the driver of the simulation.
    fn drain(&mut self, index: usize, at_child: bool) {
        let node = self.end(index, at_child);
        let now = self.now_at(node);
        while let Some(output) = self.links[index].session(at_child).and_then(Session::poll_output)
        {
            match output {
                Output::Send(message) => {
                    if let Message::Ack(feeds) = &message {
                        self.judge_ack(node, feeds);
                    }
                    let link = &mut self.links[index];
                    let pipe = if at_child { &mut link.to_parent } else { &mut link.to_child };
                    pipe.queue.push_back(message);
                }
                Output::ReadChain(chain) => {
                    let read = self.engine(node).read_chain(&chain);
                    self.feed(index, at_child, Input::ChainRead(read));
                }
                Output::Read(wanted) => {
                    let read = self.engine(node).store.read_for_peer(&wanted).expect("a read");
                    self.feed(index, at_child, Input::SegmentsRead(read));
                }
                Output::ListBlobs => self.list_blobs(index, at_child),
                Output::ReadBlob { slice, hash, from } => {
                    let part = self.engine(node).store.read_blob(slice, hash, from);
                    let part = part.expect("a read");
                    self.feed(index, at_child, Input::BlobRead(hash, from, part));
                }
                Output::TakeBlob { blob, from, bytes } => {
                    let engine = self.engine(node);
                    engine.begin().expect("begin");
                    let have = engine.take_blob(blob, from, &bytes).expect("a part");
                    engine.commit().expect("commit");
                    self.feed(index, at_child, Input::BlobTaken(blob, have));
                    self.spread_events(node);
                }
                Output::Commit(id, batch) => {
                    let crash = self.crash_percent;
                    if self.dice.percent(crash) {
                        self.crash(node);
                        return;
                    }
                    let engine = self.engine(node);
                    engine.begin().expect("begin");
                    let stored = engine.ingest(&batch, now).expect("ingest");
                    engine.commit().expect("commit");
                    self.stir(node);
                    self.feed(index, at_child, Input::Committed(id, stored));
                    self.spread_events(node);
                }
                Output::TakeReceipts(receipts) => {
                    let engine = self.engine(node);
                    engine.begin().expect("begin");
                    engine.take_receipts(&receipts, now).expect("receipts");
                    engine.commit().expect("commit");
                    self.stir(node);
                    self.feed(index, at_child, Input::ReceiptsTaken);
                    self.spread_events(node);
                }
                Output::Report(report) => self.reported(index, at_child, node, report),
                Output::Close(_) => {
                    self.links[index].drop_sessions();
                    return;
                }
            }
        }
    }

    fn list_blobs(&mut self, index: usize, at_child: bool) {
        let place = self.replicas[self.end(index, !at_child)].place;
        let node = self.end(index, at_child);
        let missing = self.engine(node).missing_blobs(place).expect("missing blobs");
        self.feed(index, at_child, Input::BlobsMissing(missing));
    }

    fn reported(&mut self, index: usize, at_child: bool, node: Node, report: Report) {
        if matches!(report, Report::Greeted { .. }) {
            self.list_blobs(index, at_child);
        }
        if let Report::Greeted { send_receipts: true, known } = &report {
            let link = &self.links[index];
            let peer = if at_child { link.parent } else { link.child };
            let place = self.replicas[peer].place;
            let receipts = self.engine(node).receipts_for(place, known).expect("receipts");
            self.feed(index, at_child, Input::SendReceipts(receipts));
        }
        self.reports.push((node, report));
    }

    /// A receipt never states what its issuer has not on disk: asked of the file, when it is issued.
    fn judge_receipts(&mut self, node: Node, receipts: &[SealedReceipt]) {
        let Some(author) = self.replicas[node].engine.as_ref().map(|engine| engine.author) else {
            return;
        };
        for receipt in receipts.iter().filter_map(|one| one.open().ok()) {
            if receipt.issuer != author {
                continue;
            }
            for ((_, by), head) in &receipt.held.heads {
                if !crate::oracle::is_durable(self.replicas[node].disk(), *by, *head) {
                    self.broken.push(format!(
                        "{} states in a receipt what its disk has not: {} {by} {head:?}",
                        self.replicas[node].name, receipt.slice
                    ));
                }
            }
        }
    }

    /// An ack is never sent for what is not on disk: asked of the file, with SQL of our own.
    fn judge_ack(&mut self, node: Node, feeds: &[(FeedId, Head)]) {
        for (feed, head) in feeds {
            if !crate::oracle::is_durable(self.replicas[node].disk(), feed.author, *head) {
                self.broken.push(format!(
                    "{} acked {} segments of {feed} but its disk has not the last",
                    self.replicas[node].name, head.count
                ));
            }
        }
    }
}

impl Link {
    pub(super) fn new(child: Node, parent: Node) -> Self {
        let (to_parent, to_child) = (Pipe::default(), Pipe::default());
        let (deaf, held_rounds, rounds_per_message) = ((false, false), 0, 1);
        Self {
            child,
            parent,
            up: true,
            deaf,
            held_rounds,
            rounds_per_message,
            line: None,
            sessions: None,
            to_parent,
            to_child,
        }
    }

    fn session(&mut self, at_child: bool) -> Option<&mut Session> {
        let (child, parent) = self.sessions.as_mut()?;
        Some(if at_child { child } else { parent })
    }

    pub(super) fn is_in_sync(&self) -> bool {
        self.sessions.as_ref().is_none_or(|(one, two)| one.in_sync() && two.in_sync())
    }

    pub(super) fn drop_sessions(&mut self) {
        self.sessions = None;
        self.line.as_mut().into_iter().for_each(|line| line.cut());
        self.to_child.queue.clear();
        self.to_parent.queue.clear();
    }
}

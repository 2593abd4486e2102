//! One live link: moves values between a session, its stream and the engine.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use taizhang_core::directives::ChainReader as _;
use taizhang_core::id::{PlaceId, ReplicaId};
use taizhang_core::limits;
use taizhang_core::sync::message::Message;
use taizhang_core::sync::session::{CloseReason, Input, Output, Report, Session};
use taizhang_proto::sync::Frame;
use tokio::sync::{broadcast, mpsc};
use tonic::{Status, Streaming};

use super::{Replica, clock};
use crate::engine::Event;
use crate::engine::command::CommandError;
use crate::transport::convert::{from_frame, to_frame};

/// Who is at the other end.
#[derive(Clone, Copy, Debug)]
pub struct Peer {
    /// Place, by its certificate.
    pub place: PlaceId,
    /// Replica, by its certificate; unknown of a parent until it greets.
    pub replica: ReplicaId,
    /// Whether it is the parent.
    pub is_parent: bool,
    /// Its seal key, by its certificate; of a parent TLS has checked it.
    pub key: Option<taizhang_core::id::SealKey>,
}

/// Runs a session until it ends, and says why it ended.
pub async fn run_session<S, F>(
    replica: &Replica,
    peer: Peer,
    mut inbound: Streaming<Frame>,
    send: S,
) -> CloseReason
where
    S: Fn(Frame) -> F,
    F: Future<Output = bool>,
{
    let mut events = replica.events();
    let place = peer.place;
    let opened = replica.run(move |engine, _| Ok(engine.session_config(place)?)).await;
    let config = match opened {
        Ok(config) => config,
        Err(error) => return CloseReason::Protocol(error.to_string()),
    };
    let (answers, mut answered) = mpsc::unbounded_channel::<Input>();
    let session = Session::open(config, clock::now());
    let (closed, scope_due) = (None, Arc::default());
    let mut link = Link { replica: replica.clone(), peer, session, answers, closed, scope_due };
    link.replica.set_link(peer.replica, |state| {
        state.place = peer.place;
        state.is_parent = peer.is_parent;
        state.error.clear();
    });
    let closing = replica.closed();
    tokio::pin!(closing);
    loop {
        link.drain(&send).await;
        if let Some(reason) = link.closed.take() {
            link.lost(&reason);
            return reason;
        }
        let deadline = link.session.deadline().map_or(60_000, |at| at.since(clock::now()));
        let sleep = tokio::time::sleep(Duration::from_millis(deadline.unsigned_abs() + 5));
        let input = tokio::select! {
            frame = inbound.message() => Some(from_stream(frame)),
            answer = answered.recv() => answer,
            event = events.recv() => link.event_input(event),
            () = sleep => Some(Input::DeadlineReached),
            () = &mut closing => Some(Input::LinkLost),
        };
        if let Some(input) = input {
            link.session.handle(clock::now(), input);
        }
    }
}

fn from_stream(frame: Result<Option<Frame>, Status>) -> Input {
    match frame {
        Ok(Some(frame)) => match from_frame(frame) {
            Ok(message) => Input::Received(message),
            Err(error) => Input::Received(Message::Bye(format!("unreadable: {error}"))),
        },
        Ok(None) => Input::LinkLost,
        Err(status) => match status.code() {
            tonic::Code::PermissionDenied | tonic::Code::Unauthenticated => {
                Input::Received(Message::Bye(status.message().to_owned()))
            }
            _ => Input::LinkLost,
        },
    }
}

struct Link {
    replica: Replica,
    peer: Peer,
    session: Session,
    answers: mpsc::UnboundedSender<Input>,
    closed: Option<CloseReason>,
    /// Whether the scope will be derived again soon.
    scope_due: Arc<AtomicBool>,
}

impl Link {
    fn event_input(&self, event: Result<Event, broadcast::error::RecvError>) -> Option<Input> {
        match event {
            Ok(Event::Advanced(heads)) => Some(Input::Advanced(heads)),
            Ok(Event::BlobHeld(slice, blob)) => Some(Input::BlobHeld(slice, blob)),
            Ok(Event::BlobsMissing(missing)) => Some(Input::BlobsMissing(missing)),
            Ok(Event::DirectivesChanged) if self.is_revoked() => Some(Input::Received(
                Message::Bye("its key was revoked, or it has another parent".into()),
            )),
            Ok(Event::DirectivesChanged) | Err(broadcast::error::RecvError::Lagged(_)) => {
                self.derive_scope();
                None
            }
            Ok(Event::Forked(_) | Event::Restart) => Some(Input::LinkLost),
            Ok(Event::Receipts(receipts)) => {
                let place = self.peer.place;
                self.ask(move |engine| {
                    Ok(Input::SendReceipts(engine.filter_receipts(place, &receipts)))
                });
                None
            }
            Err(broadcast::error::RecvError::Closed) => Some(Input::LinkLost),
        }
    }

    /// Derives the scope again, once for all directives that come close together: with thousands of
    /// slices each time costs milliseconds.
    fn derive_scope(&self) {
        if self.scope_due.swap(true, Ordering::AcqRel) {
            return;
        }
        let (place, due) = (self.peer.place, Arc::clone(&self.scope_due));
        let (replica, answers) = (self.replica.clone(), self.answers.clone());
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(limits::SCOPE_DELAY_MS)).await;
            let question = move |engine: &mut crate::engine::Engine, _| {
                due.store(false, Ordering::Release);
                let tree = Arc::new(engine.directives.tree.clone());
                Ok(Input::ScopeChanged(tree, engine.shared_frontiers(place)))
            };
            let input = replica.run(question).await.unwrap_or(Input::LinkLost);
            // The link may have ended.
            drop(answers.send(input));
        });
    }

    /// Whether the peer's key was revoked, or is no longer of a neighbour.
    fn is_revoked(&self) -> bool {
        let directives = self.replica.directives();
        let revoked = self.peer.key.is_some_and(|key| directives.revoked.contains(key));
        // A child that was handed over goes on to its new parent.
        let near = match self.peer.is_parent {
            true => self.replica.dial_parent() == Some(self.peer.place),
            false => self.replica.is_child_or_twin(self.peer.place),
        };
        revoked || !near
    }

    /// Asks the engine; the answer comes back as an input after its commit.
    fn ask(
        &self,
        question: impl FnOnce(&mut crate::engine::Engine) -> Result<Input, CommandError>
        + Send
        + 'static,
    ) {
        let (replica, answers) = (self.replica.clone(), self.answers.clone());
        tokio::spawn(async move {
            let input = replica.run(move |engine, _| question(engine)).await;
            let input = input.unwrap_or_else(|error| {
                tracing::error!(%error, "the engine could not answer a link");
                Input::LinkLost
            });
            // The link may have ended meanwhile.
            drop(answers.send(input));
        });
    }

    async fn drain<S, F>(&mut self, send: &S)
    where
        S: Fn(Frame) -> F,
        F: Future<Output = bool>,
    {
        while let Some(output) = self.session.poll_output() {
            match output {
                Output::Send(message) => {
                    if !send(to_frame(message)).await {
                        self.session.handle(clock::now(), Input::LinkLost);
                    }
                    crate::fail_point!(FrameSent);
                }
                Output::Commit(id, batch) => self.ask(move |engine| {
                    Ok(Input::Committed(id, engine.ingest(&batch, clock::now())?))
                }),
                Output::ReadChain(chain) => {
                    let read = self.replica.identity().root.read(&chain);
                    let input = Input::ChainRead(read.map(|certified| certified.key));
                    self.session.handle(clock::now(), input);
                }
                Output::Read(wanted) => self.ask(move |engine| {
                    Ok(Input::SegmentsRead(engine.store.read_for_peer(&wanted)?))
                }),
                Output::ListBlobs => self.list_blobs(),
                Output::ReadBlob { slice, hash, from } => self.ask(move |engine| {
                    Ok(Input::BlobRead(hash, from, engine.store.read_blob(slice, hash, from)?))
                }),
                Output::TakeBlob { blob, from, bytes } => self.ask(move |engine| {
                    Ok(Input::BlobTaken(blob, engine.take_blob(blob, from, &bytes)?))
                }),
                Output::TakeReceipts(receipts) => self.ask(move |engine| {
                    engine.take_receipts(&receipts, clock::now())?;
                    Ok(Input::ReceiptsTaken)
                }),
                Output::Report(report) => self.report(report),
                Output::Close(reason) => self.closed = Some(reason),
            }
        }
    }

    fn report(&mut self, report: Report) {
        let peer = self.peer;
        match report {
            Report::Greeted { send_receipts, known } => {
                self.replica.set_link(peer.replica, |state| state.connected = true);
                self.contact(false);
                self.list_blobs();
                if send_receipts {
                    self.ask(move |engine| {
                        Ok(Input::SendReceipts(engine.receipts_for(peer.place, &known)?))
                    });
                }
            }
            Report::Progress { inbound, outbound } => {
                self.replica.set_link(peer.replica, |state| {
                    (state.inbound, state.outbound) = (inbound, outbound);
                });
                if (inbound, outbound) == (0, 0) {
                    self.contact(true);
                }
            }
            Report::ClockSkew(skew) => {
                self.replica.set_link(peer.replica, |state| state.skew_ms = skew);
            }
            Report::Amnesia(feed) => {
                // Its segments will prove it, or it was only said.
                tracing::warn!(%feed, peer = %peer.place.short(), "a peer holds more of our feed");
            }
            Report::Refused { feed, reason } => {
                let feed = feed.map(|feed| feed.to_string()).unwrap_or_default();
                let text = format!("from place {}: {reason} {feed}", peer.place);
                self.replica.audit("segment refused", text);
            }
            Report::RefusedByPeer(feed, refusal) => {
                self.replica.audit("refused by peer", format!("{feed}: {refusal:?}"));
            }
            Report::NotYet(feed, reason) => tracing::info!(%feed, reason, "not yet"),
        }
    }

    /// Tells the session which blobs are missing here.
    fn list_blobs(&self) {
        let place = self.peer.place;
        self.ask(move |engine| Ok(Input::BlobsMissing(engine.missing_blobs(place)?)));
    }

    fn contact(&self, in_sync: bool) {
        let peer = self.peer;
        self.ask(move |engine| {
            let now = clock::now();
            engine.store.put_contact(peer.replica, peer.place, peer.is_parent, now, in_sync, 0)?;
            Ok(Input::Advanced(Vec::new()))
        });
    }

    fn lost(&self, reason: &CloseReason) {
        self.replica.set_link(self.peer.replica, |state| {
            state.connected = false;
            state.error = reason.to_string();
        });
    }
}

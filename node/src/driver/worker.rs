//! The engine thread: groups of jobs first, then flush, projection and receipts.

use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError};
use std::time::{Duration, Instant};

use taizhang_core::limits;
use taizhang_core::time::UtcMillis;
use tokio::sync::oneshot;

use super::{Replica, clock};
use crate::engine::command::CommandError;
use crate::engine::{Engine, Event};
use crate::store::StoreError;

/// Jobs that share one commit.
const GROUP_MAX: usize = 64;

/// What a job's reply waits for.
pub type Outcome = Result<(), StoreError>;

type Finish = Box<dyn FnOnce(Outcome) + Send>;
type Work = Box<dyn FnOnce(Result<&mut Engine, StoreError>, UtcMillis) -> (bool, Finish) + Send>;

/// One unit of work for the engine.
pub struct Job {
    work: Work,
    /// Runs outside any transaction: it makes its own.
    alone: bool,
}

impl Job {
    /// A job and the receiver of its answer, which comes after the commit.
    pub fn new<T: Send + 'static>(
        job: impl FnOnce(&mut Engine, UtcMillis) -> Result<T, CommandError> + Send + 'static,
    ) -> (Self, oneshot::Receiver<Result<T, CommandError>>) {
        let (sender, receiver) = oneshot::channel();
        let work: Work = Box::new(move |engine, now| {
            let result = match engine {
                Ok(engine) => job(engine, now),
                Err(error) => Err(CommandError::Store(error)),
            };
            let good = result.is_ok();
            let finish: Finish = Box::new(move |outcome| {
                let result = match outcome {
                    Ok(()) => result,
                    Err(error) => Err(CommandError::Store(error)),
                };
                // The asker may have left; its work stands all the same.
                drop(sender.send(result));
            });
            (good, finish)
        });
        (Self { work, alone: false }, receiver)
    }

    /// The same job, outside any transaction.
    pub fn alone(mut self) -> Self {
        self.alone = true;
        self
    }
}

/// Runs until every handle is gone or the replica closes.
pub(super) fn run(mut engine: Engine, jobs: Receiver<Job>, replica: &Replica) {
    let mut busy = true;
    let mut receipts_since: Option<Instant> = None;
    let mut last_work = Instant::now();
    loop {
        let mut group = Vec::new();
        let mut gone = false;
        if !busy {
            let wait = if receipts_since.is_some() { 20 } else { 250 };
            match jobs.recv_timeout(Duration::from_millis(wait)) {
                Ok(job) => group.push(job),
                Err(error) => gone = error == RecvTimeoutError::Disconnected,
            }
        }
        while group.len() < GROUP_MAX {
            match jobs.try_recv() {
                Ok(job) => group.push(job),
                Err(error) => {
                    gone |= error == TryRecvError::Disconnected;
                    break;
                }
            }
        }
        if group.is_empty() && (replica.is_closing() || gone) {
            finish(&mut engine);
            return;
        }
        let worked = !group.is_empty();
        if worked {
            last_work = Instant::now();
        }
        commit_group(&mut engine, group, replica);
        busy = idle_work(&mut engine).unwrap_or_else(|error| {
            tracing::error!(%error, "background work failed");
            std::thread::sleep(Duration::from_millis(500));
            false
        });
        let moved = busy;
        busy |= worked;
        let due = receipts_since.is_some_and(|since| {
            let over = |start: Instant, ms: i64| {
                start.elapsed() >= Duration::from_millis(ms.unsigned_abs())
            };
            let quiet =
                over(since, limits::RECEIPT_DELAY_MS) && over(last_work, limits::RECEIPT_DELAY_MS);
            quiet || over(since, limits::RECEIPT_DELAY_MAX_MS)
        });
        if due {
            receipts_since = None;
            if let Err(error) = issue_receipts(&mut engine) {
                tracing::error!(%error, "receipts could not be signed");
            }
        } else if engine.receipts_wait() {
            receipts_since.get_or_insert_with(Instant::now);
        }
        publish(&mut engine, replica, moved);
    }
}

/// One transaction for all jobs; a job that refuses is undone alone. Readers know its directives before
/// anybody is answered: a page that follows an answer finds what the answer speaks of.
fn commit_group(engine: &mut Engine, group: Vec<Job>, replica: &Replica) {
    let (alone, group): (Vec<Job>, Vec<Job>) = group.into_iter().partition(|job| job.alone);
    for job in alone {
        let (_, finish) = (job.work)(Ok(engine), clock::now());
        replica.set_directives(&engine.directives);
        finish(Ok(()));
    }
    if group.is_empty() {
        return;
    }
    if let Err(error) = engine.begin() {
        tracing::error!(%error, "no transaction");
        engine.abort();
        for job in group {
            let (_, finish) = (job.work)(Err(error.again()), clock::now());
            finish(Ok(()));
        }
        return;
    }
    crate::fail_point!(GroupBegun);
    let mut broken = None;
    let mut finishes = Vec::with_capacity(group.len());
    for job in group {
        let prepared = engine.save_point();
        let (good, finish) = (job.work)(Ok(&mut *engine), clock::now());
        finishes.push(finish);
        if let Err(error) = prepared.and_then(|()| engine.end_save_point(good)) {
            broken = Some(error);
            break;
        }
    }
    crate::fail_point!(GroupWorked);
    if broken.is_none() {
        broken = engine.show_own_directives(clock::now()).err();
    }
    let outcome = match broken {
        None => engine.commit(),
        Some(error) => {
            engine.abort();
            Err(error)
        }
    };
    crate::fail_point!(GroupDurable);
    replica.set_directives(&engine.directives);
    for finish in finishes {
        finish(outcome.as_ref().map_err(StoreError::again).copied());
    }
}

fn idle_work(engine: &mut Engine) -> Result<bool, StoreError> {
    let now = clock::now();
    if engine.needs_healing() {
        engine.heal(now)?;
        return Ok(true);
    }
    engine.transaction(|engine| {
        engine.store.sum_up_refusals(now)?;
        engine.flush(now)?;
        let busy = engine.project(now, 64)?;
        if busy {
            crate::fail_point!(SegmentsApplied);
        }
        Ok(busy)
    })
}

fn issue_receipts(engine: &mut Engine) -> Result<(), StoreError> {
    engine.transaction(|engine| {
        let signed = engine.issue_receipts(clock::now());
        crate::fail_point!(ReceiptSigned);
        signed
    })?;
    crate::fail_point!(ReceiptDurable);
    Ok(())
}

fn publish(engine: &mut Engine, replica: &Replica, moved: bool) {
    replica.set_directives(&engine.directives);
    let events = engine.take_events();
    if moved || !events.is_empty() {
        replica.note_change();
    }
    for event in events {
        if matches!(event, Event::Advanced(_)) {
            crate::fail_point!(TailDurable);
        }
        // Without a link nobody listens.
        drop(replica.inner.events.send(event));
    }
}

fn finish(engine: &mut Engine) {
    let now = clock::now();
    let flushed = engine.begin().and_then(|()| engine.flush(now)).and_then(|()| engine.commit());
    if let Err(error) = flushed {
        tracing::error!(%error, "the tail stays unsealed; it is durable");
    }
}

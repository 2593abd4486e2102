//! A slow line: a rate, a delay, loss that costs time, and what went over it.

use std::collections::{BTreeSet, VecDeque};

use prost::Message as _;
use taizhang_core::id::Hash;
use taizhang_core::sync::message::Message;
use taizhang_node::transport::convert::to_frame;

use crate::chance::Dice;

/// Bytes of a packet's payload.
const PACKET_BYTES: usize = 1400;
/// Rounds until a lost packet is sent again: a second.
const REPEAT_ROUNDS: u64 = 100;

/// The two directions of a line; a round is 10 ms.
pub struct Line {
    /// Bytes that fit into a round: 80 are 64 kbit/s.
    pub bytes_per_round: usize,
    /// Rounds from one end to the other.
    pub delay_rounds: u64,
    /// Percent of packets lost.
    pub loss_percent: u64,
    /// Bytes that the programs sent at either end; TCP's own repetitions cost time only.
    pub sent: u64,
    /// Segments that went out although the other end had committed them when it greeted.
    pub repeated: u64,
    /// What was committed at either end (child, parent) when the session began.
    pub committed: [BTreeSet<Hash>; 2],
    dice: Dice,
    credit: [usize; 2],
    air: [VecDeque<(u64, Message)>; 2],
}

impl Line {
    /// A line of 64 kbit/s, one second there and back.
    pub fn mobile(seed: u64, loss_percent: u64) -> Self {
        Self {
            bytes_per_round: 80,
            delay_rounds: 50,
            loss_percent,
            sent: 0,
            repeated: 0,
            committed: Default::default(),
            dice: Dice::new(seed, "line"),
            credit: [0; 2],
            air: Default::default(),
        }
    }

    /// Everything under way is lost.
    pub(super) fn cut(&mut self) {
        (self.credit, self.air) = Default::default();
    }

    /// One round towards the child (0) or the parent (1): what leaves the queue, and what arrives.
    pub(super) fn round(
        &mut self,
        to: usize,
        round: u64,
        queue: &mut VecDeque<Message>,
    ) -> Option<Message> {
        self.credit[to] += self.bytes_per_round;
        if let Some(message) = queue.front() {
            let size = to_frame(message.clone()).encoded_len() + 5;
            if self.credit[to] >= size {
                self.credit[to] -= size;
                let message = queue.pop_front()?;
                self.send(to, round, size, message);
            }
        } else {
            // An idle line saves nothing up.
            self.credit[to] = self.credit[to].min(self.bytes_per_round);
        }
        let ready = self.air[to].front().is_some_and(|(due, _)| *due <= round);
        ready.then(|| self.air[to].pop_front().map(|(_, message)| message)).flatten()
    }

    fn send(&mut self, to: usize, round: u64, size: usize, message: Message) {
        if let Message::Segment(sealed) = &message
            && self.committed[to].contains(&sealed.hash())
        {
            self.repeated += 1;
        }
        self.sent += size as u64;
        let mut due = round + self.delay_rounds;
        for _ in 0..size.div_ceil(PACKET_BYTES) {
            while self.dice.percent(self.loss_percent) {
                due += REPEAT_ROUNDS;
            }
        }
        // TCP delivers in order.
        let last = self.air[to].back().map_or(0, |(last, _)| *last);
        self.air[to].push_back((due.max(last), message));
    }
}

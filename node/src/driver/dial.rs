//! Keeps the link to the parent: each address in turn, with back-off and jitter.

use std::time::Duration;

use taizhang_core::id::ReplicaId;
use taizhang_core::sync::backoff::pause_ms;

use super::Replica;
use crate::transport::client::sync_once;

/// Who dials, and where.
pub struct Dialling {
    /// The replica.
    pub replica: Replica,
    /// Addresses of the parent, tried in turn.
    pub addresses: Vec<String>,
}

/// Dials until the replica closes. The city has no parent and returns at once.
pub async fn keep_dialling(dialling: Dialling) {
    let Dialling { replica, addresses } = dialling;
    let mut failures = 0;
    loop {
        // A hand-over gives the place another parent while it is off-line.
        let Some(parent) = replica.dial_parent() else { return };
        for address in &addresses {
            let ended = tokio::select! {
                ended = sync_once(&replica, parent, address) => ended,
                () = replica.closed() => return,
            };
            let text = match &ended {
                Ok(reason) => {
                    failures = 0;
                    reason.clone()
                }
                Err(error) => error.to_string(),
            };
            tracing::info!(address, reason = text, "link to the parent ended");
            replica.set_link(ReplicaId::default(), |state| {
                state.place = parent;
                state.is_parent = true;
                state.connected = false;
                state.error = text;
            });
        }
        failures += 1;
        let mut chance = [0; 8];
        if getrandom::fill(&mut chance).is_err() {
            chance = [0; 8];
        }
        let pause = pause_ms(failures, u64::from_le_bytes(chance));
        tokio::select! {
            () = tokio::time::sleep(Duration::from_millis(pause.unsigned_abs())) => {}
            () = replica.wake().notified() => {}
            () = replica.closed() => return,
        }
    }
}

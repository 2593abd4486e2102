//! Keeps the link to the parent: each address in turn, with back-off and jitter.

use std::time::Duration;

use taizhang_core::id::ReplicaId;
use taizhang_core::sync::backoff::pause_ms;

use super::Replica;
use crate::identity::found::NewKeys;
use crate::identity::renew;
use crate::transport::client::{self, sync_once};

/// Who dials, and where.
pub struct Dialling {
    /// The replica.
    pub replica: Replica,
    /// Addresses of the parent, tried in turn.
    pub addresses: Vec<String>,
}

/// Asks for another term when 60 % of the present one are over; what fails is tried again at the next dial.
async fn renew_if_due(replica: &Replica, addresses: &[String]) {
    let (identity, now_s) = (replica.identity(), super::clock::now().0.div_euclid(1000));
    if !renew::is_due(&identity, now_s) {
        return;
    }
    let renewed = async {
        let keys = NewKeys::generate(identity.seal.to_bytes()).map_err(|e| e.to_string())?;
        let wanted = keys.request().map_err(|e| e.to_string())?;
        let asked = client::renew(&identity, addresses, &wanted).await;
        let admission = asked.map_err(|e| e.to_string())?;
        let (root, parents) = (identity.root.clone(), identity.parents.clone());
        let fresh = keys.accept(root, admission.certificates, parents);
        let fresh = fresh.map_err(|e| e.to_string())?;
        fresh.save(replica.folder()).map_err(|e| e.to_string())?;
        Ok::<_, String>(fresh)
    };
    match renewed.await {
        Ok(fresh) => {
            let until = fresh.checked.valid_s.1;
            replica.set_identity(fresh);
            replica.audit("renewed", format!("own certificate until {until} s"));
        }
        Err(error) => tracing::warn!(error, "the certificate could not be renewed"),
    }
}

/// Dials until the replica closes. The city has no parent and returns at once.
pub async fn keep_dialling(dialling: Dialling) {
    let Dialling { replica, addresses } = dialling;
    let mut failures = 0;
    loop {
        // A hand-over gives the place another parent while it is off-line.
        let Some(parent) = replica.dial_parent() else { return };
        renew_if_due(&replica, &addresses).await;
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

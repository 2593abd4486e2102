//! Dialling: the parent for sync, and a parent for a first certificate.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use taizhang_core::id::{Hash, PlaceId};
use taizhang_proto::enrol::EnrolRequest;
use taizhang_proto::enrol::enrolment_client::EnrolmentClient;
use taizhang_proto::sync::Frame;
use taizhang_proto::sync::sync_client::SyncClient;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use tonic::transport::{Channel, Endpoint};

use super::admission::from_reply;
use super::tls::{Revoked, client_config, enrol_config};
use crate::driver::Replica;
use crate::driver::link::{Peer, run_session};
use crate::engine::admit::Admission;
use crate::identity::chain::RootOfTrust;
use crate::identity::code::EnrolmentCode;
use crate::identity::found::KeyRequest;
use crate::identity::keys::Identity;

/// Seconds to reach an address.
const CONNECT_S: u64 = 10;
/// Bytes of an enrolment reply: the path's directives of a large city with room.
const ENROL_REPLY_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Why a parent could not be reached or did not answer.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// No address is configured.
    #[error("no address of the parent is known; give one with --parent")]
    NoAddress,
    /// None of the addresses answers.
    #[error("{address}: {reason}")]
    Unreachable {
        /// Address tried last.
        address: String,
        /// Why.
        reason: String,
    },
    /// It answered with a refusal.
    #[error("the parent refused: {0}")]
    Refused(String),
}

async fn channel(address: &str, config: Arc<ClientConfig>) -> Result<Channel, DialError> {
    let unreachable =
        |reason: String| DialError::Unreachable { address: address.to_owned(), reason };
    let tls = tokio_rustls::TlsConnector::from(config);
    let target = address.to_owned();
    let connector = tower::service_fn(move |_: tonic::transport::Uri| {
        let (tls, target) = (tls.clone(), target.clone());
        async move {
            let tcp = TcpStream::connect(&target).await?;
            tcp.set_nodelay(true)?;
            let name = ServerName::try_from("parent.taizhang.internal")
                .map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
            let stream = tls.connect(name, tcp).await?;
            Ok::<_, io::Error>(hyper_util::rt::TokioIo::new(stream))
        }
    });
    Endpoint::from_static("http://parent.taizhang.internal")
        .connect_timeout(Duration::from_secs(CONNECT_S))
        .http2_keep_alive_interval(Duration::from_secs(20))
        .keep_alive_timeout(Duration::from_secs(20))
        .keep_alive_while_idle(true)
        .connect_with_connector(connector)
        .await
        .map_err(|error| unreachable(root_cause(&error)))
}

fn root_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}

/// Both directions of a stream to the parent.
pub struct Wire {
    /// What goes to the parent.
    pub sender: mpsc::Sender<Frame>,
    /// What comes from it.
    pub receiver: Streaming<Frame>,
}

/// Opens a stream to the parent at `address`.
///
/// # Errors
///
/// [`DialError`].
pub async fn open_wire(
    identity: &Identity,
    parent: PlaceId,
    address: &str,
    revoked: Revoked,
) -> Result<Wire, DialError> {
    let config = client_config(identity, parent, revoked)
        .map_err(|error| DialError::Refused(error.to_string()))?;
    let channel = channel(address, config).await?;
    let limit = taizhang_core::limits::MESSAGE_BYTES_MAX;
    let mut client = SyncClient::new(channel).max_decoding_message_size(limit);
    let (sender, receiver) = mpsc::channel(64);
    let reply = client
        .sync(ReceiverStream::new(receiver))
        .await
        .map_err(|status| DialError::Refused(status.message().to_owned()))?;
    Ok(Wire { sender, receiver: reply.into_inner() })
}

/// One sync with the parent at `address`, until the link is lost.
///
/// # Errors
///
/// [`DialError`] if it did not come to a session.
pub async fn sync_once(
    replica: &Replica,
    parent: PlaceId,
    address: &str,
) -> Result<String, DialError> {
    let (identity, revoked) = (replica.identity(), replica.revocation_check());
    let Wire { sender, receiver } = open_wire(&identity, parent, address, revoked).await?;
    let peer = Peer { place: parent, replica: Default::default(), is_parent: true, key: None };
    let reason = run_session(replica, peer, receiver, move |frame| {
        let sender = sender.clone();
        async move { sender.send(frame).await.is_ok() }
    })
    .await;
    Ok(reason.to_string())
}

/// Asks the parent that a code names for certificates and directives.
///
/// # Errors
///
/// [`DialError`].
pub async fn enrol(
    code: &EnrolmentCode,
    wanted: &KeyRequest,
) -> Result<(RootOfTrust, Admission), DialError> {
    let request = EnrolRequest {
        secret: code.secret_text(),
        request: wanted.request.clone(),
        seal_key: wanted.seal_key.0.to_vec(),
        seal: wanted.seal.to_vec(),
        ca_request: wanted.ca_request.clone(),
        chain: Vec::new(),
    };
    ask(code.root, &code.addresses, request).await
}

/// Asks the parent for another term, by the present certificate.
///
/// # Errors
///
/// [`DialError`]; an expired certificate needs a code from the parent.
pub async fn renew(
    identity: &Identity,
    addresses: &[String],
    wanted: &KeyRequest,
) -> Result<Admission, DialError> {
    let request = EnrolRequest {
        secret: String::new(),
        request: wanted.request.clone(),
        seal_key: wanted.seal_key.0.to_vec(),
        seal: wanted.seal.to_vec(),
        ca_request: wanted.ca_request.clone(),
        chain: identity.chain.clone(),
    };
    Ok(ask(identity.root.fingerprint(), addresses, request).await?.1)
}

async fn ask(
    pinned: Hash,
    addresses: &[String],
    request: EnrolRequest,
) -> Result<(RootOfTrust, Admission), DialError> {
    let config = enrol_config(pinned).map_err(|error| DialError::Refused(error.to_string()))?;
    let mut last = DialError::NoAddress;
    for address in addresses {
        let channel = match channel(address, Arc::clone(&config)).await {
            Ok(channel) => channel,
            Err(error) => {
                last = error;
                continue;
            }
        };
        let mut client =
            EnrolmentClient::new(channel).max_decoding_message_size(ENROL_REPLY_BYTES_MAX);
        let reply = client
            .enrol(request.clone())
            .await
            .map_err(|status| DialError::Refused(status.message().to_owned()))?
            .into_inner();
        let malformed = || DialError::Refused("malformed reply".into());
        let (root, admission) = from_reply(reply).ok_or_else(malformed)?;
        if root.fingerprint() != pinned {
            return Err(DialError::Refused("the reply's root is not the code's".into()));
        }
        return Ok((root, admission));
    }
    Err(last)
}

//! Listening for children: sync, health and enrolment on one port.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use rustls::ServerConfig;
use taizhang_core::id::{ReplicaId, SealKey};
use taizhang_core::limits::STREAMS_PER_REPLICA_MAX;
use taizhang_proto::enrol::enrolment_server::{Enrolment, EnrolmentServer};
use taizhang_proto::enrol::{EnrolReply, EnrolRequest};
use taizhang_proto::sync::Frame;
use taizhang_proto::sync::sync_server::{Sync as SyncService, SyncServer};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_rustls::server::TlsStream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Server;
use tonic::transport::server::Connected;
use tonic::{Request, Response, Status, Streaming};

use super::admission::to_reply;
use super::tls::{ALPN_ENROL, Refusals, server_configs};
use crate::driver::Replica;
use crate::driver::link::{Peer, run_session};
use crate::identity::chain::CheckedChain;
use crate::identity::code::WRONG_SECRETS_MAX;
use crate::identity::found::KeyRequest;
use crate::identity::keys::Identity;

/// Seconds for a handshake.
const HANDSHAKE_S: u64 = 10;
/// Handshakes under way at once; more wait in the kernel.
const HANDSHAKES_MAX: usize = 256;

/// Who is at the other end, as TLS has proved it.
#[derive(Clone, Debug)]
pub struct PeerInfo {
    /// The checked chain; none on an enrolment connection.
    pub checked: Option<CheckedChain>,
}

struct Connection {
    tls: TlsStream<TcpStream>,
    info: PeerInfo,
}

impl Connected for Connection {
    type ConnectInfo = PeerInfo;
    fn connect_info(&self) -> PeerInfo {
        self.info.clone()
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().tls).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().tls).poll_write(cx, bytes)
    }
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().tls).poll_flush(cx)
    }
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().tls).poll_shutdown(cx)
    }
}

async fn handshake(
    tcp: TcpStream,
    sync: Arc<ServerConfig>,
    enrol: Arc<ServerConfig>,
    replica: &Replica,
) -> io::Result<Connection> {
    let start =
        tokio_rustls::LazyConfigAcceptor::new(rustls::server::Acceptor::default(), tcp).await?;
    let wants_enrolment = start
        .client_hello()
        .alpn()
        .is_some_and(|mut offered| offered.any(|protocol| protocol == ALPN_ENROL));
    let tls = start.into_stream(if wants_enrolment { enrol } else { sync }).await?;
    let (_, connection) = tls.get_ref();
    if connection.alpn_protocol().is_none() {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let checked = match connection.peer_certificates() {
        Some(chain) => {
            let chain: Vec<Vec<u8>> = chain.iter().map(|der| der.to_vec()).collect();
            let checked = replica.identity().root.check(&chain);
            Some(checked.map_err(|error| io::Error::other(error.to_string()))?)
        }
        None => None,
    };
    Ok(Connection { tls, info: PeerInfo { checked } })
}

/// Serves children until `stop` completes.
///
/// # Errors
///
/// If the configuration or the server fails.
pub async fn serve(
    replica: Replica,
    listener: TcpListener,
    stop: impl Future<Output = ()>,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let auditor = replica.clone();
    let refused = Arc::new(move |text: String| auditor.audit_refusal("peer refused", text));
    let configs = Configs::new(&replica, refused)?;
    let (sender, incoming) = mpsc::channel::<Result<Connection, io::Error>>(64);
    let acceptor = replica.clone();
    tokio::spawn(accept_loop(listener, sender, configs, acceptor));
    let (reporter, health) = tonic_health::server::health_reporter();
    reporter.set_serving::<SyncServer<Service>>().await;
    let needs_certificate = |request: Request<()>| match request.extensions().get::<PeerInfo>() {
        Some(PeerInfo { checked: Some(_) }) => Ok(request),
        _ => Err(Status::unauthenticated("a client certificate is needed")),
    };
    let health = tonic::service::interceptor::InterceptedService::new(health, needs_certificate);
    let limit = taizhang_core::limits::MESSAGE_BYTES_MAX;
    let service = Service { replica: replica.clone(), streams: Arc::default() };
    let service = SyncServer::new(service).max_decoding_message_size(limit);
    let enrolment = EnrolmentServer::new(EnrolmentDesk {
        replica,
        wrong: Mutex::new((0, crate::driver::clock::now())),
    });
    Server::builder()
        .http2_keepalive_interval(Some(Duration::from_secs(20)))
        .http2_keepalive_timeout(Some(Duration::from_secs(20)))
        .add_service(health)
        .add_service(service)
        .add_service(enrolment)
        .serve_with_incoming_shutdown(ReceiverStream::new(incoming), stop)
        .await?;
    Ok(())
}

/// What both kinds of connections are answered with: by the certificate of the present term.
struct Configs {
    identity: Arc<Identity>,
    refused: Refusals,
    sync: Arc<ServerConfig>,
    enrol: Arc<ServerConfig>,
}

impl Configs {
    fn new(replica: &Replica, refused: Refusals) -> Result<Self, rustls::Error> {
        let identity = replica.identity();
        let (sync, enrol) =
            server_configs(&identity, Arc::clone(&refused), replica.revocation_check())?;
        Ok(Self { identity, refused, sync, enrol })
    }

    /// Takes up a renewed certificate.
    fn follow(&mut self, replica: &Replica) {
        if Arc::ptr_eq(&self.identity, &replica.identity()) {
            return;
        }
        match Self::new(replica, Arc::clone(&self.refused)) {
            Ok(fresh) => *self = fresh,
            Err(error) => tracing::error!(%error, "the renewed certificate cannot be used"),
        }
    }
}

async fn accept_loop(
    listener: TcpListener,
    sender: mpsc::Sender<Result<Connection, io::Error>>,
    mut configs: Configs,
    replica: Replica,
) {
    let room = Arc::new(tokio::sync::Semaphore::new(HANDSHAKES_MAX));
    loop {
        let accepted = tokio::select! {
            () = sender.closed() => return,
            accepted = listener.accept() => accepted,
        };
        let Ok((tcp, _)) = accepted else {
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let Ok(permit) = Arc::clone(&room).acquire_owned().await else { return };
        configs.follow(&replica);
        let (sync, enrol) = (Arc::clone(&configs.sync), Arc::clone(&configs.enrol));
        let (sender, replica) = (sender.clone(), replica.clone());
        tokio::spawn(async move {
            let _permit = permit;
            if tcp.set_nodelay(true).is_err() {
                return;
            }
            let work = handshake(tcp, sync, enrol, &replica);
            match tokio::time::timeout(Duration::from_secs(HANDSHAKE_S), work).await {
                Ok(Ok(connection)) => drop(sender.send(Ok(connection)).await),
                Ok(Err(error)) => tracing::debug!(%error, "handshake failed"),
                Err(_) => tracing::debug!("handshake timed out"),
            }
        });
    }
}

struct Service {
    replica: Replica,
    /// Streams of each child.
    streams: Arc<Mutex<BTreeMap<ReplicaId, usize>>>,
}

/// One stream of a child, as long as it lasts.
struct Stream {
    streams: Arc<Mutex<BTreeMap<ReplicaId, usize>>>,
    replica: ReplicaId,
}

impl Stream {
    /// Counts a stream in, if the child has not too many.
    fn open(streams: &Arc<Mutex<BTreeMap<ReplicaId, usize>>>, replica: ReplicaId) -> Option<Self> {
        let mut open = streams.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.entry(replica).or_default();
        if *count >= STREAMS_PER_REPLICA_MAX {
            return None;
        }
        *count += 1;
        Some(Self { streams: Arc::clone(streams), replica })
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let mut open = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = open.get_mut(&self.replica) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.replica);
            }
        }
    }
}

/// The address a listener got.
pub fn local_address(listener: &TcpListener) -> Option<SocketAddr> {
    listener.local_addr().ok()
}

#[tonic::async_trait]
impl SyncService for Service {
    type SyncStream = ReceiverStream<Result<Frame, Status>>;

    async fn sync(
        &self,
        request: Request<Streaming<Frame>>,
    ) -> Result<Response<Self::SyncStream>, Status> {
        let checked = request
            .extensions()
            .get::<PeerInfo>()
            .and_then(|info| info.checked.clone())
            .ok_or_else(|| Status::unauthenticated("a client certificate is needed"))?;
        let name = checked.name;
        if !self.replica.is_child_or_twin(name.place()) {
            let text = format!("place {} is no child of this office", name.place());
            self.replica.audit_refusal("peer refused", text);
            return Err(Status::permission_denied("this office is not your parent"));
        }
        let Some(stream) = Stream::open(&self.streams, name.replica) else {
            return Err(Status::resource_exhausted("too many streams of this replica"));
        };
        let (sender, receiver) = mpsc::channel(64);
        let key = Some(checked.seal_key);
        let peer = Peer { place: name.place(), replica: name.replica, is_parent: false, key };
        let replica = self.replica.clone();
        tokio::spawn(async move {
            let _stream = stream;
            let inbound = request.into_inner();
            let reason = run_session(&replica, peer, inbound, move |frame| {
                let sender = sender.clone();
                async move { sender.send(Ok(frame)).await.is_ok() }
            })
            .await;
            tracing::info!(peer = %name.place().short(), %reason, "link closed");
        });
        Ok(Response::new(ReceiverStream::new(receiver)))
    }
}

struct EnrolmentDesk {
    replica: Replica,
    /// Wrong secrets within the present minute.
    wrong: Mutex<(u32, taizhang_core::time::UtcMillis)>,
}

#[tonic::async_trait]
impl Enrolment for EnrolmentDesk {
    async fn enrol(&self, request: Request<EnrolRequest>) -> Result<Response<EnrolReply>, Status> {
        let now = crate::driver::clock::now();
        if let Ok(mut wrong) = self.wrong.lock() {
            if now.since(wrong.1) > 60_000 {
                *wrong = (0, now);
            }
            if wrong.0 >= WRONG_SECRETS_MAX {
                return Err(Status::resource_exhausted("too many wrong codes; wait a minute"));
            }
        }
        let request = request.into_inner();
        let bad = |_| Status::invalid_argument("malformed enrolment request");
        let wanted = KeyRequest {
            request: request.request,
            seal_key: SealKey::from_slice(&request.seal_key).ok_or(()).map_err(bad)?,
            seal: request.seal.try_into().map_err(|_| ()).map_err(bad)?,
            ca_request: request.ca_request,
        };
        let (secret, chain) = (request.secret, request.chain);
        let admitted = if secret.is_empty() && !chain.is_empty() {
            self.replica.run(move |engine, now| engine.renew(&chain, &wanted, now)).await
        } else {
            self.replica.run(move |engine, now| engine.admit(&secret, &wanted, now)).await
        };
        let admission = admitted.map_err(|error| {
            self.replica.audit_refusal("enrolment refused", error.to_string());
            if let Ok(mut wrong) = self.wrong.lock() {
                wrong.0 += 1;
            }
            Status::permission_denied(error.to_string())
        })?;
        Ok(Response::new(to_reply(admission)))
    }
}

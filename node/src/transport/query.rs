//! gRPC queries of other systems, with reflection, on a port of their own: a public client has no
//! certificate of the network, so it never gets near the port of children. Off unless an operator gives
//! that port. What is said is decided in `ops/query.rs`; beyond this machine it goes over the certificate
//! of the pages.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::serve::Listener as _;
use rustls::ServerConfig;
use serde_json::Value as Json;
use taizhang_proto::query::query_server::{Query, QueryServer};
use taizhang_proto::query::value::Value as Kind;
use taizhang_proto::query::{
    Coverage, FILE_DESCRIPTOR_SET, Figure, FiguresReply, FiguresRequest, Place, PlacesReply,
    PlacesRequest, Record, RecordsReply, RecordsRequest, Value,
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::block_in_place;
use tokio_rustls::server::TlsStream;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::metadata::MetadataMap;
use tonic::transport::Server;
use tonic::transport::server::Connected;
use tonic::{Request, Response, Status};

use crate::driver::{Replica, clock};
use crate::ops::OpsError;
use crate::ops::query::{Asking, FigureRow, PlaceRow, QueryError, RecordRow, RecordsAsked};
use crate::token::{Token, WrongTokens, bearer};
use crate::web::serve::TlsListener;

/// Bytes of a request: a few short texts.
const REQUEST_BYTES_MAX: usize = 16 * 1024;
/// Time of an answer at most.
const ANSWER: Duration = Duration::from_secs(30);
/// Queries of one connection that are answered at once.
const QUERIES_MAX: usize = 4;
/// Queries of one connection that may wait.
const STREAMS_MAX: u32 = 16;
/// After so long a silence a client is asked whether it is there.
const SIGN_OF_LIFE: Duration = Duration::from_secs(30);
/// The application protocol of gRPC.
const ALPN: &[u8] = b"h2";

struct Service {
    replica: Replica,
    wrong: WrongTokens,
}

fn status(error: &QueryError) -> Status {
    let text = error.to_string();
    match error {
        QueryError::Cursor => Status::out_of_range(text),
        QueryError::Malformed(_) | QueryError::TooMany => Status::invalid_argument(text),
        QueryError::NotFound => Status::not_found(text),
        QueryError::Scope => Status::permission_denied(text),
        QueryError::Ops(error) => failed(error),
    }
}

fn failed(error: &OpsError) -> Status {
    tracing::error!(%error, "a query failed");
    Status::internal("暂时无法回答 / there is no answer now")
}

impl Service {
    /// The token of a request, by the same rules as over HTTP.
    async fn token(&self, metadata: &MetadataMap) -> Result<Token, Status> {
        let refused =
            || Status::unauthenticated("请求须带有效令牌 / a request needs a token that holds");
        let header = metadata.get("authorization").and_then(|value| value.to_str().ok());
        let secret = header.and_then(bearer).ok_or_else(refused)?;
        if let Some(token) = self.replica.use_token(secret).await.map_err(|error| failed(&error))? {
            return Ok(token);
        }
        if self.wrong.note(clock::now()) {
            let text = "错误令牌过多,请稍后再试 / too many wrong tokens; try again later";
            return Err(Status::resource_exhausted(text));
        }
        self.replica.audit_refusal("token refused", "a gRPC query".into());
        Err(refused())
    }
}

fn place(one: PlaceRow) -> Place {
    Place {
        id: one.id.to_string(),
        code: one.code,
        name: one.name,
        level: one.level.name().to_owned(),
        parent: one.parent.map(|parent| parent.to_string()).unwrap_or_default(),
    }
}

fn figure(one: FigureRow) -> Figure {
    let coverage = Coverage {
        places: one.coverage.places,
        reported: one.coverage.reported,
        oldest_ms: one.coverage.oldest.0,
        missing: one.coverage.missing.into_iter().map(|village| village.name).collect(),
        parked: one.coverage.parked,
    };
    Figure {
        place: one.place.to_string(),
        name: one.name,
        values: one.values.into_iter().collect(),
        coverage: Some(coverage),
        hidden: one.hidden,
    }
}

fn value(json: Json) -> Value {
    let kind = match json {
        Json::Bool(flag) => Kind::Flag(flag),
        Json::String(text) => Kind::Text(text),
        other => match other.as_i64() {
            Some(whole) => Kind::Whole(whole),
            None => Kind::Json(other.to_string()),
        },
    };
    Value { value: Some(kind) }
}

fn record(one: RecordRow) -> Record {
    Record {
        record: one.record.to_string(),
        place: one.place.to_string(),
        title: one.title,
        state: one.state,
        void: one.void,
        conflicts: u32::try_from(one.conflicts).unwrap_or(u32::MAX),
        changed_ms: one.changed_ms,
        fields: one.fields.into_iter().map(|(field, json)| (field, value(json))).collect(),
        masked: one.masked.into_iter().collect(),
        mistyped: one.mistyped,
    }
}

#[tonic::async_trait]
impl Query for Service {
    async fn places(
        &self,
        request: Request<PlacesRequest>,
    ) -> Result<Response<PlacesReply>, Status> {
        let token = self.token(request.metadata()).await?;
        let rows = Asking::new(&self.replica, &token).places();
        Ok(Response::new(PlacesReply { rows: rows.into_iter().map(place).collect() }))
    }

    async fn figures(
        &self,
        request: Request<FiguresRequest>,
    ) -> Result<Response<FiguresReply>, Status> {
        let token = self.token(request.metadata()).await?;
        let asked = request.into_inner();
        let asking = Asking::new(&self.replica, &token);
        let figures = block_in_place(|| asking.figures(&asked.place, &asked.from, &asked.to));
        let figures = figures.map_err(|error| status(&error))?;
        let rows = figures.rows.into_iter().map(figure).collect();
        Ok(Response::new(FiguresReply { as_of_ms: figures.as_of_ms, rows }))
    }

    async fn records(
        &self,
        request: Request<RecordsRequest>,
    ) -> Result<Response<RecordsReply>, Status> {
        let token = self.token(request.metadata()).await?;
        let RecordsRequest { ledger, place, state, since, limit } = request.into_inner();
        let limit = if limit == 0 { String::new() } else { limit.to_string() };
        let asked = RecordsAsked { place, state, since, limit };
        let asking = Asking::new(&self.replica, &token);
        let page = asking.records(&ledger, &asked).await.map_err(|error| status(&error))?;
        let rows = page.rows.into_iter().map(record).collect();
        Ok(Response::new(RecordsReply { rows, next: page.next, more: page.more }))
    }
}

/// A connection that has done its handshake.
struct Secure(TlsStream<TcpStream>);

impl Connected for Secure {
    type ConnectInfo = ();
    fn connect_info(&self) {}
}

impl AsyncRead for Secure {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Secure {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().0).poll_write(cx, bytes)
    }
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_flush(cx)
    }
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_shutdown(cx)
    }
}

/// Serves queries until `stop` completes; over TLS with the pages' certificate, if there is one.
///
/// # Errors
///
/// If the reflection data or the server fails.
pub async fn serve(
    replica: Replica,
    listener: TcpListener,
    certificate: Option<Arc<ServerConfig>>,
    stop: impl Future<Output = ()>,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(FILE_DESCRIPTOR_SET)
    };
    let service = Service { replica, wrong: WrongTokens::default() };
    let service = QueryServer::new(service).max_decoding_message_size(REQUEST_BYTES_MAX);
    let server = Server::builder()
        .timeout(ANSWER)
        .concurrency_limit_per_connection(QUERIES_MAX)
        .max_concurrent_streams(STREAMS_MAX)
        .http2_keepalive_interval(Some(SIGN_OF_LIFE))
        .add_service(reflection().build_v1()?)
        .add_service(reflection().build_v1alpha()?)
        .add_service(service);
    let Some(certificate) = certificate else {
        let incoming = TcpListenerStream::new(listener);
        server.serve_with_incoming_shutdown(incoming, stop).await?;
        return Ok(());
    };
    let mut config = ServerConfig::clone(&certificate);
    config.alpn_protocols = vec![ALPN.to_vec()];
    let listener = TlsListener::new(listener, Arc::new(config))?;
    let incoming = futures_util::stream::unfold(listener, |mut listener| async move {
        let (stream, _) = listener.accept().await;
        Some((Ok::<_, io::Error>(Secure(stream)), listener))
    });
    server.serve_with_incoming_shutdown(incoming, stop).await?;
    Ok(())
}

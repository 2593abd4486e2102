//! `run`: the replica with its links, its pages and its local endpoint.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use tokio::net::TcpListener;

use super::Options;
use crate::control;
use crate::driver::dial::keep_dialling;
use crate::identity::pages::PagesCertificate;
use crate::transport::server;
use crate::web::access::Site;
use crate::web::scheduled::{Schedule, keep_exporting};
use crate::web::serve::{Peer, TlsListener};
use crate::web::{self};

/// How to run.
#[derive(Args, Clone, Debug)]
pub struct RunArgs {
    /// Address for children, e.g. 0.0.0.0:7443 (hubs) / 供下级连接的地址
    #[arg(long)]
    pub listen: Option<SocketAddr>,
    /// Address of the pages; beyond this machine they go over TLS / 网页地址(本机以外须加密)
    #[arg(long, default_value = "127.0.0.1:8420")]
    pub http: SocketAddr,
    /// Name or address under which others open the pages, without port; may be repeated / 网页的主机名或地址
    #[arg(long)]
    pub site: Vec<String>,
    /// Address of the parent instead of the code's, host:port; may be repeated / 上级地址
    #[arg(long)]
    pub parent: Vec<String>,
    /// Address of gRPC queries of other systems, e.g. 0.0.0.0:8421; off without it / gRPC 查询地址,不填则关闭
    #[arg(long)]
    pub query_listen: Option<SocketAddr>,
    /// Folder for a daily export of tables; off without it / 每日导出目录,不填则关闭
    #[arg(long)]
    pub export_to: Option<std::path::PathBuf>,
    /// Time of day of the export / 导出时间
    #[arg(long, default_value = "02:00")]
    pub export_at: String,
    /// Ledgers to export, separated by commas; figures always come along / 导出的台账
    #[arg(long, default_value = "")]
    pub export_ledgers: String,
    /// Days of exports to keep / 保留天数
    #[arg(long, default_value_t = 30)]
    pub export_keep: usize,
}

/// Runs until stopped.
pub fn run(args: &RunArgs, options: &Options) -> ExitCode {
    let all = std::iter::once(args.http).chain(args.query_listen);
    let beyond = all.into_iter().find(|one| !one.ip().is_loopback());
    if let Some(address) = beyond.filter(|_| args.site.is_empty()) {
        eprintln!(
            "{} is beyond this machine: say with --site under which name or address others open the pages / \
             请用 --site 填写其他电脑访问网页所用的主机名或地址",
            address
        );
        return ExitCode::from(2);
    }
    telemetry();
    let runtime =
        match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => {
                eprintln!("{error}");
                return ExitCode::FAILURE;
            }
        };
    let code = match runtime.block_on(serve(args, options)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(if error.contains("data folder") || error.contains("holds no replica") {
                3
            } else {
                1
            })
        }
    };
    runtime.shutdown_timeout(Duration::from_secs(2));
    code
}

fn telemetry() {
    let filter = tracing_subscriber::EnvFilter::try_from_env("TAIZHANG_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn"));
    // A second subscriber in one process is a test's business.
    drop(tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).try_init());
}

async fn serve(args: &RunArgs, options: &Options) -> Result<(), String> {
    let text = |error: std::io::Error| error.to_string();
    let pages = TcpListener::bind(args.http)
        .await
        .map_err(|error| format!("pages on {}: {error}", args.http))?;
    let children = match args.listen {
        Some(address) => Some(
            TcpListener::bind(address)
                .await
                .map_err(|error| format!("children on {address}: {error}"))?,
        ),
        None => None,
    };
    let replica = super::open(options)?;
    if children.is_some() && replica.identity().authority.is_none() {
        return Err("a village replica has no children to listen for".into());
    }
    let address = pages.local_addr().map_err(text)?;
    let site = Site { hosts: args.site.clone(), tls: !args.site.is_empty() };
    let secure = pages_over_tls(&replica, &site)?;
    let mut tasks = tokio::task::JoinSet::new();
    beside(args, &replica, secure.clone(), &mut tasks).await?;
    let scheme = if site.tls { "https" } else { "http" };
    println!("pages {scheme}://{address}/");
    if let Some(listener) = children {
        println!("children {}", listener.local_addr().map_err(text)?);
        let (hub, stop) = (replica.clone(), replica.clone());
        tasks.spawn(async move {
            let stop = async move { stop.closed().await };
            server::serve(hub, listener, stop).await.map_err(|error| error.to_string())
        });
    }
    let endpoint = replica.clone();
    tasks.spawn(async move { control::serve(endpoint).await.map_err(|error| error.to_string()) });
    let router = web::router(replica.clone(), site).into_make_service_with_connect_info::<Peer>();
    let stop = replica.clone();
    let stop = async move { stop.closed().await };
    tasks.spawn(async move {
        let served = match secure {
            Some(config) => {
                let pages = TlsListener::new(pages, config).map_err(|error| error.to_string())?;
                axum::serve(pages, router).with_graceful_shutdown(stop).await
            }
            None => axum::serve(pages, router).with_graceful_shutdown(stop).await,
        };
        served.map_err(|error| error.to_string())
    });
    tokio::spawn(keep_dialling(dialling(&replica, args)));
    let mut terminate =
        tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()).map_err(text)?;
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
        () = replica.closed() => {}
        Some(ended) = tasks.join_next() => {
            replica.close();
            return ended.unwrap_or_else(|error| Err(error.to_string()));
        }
    }
    replica.close();
    let rest = async { while tasks.join_next().await.is_some() {} };
    if tokio::time::timeout(Duration::from_secs(3), rest).await.is_err() {
        tracing::info!("links were still open at the end");
    }
    Ok(())
}

/// The certificate of the pages, if they go beyond this machine; its fingerprint is printed.
fn pages_over_tls(
    replica: &crate::driver::Replica,
    site: &Site,
) -> Result<Option<Arc<rustls::ServerConfig>>, String> {
    if !site.tls {
        return Ok(None);
    }
    let now_s = crate::driver::clock::now().0.div_euclid(1000);
    let certificate = PagesCertificate::of_folder(replica.folder(), &site.hosts, now_s)?;
    println!("certificate SHA-256 {}", certificate.fingerprint());
    certificate.server().map(Some).map_err(|error| error.to_string())
}

/// The replica with the addresses to dial.
fn dialling(replica: &crate::driver::Replica, args: &RunArgs) -> crate::driver::dial::Dialling {
    let configured = replica.identity().parents.clone();
    let addresses = if args.parent.is_empty() { configured } else { args.parent.clone() };
    crate::driver::dial::Dialling { replica: replica.clone(), addresses }
}

/// What runs beside pages and links if the operator asked for it: queries, and the daily export.
async fn beside(
    args: &RunArgs,
    replica: &crate::driver::Replica,
    certificate: Option<Arc<rustls::ServerConfig>>,
    tasks: &mut tokio::task::JoinSet<Result<(), String>>,
) -> Result<(), String> {
    if let Some(address) = args.query_listen {
        let listener = TcpListener::bind(address).await;
        let listener = listener.map_err(|error| format!("queries on {address}: {error}"))?;
        let address = listener.local_addr().map_err(|error| error.to_string())?;
        println!("queries {address}");
        let (replica, stop) = (replica.clone(), replica.clone());
        tasks.spawn(async move {
            let stop = async move { stop.closed().await };
            let served = crate::transport::query::serve(replica, listener, certificate, stop);
            served.await.map_err(|error| error.to_string())
        });
    }
    if let Some(folder) = &args.export_to {
        let (at, ledgers) = (&args.export_at, &args.export_ledgers);
        let schedule = Schedule::new(folder, at, ledgers, args.export_keep)?;
        let replica = replica.clone();
        tasks.spawn(async move {
            keep_exporting(replica, schedule).await;
            Ok(())
        });
    }
    Ok(())
}

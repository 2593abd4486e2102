//! `run`: the replica with its links, its pages and its local endpoint.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use tokio::net::TcpListener;

use super::Options;
use crate::control;
use crate::driver::dial::keep_dialling;
use crate::transport::server;
use crate::web;

/// How to run.
#[derive(Args, Clone, Debug)]
pub struct RunArgs {
    /// Address for children, e.g. 0.0.0.0:7443 (hubs) / 供下级连接的地址
    #[arg(long)]
    pub listen: Option<SocketAddr>,
    /// Address of the pages; loopback only until sign-in comes / 网页地址(仅本机)
    #[arg(long, default_value = "127.0.0.1:8420")]
    pub http: SocketAddr,
    /// Address of the parent instead of the code's, host:port; may be repeated / 上级地址
    #[arg(long)]
    pub parent: Vec<String>,
}

/// Runs until stopped.
pub fn run(args: &RunArgs, options: &Options) -> ExitCode {
    if !args.http.ip().is_loopback() {
        eprintln!("pages listen on loopback only until sign-in is delivered: {} is not", args.http);
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
    println!("pages http://{address}/");
    let mut tasks = tokio::task::JoinSet::new();
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
    let site = web::router(replica.clone());
    let stop = replica.clone();
    tasks.spawn(async move {
        let served =
            axum::serve(pages, site).with_graceful_shutdown(async move { stop.closed().await });
        served.await.map_err(|error| error.to_string())
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

/// The replica with the addresses to dial.
fn dialling(replica: &crate::driver::Replica, args: &RunArgs) -> crate::driver::dial::Dialling {
    let configured = replica.identity().parents.clone();
    let addresses = if args.parent.is_empty() { configured } else { args.parent.clone() };
    crate::driver::dial::Dialling { replica: replica.clone(), addresses }
}

//! Listening, and what becomes of connections.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::process::exit;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinSet;

use crate::orders::{Door, Orders};
use crate::service;
use crate::state::State;

const WINDOW: u32 = 4 << 20;

pub(crate) async fn serve(orders: Orders) {
    let listener = listen(&orders);
    if let Some(after) = orders.accept_after {
        tokio::time::sleep(Duration::from_millis(after)).await;
    }
    let door = orders.door;
    let state = Arc::new(State {
        identity: orders.identity,
        service: orders.service.unwrap_or_else(|| "kv.v1.KvService".into()),
        unknown_is_404: orders.unknown_is_404,
        pings: orders.pings,
        signals: orders.signals,
        ..State::default()
    });
    let mut listener = Some(listener);
    let mut connections = JoinSet::new();
    // What is to be kept open without a word.
    let mut silent = Vec::new();
    loop {
        let accept = async {
            match &listener {
                Some(listener) => listener.accept().await.expect("a connection").0,
                None => std::future::pending().await,
            }
        };
        let stream = tokio::select! {
            stream = accept => stream,
            () = state.cut.notified() => {
                connections.abort_all();
                continue;
            }
            () = state.close.notified() => {
                listener = None;
                continue;
            }
            Some(_) = connections.join_next() => continue,
        };
        state.connections.fetch_add(1, Ordering::Relaxed);
        match door {
            Door::Http2 => {
                connections.spawn(connection(stream, Arc::clone(&state)));
            }
            Door::Silent => silent.push(stream),
            Door::HangUp => drop(stream),
            Door::Http1 => {
                connections.spawn(http1(stream));
            }
        }
    }
}

fn listen(orders: &Orders) -> TcpListener {
    let told: SocketAddr = std::env::var("FTL_BIND")
        .ok()
        .and_then(|bind| {
            bind.strip_prefix("http://")?
                .trim_end_matches('/')
                .parse()
                .ok()
        })
        .unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 0)));
    let address = match &orders.bind {
        None => told,
        Some(bind) => match bind.parse::<IpAddr>() {
            Ok(ip) => SocketAddr::new(ip, told.port()),
            Err(_) => bind.parse().expect("an address"),
        },
    };
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()
    } else {
        TcpSocket::new_v6()
    };
    let socket = socket.expect("a socket");
    socket.set_reuseaddr(!orders.no_reuse).expect("an option");
    if orders.reuse_port {
        socket.set_reuseport(true).expect("an option");
    }
    let listening = socket.bind(address).and_then(|()| socket.listen(1024));
    listening.unwrap_or_else(|error| {
        eprintln!("grpc_rig: error: listen tcp {address}: {error}");
        exit(1);
    })
}

async fn connection(stream: TcpStream, state: Arc<State>) {
    let _ = stream.set_nodelay(true);
    let shared = Arc::clone(&state);
    let answer = service_fn(move |request| {
        let state = Arc::clone(&state);
        async move { Ok::<_, Infallible>(service::answer(&state, request).await) }
    });
    let connection = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(WINDOW)
        .max_frame_size(1 << 20)
        .max_header_list_size(1 << 20)
        .serve_connection(TokioIo::new(stream), answer);
    let mut connection = pin!(connection);
    loop {
        tokio::select! {
            _ = connection.as_mut() => return,
            () = shared.goaway.notified() => connection.as_mut().graceful_shutdown(),
        }
    }
}

async fn http1(mut stream: TcpStream) {
    let _ = stream
        .write_all(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        .await;
    let _ = stream.shutdown().await;
    // Closed with something unread, it would take the answer along.
    let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
}

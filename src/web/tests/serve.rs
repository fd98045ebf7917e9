//! Connections that say nothing, or too little too slowly.

use std::time::Duration;

use axum::Router;
use axum::routing::get;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use web::Connections;

const ASK: &str = "GET /ask HTTP/1.1\r\nhost: 127.0.0.1\r\n";

/// A server of one route, its address, and the word that ends it.
async fn served(limits: Connections) -> (std::net::SocketAddr, oneshot::Sender<()>, tokio::task::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let router = Router::new().route("/ask", get(|| async { "answered" }));
    let serving = tokio::spawn(web::serve(listener, router, limits, async { drop(stopped.await) }));
    (address, stop, serving)
}

async fn asked(address: std::net::SocketAddr, text: &str) -> (TcpStream, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut answer = vec![0; 1024];
    let read = stream.read(&mut answer).await.unwrap();
    (stream, String::from_utf8_lossy(&answer[..read]).into_owned())
}

#[tokio::test]
async fn whoever_is_too_slow_with_the_head_of_a_request_is_cut_off_and_frees_the_place() {
    let limits = Connections { head_within: Duration::from_millis(200), at_once: 2 };
    let (address, stop, serving) = served(limits).await;
    // Both places are taken by connections that never end their request; one of them never begins it.
    let mut silent = TcpStream::connect(address).await.unwrap();
    let mut slow = TcpStream::connect(address).await.unwrap();
    slow.write_all(ASK.as_bytes()).await.unwrap();
    // So this one waits, and is answered once they are gone.
    let (_, answer) = asked(address, &format!("{ASK}connection: close\r\n\r\n")).await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("answered"), "{answer}");
    for stream in [&mut silent, &mut slow] {
        let mut rest = Vec::new();
        // The end may come as a reset; what matters is that it comes, and without an answer to half a question.
        drop(stream.read_to_end(&mut rest).await);
        assert!(!String::from_utf8_lossy(&rest).contains("answered"));
    }
    stop.send(()).unwrap();
    serving.await.unwrap();
}

#[tokio::test]
async fn a_connection_that_is_only_kept_open_does_not_hold_up_the_end() {
    let (address, stop, serving) = served(Connections::default()).await;
    let (mut kept, answer) = asked(address, &format!("{ASK}\r\n")).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    stop.send(()).unwrap();
    serving.await.unwrap();
    assert_eq!(kept.read(&mut [0; 8]).await.unwrap(), 0, "it is closed in order");
}

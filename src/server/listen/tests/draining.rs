//! The end of connections when the server drains.

use super::*;

#[tokio::test]
async fn draining_finishes_requests_and_accepts_no_more() {
    let mut server = start(ConnectionLimits::default()).await;
    let (_idle, idle_end) = server.http1(None).await;
    let (mut first, first_end) = server.http1(None).await;
    let (mut second, second_end) = server.http2().await;
    let responses = [
        tokio::spawn(first.send_request(request("/held"))),
        tokio::spawn(second.send_request(request("https://localhost/held"))),
    ];
    within_deadline(server.held.recv()).await;
    within_deadline(server.held.recv()).await;
    server.shutdown.begin();
    text(within_deadline(server.http1(None).await.0.send_request(request("/"))).await.unwrap())
        .await;
    server.shutdown.advance(ServerPhase::Draining);
    // hyper returns an error to a client without requests, even after a graceful shutdown.
    // order.
    let _ = within_deadline(idle_end).await.unwrap();
    assert!(TcpStream::connect(server.address).await.is_err());
    assert!(!server.task.is_finished());
    server.release.add_permits(2);
    for response in responses {
        let response = within_deadline(response).await.unwrap().unwrap();
        assert!(
            response.version() == http::Version::HTTP_2
                || response.headers()["connection"] == "close"
        );
        assert_eq!(text(response).await, "at last");
    }
    within_deadline(server.task).await.unwrap();
    within_deadline(first_end).await.unwrap().unwrap();
    within_deadline(second_end).await.unwrap().unwrap();
}

#[tokio::test]
async fn requests_are_aborted_after_the_drain_time() {
    let mut server = start(ConnectionLimits { drain: SHORT, ..ConnectionLimits::default() }).await;
    let (mut first, _) = server.http1(None).await;
    let (mut second, _) = server.http2().await;
    let first = tokio::spawn(first.send_request(request("/held")));
    let second = tokio::spawn(second.send_request(request("https://localhost/held")));
    within_deadline(server.held.recv()).await;
    within_deadline(server.held.recv()).await;
    server.shutdown.advance(ServerPhase::Draining);
    within_deadline(server.task).await.unwrap();
    assert!(
        within_deadline(first).await.unwrap().is_err()
            && within_deadline(second).await.unwrap().is_err()
    );
    // The handlers were dropped with their connections.
    while server.held.recv().await.is_some() {}
}

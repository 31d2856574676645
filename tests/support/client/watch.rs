//! Watches: responses that are read event by event.

use std::io;

use serde_json::Value;
use tokio::{io::BufReader, net::TcpStream, time::timeout};
use tokio_rustls::client::TlsStream;

use super::{Answer, Client, DEADLINE, Request, wire, write};

/// An open watch.
pub(crate) struct Watch {
    /// Status and headers of the response.
    pub(crate) head: Answer,
    stream: BufReader<TlsStream<TcpStream>>,
    read: Vec<u8>,
}

impl Watch {
    /// Returns the next event, or none after a regular end of the watch.
    pub(crate) async fn next(&mut self) -> Option<Value> {
        let line = timeout(DEADLINE, self.try_next())
            .await
            .unwrap_or_else(|_| panic!("no event within {DEADLINE:?}"));
        line.unwrap_or_else(|why| panic!("the watch is cut off: {why}"))
    }

    /// Waits for the next event, however long it takes. Returns none after a regular end, and an
    /// error if the watch is cut off. If the wait is dropped, the watch must not be used again.
    pub(crate) async fn try_next(&mut self) -> io::Result<Option<Value>> {
        let line = self.line().await?;
        Ok(line.map(|line| serde_json::from_slice(&line).expect("an event is JSON")))
    }

    /// Returns the next event as its type and the name of its object.
    pub(crate) async fn told(&mut self) -> Option<String> {
        let event = self.next().await?;
        let metadata = &event["object"]["metadata"];
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        Some(format!("{} {}", text(&event["type"]), text(&metadata["name"])))
    }

    /// Returns all events up to the end.
    pub(crate) async fn rest(&mut self) -> Vec<Value> {
        let mut events = Vec::new();
        while let Some(event) = self.next().await {
            events.push(event);
        }
        events
    }

    async fn line(&mut self) -> io::Result<Option<Vec<u8>>> {
        loop {
            if let Some(end) = self.read.iter().position(|byte| *byte == b'\n') {
                return Ok(Some(self.read.drain(..=end).collect()));
            }
            if wire::read_chunk(&mut self.stream, &mut self.read).await? == 0 {
                // A regular end follows the line of an event.
                return if self.read.is_empty() {
                    Ok(None)
                } else {
                    Err(io::ErrorKind::UnexpectedEof.into())
                };
            }
        }
    }
}

impl Client {
    /// Starts a watch. Panics if the server rejects it.
    pub(crate) async fn watch(&self, request: Request) -> Watch {
        let watch =
            timeout(DEADLINE, self.begin_watch(request)).await.expect("the watch starts in time");
        let watch = watch.expect("the watch starts");
        assert_eq!(watch.head.status, 200, "{:?}", watch.head.headers);
        watch
    }

    /// Starts a watch and reads the head of the response.
    pub(crate) async fn begin_watch(&self, request: Request) -> io::Result<Watch> {
        let request = self.signed(request);
        let mut stream = BufReader::new(self.open(&[]).await?);
        write(&mut stream, &request.head(self.address), None).await?;
        let (status, headers) = wire::read_head(&mut stream).await?;
        let head = Answer { method: request.method, status, headers, body: Vec::new() };
        Ok(Watch { head, stream, read: Vec::new() })
    }
}

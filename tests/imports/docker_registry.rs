//! The program `docker-registry` on a free port, and requests to it.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper::{Method, Request, header};
use hyper_util::rt::TokioIo;
use tempfile::TempDir;
use tokio::net::TcpStream;

/// The timeout of the start.
const DEADLINE: Duration = Duration::from_secs(30);

/// A registry without TLS and authentication. Killed on drop.
pub(crate) struct DockerRegistry {
    address: SocketAddr,
    process: Child,
    _folder: TempDir,
}

impl DockerRegistry {
    /// Starts an empty registry. Panics without the program.
    pub(crate) async fn start() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder can be created");
        let config = folder.path().join("config.yml");
        let content = format!(
            "version: 0.1\nlog: {{level: info, formatter: text}}\n\
             storage: {{filesystem: {{rootdirectory: {}}}}}\nhttp: {{addr: \"127.0.0.1:0\"}}\n",
            folder.path().join("data").display()
        );
        fs::write(&config, content).expect("the configuration can be written");
        let mut process = Command::new("docker-registry")
            .arg("serve")
            .arg(&config)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("docker-registry is installed: run `.ci/run setup`");
        let log = BufReader::new(process.stderr.take().expect("stderr is a pipe"));
        let (sender, received) = mpsc::channel();
        thread::spawn(move || {
            for line in log.lines().map_while(Result::ok) {
                // Nobody waits for further addresses, but the pipe must be read.
                let _ = listening_address(&line).map(|address| sender.send(address));
            }
        });
        let address = tokio::task::spawn_blocking(move || received.recv_timeout(DEADLINE)).await;
        let address = address.expect("waiting does not panic").expect("the registry listens");
        Self { address, process, _folder: folder }
    }

    /// Host and port.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Sends a request. Returns the status and the path in `Location`.
    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        media_type: &str,
        body: Vec<u8>,
    ) -> (u16, String) {
        let stream = TcpStream::connect(self.address).await.expect("the registry listens");
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.expect("the registry speaks HTTP");
        tokio::spawn(connection);
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, self.address.to_string())
            .header(header::CONTENT_TYPE, media_type)
            .body(Full::new(hyper::body::Bytes::from(body)))
            .expect("the request is valid");
        let response = sender.send_request(request).await.expect("the registry responds");
        let location = response.headers().get(header::LOCATION);
        let location = location.map_or("", |value| value.to_str().expect("a URL is ASCII"));
        let origin = format!("http://{}", self.address);
        let location = location.strip_prefix(&origin).unwrap_or(location).to_owned();
        let status = response.status().as_u16();
        response.into_body().collect().await.expect("the response is complete");
        (status, location)
    }
}

impl Drop for DockerRegistry {
    fn drop(&mut self) {
        // The process may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The address in the line of the log that tells it.
fn listening_address(line: &str) -> Option<SocketAddr> {
    let (_, rest) = line.split_once("listening on ")?;
    rest.split(['"', ' ', ',']).next()?.parse().ok()
}

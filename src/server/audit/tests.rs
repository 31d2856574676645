//! Tests of the audit log: format, rotation, and sinks that are slow, full or closed.

use std::fs;
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use clap::{Args, FromArgMatches};
use serde_json::Value;
use tempfile::TempDir;

use super::event::{AuditAnnotations, AuditObjectReference, AuditStage, AuditUser, ResponseStatus};
use super::file::LogFile;
use super::queue::AuditQueue;
use super::sink::{Sink, StreamSink};
use super::*;
use crate::auth::{Decision, ResourceAction, User};
use crate::meta::{GroupResource, Status};

const LONG: Duration = Duration::from_secs(10);

/// An event with this number as its ID.
fn numbered(number: usize) -> AuditEvent<'static> {
    AuditEvent {
        audit_id: number.to_string().into(),
        stage: AuditStage::ResponseComplete,
        request_uri: "/version".into(),
        verb: "get".into(),
        user: AuditUser::default(),
        impersonated_user: None,
        source_ips: &[],
        user_agent: "".into(),
        object_ref: None,
        response_status: None,
        request_received_timestamp: "2026-11-24T11:30:20.698Z".parse().unwrap(),
        stage_timestamp: "2026-11-24T11:30:20.6983019Z".parse().unwrap(),
        annotations: AuditAnnotations::default(),
    }
}

/// The numbers of these lines, each of which must be complete.
fn numbers(text: &[u8]) -> Vec<usize> {
    assert!(text.is_empty() || text.ends_with(b"\n"));
    let lines = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines.map(|line| number(&serde_json::from_slice(line).unwrap())).collect()
}

fn number(event: &Value) -> usize {
    event["auditID"].as_str().unwrap().parse().unwrap()
}

fn metric(metrics: &Metrics, name: &str) -> u64 {
    let text = metrics.text();
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')).unwrap();
    value.parse().unwrap()
}

fn lost(metrics: &Metrics) -> u64 {
    metric(metrics, "apiserver_audit_error_total{plugin=\"log\"}")
}

fn options(arguments: &[&str]) -> Options {
    let command = Options::augment_args(clap::Command::new("test").no_binary_name(true));
    Options::from_arg_matches(&command.try_get_matches_from(arguments).unwrap()).unwrap()
}

/// A log in a folder of its own.
fn in_folder(metrics: &Metrics) -> (TempDir, PathBuf, AuditLog) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.log");
    let log = AuditLog::open(&options(&["--audit-log-path", path.to_str().unwrap()]), metrics)
        .unwrap()
        .unwrap();
    (folder, path, log)
}

/// A writer to memory.
#[derive(Clone, Default)]
struct MemoryWriter(Arc<Mutex<Vec<u8>>>);

impl Write for MemoryWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A writer that sends each write to a channel, and then waits for its outcome.
struct SteppedWriter {
    arrived: SyncSender<Vec<u8>>,
    outcomes: Receiver<io::Result<()>>,
}

impl SteppedWriter {
    fn new() -> (Self, Receiver<Vec<u8>>, SyncSender<io::Result<()>>) {
        let ((arrived, arrivals), (sender, outcomes)) =
            (mpsc::sync_channel(100), mpsc::sync_channel(100));
        (Self { arrived, outcomes }, arrivals, sender)
    }
}

impl Write for SteppedWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.arrived.send(bytes.to_vec()).map_err(io::Error::other)?;
        self.outcomes.recv().map_err(io::Error::other)??;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn stream(out: impl Write + Send + 'static) -> Box<dyn Sink> {
    Box::new(StreamSink::new(out))
}

/// The log messages of this thread during `work`.
fn logged(work: impl FnOnce()) -> String {
    let memory = MemoryWriter::default();
    let lines = tracing_subscriber::fmt().with_ansi(false).with_writer({
        let memory = memory.clone();
        move || memory.clone()
    });
    tracing::subscriber::with_default(lines.finish(), work);
    let bytes = memory.0.lock().unwrap().clone();
    String::from_utf8(bytes).unwrap()
}

#[test]
fn a_complete_event_matches_kube_apiserver() {
    let extra = [("example.com/b".to_owned(), vec!["1".to_owned(), "2".to_owned()])].into();
    let user = User { name: "alice".into(), uid: "u1".into(), groups: vec!["devs".into()], extra };
    let other = User { name: "zoe".into(), ..User::default() };
    let object = GroupResource { group: "image.openshift.io", name: "imagestreams" };
    let action = ResourceAction {
        group: "image.openshift.io".into(),
        version: "v1".into(),
        resource: "imagestreams".into(),
        subresource: "status".into(),
        namespace: "lab".into(),
        name: "x".into(),
        ..ResourceAction::default()
    };
    let event = AuditEvent {
        audit_id: "4a9b".into(),
        request_uri: "/apis/image.openshift.io/v1/namespaces/lab/imagestreams/x/status?a=<b>&c=%3c"
            .into(),
        user: AuditUser::from(&user),
        impersonated_user: Some(AuditUser::from(&other)),
        source_ips: &["9.9.9.9".parse().unwrap(), "2001:db8::1".parse().unwrap()],
        user_agent: "kubectl/v1.36".into(),
        object_ref: Some(AuditObjectReference::from(&action)),
        response_status: Some(ResponseStatus::of_status(&Status::not_found(object, "x"))),
        annotations: AuditAnnotations { decision: Some(&Decision::Allowed), admission: None },
        ..numbered(0)
    };
    let expected = concat!(
        r#"{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"Metadata","auditID":"4a9b","stage":"ResponseComplete","#,
        r#""requestURI":"/apis/image.openshift.io/v1/namespaces/lab/imagestreams/x/status?a=\u003cb\u003e\u0026c=%3c","#,
        r#""verb":"get","user":{"username":"alice","uid":"u1","groups":["devs"],"#,
        r#""extra":{"example.com/b":["1","2"]}},"impersonatedUser":{"username":"zoe"},"#,
        r#""sourceIPs":["9.9.9.9","2001:db8::1"],"userAgent":"kubectl/v1.36","objectRef":{"resource":"imagestreams","#,
        r#""namespace":"lab","name":"x","apiGroup":"image.openshift.io","apiVersion":"v1","subresource":"status"},"#,
        r#""responseStatus":{"metadata":{},"status":"Failure","#,
        r#""message":"imagestreams.image.openshift.io \"x\" not found","reason":"NotFound","code":404},"#,
        r#""requestReceivedTimestamp":"2026-11-24T11:30:20.698000Z","stageTimestamp":"2026-11-24T11:30:20.698301Z","#,
        r#""annotations":{"authorization.k8s.io/decision":"allow","authorization.k8s.io/reason":""}}"#,
        "\n"
    );
    assert_eq!(String::from_utf8(event.line()).unwrap(), expected);
}

#[test]
fn unknown_fields_are_omitted() {
    let expected = concat!(
        r#"{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"Metadata","auditID":"7","stage":"ResponseComplete","#,
        r#""requestURI":"/version","verb":"get","user":{},"responseStatus":{"metadata":{},"code":200},"#,
        r#""requestReceivedTimestamp":"2026-11-24T11:30:20.698000Z","stageTimestamp":"2026-11-24T11:30:20.698301Z"}"#,
        "\n"
    );
    let status = Some(ResponseStatus::of_code(200));
    let event = AuditEvent { response_status: status, ..numbered(7) };
    assert_eq!(String::from_utf8(event.line()).unwrap(), expected);
}

#[test]
fn messages_that_may_quote_a_body_are_omitted() {
    let logs = |status: &Status| serde_json::to_value(ResponseStatus::of_status(status)).unwrap();
    let quoting = logs(&Status::bad_request("cannot read \"secret\""));
    assert_eq!(
        quoting,
        serde_json::json!({"metadata": {}, "status": "Failure", "reason": "BadRequest", "code": 400})
    );
    assert_eq!(logs(&Status::unauthorized())["message"], "Unauthorized");
    assert!(!logs(&Status::hidden("the disk")).to_string().contains("disk"));
}

#[test]
fn client_text_cannot_end_a_line() {
    let hostile = "a\n{\"kind\":\"Event\"}\r\u{2028}\u{85}\0\"\\</script>";
    let user = User {
        name: hostile.into(),
        uid: hostile.into(),
        groups: vec![hostile.into()],
        ..User::default()
    };
    let forbidden = Decision::Denied { reason: hostile.into() };
    let event = AuditEvent {
        audit_id: hostile.into(),
        request_uri: hostile.into(),
        verb: hostile.into(),
        user: AuditUser::from(&user),
        user_agent: hostile.into(),
        annotations: AuditAnnotations { decision: Some(&forbidden), admission: None },
        ..numbered(0)
    };
    let line = event.line();
    assert_eq!(line.iter().filter(|byte| **byte < b' ').collect::<Vec<_>>(), [&b'\n']);
    let read: Value = serde_json::from_slice(&line).unwrap();
    for value in [
        &read["auditID"],
        &read["user"]["groups"][0],
        &read["annotations"]["authorization.k8s.io/reason"],
    ] {
        assert_eq!(value, hostile);
    }
}

#[test]
fn no_flag_disables_the_log_and_a_dash_is_stdout() {
    let metrics = Metrics::new();
    assert!(AuditLog::open(&options(&[]), &metrics).unwrap().is_none());
    assert!(AuditLog::open(&options(&["--audit-log-path=-"]), &metrics).unwrap().is_some());
    assert!(!Path::new("-").exists());
}

#[test]
fn an_invalid_file_is_an_error_with_flag_and_path() {
    let error = AuditLog::open(&options(&["--audit-log-path=/nowhere/audit.log"]), &Metrics::new())
        .err()
        .unwrap();
    let text = error.to_string();
    assert!(
        text.starts_with("--audit-log-path: /nowhere/audit.log cannot be opened for writing: "),
        "{text}"
    );
}

#[tokio::test]
async fn close_writes_all_queued_events() {
    let metrics = Metrics::new();
    let (_folder, path, log) = in_folder(&metrics);
    thread::scope(|scope| {
        for writer in 0..4 {
            let log = &log;
            scope.spawn(move || {
                (0..500).for_each(|event| log.write(&numbered(writer * 500 + event)))
            });
        }
    });
    log.close().await;
    let mut seen = numbers(&fs::read(&path).unwrap());
    seen.sort_unstable();
    assert!(seen.into_iter().eq(0..2000));
    assert_eq!((metric(&metrics, "apiserver_audit_event_total"), lost(&metrics)), (2000, 0));
    log.write(&numbered(0));
    assert_eq!(lost(&metrics), 1);
}

#[tokio::test]
async fn audit_file_is_private_and_ends_partial_lines() {
    let (folder, path, log) = in_folder(&Metrics::new());
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    log.close().await;
    fs::write(&path, "{\"cut").unwrap();
    let log =
        AuditLog::open(&options(&["--audit-log-path", path.to_str().unwrap()]), &Metrics::new());
    let log = log.unwrap().unwrap();
    log.write(&numbered(1));
    log.close().await;
    let text = fs::read_to_string(&path).unwrap();
    assert_eq!(numbers(text.strip_prefix("{\"cut\n").unwrap().as_bytes()), [1]);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn a_full_file_is_rotated_and_the_newest_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.log");
    for unrelated in [
        "audit-2026.log",
        "audit-2026-1-1T00-00-00.000.log",
        "audit-2026-01-01T00-00-00.000.txt",
        "audit.log.1",
        "b-2026-01-01T00-00-00.000.log",
    ] {
        fs::write(folder.path().join(unrelated), "").unwrap();
    }
    let line = numbered(10).line().len() as u64;
    let mut file = LogFile::open(&path, 3 * line, 2).unwrap();
    // Many rotations in a millisecond: names must stay unique.
    (10..34).for_each(|number| file.append(&numbered(number).line()).unwrap());
    let names = fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let form = regex::Regex::new(r"^audit-\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d\.\d{3}\.log$").unwrap();
    let (mut backups, others): (Vec<_>, Vec<_>) = names.partition(|name| form.is_match(name));
    backups.sort();
    assert_eq!((backups.len(), others.len()), (2, 6));
    let seen = backups.iter().map(|name| folder.path().join(name)).chain([path]);
    let seen: Vec<usize> = seen.flat_map(|path| numbers(&fs::read(path).unwrap())).collect();
    assert!(seen.into_iter().eq(25..34));
}

#[test]
fn clock_going_back_keeps_rotation_order() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.log");
    let future = folder.path().join("audit-2999-12-31T23-59-59.999.log");
    fs::write(&future, "").unwrap();
    let mut file = LogFile::open(&path, 1, 1).unwrap();
    (0..2).for_each(|number| file.append(&numbered(number).line()).unwrap());
    let backup = folder.path().join("audit-3000-01-01T00-00-00.000.log");
    assert_eq!(numbers(&fs::read(backup).unwrap()), [0]);
    assert!(!future.exists());
}

#[test]
fn without_limits_no_file_is_rotated_or_removed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit");
    let mut endless = LogFile::open(&path, 0, 0).unwrap();
    (0..10).for_each(|number| endless.append(&numbered(number).line()).unwrap());
    assert_eq!(numbers(&fs::read(&path).unwrap()).len(), 10);
    let mut small = LogFile::open(&path, 1, 0).unwrap();
    (0..10).for_each(|number| small.append(&numbered(number).line()).unwrap());
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 11);
}

#[test]
fn failed_rotation_keeps_writing_and_is_logged_once() {
    let folder = tempfile::tempdir().unwrap();
    // The name with the time exceeds the limit of the file system.
    let long = folder.path().join("x".repeat(250));
    let logs = logged(|| {
        let mut file = LogFile::open(&long, 1, 1).unwrap();
        (0..3).for_each(|number| file.append(&numbered(number).line()).unwrap());
    });
    assert_eq!(numbers(&fs::read(long).unwrap()), [0, 1, 2]);
    assert_eq!(logs.matches("cannot rotate").count(), 1, "{logs}");
}

#[test]
fn a_moved_or_removed_file_is_created_again() {
    let folder = tempfile::tempdir().unwrap();
    let (path, moved) = (folder.path().join("audit.log"), folder.path().join("old"));
    let mut file = LogFile::open(&path, 0, 0).unwrap();
    file.append(&numbered(1).line()).unwrap();
    fs::rename(&path, &moved).unwrap();
    file.append(&numbered(2).line()).unwrap();
    assert_eq!(
        (numbers(&fs::read(&moved).unwrap()), numbers(&fs::read(&path).unwrap())),
        (vec![1], vec![2])
    );
    fs::remove_file(&path).unwrap();
    file.append(&numbered(3).line()).unwrap();
    assert_eq!(numbers(&fs::read(&path).unwrap()), [3]);
}

#[tokio::test]
async fn a_full_disk_loses_only_events() {
    let metrics = Metrics::new();
    let log = AuditLog::open(&options(&["--audit-log-path=/dev/full"]), &metrics).unwrap().unwrap();
    log.write(&numbered(1));
    log.write(&numbered(2));
    log.close().await;
    assert_eq!(lost(&metrics), 2);
}

#[tokio::test]
async fn a_stalled_sink_fills_the_queue_and_loses_events() {
    let metrics = Metrics::new();
    let (stepped, arrivals, outcomes) = SteppedWriter::new();
    let line = numbered(10).line().len();
    let log = AuditLog::writing_to(stream(stepped), 4 * line, &metrics).unwrap();
    log.write(&numbered(10));
    assert_eq!(numbers(&arrivals.recv_timeout(LONG).unwrap()), [10]);
    let logs = logged(|| (11..20).for_each(|number| log.write(&numbered(number))));
    assert_eq!(logs.matches("audit queue is full").count(), 1, "{logs}");
    assert_eq!((metric(&metrics, "apiserver_audit_event_total"), lost(&metrics)), (10, 6));
    outcomes.send(Ok(())).unwrap();
    assert_eq!(numbers(&arrivals.recv_timeout(LONG).unwrap()), [11, 12, 13]);
    log.write(&numbered(20));
    outcomes.send(Ok(())).unwrap();
    assert_eq!(numbers(&arrivals.recv_timeout(LONG).unwrap()), [20]);
    let logs = logged(|| (21..30).for_each(|number| log.write(&numbered(number))));
    assert_eq!(logs.matches("audit queue is full").count(), 1, "a second overflow: {logs}");
    log.close_within(Duration::from_millis(20)).await;
    assert_eq!(log.queue.waiting(), 4);
}

#[tokio::test]
async fn a_failed_write_is_retried_with_the_same_lines() {
    let metrics = Metrics::new();
    let (stepped, arrivals, outcomes) = SteppedWriter::new();
    let log = AuditLog::writing_to(stream(stepped), QUEUE_BYTES, &metrics).unwrap();
    log.write(&numbered(1));
    for outcome in [Err(ErrorKind::StorageFull.into()), Err(ErrorKind::Interrupted.into()), Ok(())]
    {
        assert_eq!(numbers(&arrivals.recv_timeout(LONG).unwrap()), [1]);
        outcomes.send(outcome).unwrap();
    }
    log.write(&numbered(2));
    assert_eq!(numbers(&arrivals.recv_timeout(LONG).unwrap()), [2]);
    outcomes.send(Ok(())).unwrap();
    log.close().await;
    assert_eq!(lost(&metrics), 0);
}

#[test]
fn a_cause_is_logged_once_until_a_write_succeeds() {
    let (stepped, arrivals, outcomes) = SteppedWriter::new();
    let queue = AuditQueue::new(QUEUE_BYTES, Metrics::new().audit_errors());
    let (full, denied) =
        (|| Err(ErrorKind::StorageFull.into()), || Err(ErrorKind::PermissionDenied.into()));
    for outcome in [full(), denied(), full(), Ok(()), full(), Ok(())] {
        outcomes.send(outcome).unwrap();
    }
    drop(outcomes);
    // Larger than half a chunk, so that these are two writes.
    let line = [vec![b'x'; 40 << 10], vec![b'\n']].concat();
    queue.push(&line);
    queue.push(&line);
    let logs = logged(|| {
        thread::scope(|scope| {
            let queue = &queue;
            scope.spawn(move || {
                (0..6).for_each(|_| drop(arrivals.recv_timeout(LONG).unwrap()));
                queue.close();
            });
            queue.drain_into(stream(stepped).as_mut());
        });
    });
    assert_eq!(logs.matches("no storage space").count(), 2, "{logs}");
    assert_eq!(logs.matches("permission denied").count(), 1, "{logs}");
    assert_eq!(logs.matches("writing the audit log again").count(), 2, "{logs}");
}

#[test]
fn a_partial_line_is_not_joined_with_the_next() {
    /// Writes a few bytes, then fails once.
    struct PartialWriter(MemoryWriter, usize);

    impl Write for PartialWriter {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.1 += 1;
            match self.1 {
                1 => self.0.write(&bytes[..5]),
                2 => Err(ErrorKind::BrokenPipe.into()),
                _ => self.0.write(bytes),
            }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    let memory = MemoryWriter::default();
    let mut sink = StreamSink::new(PartialWriter(memory.clone(), 0));
    assert!(sink.append(&numbered(1).line()).is_err());
    sink.append(&numbered(1).line()).unwrap();
    let text = memory.0.lock().unwrap().clone();
    assert_eq!(&text[..6], b"{\"kin\n");
    assert_eq!(numbers(&text[6..]), [1]);
}

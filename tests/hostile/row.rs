//! Rows and tables: attacks with their setup and limits.

use std::env;
use std::rc::Rc;
use std::time::Duration;

use futures_util::future::{LocalBoxFuture, join_all};

use crate::plane::Rule;
use crate::site::Site;
use crate::support::client::{Answer, Client, Request};

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;
/// Maximum size of an error response.
const ERROR: usize = 128 * KIB;

/// Form of a run, which sets sizes and repeats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Short,
    Long,
}

impl Form {
    /// Form from `HOSTILE_FORM`. Panics on an unknown one.
    pub(crate) fn from_environment() -> Self {
        match env::var("HOSTILE_FORM").as_deref() {
            Err(env::VarError::NotPresent) | Ok("short") => Self::Short,
            Ok("long") => Self::Long,
            other => panic!("HOSTILE_FORM is {other:?}; it must be short or long"),
        }
    }

    pub(crate) fn of<T>(self, short: T, long: T) -> T {
        match self {
            Self::Short => short,
            Self::Long => long,
        }
    }
}

/// Configuration of the server that a table attacks.
#[derive(Clone)]
pub(crate) struct Ground {
    pub(crate) flags: Vec<String>,
    /// Worker threads of the server's async runtime.
    pub(crate) workers: usize,
    /// Rule of the authorizing control plane; without one every user may do everything.
    pub(crate) rule: Option<Rule>,
    /// Delay of a review by the control plane.
    pub(crate) answer_after: Duration,
}

impl Default for Ground {
    fn default() -> Self {
        Self { flags: Vec::new(), workers: 2, rule: None, answer_after: Duration::ZERO }
    }
}

impl Ground {
    pub(crate) fn with_workers(workers: usize) -> Self {
        Self { workers, ..Self::default() }
    }

    pub(crate) fn with_plane(rule: Rule) -> Self {
        Self { rule: Some(rule), ..Self::default() }
    }
}

/// Lifetime of a table's server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Server {
    /// Each row starts a server, so that memory of earlier rows does not hide growth.
    PerRow,
    /// The rows share one server. For rows of negligible cost only.
    Shared,
}

/// Rows against servers of one configuration.
pub(crate) struct Table {
    pub(crate) name: &'static str,
    pub(crate) ground: Ground,
    pub(crate) server: Server,
    pub(crate) rows: Vec<Row>,
}

impl Table {
    pub(crate) fn new(name: &'static str, rows: Vec<Row>) -> Self {
        Self { name, ground: Ground::default(), server: Server::PerRow, rows }
    }

    pub(crate) fn shared(self) -> Self {
        Self { server: Server::Shared, ..self }
    }

    pub(crate) fn on(self, ground: Ground) -> Self {
        Self { ground, ..self }
    }
}

/// Limits of an attack.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ceilings {
    /// CPU seconds of the server process.
    pub(crate) cpu: f64,
    /// Growth of the peak of resident memory, in bytes.
    pub(crate) memory: usize,
    /// Bytes of the largest response body.
    pub(crate) answer: usize,
}

/// Observations of the attacker.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    /// Bytes of the largest response body.
    pub(crate) largest: usize,
    /// Statuses or other details for the printed line.
    pub(crate) note: String,
}

/// Result of an attack; the error describes an unexpected response.
pub(crate) type Finding = Result<Seen, String>;
type Attack = Box<dyn Fn(Rc<Site>) -> LocalBoxFuture<'static, Finding>>;
type Requests = Box<dyn Fn() -> Vec<Request>>;

/// Single attack.
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) ceilings: Ceilings,
    pub(crate) setup: Requests,
    pub(crate) attack: Attack,
}

impl Row {
    /// Concurrent requests of `mal`, each of which must get one of these statuses.
    pub(crate) fn new(
        name: impl Into<String>,
        statuses: &'static [u16],
        requests: impl Fn() -> Vec<Request> + 'static,
    ) -> Self {
        let attack = move |site: Rc<Site>| {
            let requests = requests();
            async move { all_at_once(&site.mal, requests, statuses).await }
        };
        Self::script(name, attack)
    }

    /// Attack by custom code.
    pub(crate) fn script<F: Future<Output = Finding> + 'static>(
        name: impl Into<String>,
        attack: impl Fn(Rc<Site>) -> F + 'static,
    ) -> Self {
        Self {
            name: name.into(),
            ceilings: Ceilings { cpu: 2.0, memory: 64 * MIB, answer: ERROR },
            setup: Box::new(Vec::new),
            attack: Box::new(move |site| Box::pin(attack(site))),
        }
    }

    /// Requests of `adm` before the measurement, in sequence; each must succeed.
    pub(crate) fn after(mut self, setup: impl Fn() -> Vec<Request> + 'static) -> Self {
        self.setup = Box::new(setup);
        self
    }

    /// Limit of CPU time in seconds.
    pub(crate) fn cpu(mut self, seconds: f64) -> Self {
        self.ceilings.cpu = seconds;
        self
    }

    /// Limit of memory in MiB.
    pub(crate) fn memory(mut self, mebibytes: usize) -> Self {
        self.ceilings.memory = mebibytes * MIB;
        self
    }

    /// Limit of the largest response in KiB.
    pub(crate) fn answer(mut self, kibibytes: usize) -> Self {
        self.ceilings.answer = kibibytes * KIB;
        self
    }
}

/// Sends concurrent requests, each on its own connection.
///
/// # Errors
/// A request gets no response, or a status that is not in the list.
pub(crate) async fn all_at_once(
    client: &Client,
    requests: Vec<Request>,
    statuses: &[u16],
) -> Finding {
    let lines: Vec<String> =
        requests.iter().map(|each| format!("{} {:.100}", each.method, each.target)).collect();
    let answers =
        join_all(requests.into_iter().map(|request| client.send_unchecked(request))).await;
    let mut seen = Seen::default();
    let mut counts = std::collections::BTreeMap::<u16, usize>::new();
    for (line, answer) in lines.iter().zip(answers) {
        let answer = answer.map_err(|why| format!("{line} gets no response: {why}"))?;
        expect_status(line, &answer, statuses)?;
        seen.largest = seen.largest.max(answer.body.len());
        *counts.entry(answer.status).or_default() += 1;
    }
    let counts = counts.iter().map(|(status, count)| match count {
        1 => status.to_string(),
        count => format!("{status} x {count}"),
    });
    seen.note = counts.collect::<Vec<_>>().join(", ");
    Ok(seen)
}

impl Answer {
    pub(crate) fn text(&self) -> std::borrow::Cow<'_, str> {
        String::from_utf8_lossy(&self.body)
    }

    /// # Errors
    /// The status is not in the list.
    pub(crate) fn of_status(self, statuses: &[u16]) -> Result<Self, String> {
        expect_status("the request", &self, statuses).map(|()| self)
    }
}

/// # Errors
/// The status of the response is not in the list, or the response is malformed.
pub(crate) fn expect_status(line: &str, answer: &Answer, statuses: &[u16]) -> Result<(), String> {
    let text = String::from_utf8_lossy(&answer.body);
    if !statuses.contains(&answer.status) {
        return Err(format!(
            "{line} gets status {} instead of {statuses:?}: {text:.300}",
            answer.status
        ));
    }
    match answer.not_a_status() {
        Some(broken) => Err(format!("{line}: {broken:.300}")),
        None => Ok(()),
    }
}

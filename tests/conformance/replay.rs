//! Replay of cases: sends the requests of a case in order and reports every difference from the
//! recorded responses. It is independent of resources: requests and comparison options come from
//! the case.

pub(crate) mod case;
pub(crate) mod compare;
pub(crate) mod exceptions;
mod json;
mod observe;
pub(crate) mod scrub;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use jiff::Timestamp;
use serde_json::Value;
use tokio::time::sleep;

use self::case::{Case, Request, Step};
use self::compare::{differences, without};
use self::exceptions::{Exception, Exceptions, Reason};
use self::scrub::{Rules, Scrubber};
use crate::support::client::{self, Answer, Client};

/// Pause between two attempts of a repeated request.
const PAUSE: Duration = Duration::from_millis(200);

/// Common parameters of all replays.
pub(crate) struct Replayer {
    /// Identities that cases name.
    pub(crate) clients: BTreeMap<String, Client>,
    /// Variables that cases use without capturing them. Their values become placeholders in
    /// responses.
    pub(crate) given: BTreeMap<String, String>,
    pub(crate) exceptions: Exceptions,
    pub(crate) show: Show,
    pub(crate) rules: Rules,
}

/// Printing of exchanges.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Show {
    Nothing,
    Exchanges,
}

/// Result of a case.
#[derive(Default)]
pub(crate) struct Outcome {
    /// Failures, each with its step, counted from one; 0 is the case itself.
    pub(crate) findings: Vec<(usize, String)>,
    /// Steps that differ from the recording, with their responses.
    pub(crate) differing: Vec<Exception>,
}

/// Result of one attempt of a step.
struct Try {
    answer: Answer,
    seen: Value,
    took: f64,
    /// Differences from the exception, if any, or from the recording.
    wrong: Vec<String>,
}

/// Variables during the replay of a case.
struct Variables {
    values: BTreeMap<String, String>,
    /// Values with their placeholders in responses.
    back: Vec<(String, String)>,
}

impl Replayer {
    /// Replays a case, with its cleanup before and after.
    pub(crate) async fn replay(&self, case: &Case) -> Outcome {
        let mut outcome = Outcome::default();
        if let Err(error) = self.replay_into(case, &mut outcome).await {
            outcome.findings.push((0, format!("{error:#}")));
        }
        outcome
    }

    async fn replay_into(&self, case: &Case, outcome: &mut Outcome) -> Result<()> {
        let back = self.given.iter().filter(|(_, value)| !value.is_empty());
        let back = back.map(|(name, value)| (value.clone(), format!("${{{name}}}"))).collect();
        let mut variables = Variables { values: self.given.clone(), back };
        self.clean(case, outcome).await?;
        for number in 1..=case.steps.len() {
            self.step(case, number, &mut variables, outcome)
                .await
                .with_context(|| format!("step {number}"))?;
        }
        self.clean(case, outcome).await
    }

    async fn clean(&self, case: &Case, outcome: &mut Outcome) -> Result<()> {
        for recorded in &case.cleanup {
            let request = Request::fill(recorded, &self.given)?;
            let answer = self.send("admin", &request).await?;
            let line = |broken| (0, format!("{} {} {broken}", request.method, request.path));
            outcome.findings.extend(answer.broken_promises().into_iter().map(line));
        }
        Ok(())
    }

    async fn step(
        &self,
        case: &Case,
        number: usize,
        variables: &mut Variables,
        outcome: &mut Outcome,
    ) -> Result<()> {
        let step = &case.steps[number - 1];
        let exception = self.exceptions.find(&case.name, number);
        let request = Request::fill(&step.request, &variables.values)?;
        let request = match exception.and_then(|exception| exception.watch_seconds) {
            Some(seconds) => request.into_watch(seconds),
            None => request,
        };
        sleep(Duration::from_secs_f64(step.wait)).await;
        let last = self.try_until_right(step, &request, exception, &variables.back).await?;
        if self.show == Show::Exchanges {
            show(number, step, &request, &last);
        }
        let line = |found: String| (number, format!("{} {} {found}", request.method, request.path));
        outcome
            .findings
            .extend(broken_promises(&last.answer, step, exception).into_iter().map(line));
        let answered = without(&last.seen, step);
        if differences(&without(&step.response, step), &answered).is_empty() {
            if exception.is_some() {
                outcome
                    .findings
                    .push(line("has an exception, but matches the recording".to_owned()));
            }
        } else {
            outcome.findings.extend(last.wrong.into_iter().map(line));
            outcome.differing.push(to_be_reasoned(&case.name, number, exception, answered));
        }
        let (least, most) = step.seconds;
        if !(least..=most).contains(&last.took) {
            outcome
                .findings
                .push((number, format!("took {:.2} s, should be {least} to {most} s", last.took)));
        }
        for error in variables.capture(step, &last.answer) {
            outcome.findings.push((number, error));
        }
        Ok(())
    }

    async fn try_until_right(
        &self,
        step: &Step,
        request: &Request,
        exception: Option<&Exception>,
        back: &[(String, String)],
    ) -> Result<Try> {
        let wanted = without(exception.map_or(&step.response, |exception| &exception.answer), step);
        let begun = Instant::now();
        loop {
            let sent = Instant::now();
            let answer = self.send(&step.identity, request).await?;
            let took = sent.elapsed().as_secs_f64();
            let scrubber = Scrubber::new(&self.rules, step, back, Timestamp::now())?;
            let seen = observe::observe(&answer, request, step, &scrubber)?;
            let wrong = differences(&wanted, &without(&seen, step));
            if wrong.is_empty() || begun.elapsed().as_secs_f64() >= request.retry {
                return Ok(Try { answer, seen, took, wrong });
            }
            sleep(PAUSE).await;
        }
    }

    async fn send(&self, identity: &str, request: &Request) -> Result<Answer> {
        let client = self.clients.get(identity);
        let client = client.with_context(|| format!("this test has no identity {identity:?}"))?;
        let line = || format!("{} {}", request.method, request.path);
        client.send_unchecked(to_be_sent(request)?).await.with_context(line)
    }
}

impl Variables {
    /// Captures variables from the response of a step; returns the failures.
    fn capture(&mut self, step: &Step, answer: &Answer) -> Vec<String> {
        let mut errors = Vec::new();
        for (name, place) in &step.capture {
            let value = observe::take(answer, place).unwrap_or_else(|error| {
                errors.push(error.to_string());
                "missing".to_owned()
            });
            if step.back.contains(name) {
                self.back.push((value.clone(), format!("${{{name}}}")));
            }
            self.values.insert(name.clone(), value);
        }
        errors
    }
}

/// Request of a case with the default headers that the case does not override.
fn to_be_sent(request: &Request) -> Result<client::Request> {
    // URLs must not contain these characters, and the HTTP library refuses them; escaped they mean
    // the same.
    let target = request.path.replace('<', "%3C").replace('>', "%3E");
    let mut sent = client::Request::new(&request.method, &target);
    sent.body = request.bytes()?;
    let mut defaults = vec![("accept", "application/json"), ("user-agent", "conformance")];
    if request.has_json() {
        defaults.push(("content-type", "application/json"));
    }
    let given = |name: &str| request.headers.keys().any(|each| each.eq_ignore_ascii_case(name));
    for (name, value) in defaults.into_iter().filter(|(name, _)| !given(name)) {
        sent = sent.header(name, value);
    }
    for (name, value) in &request.headers {
        for line in Request::lines(value)? {
            sent = sent.header(name, &line);
        }
    }
    Ok(sent)
}

/// Violated rules for all responses. A step that ignores the body also skips the rule that errors
/// are a `Status`: outside of the API group the reference answers 404 with a list of paths. An
/// exception with a status alone means that the HTTP library rejects the request before the server
/// handles it.
fn broken_promises(answer: &Answer, step: &Step, exception: Option<&Exception>) -> Vec<String> {
    let is_status_alone =
        |answer: &Value| answer.as_object().is_some_and(|answer| answer.keys().eq(["status"]));
    if answer.body.is_empty()
        && exception.is_some_and(|exception| is_status_alone(&exception.answer))
    {
        return Vec::new();
    }
    if step.skip.iter().any(|place| place == "body") {
        answer.missing_headers()
    } else {
        answer.broken_promises()
    }
}

/// Exception to write for a step. A reason stays valid as long as its response is unchanged.
fn to_be_reasoned(
    case: &str,
    step: usize,
    exception: Option<&Exception>,
    answer: Value,
) -> Exception {
    match exception {
        Some(old) if old.answer == answer => old.clone(),
        old => {
            let why = old.map_or_else(|| "TODO".to_owned(), |old| old.why.clone());
            let watch_seconds = old.and_then(|old| old.watch_seconds);
            let storage = old.and_then(|old| old.storage);
            let case = case.to_owned();
            Exception { case, step, reason: Reason::Todo, why, storage, watch_seconds, answer }
        }
    }
}

fn show(number: usize, step: &Step, request: &Request, last: &Try) {
    println!("--- step {number} as {}: {} {}", step.identity, request.method, request.path);
    for (name, value) in &request.headers {
        println!("> {name}: {value}");
    }
    if let Some(body) = request.bytes().ok().flatten() {
        println!("{}", readable(&body));
    }
    println!("< {} after {:.3} s", last.answer.status, last.took);
    for (name, value) in &last.answer.headers {
        println!("< {name}: {value}");
    }
    println!("{}", readable(&last.answer.body));
    for line in &last.wrong {
        println!("! {line}");
    }
}

fn readable(body: &[u8]) -> String {
    let json = serde_json::from_slice::<Value>(body).map(|body| format!("{body:#}"));
    json.unwrap_or_else(|_| String::from_utf8_lossy(body).into_owned())
}

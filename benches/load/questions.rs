//! What is asked, and what a right answer is.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, ensure};
use serde_json::Value;

use crate::caller::Caller;
use crate::client_pool::ClientPool;
use crate::corpus::{self, LAYERS, NAMESPACE};
use crate::wire::{self, Answer};

/// How long it may take to see every answer once.
const LIMIT: Duration = Duration::from_secs(600);
/// How many images are asked for where each takes a review: about half as many as the server remembers.
const REVIEWED: usize = 4000;
/// Digits of a part of a digest, as people copy it.
const PARTIAL_DIGITS: usize = 12;
/// The resource that exists.
pub(crate) const RESOURCE: &str = "imagestreamimages";
/// A path as long as that, which no server knows.
const NO_RESOURCE: &str = "imagestreamnobody";

/// A way to ask for images.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scenario {
    /// By full digest, any image as likely as any other.
    Uniform,
    /// By full digest, one image.
    Hot,
    /// By part of the digest, any image.
    Partial,
    /// By a full digest that no stream has.
    Missing,
    /// As the first, of some images, with a token that the control plane has reviewed, and so the access.
    ReviewedToken,
    /// As the first, of some images, by the front proxy, with access that the control plane has reviewed.
    FrontProxy,
}

impl Scenario {
    pub(crate) const ALL: [Self; 6] = [
        Self::Uniform,
        Self::Hot,
        Self::Partial,
        Self::Missing,
        Self::ReviewedToken,
        Self::FrontProxy,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Uniform => "uniform",
            Self::Hot => "one image",
            Self::Partial => "partial digest",
            Self::Missing => "not found",
            Self::ReviewedToken => "reviewed token",
            Self::FrontProxy => "front proxy",
        }
    }

    /// The scenario whose baseline turns this one is compared with.
    pub(crate) fn yardstick(self) -> Self {
        if self == Self::Missing { Self::Missing } else { Self::Uniform }
    }

    /// Who asks.
    pub(crate) fn caller(self) -> Caller {
        match self {
            Self::Uniform | Self::Hot | Self::Partial | Self::Missing => Caller::Token,
            Self::ReviewedToken => Caller::ReviewedToken,
            Self::FrontProxy => Caller::FrontProxy,
        }
    }

    fn status(self) -> u16 {
        if self == Self::Missing { 404 } else { 200 }
    }
}

/// An image that is asked for.
#[derive(Clone)]
struct Wish {
    /// The name that the request gives.
    asked: String,
    /// The digest of the image that it stands for.
    digest: String,
}

/// The requests of a scenario and what is known of their answers.
pub(crate) struct Questions {
    /// The scenario.
    pub(crate) scenario: Scenario,
    wishes: Vec<Wish>,
    requests: Vec<Vec<u8>>,
    /// Bytes of the body of each answer.
    lengths: Vec<usize>,
    /// The body of the first answer.
    pub(crate) sample: Vec<u8>,
}

impl Questions {
    /// The questions of a scenario about images with these digests.
    pub(crate) fn new(scenario: Scenario, digests: &[String]) -> Self {
        let wish = |(number, digest): (usize, &String)| {
            let digest =
                if scenario == Scenario::Missing { corpus::digest(digest) } else { digest.clone() };
            let hex = digest.trim_start_matches("sha256:");
            let id = if scenario == Scenario::Partial {
                &hex[..PARTIAL_DIGITS]
            } else {
                digest.as_str()
            };
            Wish { asked: format!("{}@{id}", corpus::stream_of(number)), digest }
        };
        let all = digests.iter().enumerate();
        let wishes: Vec<Wish> = match scenario {
            Scenario::Hot => all.skip(digests.len() / 2).take(1).map(wish).collect(),
            Scenario::Uniform | Scenario::Partial | Scenario::Missing => all.map(wish).collect(),
            // Access to each image is a review of its own.
            Scenario::ReviewedToken | Scenario::FrontProxy => {
                all.step_by(digests.len().div_ceil(REVIEWED)).map(wish).collect()
            }
        };
        let requests = requests(&wishes, RESOURCE, scenario.caller());
        Self { scenario, wishes, requests, lengths: Vec::new(), sample: Vec::new() }
    }

    /// The same questions for the HTTP baseline, which has one answer to all that are found, and one to all that are not.
    pub(crate) fn for_baseline(&self) -> Self {
        let resource = if self.scenario == Scenario::Missing { NO_RESOURCE } else { RESOURCE };
        Self {
            scenario: self.scenario,
            wishes: self.wishes.clone(),
            requests: requests(&self.wishes, resource, self.scenario.caller()),
            lengths: vec![self.sample.len(); self.wishes.len()],
            sample: self.sample.clone(),
        }
    }

    /// How many different requests there are.
    pub(crate) fn len(&self) -> usize {
        self.requests.len()
    }

    /// The bytes of a request.
    pub(crate) fn request(&self, number: usize) -> &[u8] {
        &self.requests[number]
    }

    /// Checks what can be checked of an answer without reading it.
    ///
    /// # Errors
    /// Another status, or another length than when the answer was read.
    pub(crate) fn check_shape(&self, number: usize, answer: &Answer<'_>) -> anyhow::Result<()> {
        let (status, length) = (self.scenario.status(), self.lengths[number]);
        ensure!(
            answer.status == status && answer.body.len() == length,
            "{} was answered with status {} and {} bytes instead of {status} and {length}: {}",
            self.wishes[number].asked,
            answer.status,
            answer.body.len(),
            String::from_utf8_lossy(answer.body),
        );
        Ok(())
    }

    /// Asks every question once and reads the answers; keeps their lengths.
    ///
    /// # Errors
    /// An answer that is not the right one.
    pub(crate) fn learn_answers(
        &mut self,
        pool: &ClientPool,
        address: SocketAddr,
    ) -> anyhow::Result<()> {
        let parts = pool.run(address, LIMIT, async |connection, number| {
            let mut lengths = Vec::new();
            let mut sample = Vec::new();
            for at in (number..self.requests.len()).step_by(pool.connections) {
                let answer = connection.exchange(&self.requests[at]).await?;
                self.check(at, &answer).with_context(|| {
                    format!(
                        "{} was answered {}",
                        self.wishes[at].asked,
                        String::from_utf8_lossy(answer.body)
                    )
                })?;
                lengths.push((at, answer.body.len()));
                if at == 0 {
                    sample = answer.body.to_vec();
                }
            }
            Ok((lengths, sample))
        })?;
        self.lengths = vec![0; self.requests.len()];
        for (lengths, sample) in parts {
            lengths.into_iter().for_each(|(at, length)| self.lengths[at] = length);
            self.sample.extend(sample);
        }
        Ok(())
    }

    /// Whether the HTTP baseline sends the very bytes of the sample.
    ///
    /// # Errors
    /// It does not.
    pub(crate) fn check_baseline(
        &self,
        pool: &ClientPool,
        address: SocketAddr,
    ) -> anyhow::Result<()> {
        pool.run(address, LIMIT, async |connection, number| {
            let at = number % self.requests.len();
            let answer = connection.exchange(&self.requests[at]).await?;
            self.check_shape(at, &answer)?;
            ensure!(answer.body == self.sample, "the HTTP baseline sends other bytes");
            Ok(())
        })?;
        Ok(())
    }

    fn check(&self, at: usize, answer: &Answer<'_>) -> anyhow::Result<()> {
        let Wish { asked, digest } = &self.wishes[at];
        let status = self.scenario.status();
        ensure!(answer.status == status, "the status is {}, not {status}", answer.status);
        let body: Value = serde_json::from_slice(answer.body)?;
        if self.scenario == Scenario::Missing {
            ensure!(
                body["reason"] == "NotFound" && body["details"]["name"] == **asked,
                "something else was not found"
            );
            return Ok(());
        }
        ensure!(body["kind"] == "ImageStreamImage", "it is of another kind");
        ensure!(body["metadata"]["name"] == **asked, "it has another name");
        let image = &body["image"];
        ensure!(image["metadata"]["name"] == **digest, "it is another image");
        let layers = image["dockerImageLayers"].as_array().map_or(0, Vec::len);
        ensure!(layers == LAYERS, "it has {layers} layers");
        ensure!(image["dockerImageMetadata"]["Config"]["Env"].is_array(), "it has no metadata");
        Ok(())
    }
}

fn requests(wishes: &[Wish], resource: &str, caller: Caller) -> Vec<Vec<u8>> {
    let path = |asked: &str| {
        format!("/apis/image.openshift.io/v1/namespaces/{NAMESPACE}/{resource}/{asked}")
    };
    wishes.iter().map(|wish| wire::get(&path(&wish.asked), caller)).collect()
}

//! Requests of the GET scenarios and the expected responses.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, ensure};
use serde_json::Value;

use crate::caller::Caller;
use crate::client_pool::ClientPool;
use crate::corpus::{self, LAYERS, NAMESPACE};
use crate::wire::{self, Answer};

/// Deadline for checking every response once.
const LIMIT: Duration = Duration::from_secs(600);
/// Number of requested images if each needs a review. Two scenarios need one for each, and both must
/// fit into the cache of the server, whose shards do not fill evenly.
const REVIEWED: usize = 3000;
/// Digits of a partial digest, as users copy it.
const PARTIAL_DIGITS: usize = 12;
/// Resource that exists.
pub(crate) const RESOURCE: &str = "imagestreamimages";
/// Path of the same length that no server has.
const NO_RESOURCE: &str = "imagestreamnobody";

/// Kinds of GET requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scenario {
    /// Full digest, all images alike.
    Uniform,
    /// Full digest, one image.
    Hot,
    /// Partial digest, all images.
    Partial,
    /// Full digest that no stream has.
    Missing,
    /// As `Uniform`, for some images, with a token and access that the control plane has reviewed.
    ReviewedToken,
    /// As `Uniform`, for some images, through the front proxy, with access that the control plane
    /// has reviewed.
    FrontProxy,
    /// As `Uniform`, for some images, through a kube-apiserver, which authenticates and authorizes
    /// the client.
    #[cfg(feature = "etcd")]
    KubeApiserver,
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
            #[cfg(feature = "etcd")]
            Self::KubeApiserver => "kube-apiserver",
        }
    }

    /// Scenario whose baseline turns this one is compared with.
    pub(crate) fn yardstick(self) -> Self {
        if self == Self::Missing { Self::Missing } else { Self::Uniform }
    }

    /// Credentials of the client.
    pub(crate) fn caller(self) -> Caller {
        match self {
            Self::Uniform | Self::Hot | Self::Partial | Self::Missing => Caller::Token,
            Self::ReviewedToken => Caller::ReviewedToken,
            Self::FrontProxy => Caller::FrontProxy,
            #[cfg(feature = "etcd")]
            Self::KubeApiserver => Caller::Certificate,
        }
    }

    fn status(self) -> u16 {
        if self == Self::Missing { 404 } else { 200 }
    }
}

/// Requested image.
#[derive(Clone)]
struct Wish {
    /// Name in the request.
    asked: String,
    /// Digest of the requested image.
    digest: String,
}

/// Requests of a scenario and the expected responses.
pub(crate) struct Questions {
    /// Scenario.
    pub(crate) scenario: Scenario,
    wishes: Vec<Wish>,
    requests: Vec<Vec<u8>>,
    /// Body length of each response in bytes.
    lengths: Vec<usize>,
    /// Body of the first response.
    pub(crate) sample: Vec<u8>,
}

impl Questions {
    /// Requests of a scenario for the images with these digests.
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
            // Access to each image needs its own review.
            _ => all.step_by(digests.len().div_ceil(REVIEWED)).map(wish).collect(),
        };
        let requests = requests(&wishes, RESOURCE, scenario.caller());
        Self { scenario, wishes, requests, lengths: Vec::new(), sample: Vec::new() }
    }

    /// The same requests for the HTTP baseline, which has one response for all images found and one
    /// for all not found.
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

    /// Number of different requests.
    pub(crate) fn len(&self) -> usize {
        self.requests.len()
    }

    /// Bytes of a request.
    pub(crate) fn request(&self, number: usize) -> &[u8] {
        &self.requests[number]
    }

    /// Path of a request, which both the server and its baseline know.
    pub(crate) fn path(&self, number: usize) -> String {
        path(RESOURCE, &self.wishes[number].asked)
    }

    /// The length of the body of a response, in bytes.
    #[cfg(feature = "etcd")]
    pub(crate) fn length(&self, number: usize) -> usize {
        self.lengths[number]
    }

    /// Checks a response by status and length, without parsing it.
    ///
    /// # Errors
    /// The status or the length differs from the first, parsed response.
    pub(crate) fn check_shape(&self, number: usize, answer: &Answer<'_>) -> anyhow::Result<()> {
        let (status, length) = (self.scenario.status(), self.lengths[number]);
        ensure!(
            answer.status == status && answer.body.len() == length,
            "{} got status {} and {} bytes instead of {status} and {length}: {}",
            self.wishes[number].asked,
            answer.status,
            answer.body.len(),
            String::from_utf8_lossy(answer.body),
        );
        Ok(())
    }

    /// Sends every request once, checks the responses in full and records their lengths.
    ///
    /// # Errors
    /// A wrong response.
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
                        "the response to {} is {}",
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

    /// Sends every request once and returns the bodies of the responses by the requested names.
    ///
    /// # Errors
    /// A response of another shape than the first one to the request.
    pub(crate) fn bodies(
        &self,
        pool: &ClientPool,
        address: SocketAddr,
    ) -> anyhow::Result<HashMap<String, String>> {
        let parts = pool.run(address, LIMIT, async |connection, number| {
            let mut bodies = Vec::new();
            for at in (number..self.requests.len()).step_by(pool.connections) {
                let answer = connection.exchange(&self.requests[at]).await?;
                self.check_shape(at, &answer)?;
                let body = String::from_utf8(answer.body.to_vec())?;
                bodies.push((self.wishes[at].asked.clone(), body));
            }
            Ok(bodies)
        })?;
        Ok(parts.into_iter().flatten().collect())
    }

    /// Checks that the HTTP baseline sends exactly the bytes of the sample.
    ///
    /// # Errors
    /// The bytes differ.
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
    wishes.iter().map(|wish| wire::get(&path(resource, &wish.asked), caller)).collect()
}

fn path(resource: &str, asked: &str) -> String {
    format!("/apis/image.openshift.io/v1/namespaces/{NAMESPACE}/{resource}/{asked}")
}

//! Common setup of all scenarios of one size: a filled store, a server on a copy of it, clients,
//! and the expected responses.

use std::time::Duration;

use tempfile::TempDir;

use crate::caller::Caller;
use crate::client_pool::ClientPool;
use crate::fill;
use crate::fixtures::Fixtures;
use crate::options::Options;
use crate::process::Process;
use crate::questions::{Questions, Scenario};
use crate::redb_baseline::RedbBaseline;
use crate::report;
use crate::seed::Seed;
use crate::site::Site;
use crate::template::Template;
use crate::turn::Times;

/// Setup that a scenario can use.
pub(crate) struct Bench {
    pub(crate) options: Options,
    /// Digests of the images, indexed by image number.
    pub(crate) digests: Vec<String>,
    /// Server without writes.
    pub(crate) server: Process,
    _data: TempDir,
    /// All clients, with a token from the server's token file.
    pub(crate) pool: ClientPool,
    /// GET requests for any image, with their expected responses.
    pub(crate) uniform: Questions,
    /// Mappings of images that the store does not contain.
    pub(crate) fixtures: Fixtures,
    /// Filled store.
    pub(crate) seed: Seed,
    /// redb alone, with the same number of images.
    pub(crate) redb: RedbBaseline,
    // Dropped last: it holds the folder of the other fields.
    pub(crate) site: Site,
}

impl Bench {
    /// Fills a store with this number of images and starts a server on a copy of it.
    ///
    /// # Errors
    /// Any step of the setup fails.
    pub(crate) fn fill(options: &Options, site: Site, images: usize) -> anyhow::Result<Self> {
        let data = site.data()?;
        let server = site.serve(data.path())?;
        let pool = ClientPool {
            connector: site.connector(Caller::Token)?,
            connections: options.connections,
            threads: options.threads,
        };
        pool.await_readiness(server.address)?;
        let (digests, filling) = fill::fill(&pool, &server, images)?;
        report::print_filling(&filling);
        server.terminate()?;
        let template = Template::learn(data.path(), images)?;
        println!("a mapping gives {:.1} kB to the store", template.bytes() as f64 / 1e3);
        let redb = RedbBaseline::fill(&site, template, images)?;
        let seed = Seed(data);
        let data = seed.copy(&site)?;
        let server = site.serve(data.path())?;
        pool.await_readiness(server.address)?;
        let mut uniform = Questions::new(Scenario::Uniform, &digests);
        uniform.learn_answers(&pool, server.address)?;
        let fixtures = Fixtures::new(filling.streams, options.stock, options.threads)?;
        let options = options.clone();
        Ok(Self {
            options,
            digests,
            server,
            _data: data,
            pool,
            uniform,
            fixtures,
            seed,
            redb,
            site,
        })
    }

    /// A ready server on a new copy of the filled store, with the folder of the copy.
    ///
    /// # Errors
    /// The server does not start.
    pub(crate) fn fresh(&self, delay: Duration) -> anyhow::Result<(Process, TempDir)> {
        let copy = self.seed.copy(&self.site)?;
        let server = match delay.is_zero() {
            true => self.site.serve(copy.path()),
            false => self.site.serve_on_slow_disk(copy.path(), delay),
        }?;
        self.pool.await_readiness(server.address)?;
        Ok((server, copy))
    }

    /// Duration of a turn.
    pub(crate) fn times(&self) -> Times {
        self.options.times()
    }
}

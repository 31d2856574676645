//! A look at the serving certificate without a server, which makes and changes nothing.

use std::path::PathBuf;

use jiff::Timestamp;

use super::certificate::Source;
use super::error::CertificateError;
use super::names::{self, ServiceReference};
use super::options::{Options, Wanted};
use super::own;
use super::pem::PemPair;

/// What would be shown to clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Examined {
    /// A pair that is there.
    Pair {
        /// The file of the certificate.
        file: PathBuf,
        /// When it ends.
        ends: Timestamp,
        /// The names that it is for.
        names: Vec<String>,
        /// The name that kube-apiserver asks for, if the certificate does not carry it.
        missing: Option<String>,
    },
    /// There is none yet, or one of the server's own that lacks a name; the server makes one when it starts.
    ToBeMade {
        /// The file that it will be in.
        file: PathBuf,
    },
    /// It lies in a Secret.
    InSecret {
        /// Namespace and name.
        secret: String,
    },
}

/// Looks at the pair that the flags lead to.
///
/// # Errors
/// Flags that do not go together, and files that cannot be used.
pub fn examine(options: &Options) -> Result<Examined, CertificateError> {
    let plan = options.plan(true)?;
    let mut is_ours = false;
    let source = match plan.wanted {
        Wanted::Secret { namespace, name } => return Ok(Examined::InSecret { secret: format!("{namespace}/{name}") }),
        Wanted::Files { certificate, key } => Source::files(certificate, key),
        Wanted::Folder(folder) => {
            let source = Source::folder(folder, Vec::new());
            let file = source.places().certificate.path;
            if !file.exists() {
                return Ok(Examined::ToBeMade { file });
            }
            is_ours = std::fs::read(&file).is_ok_and(|pem| own::is_pair_of_ours(&pem));
            source
        }
    };
    let places = source.places();
    let pair = PemPair::read(&places)?.parse(&places)?;
    let (file, leaf) = (places.certificate.path, &pair.key.cert[0]);
    let missing =
        plan.service.as_ref().map(ServiceReference::verified_name).filter(|needed| !names::serves(leaf, needed));
    if is_ours && missing.is_some() {
        return Ok(Examined::ToBeMade { file });
    }
    Ok(Examined::Pair { file, ends: pair.ends, names: names::carried(leaf), missing })
}

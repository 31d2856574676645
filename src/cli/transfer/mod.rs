//! `transfer`: copies all objects from one place to another one.

mod open;
mod place;

use anyhow::{Context, bail};
use clap::Args;
use parking_lot::Mutex;

use self::place::TransferPlace;
use super::progress::{Progress, ProgressUnit};
use super::stdout::print_line;
use crate::resources::import_export::ImportMode;
use crate::resources::transfer::{
    OverwritePolicy, ReducedObjects, Transfer, TransferObserver, TransferPhase, TransferReport,
    TransferVerification,
};
use crate::telemetry::log::{self, escaped};

/// Flags of `transfer`.
#[derive(Debug, Args)]
pub(super) struct TransferCommand {
    /// Place with the objects: embedded:FOLDER, etcd:URL or kubeconfig:FILE.
    ///
    /// `embedded:FOLDER`, or the path alone, is the store of a stopped server. `etcd:URL[,URL…]` is
    /// a store in etcd; parameters behind a question mark are those of --etcd-prefix, --etcd-cafile,
    /// --etcd-certfile, --etcd-keyfile and --etcd-request-timeout, as in
    /// `etcd:https://etcd-0:2379?prefix=/images&cafile=ca.crt`, and `layout=openshift` for the keys
    /// and values of openshift-apiserver. `kubeconfig:FILE[?context=NAME]` is
    /// the image API of a cluster.
    #[arg(long, value_name = "PLACE")]
    from: TransferPlace,
    /// Place that gets the objects, in the same form. A folder without a store gets one.
    #[arg(long, value_name = "PLACE")]
    to: TransferPlace,
    /// Replace objects of the target that differ from those of the same name in the source.
    #[arg(long)]
    overwrite: bool,
    /// Count the objects and name those that the target would refuse. Stores nothing.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    log: log::Options,
}

impl TransferCommand {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let Self { from, to, overwrite, dry_run, log } = self;
        log::init(log.verbosity, log.logging_format)?;
        if from.is_same(&to) {
            bail!("--from and --to are the same place, {from}: name another one");
        }
        let mode = if dry_run { ImportMode::DryRun } else { ImportMode::Write };
        let overwrite = if overwrite { OverwritePolicy::Replace } else { OverwritePolicy::Refuse };
        let source = from.source().await?;
        let target = to.target(mode).await?;
        let shown = ShownTransfer::default();
        let transfer =
            Transfer { source: &*source, target: &*target, overwrite, mode, observer: &shown };
        let report = transfer.run().await;
        // Removes the bar.
        drop(shown);
        let report = report.with_context(|| format!("transfer from {from} to {to}"))?;
        let read = report.stored + report.replaced + report.equal + report.refused;
        if read == 0 {
            bail!("{from} has no objects: name another folder, prefix or context");
        }
        end(&report)
    }
}

/// Prints the result. An object that is not transferred is an error.
fn end(report: &TransferReport) -> anyhow::Result<()> {
    let TransferReport { stored, replaced, equal, refused, reduced, verification } = report;
    let is_dry = verification.is_none();
    print_line(format_args!(
        "{}{stored} objects stored, {replaced} replaced, {equal} equal already, {refused} refused",
        if is_dry { "dry run, nothing was stored: " } else { "" }
    ));
    print_reduced(*reduced);
    let mut differing = 0;
    if let Some(TransferVerification { equal, digest, others, differences }) = verification {
        differing = differences.total;
        for difference in &differences.first {
            eprintln!("{}", escaped(difference));
        }
        print_line(format_args!("verified: {equal} objects are equal, sha256:{digest}"));
        if *others > 0 {
            print_line(format_args!("the target has {others} other objects"));
        }
    }
    match (*refused, differing) {
        (0, 0) => Ok(()),
        (refused, 0) => bail!("{refused} objects were refused; all others are in the target"),
        (0, differing) => bail!("{differing} objects differ in the target"),
        (refused, differing) => {
            bail!("{refused} objects were refused, and {differing} differ in the target")
        }
    }
}

fn print_reduced(reduced: ReducedObjects) {
    let ReducedObjects { renewed, vouched, orphaned, unrecorded, cropped } = reduced;
    if renewed > 0 {
        print_line(format_args!(
            "{renewed} objects get a new uid, creationTimestamp, generation and managedFields from the API"
        ));
    }
    if vouched > 0 {
        print_line(format_args!(
            "{vouched} images without proof of their content count as trusted there"
        ));
    }
    if orphaned > 0 {
        print_line(format_args!(
            "{orphaned} objects lose their ownerReferences, which have other UIDs there"
        ));
    }
    if unrecorded > 0 {
        println!("{unrecorded} objects lose the record of what proves their images");
    }
    if cropped > 0 {
        println!(
            "{cropped} objects lose fields of protobuf that this version does not know: use a newer one to keep them"
        );
    }
}

/// Shows the progress, and names refused objects.
#[derive(Default)]
struct ShownTransfer {
    progress: Mutex<Option<Progress>>,
}

impl TransferObserver for ShownTransfer {
    fn begun(&self, phase: TransferPhase, total: Option<u64>) {
        let action = match phase {
            TransferPhase::Copy => "copying",
            TransferPhase::Verify => "verifying",
        };
        let mut progress = self.progress.lock();
        // The old bar must end before the new one begins.
        *progress = None;
        *progress = Some(Progress::start_in(ProgressUnit::Objects, action, total));
    }

    fn advanced(&self) {
        if let Some(progress) = &*self.progress.lock() {
            progress.advance();
        }
    }

    fn refused(&self, why: &str) {
        eprintln!("refused: {}", escaped(why));
    }
}

//! `quickstart`: a server for this machine, with a sample stream and commands to try it with.
use clap::Args;
/// Flags of `quickstart`.
#[derive(Debug, Args)]
pub(super) struct Quickstart {}
impl Quickstart {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        anyhow::bail!("later")
    }
}

//! The rules of the cluster for writes, which admission reads from memory.

use futures_util::future::BoxFuture;

use super::controller::Controller;
use crate::cluster::{RuleSource, RulesReflector};

impl<S: RuleSource> Controller for RulesReflector<S> {
    fn name(&self) -> &'static str {
        S::NAME
    }

    fn run(&mut self) -> BoxFuture<'_, ()> {
        Box::pin(RulesReflector::run(self))
    }
}

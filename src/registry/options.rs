//! Options of reads and lists, as in `meta.k8s.io/v1`.

use crate::machinery::query::Query;
use crate::machinery::selector::Selector;
use crate::meta::Status;

/// The options of a read of one object.
#[derive(Clone, Debug, Default)]
pub struct GetOptions {
    /// The minimum revision of the object; empty for any.
    pub resource_version: String,
    /// The label selector of reads that return a list; empty for all.
    pub label_selector: String,
}

/// The options of a list or a watch. Texts are as the client sent them; empty ones are not set.
#[derive(Clone, Debug, Default)]
pub struct ListOptions {
    /// The label selector.
    pub label_selector: String,
    /// The field selector.
    pub field_selector: String,
    /// Requests events instead of a list.
    pub watch: bool,
    /// Requests bookmarks of a watch.
    pub allow_watch_bookmarks: bool,
    /// Requests the existing objects at the beginning of a watch; none if the client did not set
    /// it.
    pub send_initial_events: Option<bool>,
    /// The revision at which the list or the watch starts.
    pub resource_version: String,
    /// The meaning of `resource_version` for a list: `Exact` or `NotOlderThan`.
    pub resource_version_match: String,
    /// The duration of a watch, in seconds.
    pub timeout_seconds: Option<i64>,
    /// The number of objects of a page.
    pub limit: Option<i64>,
    /// The token of the previous page.
    pub continue_token: String,
    /// The content of the objects that the client needs.
    pub content: ListContent,
}

impl GetOptions {
    /// Reads the parameters of a request.
    pub fn read(query: &Query) -> Self {
        let text = |name| query.get(name).unwrap_or_default().to_owned();
        Self { resource_version: text("resourceVersion"), label_selector: text("labelSelector") }
    }
}

impl ListOptions {
    /// Reads the parameters of a request.
    ///
    /// # Errors
    /// 400 for parameters that are no numbers.
    pub fn read(query: &Query) -> Result<Self, Status> {
        let text = |name| query.get(name).unwrap_or_default().to_owned();
        let initial_events = "sendInitialEvents";
        Ok(Self {
            label_selector: text("labelSelector"),
            field_selector: text("fieldSelector"),
            watch: query.switch("watch"),
            allow_watch_bookmarks: query.switch("allowWatchBookmarks"),
            send_initial_events: query.get(initial_events).map(|_| query.switch(initial_events)),
            resource_version: text("resourceVersion"),
            resource_version_match: text("resourceVersionMatch"),
            timeout_seconds: query.integer("timeoutSeconds")?,
            limit: query.integer("limit")?,
            continue_token: text("continue"),
            content: ListContent::Whole,
        })
    }

    /// The selectors. `more_fields` are the selectable fields besides name and namespace.
    ///
    /// # Errors
    /// 400 for selectors that cannot be parsed and for unknown fields.
    pub fn selector(&self, more_fields: &[&'static str]) -> Result<Selector, Status> {
        Selector::parse(&self.label_selector, &self.field_selector, more_fields)
    }
}

/// The content of the objects of a list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ListContent {
    /// The whole object.
    #[default]
    Whole,
    /// The whole object. Fields other than the metadata may be in JSON, as they are stored.
    Stored,
    /// Metadata and the fields that the columns of a table show; other fields may be empty.
    Columns,
    /// Metadata; all other fields are empty.
    Metadata,
}

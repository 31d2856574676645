//! The nodes of a YAML document, as `parser` in `go.yaml.in/yaml/v2/decode.go` builds them.

use std::collections::HashMap;
use std::io::{BufReader, Read};

use libyaml_safer::{Encoding, Error, ErrorKind, Event, EventData, Parser, ScalarStyle};

use crate::machinery::body_cost::max_yaml_nodes;
use crate::meta::excerpt;
use crate::telemetry::caught_panic;

/// Maximum nesting. Bodies have a lower limit; this one protects the stack.
pub(super) const MAX_DEPTH: usize = 128;
/// Size of the pieces in which the parser reads its input, which it decodes to characters.
const PIECE: usize = 4 << 10;

/// The number of a node in its tree.
pub(super) type NodeId = usize;

/// The nodes of a document. A node comes before its children.
#[derive(Debug, Default)]
pub(super) struct Tree {
    nodes: Vec<Node>,
}

/// A node.
#[derive(Debug)]
pub(super) struct Node {
    /// Line of its start, from 1.
    pub(super) line: u64,
    pub(super) content: Content,
}

/// The content of a node.
#[derive(Debug)]
pub(super) enum Content {
    Scalar(YamlScalar),
    Sequence(Vec<NodeId>),
    /// Keys and values by turns.
    Mapping(Vec<NodeId>),
    Alias {
        anchor: String,
        target: NodeId,
    },
}

/// A scalar as it is written.
#[derive(Debug)]
pub(super) struct YamlScalar {
    pub(super) text: String,
    /// Its full tag; empty without one.
    pub(super) tag: String,
    /// It is plain, so that its text decides about its type.
    pub(super) is_plain: bool,
}

impl Tree {
    /// The root; none for an empty stream.
    pub(super) fn root(&self) -> Option<NodeId> {
        (!self.nodes.is_empty()).then_some(0)
    }

    pub(super) fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id]
    }
}

/// Parses the first document of a body.
///
/// # Errors
/// The error of the Go library, or the body exceeds the limits of depth and nodes.
pub(super) fn parse(body: &[u8]) -> Result<Tree, String> {
    if str::from_utf8(body).is_err() {
        return Err("yaml: invalid UTF-8".into());
    }
    // The library panics where a comma follows a tag, which is a syntax error. Nothing that the
    // closure changes is used afterwards.
    caught_panic::catch(|| read_events(body))
        .unwrap_or_else(|_| Err("yaml: found an unfinished tag".into()))
}

fn read_events(body: &[u8]) -> Result<Tree, String> {
    // The parser removes a byte order mark only if it determines the encoding.
    let body = body.strip_prefix("\u{feff}".as_bytes()).unwrap_or(body);
    // The library needs a break at the end of a block scalar. Spaces of a last line are no content.
    let last = body.iter().rposition(|byte| *byte != b' ').map_or(0, |at| at + 1);
    let body = if body[..last].ends_with(b"\n") { &body[..last] } else { body };
    let added: &[u8] = if body.ends_with(b"\n") { b"" } else { b"\n" };
    let mut parser = Parser::new();
    parser.set_encoding(Encoding::Utf8);
    parser.set_input(BufReader::with_capacity(PIECE, body.chain(added)));
    let max_nodes = max_yaml_nodes(body.len());
    let end = body.len() as u64;
    let mut builder = TreeBuilder { max_nodes, end, ..TreeBuilder::default() };
    loop {
        let event = parser.parse().map_err(|error| syntax_error(&error))?;
        if builder.add(event)? == TreeProgress::Complete {
            return Ok(builder.tree);
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum TreeProgress {
    Incomplete,
    Complete,
}

#[derive(Default)]
struct TreeBuilder {
    tree: Tree,
    /// The containers that have begun.
    open: Vec<NodeId>,
    /// The last node of each anchor.
    anchors: HashMap<String, NodeId>,
    max_nodes: usize,
    /// Length of the body. A break behind it is added.
    end: u64,
}

impl TreeBuilder {
    fn add(&mut self, event: Event) -> Result<TreeProgress, String> {
        let line = event.start_mark.line + 1;
        match event.data {
            EventData::StreamStart { .. } => {}
            EventData::DocumentStart { version_directive, .. } => {
                if version_directive.is_some_and(|version| (version.major, version.minor) != (1, 1))
                {
                    return Err(with_line(line - 1, "found incompatible YAML document"));
                }
            }
            EventData::DocumentEnd { .. } | EventData::StreamEnd => {
                return Ok(TreeProgress::Complete);
            }
            EventData::Alias { anchor } => {
                let Some(&target) = self.anchors.get(&anchor) else {
                    let shown = excerpt::of(&anchor);
                    return Err(format!("yaml: unknown anchor '{shown}' referenced"));
                };
                self.push(line, None, Content::Alias { anchor, target })?;
            }
            EventData::Scalar { anchor, tag, mut value, plain_implicit, style, .. } => {
                let is_block = matches!(style, ScalarStyle::Literal | ScalarStyle::Folded);
                if is_block && event.end_mark.index > self.end && value.ends_with('\n') {
                    value.pop();
                }
                let tag = tag.unwrap_or_default();
                let scalar = YamlScalar { text: value, tag, is_plain: plain_implicit };
                self.push(line, anchor, Content::Scalar(scalar))?;
            }
            EventData::SequenceStart { anchor, .. } => {
                self.open(line, anchor, Content::Sequence(Vec::new()))?;
            }
            EventData::MappingStart { anchor, .. } => {
                self.open(line, anchor, Content::Mapping(Vec::new()))?;
            }
            EventData::SequenceEnd | EventData::MappingEnd => drop(self.open.pop()),
        }
        Ok(TreeProgress::Incomplete)
    }

    fn open(&mut self, line: u64, anchor: Option<String>, content: Content) -> Result<(), String> {
        let id = self.push(line, anchor, content)?;
        if self.open.len() == MAX_DEPTH {
            return Err(too_deep());
        }
        self.open.push(id);
        Ok(())
    }

    fn push(
        &mut self,
        line: u64,
        anchor: Option<String>,
        content: Content,
    ) -> Result<NodeId, String> {
        let id = self.tree.nodes.len();
        if id == self.max_nodes {
            let max = self.max_nodes;
            return Err(format!(
                "yaml: the document has more than {max} values, the limit for its size"
            ));
        }
        self.tree.nodes.push(Node { line, content });
        if let Some(anchor) = anchor {
            self.anchors.insert(anchor, id);
        }
        let parent = self.open.last().map(|parent| &mut self.tree.nodes[*parent].content);
        if let Some(Content::Sequence(children) | Content::Mapping(children)) = parent {
            children.push(id);
        }
        Ok(id)
    }
}

/// Error for a document that is nested too deep.
pub(super) fn too_deep() -> String {
    format!("yaml: the document is nested deeper than {MAX_DEPTH} levels")
}

/// The error of the Go library for a syntax error, with its way to count lines.
fn syntax_error(error: &Error) -> String {
    let line = |mark: Option<libyaml_safer::Mark>| mark.map_or(0, |mark| mark.line);
    let line = match line(error.problem_mark()) {
        0 => line(error.context_mark()),
        // Errors of the scanner are one line behind the others.
        line => line + u64::from(error.kind() == ErrorKind::Scanner),
    };
    with_line(line, error.problem())
}

fn with_line(line: u64, problem: &str) -> String {
    match line {
        0 => format!("yaml: {problem}"),
        line => format!("yaml: line {line}: {problem}"),
    }
}

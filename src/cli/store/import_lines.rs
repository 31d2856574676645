//! The objects of an import, with their lines in the file.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt;
use std::io::{self, BufReader, Read};
use std::rc::Rc;

use anyhow::bail;
use serde_json::StreamDeserializer;
use serde_json::de::IoRead;
use serde_json::value::RawValue;

use crate::resources::import_export::{self, DecodeError, StoredObject};

/// The number of objects that are stored together, about as many as the store commits at once.
const BATCH_OBJECTS: usize = 2000;
/// The size of these objects in JSON, in bytes. The last value may exceed it.
const BATCH_BYTES: usize = 16 << 20;

/// Reads the objects of an import in batches.
pub(super) struct ImportLines<R: Read> {
    values: StreamDeserializer<'static, IoRead<BufReader<LineRecorder<R>>>, Box<RawValue>>,
    record: Rc<RefCell<LineRecord>>,
}

/// An object or the reason why it is none, with its number in the file.
pub(super) struct NumberedObject {
    /// The number.
    pub(super) number: ObjectNumber,
    /// The object.
    pub(super) object: Result<StoredObject, DecodeError>,
}

/// The place of an object in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ObjectNumber {
    /// The line at which its value begins, counted from 1.
    line: u64,
    /// The item of the list, counted from 1; none if the value is one object.
    item: Option<usize>,
}

impl fmt::Display for ObjectNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}", self.line)?;
        self.item.map_or(Ok(()), |item| write!(f, ", item {item}"))
    }
}

impl<R: Read> ImportLines<R> {
    /// The objects of a sequence of JSON values.
    pub(super) fn new(input: R) -> Self {
        let record = Rc::new(RefCell::new(LineRecord::default()));
        let recorder = LineRecorder { input, record: record.clone() };
        let input = BufReader::with_capacity(128 << 10, recorder);
        Self { values: serde_json::Deserializer::from_reader(input).into_iter(), record }
    }

    /// The next objects; none at the end.
    ///
    /// # Errors
    /// The input cannot be read, or is not JSON.
    pub(super) fn next_objects(&mut self) -> anyhow::Result<Option<Vec<NumberedObject>>> {
        let (mut objects, mut bytes) = (Vec::new(), 0);
        while objects.len() < BATCH_OBJECTS && bytes < BATCH_BYTES {
            let Some(value) = self.values.next() else { break };
            let value = match value {
                Ok(value) => value,
                Err(why) if self.record.borrow().is_yaml() => {
                    bail!(
                        "this is YAML, and JSON is required ({why}): use `kubectl get -o json`, or convert it"
                    );
                }
                Err(why) => bail!("it cannot be parsed as a sequence of JSON objects: {why}"),
            };
            bytes += value.get().len();
            let start = self.values.byte_offset() - value.get().len();
            let line = self.record.borrow_mut().line_of(start as u64);
            match import_export::decode_objects(&value) {
                Ok(decoded) => {
                    let is_list = decoded.len() != 1;
                    let numbered = decoded.into_iter().enumerate().map(|(at, object)| {
                        let item = is_list.then_some(at + 1);
                        NumberedObject { number: ObjectNumber { line, item }, object }
                    });
                    objects.extend(numbered);
                }
                Err(why) => {
                    let number = ObjectNumber { line, item: None };
                    objects.push(NumberedObject { number, object: Err(why) });
                }
            }
        }
        Ok((!objects.is_empty()).then_some(objects))
    }
}

/// A reader that records line ends.
struct LineRecorder<R> {
    input: R,
    record: Rc<RefCell<LineRecord>>,
}

impl<R: Read> Read for LineRecorder<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.input.read(buffer)?;
        self.record.borrow_mut().add(&buffer[..length]);
        Ok(length)
    }
}

/// The line ends behind the last value, and the start of the text.
#[derive(Default)]
struct LineRecord {
    /// Offsets of line ends that were read and not passed.
    ends: VecDeque<u64>,
    /// The number of line ends that were passed.
    passed: u64,
    read: u64,
    start: Vec<u8>,
}

impl LineRecord {
    fn add(&mut self, bytes: &[u8]) {
        const START: usize = 64;
        self.start.extend(bytes.iter().take(START.saturating_sub(self.start.len())));
        let ends = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n');
        self.ends.extend(ends.map(|(at, _)| self.read + at as u64));
        self.read += bytes.len() as u64;
    }

    /// The line of an offset, counted from 1. Offsets must not decrease.
    fn line_of(&mut self, offset: u64) -> u64 {
        while self.ends.pop_front_if(|end| *end < offset).is_some() {
            self.passed += 1;
        }
        self.passed + 1
    }

    /// Returns true if the text begins like an object in YAML.
    fn is_yaml(&self) -> bool {
        let start = String::from_utf8_lossy(&self.start);
        let starts = ["---", "apiVersion:", "kind:", "items:", "metadata:", "- ", "#"];
        starts.iter().any(|yaml| start.trim_start().starts_with(yaml))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(text: &str) -> Vec<String> {
        let objects = ImportLines::new(text.as_bytes()).next_objects().unwrap();
        objects.unwrap_or_default().iter().map(|object| object.number.to_string()).collect()
    }

    #[test]
    fn objects_are_numbered_by_line_and_item() {
        let image = r#"{"kind":"Image","apiVersion":"image.openshift.io/v1"}"#;
        let list = format!(r#"{{"kind":"List","apiVersion":"v1","items":[{image},{image}]}}"#);
        let text = format!("{image}\n\n {image}\n{list}\n{{\n}}\n7");
        let expected = ["line 1", "line 3", "line 4, item 1", "line 4, item 2", "line 5", "line 7"];
        assert_eq!(numbers(&text), expected);
        assert_eq!(numbers(""), [""; 0]);
    }

    #[test]
    fn yaml_gets_a_hint() {
        let error = |text: &str| {
            let mut lines = ImportLines::new(text.as_bytes());
            lines.next_objects().err().expect("this is not JSON").to_string()
        };
        assert!(error("apiVersion: v1\nkind: List").contains("this is YAML"));
        assert!(error("---\n{}").contains("kubectl get -o json"));
        assert!(error("{\"kind\":").contains("as a sequence of JSON objects"));
    }
}

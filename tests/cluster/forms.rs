//! Go's decoders and this server's make the same of documents that grammars write: JSON and YAML
//! bodies, server-side apply, strategic merge patches, image configurations and times.
//!
//! `FORMS_DOCUMENTS` is the number of documents, `FORMS_SEED` the first seed.

mod draft;
mod json;
mod reading;
mod time;
mod yaml;

use std::collections::BTreeMap;
use std::env;

use self::draft::Draft;
use self::reading::{Decoder, Document, Reading};

const DOCUMENTS: u64 = 10_000;
/// Documents that one run of the Go program reads.
const BATCH: u64 = 5_000;
/// Differences that are shown in full.
const SHOWN: usize = 20;

/// Results of the documents with one construct.
#[derive(Default)]
struct Count {
    documents: usize,
    accepted: usize,
    listed: usize,
    differing: usize,
}

fn variable(name: &str, default: u64) -> u64 {
    env::var(name).map_or(default, |text| text.parse().expect("the variable is a number"))
}

/// Writes the document of a seed.
fn document(seed: u64) -> Document {
    let mut draft = Draft::new(seed);
    type Grammar = fn(&mut Draft);
    let grammars: [(Decoder, &str, Grammar); 9] = [
        (Decoder::Json, "ImageStream", json::stream),
        (Decoder::Json, "ImageStream", json::stream),
        (Decoder::Json, "Image", json::image),
        (Decoder::Yaml, "ImageStream", yaml::stream),
        (Decoder::Yaml, "ImageStream", yaml::stream),
        (Decoder::Apply, "ImageStream", yaml::stream),
        (Decoder::Strategic, "ImageStream", json::patch),
        (Decoder::Config, "", json::config),
        (Decoder::Time, "", time::time),
    ];
    let (decoder, kind, write) = grammars[draft.below(grammars.len())];
    write(&mut draft);
    let body = match decoder {
        Decoder::Time => String::from_utf8_lossy(&draft.text).into_owned().into_bytes(),
        _ => draft.text,
    };
    Document { decoder, kind, body, constructs: draft.constructs }
}

#[test]
fn documents_are_read_as_by_the_decoders_of_go() {
    let (count, first) = (variable("FORMS_DOCUMENTS", DOCUMENTS), variable("FORMS_SEED", 1));
    let mut counts: BTreeMap<(Decoder, &str), Count> = BTreeMap::new();
    let mut differences = Vec::new();
    for start in (first..first + count).step_by(BATCH as usize) {
        let batch = start..(start + BATCH).min(first + count);
        let documents: Vec<Document> = batch.clone().map(document).collect();
        let by_go = reading::by_go(&documents);
        for ((seed, document), by_go) in batch.zip(&documents).zip(by_go) {
            let own = reading::own(document);
            let is_accepted = matches!(by_go, Reading::Accepted { .. });
            let listed = if own == by_go { None } else { document.listed_difference(&own, &by_go) };
            let differs = own != by_go && listed.is_none();
            for construct in
                document.constructs.iter().copied().chain(["all documents"]).chain(listed)
            {
                let count = counts.entry((document.decoder, construct)).or_default();
                count.documents += 1;
                count.accepted += usize::from(is_accepted);
                count.listed += usize::from(listed.is_some());
                count.differing += usize::from(differs);
            }
            if differs {
                let body = String::from_utf8_lossy(&document.body);
                let (kind, body) = (document.decoder, body.chars().take(1500).collect::<String>());
                differences.push(format!(
                    "seed {seed}, {kind:?}: {:?}\n{body}\n  Go:  {by_go:?}\n  own: {own:?}\n",
                    document.constructs
                ));
            }
        }
    }
    println!("decoder    documents accepted  listed differing  construct");
    for ((decoder, construct), Count { documents, accepted, listed, differing }) in &counts {
        let decoder = format!("{decoder:?}");
        println!(
            "{decoder:<10} {documents:>9} {accepted:>8} {listed:>7} {differing:>9}  {construct}"
        );
    }
    let shown = differences.iter().take(SHOWN).map(String::as_str).collect::<String>();
    assert!(differences.is_empty(), "{} differences:\n{shown}", differences.len());
}

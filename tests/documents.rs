//! Checks of the documents: links have targets, every document is reachable, and listings are
//! complete.
//!
//! Links to other hosts are not followed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Component, Path, PathBuf};
use std::process::Command;

use regex::Regex;
use serde_json::Value;

/// Maximum size of README.md in bytes.
const README_BYTES: usize = 8_000;
/// Maximum length of a line outside of tables and code, in characters.
const LINE: usize = 100;
/// Folders without documents of this project.
const SKIPPED: [&str; 5] = ["target", ".git", "data", "corpus", "node_modules"];

/// Markdown file.
struct Document {
    /// Path relative to the root of the repository.
    path: PathBuf,
    text: String,
}

/// Link inside the repository.
struct Link {
    target: String,
    path: PathBuf,
    anchor: Option<String>,
}

impl Document {
    /// Lines outside of code blocks.
    fn prose(&self) -> impl Iterator<Item = (usize, &str)> {
        let mut is_code = false;
        let lines = self.text.lines().enumerate().map(|(at, line)| (at + 1, line));
        lines.filter(move |(_, line)| {
            let is_fence = line.trim_start().starts_with("```");
            is_code ^= is_fence;
            !is_code && !is_fence
        })
    }

    /// Anchors of the headings, by GitHub's rules.
    fn anchors(&self) -> BTreeSet<String> {
        let mut anchors = BTreeSet::new();
        let headings = self
            .prose()
            .filter_map(|(_, line)| line.trim_start_matches('#').strip_prefix(' ').zip(Some(line)));
        for (heading, _) in headings.filter(|(_, line)| line.starts_with('#')) {
            let slug = slug(heading);
            let numbered = (1..).map(|number| format!("{slug}-{number}"));
            let free =
                std::iter::once(slug.clone()).chain(numbered).find(|each| !anchors.contains(each));
            anchors.insert(free.expect("an unused number exists"));
        }
        anchors
    }

    /// Links inside the repository.
    fn links(&self) -> Vec<Link> {
        let code = Regex::new("`[^`]*`").unwrap();
        let link = Regex::new(r"\[[^\]]*\]\(([^)\s]+)\)").unwrap();
        let prose: Vec<&str> = self.prose().map(|(_, line)| line).collect();
        let prose = prose.join("\n");
        // A link may have code as its text, and code may look like a link.
        let prose = code.replace_all(&prose, "code");
        let targets = link.captures_iter(&prose).map(|found| found[1].to_owned());
        targets
            .filter(|target| !target.contains("://") && !target.starts_with("mailto:"))
            .map(|it| self.link(it))
            .collect()
    }

    fn link(&self, target: String) -> Link {
        let (path, anchor) =
            target.split_once('#').map_or((&*target, None), |(path, anchor)| (path, Some(anchor)));
        let folder = self.path.parent().expect("a document has a parent folder");
        let path = if path.is_empty() { self.path.clone() } else { normal(&folder.join(path)) };
        Link { path, anchor: anchor.map(str::to_owned), target }
    }
}

/// Path without `..`; unchanged where it would leave the repository.
fn normal(path: &Path) -> PathBuf {
    path.components().fold(PathBuf::new(), |mut normal, part| {
        match part {
            Component::ParentDir if normal.file_name().is_some() => drop(normal.pop()),
            Component::CurDir => {}
            other => normal.push(other),
        }
        normal
    })
}

/// Anchor of a heading: lower case, without punctuation, hyphens for spaces.
fn slug(heading: &str) -> String {
    let kept =
        heading.trim().chars().filter(|letter| letter.is_alphanumeric() || " -_".contains(*letter));
    kept.collect::<String>().to_lowercase().replace(' ', "-")
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|why| panic!("{path}: {why}"))
}

fn documents() -> BTreeMap<PathBuf, Document> {
    fn walk(folder: &Path, out: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).expect("the folder is readable") {
            let path = entry.expect("the folder is readable").path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            // The chart links to other folders of the manifests.
            if path.is_symlink() {
                continue;
            }
            if path.is_dir() && !SKIPPED.contains(&name) {
                walk(&path, out);
            } else if name.ends_with(".md") {
                out.push(path);
            }
        }
    }
    let mut paths = Vec::new();
    walk(root(), &mut paths);
    let relative =
        |path: &Path| path.strip_prefix(root()).expect("the path is below the root").to_owned();
    let document = |path: PathBuf| Document {
        text: fs::read_to_string(&path).expect("a document is text"),
        path: relative(&path),
    };
    paths.into_iter().map(|path| (relative(&path), document(path))).collect()
}

fn assert_none(findings: &[String]) {
    assert!(findings.is_empty(), "\n{}", findings.join("\n"));
}

#[test]
fn links_lead_to_files_and_headings() {
    let documents = documents();
    let mut findings = Vec::new();
    for document in documents.values() {
        for Link { target, path, anchor } in document.links() {
            let place = document.path.display();
            let known = documents.get(&path);
            match anchor {
                _ if !root().join(&path).exists() => {
                    findings.push(format!("{place}: no file at {target}"))
                }
                Some(anchor) if !known.is_some_and(|known| known.anchors().contains(&anchor)) => {
                    findings.push(format!("{place}: no heading at {target}"));
                }
                _ => {}
            }
        }
    }
    assert_none(&findings);
}

#[test]
fn every_document_is_reachable_from_the_readme() {
    let documents = documents();
    let mut reached = BTreeSet::new();
    let mut next = vec![PathBuf::from("README.md")];
    while let Some(path) = next.pop() {
        if let Some(document) = documents.get(&path)
            && reached.insert(path)
        {
            next.extend(document.links().into_iter().map(|link| link.path));
        }
    }
    let lost = documents.keys().filter(|path| !reached.contains(*path));
    assert_none(
        &lost.map(|path| format!("no link leads to {}", path.display())).collect::<Vec<_>>(),
    );
}

#[test]
fn the_readme_is_short() {
    let size = read("README.md").len();
    assert!(
        size <= README_BYTES,
        "README.md has {size} bytes, at most {README_BYTES} are allowed: move text to \
        the document that its table names"
    );
}

#[test]
fn lines_of_prose_fit_the_width() {
    let mut findings = Vec::new();
    for document in documents().values() {
        for (number, line) in document.prose() {
            let is_table = line.trim_start().starts_with('|');
            let is_code = line.starts_with("    ");
            if !is_table && !is_code && line.chars().count() > LINE {
                findings.push(format!(
                    "{}:{number} is longer than {LINE} characters",
                    document.path.display()
                ));
            }
        }
    }
    assert_none(&findings);
}

#[test]
fn the_command_reference_is_up_to_date() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let status = Command::new(env!("CARGO_BIN_EXE_imagestream-apiserver"))
        .arg("docs")
        .arg(folder.path())
        .status();
    assert!(status.expect("the binary starts").success());
    let (wanted, found) = (files(folder.path()), files(&root().join("src/cli/docs")));
    let paths: BTreeSet<&PathBuf> = wanted.keys().chain(found.keys()).collect();
    let stale = paths.into_iter().filter(|path| wanted.get(*path) != found.get(*path));
    let stale: Vec<String> =
        stale.map(|path| format!("src/cli/docs/{} is out of date", path.display())).collect();
    assert!(stale.is_empty(), "\n{}\nrun: rm -r src/cli/docs; cargo run -- docs", stale.join("\n"));
}

/// Files below a folder, with their relative paths.
fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(folder).expect("the folder is readable") {
        let path = entry.expect("the folder is readable").path();
        let name = PathBuf::from(path.file_name().expect("an entry has a name"));
        if path.is_dir() {
            files.extend(
                self::files(&path).into_iter().map(|(path, content)| (name.join(path), content)),
            );
        } else {
            files.insert(name, fs::read(&path).expect("the file is readable"));
        }
    }
    files
}

#[test]
fn runbook_urls_name_headings_and_headings_name_alerts() {
    let rules: Value = serde_saphyr::from_str(&read("manifests/monitoring/rules.yaml"))
        .expect("the rules are YAML");
    let groups = rules["spec"]["groups"].as_array().expect("the rules have groups");
    let alerts =
        groups.iter().flat_map(|group| group["rules"].as_array().expect("a group has rules"));
    let wanted: BTreeSet<String> = alerts
        .map(|alert| {
            let url = alert["annotations"]["runbook_url"].as_str();
            let url = url.unwrap_or_else(|| panic!("{} has no runbook_url", alert["alert"]));
            url.split_once('#').expect("the URL names a heading").1.to_owned()
        })
        .collect();
    let path = PathBuf::from("manifests/monitoring/README.md");
    let anchors = documents().remove(&path).expect("the runbook exists").anchors();
    let found: BTreeSet<String> =
        anchors.into_iter().filter(|anchor| anchor.starts_with("imagestreamapiserver")).collect();
    assert_eq!(found, wanted);
}

#[test]
fn deliberate_differences_are_documented_with_their_cases() {
    let exceptions: Vec<Value> = serde_json::from_str(&read("tests/conformance/exceptions.json"))
        .expect("the exceptions are JSON");
    let name = |exception: &Value| {
        exception["case"].as_str().expect("an exception names its case").to_owned()
    };
    let deliberate =
        exceptions.iter().filter(|each| each["reason"] == "deliberate-difference").map(name);
    let text = read("tests/conformance/README.md");
    let case = Regex::new(r"`([a-z]+/[a-z0-9-]+)`").unwrap();
    let documented: BTreeSet<String> =
        case.captures_iter(&text).map(|found| found[1].to_owned()).collect();
    let missing =
        deliberate.collect::<BTreeSet<_>>().into_iter().filter(|case| !documented.contains(case));
    let missing = missing.map(|case| format!("tests/conformance/README.md does not name {case}"));
    let lost = documented
        .iter()
        .filter(|case| !root().join(format!("tests/conformance/cases/{case}.json")).exists());
    let lost =
        lost.map(|case| format!("tests/conformance/README.md names {case}, which does not exist"));
    assert_none(&missing.chain(lost).collect::<Vec<_>>());
}

/// Private items are named with their files, because rustdoc cannot link to them from the crate
/// page.
#[test]
fn the_walks_name_items_that_exist() {
    let lines: Vec<String> = read("src/lib.rs")
        .lines()
        .map(|line| line.trim_start_matches("//!").trim().to_owned())
        .collect();
    let page = lines.join(" ");
    let path =
        |file: &str| root().join(if file.starts_with("tests/") { "" } else { "src" }).join(file);
    let file = Regex::new(r"`([a-z_/]+\.rs)`").unwrap();
    let lost = file.captures_iter(&page).filter(|found| !path(&found[1]).is_file());
    let lost = lost.map(|found| format!("src/lib.rs names {}, which does not exist", &found[1]));
    let item = Regex::new(r"`(\w+)`,? in `([a-z_/]+\.rs)`").unwrap();
    let items: Vec<_> = item.captures_iter(&page).map(|found| found.extract::<2>().1).collect();
    assert!(items.len() > 10, "the walks name items: {items:?}");
    let is_defined = |[name, file]: &&[&str; 2]| {
        let definition =
            Regex::new(&format!(r"\b(fn|struct|enum|trait|const|type) {name}\b")).unwrap();
        definition.is_match(&fs::read_to_string(path(file)).unwrap_or_default())
    };
    let missing = items.iter().filter(|item| !is_defined(item));
    let missing = missing
        .map(|[name, file]| format!("src/lib.rs names {name} in {file}, which does not define it"));
    assert_none(&lost.chain(missing).collect::<Vec<_>>());
}

#[test]
fn anchors_follow_the_rules_of_github() {
    let document = |text: &str| Document { path: "a/b.md".into(), text: text.into() };
    let anchors =
        document("# A `b`: c, d!\n## Two\n```\n# code\n```\n### Two\n#no heading\n").anchors();
    assert_eq!(anchors.into_iter().collect::<Vec<_>>(), ["a-b-c-d", "two", "two-1"]);
    let links = document("[a](../c.md#x) `[b](no.md)` [d\ne](#y) [f](https://g/h.md)").links();
    let found: Vec<_> =
        links.iter().map(|link| (link.path.to_str().unwrap(), link.anchor.as_deref())).collect();
    assert_eq!(found, [("c.md", Some("x")), ("a/b.md", Some("y"))]);
}

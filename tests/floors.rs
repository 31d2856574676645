//! The floors of the code as tests: modules use only what lies below them, every file is a part of the crate and says
//! what it is for, and the house rules that can be read off the text hold.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

#[path = "floors/imports.rs"]
mod imports;

/// The modules, from the ground up. A module uses nothing beside it and nothing above it.
const FLOORS: [&[&str]; 12] = [
    &["meta", "store", "telemetry"],
    &["runtime"],
    &["api", "cluster"],
    &["machinery"],
    &["domain", "auth", "tls"],
    &["oci"],
    &["registry"],
    &["endpoints"],
    &["resources"],
    &["controllers"],
    &["server"],
    &["cli"],
];
/// The most lines of a file.
const LINES: usize = 500;
/// The most characters of a test's name.
const NAME_LENGTH: usize = 60;

/// The most type names that may be defined in more than one file of `src`; it may only fall.
const MAX_SHARED_TYPE_NAMES: usize = 8;

/// A file of Rust, by its path below the folder that was read.
struct Source {
    path: PathBuf,
    text: String,
}

impl Source {
    /// The module of the first level that the file belongs to; none for the roots of the crates.
    fn module(&self) -> Option<String> {
        let first = self.path.components().next()?.as_os_str().to_str()?;
        (!["build.rs", "lib.rs", "main.rs"].contains(&first))
            .then(|| first.trim_end_matches(".rs").to_owned())
    }

    /// How many modules lie around the content of the file, its own included.
    fn depth(&self) -> usize {
        let is_mod = self.path.file_name().is_some_and(|name| name == "mod.rs");
        self.path.components().count() - usize::from(is_mod)
    }

    /// Returns true for files that are compiled for tests only.
    fn is_of_tests(&self) -> bool {
        let names = ["tests", "tests.rs", "fixtures.rs"];
        self.path.iter().any(|part| names.iter().any(|name| part == *name))
    }

    /// The lines that are code, with their numbers, without those of tests at the end of the file.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let lines = self.text.lines().enumerate().map(|(at, line)| (at + 1, line));
        let is_test_file = self.is_of_tests();
        let lines =
            lines.take_while(move |(_, line)| !is_test_file && line.trim() != "#[cfg(test)]");
        lines.filter(|(_, line)| !line.trim_start().starts_with("//"))
    }

    /// The modules of the first level that the file uses, with the number of the line.
    fn uses(&self) -> Vec<(usize, String)> {
        let mut uses = Vec::new();
        for (at, start) in
            self.text.match_indices("crate::").map(|(at, found)| (at, at + found.len()))
        {
            let line_start = self.text[..at].rfind('\n').map_or(0, |end| end + 1);
            let before = &self.text[line_start..at];
            let is_word =
                before.ends_with(|letter: char| letter.is_alphanumeric() || "_:$".contains(letter));
            if is_word || before.trim_start().starts_with("//") {
                continue;
            }
            let number = self.text[..at].lines().count().max(1);
            uses.extend(first_names(&self.text[start..]).into_iter().map(|name| (number, name)));
        }
        uses
    }
}

/// The first names of a path, or of each path of a group in braces.
fn first_names(text: &str) -> Vec<String> {
    let name = |text: &str| -> String {
        text.trim_start()
            .chars()
            .take_while(|letter| letter.is_alphanumeric() || *letter == '_')
            .collect()
    };
    let Some(group) = text.strip_prefix('{') else { return vec![name(text)] };
    let (mut depth, mut start, mut names) = (0, 0, Vec::new());
    for (at, letter) in group.char_indices() {
        match letter {
            '{' => depth += 1,
            '}' if depth == 0 => {
                names.push(name(&group[start..at]));
                break;
            }
            '}' => depth -= 1,
            ',' if depth == 0 => {
                names.push(name(&group[start..at]));
                start = at + 1;
            }
            _ => {}
        }
    }
    names.retain(|name| !name.is_empty());
    names
}

fn source_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// The files of the crate.
fn sources() -> Vec<Source> {
    sources_of(&source_folder())
}

/// The files of Rust below a folder.
fn sources_of(root: &Path) -> Vec<Source> {
    fn walk(folder: &Path, root: &Path, out: &mut Vec<Source>) {
        for entry in fs::read_dir(folder).expect("the folder can be read") {
            let path = entry.expect("the folder can be read").path();
            if path.is_dir() {
                walk(&path, root, out);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).expect("source is text");
                out.push(Source {
                    path: path.strip_prefix(root).expect("it lies there").to_owned(),
                    text,
                });
            }
        }
    }
    let mut out = Vec::new();
    walk(root, root, &mut out);
    out.sort_by(|a, b| a.path.cmp(&b.path));
    assert!(!out.is_empty(), "there is source");
    out
}

fn floor(module: &str) -> Option<usize> {
    FLOORS.iter().position(|floor| floor.contains(&module))
}

fn assert_none(findings: &[String]) {
    assert!(findings.is_empty(), "\n{}", findings.join("\n"));
}

#[test]
fn every_module_has_a_floor() {
    let modules: BTreeSet<String> = sources().iter().filter_map(Source::module).collect();
    let homeless: Vec<String> =
        modules.into_iter().filter(|module| floor(module).is_none()).collect();
    assert_none(&homeless);
}

#[test]
fn every_listed_module_exists() {
    let modules: BTreeSet<String> = sources().iter().filter_map(Source::module).collect();
    let missing = FLOORS.iter().copied().flatten().filter(|module| !modules.contains(**module));
    assert_none(
        &missing.map(|module| format!("{module} is listed and does not exist")).collect::<Vec<_>>(),
    );
}

#[test]
fn files_do_not_import_each_other_in_a_cycle() {
    assert_none(&imports::cycles(&sources()));
}

/// The names of the types that a file defines.
fn type_names(source: &Source) -> BTreeSet<String> {
    let keywords = ["struct ", "enum ", "trait ", "union "];
    let code = source.code().filter_map(|(_, line)| {
        let line = line.trim_start();
        let line = line.strip_prefix("pub ").unwrap_or(line);
        let line = line
            .strip_prefix("pub(")
            .and_then(|rest| rest.split_once(") "))
            .map_or(line, |(_, line)| line);
        keywords.iter().find_map(|keyword| line.strip_prefix(keyword))
    });
    code.map(|rest| {
        rest.chars().take_while(|letter| letter.is_alphanumeric() || *letter == '_').collect()
    })
    .collect()
}

/// A name that several files define leads a search to the wrong one.
#[test]
fn few_type_names_are_defined_in_several_files() {
    let mut files: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for source in sources() {
        for name in type_names(&source).into_iter().filter(|name| name != "Options") {
            files.entry(name).or_default().push(source.path.display().to_string());
        }
    }
    files.retain(|_, files| files.len() > 1);
    let listed: Vec<String> =
        files.iter().map(|(name, files)| format!("{name}: {}", files.join(", "))).collect();
    assert!(listed.len() <= MAX_SHARED_TYPE_NAMES, "{} names\n{}", listed.len(), listed.join("\n"));
}

/// The lines of documentation of a file, without their comment marks.
fn doc_lines(source: &Source) -> impl Iterator<Item = &str> {
    let text = |line: &'_ str| -> Option<usize> {
        let line = line.trim_start();
        (line.starts_with("///") || line.starts_with("//!")).then_some(3)
    };
    source
        .text
        .lines()
        .filter_map(move |line| text(line).map(|marks| line.trim_start()[marks..].trim_start()))
}

/// Documentation names a thing or an action. A line that starts with a question word is a clause
/// without its subject.
#[test]
fn doc_lines_do_not_start_with_question_words() {
    let words = ["What", "How", "Whether", "Who", "Which", "Where"];
    let (mut all, mut findings) = (0, Vec::new());
    for source in sources() {
        for line in doc_lines(&source) {
            all += 1;
            let first = line.split(|letter: char| !letter.is_alphanumeric()).next();
            if first.is_some_and(|first| words.contains(&first)) {
                findings.push(format!("{}: {line}", source.path.display()));
            }
        }
    }
    assert!(
        findings.len() * 100 < all,
        "{} of {all} lines\n{}",
        findings.len(),
        findings.join("\n")
    );
}

#[test]
fn modules_use_only_what_lies_below_them() {
    let mut findings = Vec::new();
    for source in sources() {
        let Some(module) = source.module() else { continue };
        for (line, used) in source.uses().into_iter().filter(|(_, used)| *used != module) {
            if floor(&used) >= floor(&module) || floor(&used).is_none() {
                findings.push(format!(
                    "{}:{line} uses {used}, which is not below {module}",
                    source.path.display()
                ));
            }
        }
    }
    assert_none(&findings);
}

/// `crate::` paths are judged by floor, so no other path may lead out of a module of the first level.
#[test]
fn no_path_climbs_out_of_its_module() {
    let mut findings = Vec::new();
    for source in sources().iter().filter(|source| source.module().is_some()) {
        for (number, line) in source.code() {
            let (_, most) = line.split_inclusive("super::").fold((0, 0), |(run, most), part| {
                let run = if part == "super::" {
                    run + 1
                } else {
                    usize::from(part.ends_with("super::"))
                };
                (run, run.max(most))
            });
            if most >= source.depth() {
                findings.push(format!("{}:{number}: {}", source.path.display(), line.trim()));
            }
        }
    }
    assert_none(&findings);
}

/// The files that are reached from a file through `mod name;`.
fn reachable(file: &Path, out: &mut BTreeSet<PathBuf>) {
    let text = fs::read_to_string(file).unwrap_or_else(|why| panic!("{}: {why}", file.display()));
    out.insert(file.to_owned());
    let stem = file.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    let parent = file.parent().expect("a file lies in a folder");
    let folder =
        if ["lib", "main", "mod"].contains(&stem) { parent.to_owned() } else { parent.join(stem) };
    for line in text.lines().map(str::trim).filter(|line| line.ends_with(';')) {
        let words: Vec<&str> = line.trim_end_matches(';').split_whitespace().collect();
        let (["mod", name] | [_, "mod", name]) = words[..] else { continue };
        let inner = [folder.join(format!("{name}.rs")), folder.join(name).join("mod.rs")];
        let inner =
            inner.iter().find(|path| path.is_file()).expect("the compiler found the module");
        reachable(inner, out);
    }
}

#[test]
fn every_file_is_a_part_of_the_crate() {
    let mut reached = BTreeSet::new();
    for root in ["build.rs", "lib.rs", "main.rs"] {
        reachable(&source_folder().join(root), &mut reached);
    }
    let lost = sources()
        .into_iter()
        .filter(|source| !reached.contains(&source_folder().join(&source.path)));
    assert_none(
        &lost
            .map(|source| format!("no `mod` leads to {}", source.path.display()))
            .collect::<Vec<_>>(),
    );
}

#[test]
fn every_file_says_what_it_is_for_and_is_not_too_long() {
    let mut findings = Vec::new();
    for source in sources() {
        let (path, lines) = (source.path.display(), source.text.lines().count());
        if !source.text.starts_with("//!") {
            findings.push(format!("{path} does not begin with //!"));
        }
        if lines > LINES {
            findings.push(format!("{path} has {lines} lines, at most {LINES} are wanted"));
        }
    }
    assert_none(&findings);
}

#[test]
fn code_neither_unwraps_nor_allows_without_a_reason() {
    let mut findings = Vec::new();
    for source in sources() {
        for (number, line) in source.code() {
            let place = format!("{}:{number}: {}", source.path.display(), line.trim());
            if line.contains(".unwrap()") {
                findings.push(format!("{place} (unwrap belongs into tests)"));
            }
            if line.contains("#[allow(") || line.contains("#![allow(") {
                findings.push(format!("{place} (say #[expect(…, reason = …)])"));
            }
        }
    }
    assert_none(&findings);
}

/// `store/open.rs` opens every backend, so that a new one changes no caller.
#[test]
fn only_the_store_names_its_backends() {
    let mut findings = Vec::new();
    for source in sources().iter().filter(|source| !source.path.starts_with("store")) {
        for (number, line) in source.code().filter(|(_, line)| line.contains("embedded::")) {
            findings.push(format!("{}:{number}: {}", source.path.display(), line.trim()));
        }
    }
    assert_none(&findings);
}

/// All writes pass the admission chain, which the update loop runs.
#[test]
fn only_the_update_loop_commits() {
    let allowed = ["store", "registry/guaranteed_update.rs"];
    let mut findings = Vec::new();
    for source in sources() {
        if allowed.iter().any(|path| source.path.starts_with(path)) {
            continue;
        }
        for (number, line) in source.code().filter(|(_, line)| line.contains(".commit(")) {
            findings.push(format!("{}:{number}: {}", source.path.display(), line.trim()));
        }
    }
    assert_none(&findings);
}

/// The names of the functions behind `#[test]` or `#[tokio::test(…)]`.
fn test_names(text: &str) -> impl Iterator<Item = &str> {
    let attributes = ["#[test]", "#[tokio::test"];
    let after = |(at, _): (usize, &str)| text[at..].split_once("fn ")?.1.split('(').next();
    attributes.into_iter().flat_map(|attribute| text.match_indices(attribute)).filter_map(after)
}

#[test]
fn test_names_are_short() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut findings = Vec::new();
    for folder in ["src", "tests", "benches"] {
        for source in sources_of(&root.join(folder)) {
            let long = test_names(&source.text).filter(|name| name.len() > NAME_LENGTH);
            findings.extend(long.map(|name| {
                let (path, length) = (source.path.display(), name.len());
                format!("{folder}/{path}: {name} has {length} characters, at most {NAME_LENGTH} are allowed")
            }));
        }
    }
    assert_none(&findings);
}

#[test]
fn test_names_are_found() {
    let text = "    #[test]\n    #[ignore]\n    fn one() {}\n#[tokio::test(flavor = \"x\")]\nasync fn two() {}";
    assert_eq!(test_names(text).collect::<Vec<_>>(), ["one", "two"]);
}

#[test]
fn the_paths_of_a_use_are_read() {
    let names = |text: &str| first_names(text);
    assert_eq!(names("meta::Status;"), ["meta"]);
    assert_eq!(names("{api::{A, B}, meta::field, };"), ["api", "meta"]);
    assert_eq!(
        names("{\n    domain::reference::Reference,\n    meta::field,\n};"),
        ["domain", "meta"]
    );
}

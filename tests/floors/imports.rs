//! Imports between the files of `src`, resolved through re-exports to the files that define the
//! items.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::Source;

/// A module path, such as `["registry", "watch", "hub"]`.
type ModulePath = Vec<String>;

/// The files of the crate by module path, and the names that each of them re-exports.
struct Crate<'a> {
    files: BTreeMap<ModulePath, &'a Source>,
    reexports: BTreeMap<ModulePath, BTreeMap<String, Vec<String>>>,
}

/// Groups of files that import each other, directly or through others.
pub(crate) fn cycles(sources: &[Source]) -> Vec<String> {
    let files: BTreeMap<_, _> = sources
        .iter()
        .filter(|file| is_library(file))
        .map(|file| (module_path(&file.path), file))
        .collect();
    let mut tree = Crate { files, reexports: BTreeMap::new() };
    for (module, source) in &tree.files {
        let public = statements(source).into_iter().filter(|(is_public, _)| *is_public);
        let names = public
            .flat_map(|(_, text)| paths(&text))
            .filter_map(|(path, name)| Some((name, tree.absolute(module, &path)?)));
        tree.reexports.insert(module.clone(), names.collect());
    }
    let edges: BTreeMap<&ModulePath, BTreeSet<ModulePath>> =
        tree.files.iter().map(|(module, source)| (module, tree.imports(module, source))).collect();
    let mut found = BTreeSet::new();
    for start in edges.keys() {
        let below = reachable(&edges, start);
        let group: BTreeSet<String> = below
            .iter()
            .filter(|other| reachable(&edges, other).contains(*start))
            .map(|module| module.join("::"))
            .collect();
        if group.len() > 1 {
            found.insert(group.into_iter().collect::<Vec<_>>().join(", "));
        }
    }
    found.into_iter().collect()
}

fn is_library(source: &Source) -> bool {
    let programs = ["main.rs", "build.rs"];
    !source.is_of_tests() && !programs.iter().any(|name| source.path == Path::new(name))
}

fn module_path(path: &Path) -> ModulePath {
    let parts = path.with_extension("");
    let mut parts: ModulePath =
        parts.components().map(|part| part.as_os_str().to_string_lossy().into_owned()).collect();
    if parts.last().is_some_and(|last| last == "mod" || last == "lib") {
        parts.pop();
    }
    parts
}

/// The `use` statements of a file, each with its text behind `use` and true if it is public.
fn statements(source: &Source) -> Vec<(bool, String)> {
    let code: String = source.code().map(|(_, line)| format!("{line}\n")).collect();
    let mut found = Vec::new();
    for (at, _) in code.match_indices("use ") {
        let line_start = code[..at].rfind('\n').map_or(0, |end| end + 1);
        let before = code[line_start..at].trim();
        let is_statement =
            before.is_empty() || (before.starts_with("pub") && !before.contains(' '));
        if let Some((text, _)) = code[at + 4..].split_once(';').filter(|_| is_statement) {
            found.push((!before.is_empty(), text.split_whitespace().collect::<Vec<_>>().join(" ")));
        }
    }
    found
}

/// The paths of a `use` tree, each with the name that it brings into scope.
fn paths(text: &str) -> Vec<(Vec<String>, String)> {
    let text = text.trim();
    if let Some((prefix, group)) = text.split_once('{') {
        let prefix: Vec<String> =
            prefix.trim_end_matches("::").split("::").map(|part| part.trim().to_owned()).collect();
        let group = group.trim_end().strip_suffix('}').unwrap_or(group);
        let mut all = Vec::new();
        for (path, name) in split_group(group).into_iter().flat_map(paths) {
            let path = if path == ["self"] { Vec::new() } else { path };
            let name =
                if name == "self" { prefix.last().cloned().unwrap_or_default() } else { name };
            all.push((
                prefix.iter().cloned().chain(path).filter(|part| !part.is_empty()).collect(),
                name,
            ));
        }
        return all;
    }
    let (path, alias) = text.split_once(" as ").unwrap_or((text, ""));
    let path: Vec<String> = path.split("::").map(|part| part.trim().to_owned()).collect();
    let name =
        if alias.is_empty() { path.last().cloned().unwrap_or_default() } else { alias.to_owned() };
    vec![(path, name)]
}

/// The parts of a group that commas separate, without those inside of nested groups.
fn split_group(group: &str) -> Vec<&str> {
    let (mut depth, mut start, mut parts) = (0, 0, Vec::new());
    for (at, letter) in group.char_indices() {
        match letter {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&group[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&group[start..]);
    parts.retain(|part| !part.trim().is_empty());
    parts
}

impl Crate<'_> {
    /// A path from the root of the crate; none for paths of other crates.
    fn absolute(&self, module: &ModulePath, path: &[String]) -> Option<Vec<String>> {
        let mut base = module.clone();
        let mut rest = path;
        match path.first()?.as_str() {
            "crate" => {
                base.clear();
                rest = &path[1..];
            }
            "self" => rest = &path[1..],
            "super" => {
                while rest.first().is_some_and(|part| part == "super") {
                    base.pop();
                    rest = &rest[1..];
                }
            }
            first => {
                let child: ModulePath = module.iter().cloned().chain([first.to_owned()]).collect();
                self.files.get(&child)?;
            }
        }
        Some(base.into_iter().chain(rest.iter().cloned()).collect())
    }

    /// The file that defines the item of an absolute path.
    fn definition(&self, path: &[String]) -> Option<ModulePath> {
        let mut module: ModulePath = Vec::new();
        for (at, part) in path.iter().enumerate() {
            let child: ModulePath = module.iter().cloned().chain([part.clone()]).collect();
            if self.files.contains_key(&child) {
                module = child;
                continue;
            }
            if let Some(target) = self.reexports.get(&module).and_then(|names| names.get(part)) {
                let rest = path[at + 1..].iter().cloned();
                return self.definition(&target.iter().cloned().chain(rest).collect::<Vec<_>>());
            }
            break;
        }
        self.files.contains_key(&module).then_some(module)
    }

    /// The files whose items a file uses. Re-exports are no use: they only name the door.
    fn imports(&self, module: &ModulePath, source: &Source) -> BTreeSet<ModulePath> {
        let used = statements(source).into_iter().filter(|(is_public, _)| !is_public);
        let mut all: Vec<Vec<String>> =
            used.flat_map(|(_, text)| paths(&text)).map(|(path, _)| path).collect();
        for (_, line) in source.code().filter(|(_, line)| !line.trim_start().starts_with("use ")) {
            for (at, _) in line.match_indices("crate::") {
                let is_path =
                    |letter: char| letter.is_alphanumeric() || letter == '_' || letter == ':';
                let end =
                    line[at..].find(|letter| !is_path(letter)).map_or(line.len(), |end| at + end);
                all.push(line[at..end].split("::").map(str::to_owned).collect());
            }
        }
        let targets = all.iter().filter_map(|path| self.definition(&self.absolute(module, path)?));
        targets.filter(|target| target != module && !target.is_empty()).collect()
    }
}

fn reachable(
    edges: &BTreeMap<&ModulePath, BTreeSet<ModulePath>>,
    start: &ModulePath,
) -> BTreeSet<ModulePath> {
    let (mut found, mut open) = (BTreeSet::new(), vec![start.clone()]);
    while let Some(module) = open.pop() {
        for next in edges.get(&module).into_iter().flatten() {
            if found.insert(next.clone()) {
                open.push(next.clone());
            }
        }
    }
    found
}

#[test]
fn use_trees_are_read() {
    let read = |text: &str| -> Vec<String> {
        paths(text)
            .into_iter()
            .map(|(path, name)| format!("{} as {name}", path.join("::")))
            .collect()
    };
    assert_eq!(
        read("super::hub::{Feed, Hub as H}"),
        ["super::hub::Feed as Feed", "super::hub::Hub as H"]
    );
    assert_eq!(
        read("crate::a::{self, b::{C, d}}"),
        ["crate::a as a", "crate::a::b::C as C", "crate::a::b::d as d"]
    );
}

#[test]
fn a_cycle_is_found_through_a_reexport() {
    let file = |path: &str, text: &str| Source { path: path.into(), text: text.into() };
    let sources = [
        file("a/mod.rs", "mod b;\nmod c;\npub use b::B;\n"),
        file("a/b.rs", "use super::c::C;\n"),
        file("a/c.rs", "use crate::a::B;\n"),
        file("d.rs", "use crate::a::B;\n"),
    ];
    assert_eq!(cycles(&sources), ["a::b, a::c"]);
}

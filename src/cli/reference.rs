//! Reference of commands and flags as Markdown.

use clap::builder::PossibleValue;
use clap::{Arg, Command};

const HEAD: &str = "\
# Command reference

Generated from the help texts by `cargo run -- docs`. Do not edit.

Flag names follow kube-apiserver where it has the same flag. Durations are Go durations, such as
`90s` or `1m30s`. The server refuses an invalid value or combination at start, with an error that
names the flag.
";

/// Heading of flags without a group.
const OPTIONS: &str = "Options";
/// Heading of positional arguments.
const ARGUMENTS: &str = "Arguments";
/// Width of lines outside of tables, in characters.
const WIDTH: usize = 100;

/// Document with one section for each visible command below `root`, which must be built.
pub(super) fn markdown(root: &Command) -> String {
    let mut commands = Vec::new();
    collect(root, root.get_name(), &mut commands);
    let mut document = format!("{HEAD}\n| Command | Purpose |\n|---|---|\n");
    for Section { path, command } in &commands {
        let about = command.get_about().map(ToString::to_string).unwrap_or_default();
        document += &format!("| {} | {about} |\n", link(path));
    }
    for (at, section) in commands.iter().enumerate() {
        let twin = commands[..at].iter().find(|earlier| has_flags_of(section, earlier));
        document += &section.markdown(twin);
    }
    document
}

/// One command of the document.
struct Section<'a> {
    /// Names from the program to the command.
    path: String,
    command: &'a Command,
}

fn collect<'a>(parent: &'a Command, path: &str, out: &mut Vec<Section<'a>>) {
    for command in parent.get_subcommands().filter(|command| !command.is_hide_set()) {
        let path = format!("{path} {}", command.get_name());
        if command.has_subcommands() {
            collect(command, &path, out);
        } else {
            out.push(Section { path, command });
        }
    }
}

fn has_flags_of(section: &Section<'_>, other: &Section<'_>) -> bool {
    arguments(section.command).map(Arg::get_id).eq(arguments(other.command).map(Arg::get_id))
}

/// Arguments of the command, without `--help`.
fn arguments(command: &Command) -> impl Iterator<Item = &Arg> {
    command.get_arguments().filter(|arg| !arg.is_hide_set() && arg.get_id() != "help")
}

impl Section<'_> {
    /// Section with the tables of all flags, or a link to an earlier command with the same flags.
    fn markdown(&self, twin: Option<&Section<'_>>) -> String {
        let Self { path, command } = self;
        let about = command.get_long_about().or(command.get_about()).map(ToString::to_string);
        let usage = Command::clone(command).bin_name(path).render_usage().to_string();
        let usage = usage.trim_start_matches("Usage: ");
        let about = wrapped(&about.unwrap_or_default());
        let mut section = format!("\n## {path}\n\n{about}\n    {usage}\n");
        if let Some(Section { path, .. }) = twin {
            section += &format!("\nThe flags are those of {}.\n", link(path));
            return section;
        }
        let mut headings = Vec::new();
        for arg in arguments(command) {
            if !headings.contains(&heading(arg)) {
                headings.push(heading(arg));
            }
        }
        for name in headings {
            let column = if name == ARGUMENTS { "Argument" } else { "Flag" };
            section +=
                &format!("\n### {name}\n\n| {column} | Default | Description |\n|---|---|---|\n");
            section.extend(arguments(command).filter(|arg| heading(arg) == name).map(row));
        }
        section
    }
}

/// Markdown link to the section of a command.
fn link(path: &str) -> String {
    format!("[{path}](#{})", path.replace(' ', "-"))
}

fn heading(arg: &Arg) -> &str {
    let default = if arg.is_positional() { ARGUMENTS } else { OPTIONS };
    arg.get_help_heading().unwrap_or(default)
}

/// Row of a table: flag with value name, default, long help and possible values.
fn row(arg: &Arg) -> String {
    let takes_value = arg.get_action().takes_values();
    let value = arg.get_value_names().unwrap_or_default().join(" ");
    let names = [
        arg.get_short().map(|short| format!("-{short}")),
        arg.get_long().map(|long| format!("--{long}")),
    ];
    let names: Vec<String> = names.into_iter().flatten().collect();
    let flag = match (names.join("`, `"), takes_value) {
        (names, _) if names.is_empty() => value,
        (names, true) => format!("{names} {value}"),
        (names, false) => names,
    };
    let defaults: Vec<_> =
        arg.get_default_values().iter().map(|text| text.to_string_lossy()).collect();
    let default =
        if defaults.is_empty() { "–".to_owned() } else { format!("`{}`", defaults.join(",")) };
    let help = arg.get_long_help().or(arg.get_help()).map(ToString::to_string).unwrap_or_default();
    let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
    let cells = [format!("`{flag}`"), default, format!("{}{}", cell(&help), values(arg))];
    format!("| {} |\n", cells.join(" | "))
}

/// Possible values of an argument, with their help; empty for a boolean.
fn values(arg: &Arg) -> String {
    let values = arg.get_possible_values();
    if !arg.get_action().takes_values() || values.iter().any(|value| value.get_name() == "true") {
        return String::new();
    }
    let text = |value: &PossibleValue| {
        let name = value.get_name();
        value.get_help().map_or_else(
            || format!("<br>`{name}`"),
            |help| format!("<br>`{name}`: {}", cell(&help.to_string())),
        )
    };
    values.iter().filter(|value| !value.is_hide_set()).map(text).collect()
}

/// Escapes the characters that have a meaning in a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('*', "\\*").replace('<', "&lt;")
}

/// Paragraphs of text in lines of at most [`WIDTH`] characters. clap removes the full stop of a
/// single one.
fn wrapped(text: &str) -> String {
    let mut lines = String::new();
    for paragraph in text.split("\n\n") {
        let mut line = String::new();
        for word in paragraph.split_whitespace() {
            if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > WIDTH {
                lines += &format!("{line}\n");
                line.clear();
            }
            line += if line.is_empty() { "" } else { " " };
            line += word;
        }
        lines += &format!("{line}\n\n");
    }
    let text = lines.trim_end();
    let stop = if text.contains('\n') || text.ends_with('.') { "" } else { "." };
    format!("{text}{stop}\n")
}

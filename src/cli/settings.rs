//! Flags from a file and from the environment, for the commands `serve` and `check`.
//!
//! A flag of the command line overrides the variable of that flag, which overrides the entry in the
//! file, lists included.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};

use clap::builder::ArgAction;
use clap::{Arg, Args, Command};
use serde_json::{Map, Value};

use super::effective;
use crate::meta::file_error;

/// Start of the names of variables. No variable that Kubernetes sets for a Service has the name of a
/// flag after it.
const PREFIX: &str = "IMAGESTREAM_APISERVER_FLAG_";
/// Commands whose flags can come from a file or the environment.
const COMMANDS: [&str; 2] = ["serve", "check"];
/// The flag that names the file.
const CONFIG: &str = "config";
/// Maximum size of a file in bytes.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// The flag of the file.
#[derive(Clone, Debug, Default, Args)]
#[group(skip)]
pub(super) struct SettingsOptions {
    /// YAML file with flags, by their names without dashes in front.
    ///
    /// Flags of the command line override it. So do environment variables: that of --secure-port is
    /// IMAGESTREAM_APISERVER_FLAG_SECURE_PORT, with commas between the items of a list.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// A file or variable that cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum SettingsError {
    #[error("--config: cannot read {}: {why}", path.display())]
    Unreadable { path: PathBuf, why: String },
    #[error("--config: {}: {why}", path.display())]
    Malformed { path: PathBuf, why: String },
    #[error("{place}: there is no flag --{name}; `serve --help` lists the flags")]
    UnknownFlag { place: String, name: String },
    #[error("{place}: the value of {name} must be {expected}")]
    WrongValue { place: String, name: String, expected: &'static str },
}

/// The arguments with which the program was started, and before them the flags of the file and the
/// environment that they do not override.
///
/// # Errors
/// A file that cannot be read, or an entry or variable without a flag.
pub(super) fn complete(
    root: &Command,
    arguments: Vec<OsString>,
    variables: impl Iterator<Item = (OsString, OsString)>,
) -> Result<Vec<OsString>, SettingsError> {
    let name = arguments.get(1).and_then(|name| name.to_str());
    let command = name.filter(|name| COMMANDS.contains(name));
    let Some(command) = command.and_then(|name| root.find_subcommand(name)) else {
        return Ok(arguments);
    };
    let given = &arguments[2..];
    let from_variables = of_variables(command, variables)?;
    let file = value_of(given, CONFIG).or_else(|| from_variables.value_of(CONFIG));
    let from_file = match &file {
        Some(path) => of_file(command, Path::new(path))?,
        None => Settings::default(),
    };
    let is_given = |name: &str| given.iter().any(|argument| is_flag(command, argument, name));
    let mut completed = arguments[..2].to_vec();
    for (name, flags) in from_file.0 {
        if !is_given(&name) && !from_variables.0.contains_key(&name) {
            completed.extend(flags);
        }
    }
    for (name, flags) in from_variables.0 {
        if !is_given(&name) {
            completed.extend(flags);
        }
    }
    completed.extend_from_slice(given);
    Ok(completed)
}

/// The arguments of `check`, and before them the flags of a running server that they do not
/// override. Leaves out defaults, and flags whose value is redacted or that `check` does not have.
pub(super) fn complete_from_server(
    check: &Command,
    arguments: &[OsString],
    server: &Map<String, Value>,
) -> Result<Vec<OsString>, SettingsError> {
    let (names, given) = arguments.split_at(arguments.len().min(2));
    let mut completed = names.to_vec();
    for (name, value) in server {
        let flag = check.get_arguments().find(|flag| flag.get_long() == Some(name));
        let Some(flag) = flag.filter(|_| name != CONFIG) else { continue };
        let is_given = given.iter().any(|argument| is_flag(check, argument, name));
        if !is_given && !effective::is_redacted(value) && !effective::is_default(flag, value) {
            completed.extend(flags(flag, name, value, "/configz")?);
        }
    }
    completed.extend_from_slice(given);
    Ok(completed)
}

/// Flags as arguments, by their names.
#[derive(Debug, Default, PartialEq, Eq)]
struct Settings(BTreeMap<String, Vec<OsString>>);

impl Settings {
    fn value_of(&self, name: &str) -> Option<OsString> {
        value_of(self.0.get(name)?, name)
    }
}

fn of_variables(
    command: &Command,
    variables: impl Iterator<Item = (OsString, OsString)>,
) -> Result<Settings, SettingsError> {
    let mut settings = Settings::default();
    for (variable, value) in variables {
        let variable = variable.to_string_lossy().into_owned();
        let Some(name) = variable.strip_prefix(PREFIX) else { continue };
        let name = name.to_ascii_lowercase().replace('_', "-");
        let place = format!("environment variable {variable}");
        let flag = find(command, &name, &place)?;
        let mut argument = OsString::from(format!("--{name}"));
        match flag.get_action() {
            ArgAction::SetTrue if value == "true" => {}
            ArgAction::SetTrue if value == "false" => continue,
            ArgAction::SetTrue => return Err(wrong(&place, &name, "true or false")),
            _ => {
                argument.push("=");
                argument.push(value);
            }
        }
        settings.0.insert(name, vec![argument]);
    }
    Ok(settings)
}

fn of_file(command: &Command, path: &Path) -> Result<Settings, SettingsError> {
    let unreadable = |why: String| SettingsError::Unreadable { path: path.to_owned(), why };
    let size = fs::metadata(path).map_err(|why| unreadable(file_error::reading(&why)))?.len();
    if size > MAX_FILE_BYTES {
        return Err(unreadable(format!("it has {size} bytes, at most {MAX_FILE_BYTES}")));
    }
    let text = fs::read_to_string(path).map_err(|why| unreadable(file_error::reading(&why)))?;
    of_text(command, &text, path)
}

fn of_text(command: &Command, text: &str, path: &Path) -> Result<Settings, SettingsError> {
    let malformed = |why: String| SettingsError::Malformed { path: path.to_owned(), why };
    let value: Value = serde_saphyr::from_str(text).map_err(|why| malformed(why.to_string()))?;
    let entries = match value {
        Value::Null => return Ok(Settings::default()),
        Value::Object(entries) => entries,
        _ => return Err(malformed("it must be a mapping of flags to values".into())),
    };
    let place = format!("--config: {}", path.display());
    let mut settings = Settings::default();
    for (name, value) in entries {
        let flag = find(command, &name, &place)?;
        if name == CONFIG {
            return Err(wrong(&place, &name, "a flag of the command line or a variable"));
        }
        settings.0.insert(name.clone(), flags(flag, &name, &value, &place)?);
    }
    Ok(settings)
}

/// The arguments for a value of a file.
fn flags(
    flag: &Arg,
    name: &str,
    value: &Value,
    place: &str,
) -> Result<Vec<OsString>, SettingsError> {
    let one = |value: &Value| match value {
        Value::String(text) => Ok(format!("--{name}={text}").into()),
        Value::Bool(_) | Value::Number(_) => Ok(format!("--{name}={value}").into()),
        _ => Err(wrong(place, name, "a text, a number, true, false, or a list of them")),
    };
    let is_list = matches!(flag.get_action(), ArgAction::Append);
    match (flag.get_action(), value) {
        (ArgAction::SetTrue, Value::Bool(true)) => Ok(vec![format!("--{name}").into()]),
        (ArgAction::SetTrue, Value::Bool(false)) => Ok(Vec::new()),
        (ArgAction::SetTrue, _) => Err(wrong(place, name, "true or false")),
        (_, Value::Array(items)) if is_list => items.iter().map(one).collect(),
        (_, Value::Array(_)) => Err(wrong(place, name, "one value, not a list")),
        (_, value) => one(value).map(|flag| vec![flag]),
    }
}

fn wrong(place: &str, name: &str, expected: &'static str) -> SettingsError {
    SettingsError::WrongValue { place: place.into(), name: name.into(), expected }
}

fn find<'a>(command: &'a Command, name: &str, place: &str) -> Result<&'a Arg, SettingsError> {
    let mut flags = command.get_arguments();
    flags.find(|flag| flag.get_long() == Some(name)).ok_or_else(|| SettingsError::UnknownFlag {
        place: place.to_owned(),
        name: name.to_owned(),
    })
}

/// Returns true if an argument is the flag, by its long or its short name.
fn is_flag(command: &Command, argument: &OsStr, name: &str) -> bool {
    let argument = argument.to_string_lossy();
    if let Some(long) = argument.strip_prefix("--") {
        return long.split('=').next() == Some(name);
    }
    let flag = command.get_arguments().find(|flag| flag.get_long() == Some(name));
    let short = flag.and_then(Arg::get_short);
    short.is_some_and(|short| {
        argument.strip_prefix('-').is_some_and(|letters| letters.starts_with(short))
    })
}

/// The last value of a flag among arguments.
fn value_of(arguments: &[OsString], name: &str) -> Option<OsString> {
    let flag = format!("--{name}");
    let with_value = format!("{flag}=");
    arguments.iter().enumerate().rev().find_map(|(at, argument)| {
        if *argument == *flag {
            return arguments.get(at + 1).cloned();
        }
        argument.to_str()?.strip_prefix(&with_value).map(OsString::from)
    })
}

#[cfg(test)]
mod tests;

//! Effective flags of a command: those of the command line, the environment and the file, and the
//! defaults.

use clap::builder::ArgAction;
use clap::{Arg, ArgMatches, Command};
use serde_json::Value;

use crate::server::EffectiveFlags;

/// Replaces the credentials in a URL.
const REDACTED: &str = "REDACTED";

/// Values of all flags of a command that have one.
pub(super) fn flags(command: &Command, matches: &ArgMatches) -> EffectiveFlags {
    let flags = command.get_arguments().filter_map(|flag| {
        let name = flag.get_long()?;
        Some((name.to_owned(), value(flag, matches)?))
    });
    EffectiveFlags(flags.collect())
}

/// Value of a flag; `None` without one, and for flags such as `--help`.
fn value(flag: &Arg, matches: &ArgMatches) -> Option<Value> {
    let id = flag.get_id().as_str();
    let is_list = match flag.get_action() {
        ArgAction::SetTrue => return Some(matches.get_flag(id).into()),
        ArgAction::Set => false,
        ArgAction::Append => true,
        _ => return None,
    };
    let values = matches.try_get_raw(id).ok()??;
    let mut values = values.map(|value| scalar(&value.to_string_lossy()));
    if is_list { Some(values.collect()) } else { values.next_back() }
}

/// Returns true if a flag has this value without being set.
pub(super) fn is_default(flag: &Arg, value: &Value) -> bool {
    let text = |value: &Value| match value {
        Value::String(text) => text.clone(),
        value => value.to_string(),
    };
    if matches!(flag.get_action(), ArgAction::SetTrue) {
        return *value == Value::Bool(false);
    }
    let defaults: Vec<_> =
        flag.get_default_values().iter().map(|each| each.to_string_lossy()).collect();
    let value = match value {
        Value::Array(items) => items.iter().map(text).collect::<Vec<_>>().join(","),
        value => text(value),
    };
    !defaults.is_empty() && value == defaults.join(",")
}

/// A value of the command line as YAML reads it: numbers and truth values have types.
fn scalar(text: &str) -> Value {
    match text {
        "true" => true.into(),
        "false" => false.into(),
        number if is_plain_number(number) => {
            number.parse::<u64>().map_or_else(|_| number.into(), Value::from)
        }
        text => without_credentials(text).into(),
    }
}

fn is_plain_number(text: &str) -> bool {
    text == "0" || (!text.starts_with('0') && text.bytes().all(|byte| byte.is_ascii_digit()))
}

/// The text without the user and password of a URL.
fn without_credentials(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else { return text.to_owned() };
    let authority = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    match rest[..authority].rfind('@') {
        Some(at) => format!("{scheme}://{REDACTED}{}", &rest[at..]),
        None => text.to_owned(),
    }
}

/// Returns true if a value has a redacted part.
pub(super) fn is_redacted(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains(&format!("://{REDACTED}@")),
        Value::Array(items) => items.iter().any(is_redacted),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;
    use serde_json::json;

    use super::super::Cli;
    use super::*;

    fn flags_of(arguments: &[&str]) -> EffectiveFlags {
        let mut command = Cli::command();
        command.build();
        let arguments = ["program", "serve"].iter().chain(arguments);
        let matches = command.try_get_matches_from_mut(arguments).unwrap();
        let (name, matches) = matches.subcommand().unwrap();
        flags(command.find_subcommand(name).unwrap(), matches)
    }

    #[test]
    fn flags_have_types_and_defaults() {
        let flags = flags_of(&[
            "--secure-port=1",
            "--secure-port=7443",
            "--tls-san=a.b,c.d",
            "--tls-san=e.f",
            "--anonymous-auth=false",
            "--authentication-skip-lookup",
            "-v2",
        ]);
        for (name, value) in [
            ("secure-port", json!(7443)),
            ("tls-san", json!(["a.b", "c.d", "e.f"])),
            ("anonymous-auth", json!(false)),
            ("authentication-skip-lookup", json!(true)),
            ("authentication-tolerate-lookup-failure", json!(false)),
            ("request-timeout", json!("60s")),
            ("authorization-always-allow-paths", json!(["/healthz", "/livez", "/readyz"])),
            ("v", json!(2)),
        ] {
            assert_eq!(flags.0.get(name), Some(&value), "{name}");
        }
        assert!(!flags.0.contains_key("kubeconfig") && !flags.0.contains_key("help"));
    }

    #[test]
    fn credentials_in_urls_are_redacted() {
        for (text, expected) in [
            ("https://user:secret@etcd:2379/a@b", "https://REDACTED@etcd:2379/a@b"),
            ("https://etcd:2379/a@b", "https://etcd:2379/a@b"),
            ("user:secret@host", "user:secret@host"),
        ] {
            assert_eq!(scalar(text), json!(expected));
            assert_eq!(is_redacted(&json!([expected])), expected.contains(REDACTED));
        }
        assert_eq!(
            [scalar("007"), scalar("12"), scalar("1m")],
            [json!("007"), json!(12), json!("1m")]
        );
    }
}

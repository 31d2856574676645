//! Tests of flags from files and variables.

use clap::CommandFactory;

use super::*;
use crate::cli::Cli;

fn os(texts: &[&str]) -> Vec<OsString> {
    texts.iter().map(OsString::from).collect()
}

fn with(arguments: &[&str], variables: &[(&str, &str)]) -> Result<Vec<OsString>, SettingsError> {
    let variables = variables.iter().map(|(name, value)| (name.into(), value.into()));
    complete(&Cli::command(), os(arguments), variables)
}

fn in_file(text: &str) -> Result<Settings, String> {
    let command = Cli::command();
    let command = command.find_subcommand("serve").expect("the command exists");
    of_text(command, text, Path::new("f.yaml")).map_err(|why| why.to_string())
}

fn file(text: &str) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("f.yaml");
    fs::write(&path, text).unwrap();
    let path = path.to_str().unwrap().to_owned();
    (folder, path)
}

#[test]
fn values_of_every_type_become_flags() {
    let settings = in_file(
        "secure-port: 8443\nservice-name: a\ninject-ca-bundle: true\n\
         requestheader-allowed-names: [a, b]\n",
    );
    let settings: Vec<OsString> = settings.unwrap().0.into_values().flatten().collect();
    assert_eq!(
        settings,
        os(&[
            "--inject-ca-bundle=true",
            "--requestheader-allowed-names=a",
            "--requestheader-allowed-names=b",
            "--secure-port=8443",
            "--service-name=a"
        ])
    );
    assert_eq!(in_file("# nothing\n"), Ok(Settings::default()));
}

#[test]
fn mistakes_in_a_file_are_named() {
    for (text, part) in [
        ("secure-prot: 1\n", "no flag --secure-prot"),
        ("- a\n", "must be a mapping"),
        ("a: [\n", "f.yaml"),
        ("secure-port: [1]\n", "secure-port must be one value, not a list"),
        ("secure-port: {a: 1}\n", "secure-port must be a text"),
        ("config: g.yaml\n", "config must be a flag of the command line"),
    ] {
        let why = in_file(text).unwrap_err();
        assert!(why.starts_with("--config: f.yaml") && why.contains(part), "{text}: {why}");
    }
    let missing = with(&["x", "serve", "--config=/none/f.yaml"], &[]).unwrap_err().to_string();
    assert!(missing.starts_with("--config: cannot read /none/f.yaml: "), "{missing}");
}

#[test]
fn the_command_line_overrides_variables_and_these_the_file() {
    let (_folder, path) = file("secure-port: 1\nservice-name: a\nv: 1\nbind-address: \"::\"\n");
    let variables = [
        ("IMAGESTREAM_APISERVER_FLAG_SECURE_PORT", "2"),
        ("IMAGESTREAM_APISERVER_FLAG_SERVICE_NAME", "b"),
        ("IMAGESTREAM_APISERVER_FLAG_CONFIG", path.as_str()),
        ("IMAGESTREAM_APISERVER_SERVICE_HOST", "10.0.0.1"),
        ("HOME", "/"),
    ];
    let flags = with(&["x", "serve", "--secure-port", "3", "-v2"], &variables).unwrap();
    let config = format!("--config={path}");
    assert_eq!(
        flags,
        os(&[
            "x",
            "serve",
            "--bind-address=::",
            &config,
            "--service-name=b",
            "--secure-port",
            "3",
            "-v2"
        ])
    );
}

#[test]
fn unknown_variables_with_the_prefix_are_refused() {
    let variables = [("IMAGESTREAM_APISERVER_FLAG_SECURE_PROT", "2")];
    let why = with(&["x", "serve"], &variables).unwrap_err().to_string();
    assert!(why.contains("FLAG_SECURE_PROT: there is no flag --secure-prot"), "{why}");
    let other = with(&["x", "store", "check"], &variables).unwrap();
    assert_eq!(other, os(&["x", "store", "check"]));
}

/// For a Service `a`, Kubernetes sets `A_SERVICE_HOST`, `A_SERVICE_PORT`, `A_SERVICE_PORT_NAME`,
/// `A_PORT` and `A_PORT_443_TCP`.
#[test]
fn no_flag_has_the_name_of_a_variable_of_a_service() {
    let command = Cli::command();
    for flag in command.find_subcommand("serve").expect("the command exists").get_arguments() {
        let name = flag.get_long().unwrap_or_default();
        let is_of_service = name == "port"
            || name == "service-host"
            || ["port-", "service-port"].iter().any(|start| name.starts_with(start));
        assert!(!is_of_service, "{name}");
    }
}

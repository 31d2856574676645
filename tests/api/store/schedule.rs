//! Scheduled backups of a running server, and the recipe that restores one.

use std::time::SystemTime;

use super::*;
use crate::harness::EMBEDDED;

const RECIPE: &str = include_str!("../../../manifests/OPERATIONS.md");
/// The backup that the recipe names.
const SAMPLE: &str = "imagestreams-20261129T114200Z.backup";

/// The names of the backups in a folder.
fn backups(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("the folder exists");
    let names = entries.map(|entry| entry.expect("the entry exists").file_name());
    let mut names: Vec<_> = names.map(|name| name.to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// The commands of the numbered recipe for a server outside of a cluster.
fn commands() -> Vec<&'static str> {
    let (_, section) = RECIPE.split_once("\n## Scheduled backups\n").expect("the section exists");
    let (section, _) = section.split_once("\nIn a cluster:\n").expect("the recipe ends there");
    section.lines().filter_map(|line| line.trim_start().strip_prefix("$ ")).collect()
}

#[tokio::test]
async fn scheduled_backups_are_made_and_restored_by_the_recipe() {
    let place = tempfile::tempdir().expect("a folder can be created");
    let folder = place.path().join("backups");
    fs::create_dir(&folder).expect("a folder can be created");
    fs::write(folder.join("left-over.partial"), "").expect("a file can be created");
    let flag = format!("--backup-dir={}", text(&folder));
    let mut api =
        Api::with(&[EMBEDDED, &flag, "--backup-interval=1s", "--backup-retention=2s"]).await;
    api.post(STREAMS, &stream("s")).await.is(201);
    api.push("one", &image(&digest("1"))).await;
    let is_made = |name: &String| name.ends_with(".backup");
    eventually("a backup is made", || async { backups(&folder).iter().any(is_made) }).await;
    let first = backups(&folder).into_iter().find(is_made).expect("it was there");
    eventually("old backups are removed", || async { !backups(&folder).contains(&first) }).await;
    assert!(!folder.join("left-over.partial").exists());
    let metrics = api.ask(crate::support::client::Request::new("GET", "/metrics")).await;
    let metrics = String::from_utf8_lossy(&metrics.body).into_owned();
    let value = |name: &str| {
        let line = metrics.lines().find_map(|line| line.strip_prefix(&format!("{name} ")));
        line.and_then(|value| value.parse::<u64>().ok()).unwrap_or_default()
    };
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("it is after 1970");
    let latest = value("imagestream_apiserver_backup_last_success_timestamp_seconds");
    assert!(now.as_secs() - latest < 30, "{metrics}");
    assert!(value("imagestream_apiserver_backup_size_bytes") > 0, "{metrics}");
    api.server.stop().await;
    let name = backups(&folder).pop().expect("a backup exists");
    let home = api.server.folder();
    fs::rename(&folder, home.join("backups")).expect("the folder can be moved");
    let binary = Path::new(env!("CARGO_BIN_EXE_imagestream-apiserver"));
    let path = format!("{}:/usr/bin:/bin", text(binary.parent().expect("it is in a folder")));
    let commands = commands();
    assert_eq!(commands.len(), 6, "{commands:?}");
    for command in commands {
        let output = Command::new("sh")
            .args(["-c", &command.replace(SAMPLE, &name)])
            .current_dir(&home)
            .env("PATH", &path)
            .output()
            .expect("the shell can be started");
        assert!(output.status.success(), "{command}: {output:?}");
    }
    api.restart().await;
    let restored = api.get(&format!("{STREAM_IMAGES}/s@{}", digest("1"))).await.is(200);
    assert_eq!(restored["image"]["metadata"]["name"], digest("1"));
}

#[tokio::test]
async fn a_missing_folder_of_backups_stops_no_server() {
    let api = Api::with(&[EMBEDDED, "--backup-dir=/nowhere/at/all"]).await;
    eventually("the failure is logged", || async {
        api.server.log().iter().any(|line| line.contains("a scheduled backup failed"))
    })
    .await;
    api.post(STREAMS, &stream("s")).await.is(201);
    let metrics = api.ask(crate::support::client::Request::new("GET", "/metrics")).await;
    let metrics = String::from_utf8_lossy(&metrics.body).into_owned();
    assert!(
        metrics.contains("imagestream_apiserver_backup_last_success_timestamp_seconds 0"),
        "{metrics}"
    );
}

//! Damaged stores, restore and compaction.

use super::*;

/// Changes the rows of a store that no server has open.
async fn tamper(folder: &Path, changes: Vec<Change>) {
    let store = Embedded::open(Options::new(folder)).expect("the server has closed the store");
    store
        .commit(Txn { guards: vec![], changes, ..Txn::default() })
        .await
        .expect("the rows can be changed");
}

#[tokio::test]
async fn check_reports_faults_with_remedies_and_changes_nothing() {
    let mut api = server().await;
    let folder = data(&api);
    let said = store(&["check"], &folder);
    assert!(
        said.code == Some(1)
            && said.err.contains("a server is running on")
            && said.err.contains("stop it first")
    );
    api.server.stop().await;
    let before = fs::read(folder.join("store.redb")).expect("the file exists");
    let said = done(&["check"], &folder);
    assert!(
        said.out.contains("ok    file: 7 keys, ")
            && said.out.contains("ok    objects: 2 images and 1 streams"),
        "{said:?}"
    );
    assert!(fs::read(folder.join("store.redb")).expect("the file exists") == before);
    let view = |name: &str| Key::new(format!("/image.openshift.io/views/{}", digest(name)));
    let changes = vec![
        Change::Delete(view("1")),
        Change::Put(view("2"), "other".into()),
        Change::Put(view("3"), "".into()),
    ];
    tamper(&folder, changes).await;
    let said = store(&["check"], &folder);
    assert_eq!(said.code, Some(1));
    for told in [
        format!("WRONG objects: {} is missing", view("1")),
        format!("WRONG objects: {} is not what its image makes it", view("2")),
        format!("WRONG objects: {} belongs to no image", view("3")),
        "-> save readable objects: `store export`".to_owned(),
    ] {
        assert!(said.out.contains(&told), "{told} is not in {}", said.out);
    }
    assert!(said.err.ends_with("3 checks failed\n"), "{said:?}");
    // The remedy that the report names: export and import.
    let (file, other) = (api.server.folder().join("objects"), api.server.folder().join("other"));
    done(&["export", text(&file)], &folder);
    done(&["import", text(&file)], &other);
    done(&["check"], &other);
}

#[tokio::test]
async fn a_check_of_a_damaged_file_names_the_object() {
    let mut api = Api::embedded().await;
    let mut bad = image("bad");
    bad["dockerImageConfig"] = "what is flipped".into();
    api.post("images", &bad).await.is(201);
    api.server.stop().await;
    let path = data(&api).join("store.redb");
    let mut content = fs::read(&path).expect("the file exists");
    let wanted = b"what is flipped";
    let places: Vec<_> =
        (0..content.len() - wanted.len()).filter(|at| content[*at..].starts_with(wanted)).collect();
    places.into_iter().for_each(|at| content[at] ^= 1);
    fs::write(&path, content).expect("the file can be written");
    let said = store(&["check"], &data(&api));
    assert_eq!(said.code, Some(1));
    assert!(
        said.out.contains(
            "WRONG file: the value of /image.openshift.io/images/bad written by revision "
        ),
        "{said:?}"
    );
    assert!(
        said.out.contains("-> keep a copy of the folder, and restore the latest backup"),
        "{said:?}"
    );
    let said = store(&["backup", text(&api.server.folder().join("file"))], &data(&api));
    assert!(
        said.code == Some(1) && said.err.contains("could not be finished: the value of /image"),
        "{said:?}"
    );
    assert!(!api.server.folder().join("file").exists());
    assert_eq!(partial_files(&api.server.folder()), 0);
}

#[tokio::test]
async fn backups_are_checked_without_a_folder() {
    let api = server().await;
    let file = api.server.folder().join("backup");
    done(&["backup", text(&file)], &data(&api));
    let nowhere = api.server.folder().join("nowhere");
    let flag = format!("--backup={}", text(&file));
    let said = done(&["check", &flag], &nowhere);
    assert!(
        said.out.contains("ok    backup: 7 entries as of revision ")
            && said.out.contains("ok    objects: "),
        "{said:?}"
    );
    let content = fs::read(&file).expect("the file exists");
    fs::write(&file, &content[..content.len() - 1]).expect("the file can be written");
    let said = store(&["check", &flag], &nowhere);
    assert!(
        said.code == Some(1) && said.out.contains("WRONG backup: the backup is cut off after "),
        "{said:?}"
    );
    let said = store(&["restore", text(&file)], &nowhere);
    assert!(said.code == Some(1) && said.err.contains("cut off"), "{said:?}");
    assert!(!nowhere.join("store.redb").exists());
}

#[tokio::test]
async fn restore_reads_stdin_and_never_overwrites_a_store() {
    let api = server().await;
    let backup = run(&["backup"], &data(&api), b"").stdout;
    let other = api.server.folder().join("other");
    let seen = 1_u64 << 52;
    let output =
        run(&["restore", "-", &format!("--seen-resource-version={seen}")], &other, &backup);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success() && said.contains(&format!("before revision {} ", seen + 1)),
        "{output:?}"
    );
    for folder in [&other, &data(&api)] {
        let output = run(&["restore", "-"], folder, &backup);
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1));
        assert!(
            told.contains("exists already") || told.contains("a server is running on"),
            "{told}"
        );
    }
}

#[tokio::test]
async fn a_file_is_compacted_after_the_server_only() {
    // `compact` needs a stopped server.
    let mut api = server().await;
    let said = store(&["compact"], &data(&api));
    assert!(said.code == Some(1) && said.err.contains("a server is running on"), "{said:?}");
    api.server.stop().await;
    let length = || fs::metadata(data(&api).join("store.redb")).expect("the file exists").len();
    let before = length();
    let said = done(&["compact"], &data(&api));
    assert!(said.out.starts_with("before: ") && said.out.contains("\nafter:  "), "{said:?}");
    assert!(length() < before);
    done(&["check"], &data(&api));
    let said = store(&["compact"], Path::new("/nowhere/at/all"));
    assert!(
        said.code == Some(1) && said.err.contains("there is no store in /nowhere/at/all"),
        "{said:?}"
    );
}

#[tokio::test]
async fn a_damaged_index_stops_the_start_and_the_rest_is_saved() {
    let mut api = Api::embedded_with_stream().await;
    for name in ["bad", "good"] {
        api.post("images", &image(name)).await.is(201);
    }
    api.server.stop().await;
    // In the index and in the log; the values have the name in another form.
    let (path, wanted) = (data(&api).join("store.redb"), b"/image.openshift.io/images/bad");
    let mut content = fs::read(&path).expect("the file exists");
    let places: Vec<_> =
        (0..content.len() - wanted.len()).filter(|at| content[*at..].starts_with(wanted)).collect();
    assert!(!places.is_empty());
    places.into_iter().for_each(|at| content[at + wanted.len() - 1] ^= 1);
    fs::write(&path, &content).expect("the file can be written");
    for command in [&["export"][..], &["backup"], &["import", "/dev/null"]] {
        let said = store(command, &data(&api));
        let way_out = "restore a backup, or save the rest with `store export --skip-damaged`";
        assert!(said.code == Some(1) && said.err.contains(way_out), "{command:?}: {said:?}");
    }
    let before = fs::read(&path).expect("the file exists");
    let said = store(&["export", "--skip-damaged"], &data(&api));
    assert!(said.code == Some(1) && said.err.contains("the structure of the data file is damaged"));
    assert!(said.err.contains("missing: /image.openshift.io/images/ba"), "{said:?}");
    let saved = lines(&said.out);
    assert_eq!(saved.len(), 2, "the other image and the stream: {said:?}");
    assert!(fs::read(&path).expect("the file exists") == before, "nothing was written");
    let other = api.server.folder().join("other");
    let imported = run(&["import", "-"], &other, said.out.as_bytes());
    assert!(imported.status.success(), "{imported:?}");
    done(&["check"], &other);
}

//! Images without proof in exports and imports.

use super::*;

/// Stops the server, exports its store, and serves an import of the lines for which `keep` returns
/// true.
async fn transfer(tenants: &mut Tenants, keep: impl Fn(&Value) -> bool) -> Vec<Value> {
    tenants.server.stop().await;
    let (data, other) =
        (tenants.server.folder().join("data"), tenants.server.folder().join("other"));
    let exported = run(&["export"], &data, b"");
    assert!(exported.status.success(), "{exported:?}");
    let text = String::from_utf8(exported.stdout).expect("lines are text");
    let line = |line: &&str| keep(&serde_json::from_str(line).expect("a line is JSON"));
    let kept: String = text.lines().filter(line).flat_map(|line| [line, "\n"]).collect();
    for flags in [&["--dry-run"][..], &[]] {
        let imported = run(&[&["import", "-"], flags].concat(), &other, kept.as_bytes());
        assert!(imported.status.success(), "{flags:?}: {imported:?}");
    }
    if kept == text {
        assert_eq!(String::from_utf8_lossy(&run(&["export"], &other, b"").stdout), text);
        let checked = run(&["check"], &other, b"");
        assert!(checked.status.success(), "{checked:?}");
        let again = run(&["import", "-", "--existing=skip"], &other, kept.as_bytes());
        assert!(
            again.status.success() && again.stdout.starts_with(b"0 objects stored"),
            "{again:?}"
        );
    }
    tenants.serve_instead(&other).await;
    text.lines().map(|line| serde_json::from_str(line).expect("a line is JSON")).collect()
}

#[tokio::test]
async fn an_unproved_image_stays_unproved_in_export_and_import() {
    let mut tenants = Tenants::embedded().await;
    let name = name_of(&victors());
    tenants.push(MALLORY, "mine", "t", &forged(&name)).await.is(201);
    let lines = transfer(&mut tenants, |_| true).await;
    assert_eq!(
        (&lines[0]["kind"], &lines[0]["metadata"]["name"]),
        (&json!("Image"), &json!(name)),
        "the export keeps kind and name"
    );
    tenants.push(VICTOR, "s", "t", &victors()).await.is(201);
    assert!(
        shows_victors(&tenants.shown(VICTOR, "s", &name).await.is(200)),
        "the genuine image replaces it"
    );
    sees_nothing(&tenants, &["mine"]).await;
    let shown = tenants.shown(MALLORY, "mine", &name).await.is(200);
    assert_eq!(shown["image"]["dockerImageReference"], "evil.example/backdoor:latest");
}

#[tokio::test]
async fn a_superseded_image_is_exported_and_imported_too() {
    let mut tenants = Tenants::embedded().await;
    let (name, list) = (name_of(&victors()), list_of(&[&name_of(&victors())]));
    tenants.push(MALLORY, "mine", "t", &forged(&name)).await.is(201);
    tenants.push(MALLORY, "more", "t", &list).await.is(201);
    tenants.push(VICTOR, "s", "t", &victors()).await.is(201);
    let before = tenants.shown(MALLORY, "mine", &name).await.is(200);
    let lines = transfer(&mut tenants, |_| true).await;
    assert_eq!(lines.iter().filter(|line| line["kind"] == "SupersededImage").count(), 1);
    let mut after = tenants.shown(MALLORY, "mine", &name).await.is(200);
    after["image"]["metadata"]["resourceVersion"] =
        before["image"]["metadata"]["resourceVersion"].clone();
    assert_eq!(after["image"], before["image"]);
    sees_nothing(&tenants, &["mine"]).await;
    // Images that were withheld from a stream stay withheld.
    tenants.shown(MALLORY, "more", &name).await.is(404);
    assert!(shows_victors(&tenants.shown(VICTOR, "s", &name).await.is(200)));
    tenants.push(MALLORY, "mine", "t", &victors()).await.is(201);
    assert!(
        shows_victors(&tenants.shown(MALLORY, "mine", &name).await.is(200)),
        "the push proves the image for the stream"
    );
}

#[tokio::test]
async fn a_superseded_image_that_is_not_imported_is_missing() {
    let mut tenants = Tenants::embedded().await;
    let name = name_of(&victors());
    tenants.push(MALLORY, "mine", "t", &forged(&name)).await.is(201);
    tenants.push(VICTOR, "s", "t", &victors()).await.is(201);
    transfer(&mut tenants, |line| line["kind"] != "SupersededImage").await;
    tenants.shown(MALLORY, "mine", &name).await.is(404);
    tenants.get(MALLORY, &MALLORY.path("imagestreamtags/mine:t")).await.is(404);
    assert!(shows_victors(&tenants.shown(VICTOR, "s", &name).await.is(200)));
}

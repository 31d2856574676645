//! Transfers to and from the API of a running server.

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::command::{command, export, fill, run, text, transfer, transferred};
use crate::objects::{bare, digest, image, lines, stream};
use crate::support::client::Request;
use crate::support::process::ServerProcess;
use crate::support::server::TestServer;

/// The objects besides those that [`lines`] is asked for, without the superseded image.
const FURTHER: usize = 5;
/// The annotation of streams whose status is not written yet.
const UNFINISHED: &str = "imagestream-apiserver/unfinished-transfer";

/// A running server with a kubeconfig.
struct Site {
    server: ServerProcess,
    place: String,
}

impl Site {
    async fn start() -> Self {
        let server = ServerProcess::start(&[]).await;
        let place = format!("kubeconfig:{}?context=admin", text(&kubeconfig(&server)));
        Self { server, place }
    }

    fn folder(&self, name: &str) -> PathBuf {
        self.server.folder().join(name)
    }

    async fn get(&self, path: &str) -> Value {
        self.ask(Request::new("GET", &of_api(path)), 200).await
    }

    async fn post(&self, path: &str, object: &Value) {
        self.ask(Request::new("POST", &of_api(path)).json(object), 201).await;
    }

    async fn ask(&self, request: Request, expected: u16) -> Value {
        let answer = self.server.admin().send(request).await.expect("the server responds");
        let body: Value = answer.json().expect("the response is JSON");
        assert_eq!(answer.status, expected, "{body}");
        body
    }

    /// The number of images.
    async fn images(&self) -> u64 {
        let page = self.get("images?limit=1").await;
        let items = page["items"].as_array().map_or(0, Vec::len) as u64;
        items + page["metadata"]["remainingItemCount"].as_u64().unwrap_or_default()
    }
}

fn of_api(path: &str) -> String {
    format!("/apis/image.openshift.io/v1/{path}")
}

fn kubeconfig(server: &ServerProcess) -> PathBuf {
    let path = server.folder().join("kubeconfig");
    let cluster = json!({"server": format!("https://{}", server.address()),
        "certificate-authority": server.folder().join("certs/apiserver.crt")});
    let config = json!({"apiVersion": "v1", "kind": "Config", "current-context": "none",
        "clusters": [{"name": "c", "cluster": cluster}],
        "users": [{"name": "u", "user": {"token": "token-of-admin"}}],
        "contexts": [{"name": "admin", "context": {"cluster": "c", "user": "u"}}]});
    std::fs::write(&path, config.to_string()).expect("the kubeconfig can be written");
    path
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_keeps_what_its_clients_can_write() {
    let site = Site::start().await;
    let [from, back] = ["from", "back"].map(|name| site.folder(name));
    fill(&from, &lines(5, 3));
    let all = 8 + FURTHER;
    let said = transfer(text(&from), &site.place, &[]);
    assert_eq!(said.code, Some(1), "{said:?}");
    let stored = format!("{all} objects stored, 0 replaced, 0 equal already, 1 refused\n");
    assert!(said.out.starts_with(&stored), "{said:?}");
    for named in [
        format!("{all} objects get a new uid"),
        "1 images without proof of their content count as trusted there".to_owned(),
        "1 objects lose their ownerReferences".to_owned(),
        format!("verified: {all} objects are equal, sha256:"),
    ] {
        assert!(said.out.contains(&named), "{named}: {said:?}");
    }
    assert!(said.err.contains(&format!("refused: SupersededImage {}: ", digest("54"))), "{said:?}");
    let shown = site.get("namespaces/team-1/imagestreams/stream-00001").await;
    let first = image(3)["metadata"]["name"].clone();
    let events = &shown["status"]["tags"][0];
    assert_eq!((&events["tag"], &events["items"][0]["image"]), (&json!("latest"), &first));
    assert_eq!(events["items"][0]["created"], "2024-01-02T03:04:00Z", "the time of the event");
    assert_eq!(events["items"].as_array().map(Vec::len), Some(3), "the whole history");
    assert!(shown["metadata"]["annotations"][UNFINISHED].is_null(), "{shown}");
    let signed = site.get(&format!("images/{}", digest("51"))).await;
    assert_eq!(signed["signatures"][0]["content"], "c2lnbmVk");
    let again = transfer(text(&from), &site.place, &[]);
    let equal = format!("0 objects stored, 0 replaced, {all} equal already, 1 refused\n");
    assert!(again.out.starts_with(&equal), "{again:?}");
    let said = transferred(&site.place, text(&back));
    assert!(said.out.starts_with(&format!("{all} objects stored")), "{said:?}");
    let uid = |object: &Value| object["metadata"]["uid"].clone();
    let lines = export(&back);
    let kept = lines.lines().find(|line| line.contains(&digest("51"))).expect("it is there");
    assert_eq!(uid(&serde_json::from_str(kept).expect("a line is JSON")), uid(&signed));
    let said = transferred(text(&back), &site.place);
    assert!(said.out.starts_with("0 objects stored, 0 replaced"), "{said:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn stream_without_its_status_is_completed() {
    let site = Site::start().await;
    let from = site.folder("from");
    let name = digest("a");
    let stored = stream(1, &[&name]);
    fill(&from, &format!("{}\n{stored}\n", bare(&name, "uid")));
    let mut begun = stored.clone();
    begun["metadata"] = json!({"name": stored["metadata"]["name"], "namespace": "team-1",
        "annotations": {UNFINISHED: "true"}});
    site.post("namespaces/team-1/imagestreams", &begun).await;
    let said = transferred(text(&from), &site.place);
    assert!(said.out.starts_with("2 objects stored, 0 replaced, 0 equal already"), "{said:?}");
    let shown = site.get("namespaces/team-1/imagestreams/stream-00001").await;
    assert_eq!(shown["status"]["tags"][0]["items"][0]["image"], name.as_str());
    assert!(shown["metadata"]["annotations"][UNFINISHED].is_null(), "{shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn stream_of_another_client_stays_unless_overwritten() {
    let site = Site::start().await;
    let from = site.folder("from");
    let name = digest("a");
    let stored = stream(1, &[&name]);
    fill(&from, &format!("{}\n{stored}\n", bare(&name, "uid")));
    let other = json!({"kind": "ImageStream", "apiVersion": "image.openshift.io/v1",
        "metadata": {"name": stored["metadata"]["name"], "namespace": "team-1"}});
    site.post("namespaces/team-1/imagestreams", &other).await;
    let said = transfer(text(&from), &site.place, &[]);
    assert_eq!(said.code, Some(1), "{said:?}");
    let named = "refused: ImageStream team-1/stream-00001: the target has another version";
    assert!(said.err.contains(named), "{said:?}");
    assert!(said.out.starts_with("1 objects stored"), "{said:?}");
    let said = transfer(text(&from), &site.place, &["--overwrite"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(said.out.starts_with("0 objects stored, 1 replaced, 1 equal already"), "{said:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn object_that_no_request_holds_is_named_and_the_rest_goes() {
    let site = Site::start().await;
    let from = site.folder("from");
    let mut large = bare(&digest("a"), "uid");
    large["dockerImageConfig"] = "x".repeat(3 << 20).into();
    fill(&from, &format!("{large}\n{}\n", bare(&digest("b"), "uid")));
    for flags in [&["--dry-run"][..], &[]] {
        let said = transfer(text(&from), &site.place, flags);
        assert_eq!(said.code, Some(1), "{said:?}");
        let counts = "1 objects stored, 0 replaced, 0 equal already, 1 refused";
        assert!(said.out.contains(counts), "{said:?}");
        let named = format!("refused: Image {}: it has 3", digest("a"));
        assert!(said.err.contains(&named) && said.err.contains("3145728"), "{said:?}");
        assert_eq!(site.images().await, u64::from(flags.is_empty()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_transfer_to_an_api_goes_on() {
    let site = Site::start().await;
    let from = site.folder("from");
    let text_of_lines = lines(600, 100);
    let without_superseded: String =
        text_of_lines.split_inclusive('\n').filter(|line| !line.contains("Superseded")).collect();
    fill(
        &from,
        &without_superseded.replace(r#""hasUnprovedForm":true"#, r#""hasUnprovedForm":false"#),
    );
    for _ in 0..3 {
        let before = site.images().await;
        let mut child = command(&["transfer", "--from", text(&from), "--to", &site.place])
            .spawn()
            .expect("the binary can be started");
        while site.images().await < before + 100 {
            let ended = child.try_wait().expect("the child can be waited for");
            assert!(ended.is_none(), "{ended:?} after {} images", site.images().await);
        }
        child.kill().expect("the child can be killed");
        child.wait().expect("the child can be waited for");
    }
    let said = transferred(text(&from), &site.place);
    let verified = format!("verified: {} objects are equal", 700 + FURTHER);
    assert!(said.out.contains(&verified), "{said:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn folder_of_a_running_server_is_locked() {
    let site = Site::start().await;
    let (data, other) = (site.folder("data"), site.folder("other"));
    for (from, to) in [(&data, &other), (&other, &data)] {
        fill(&other, "");
        let said = transfer(text(from), text(to), &[]);
        let named = "a server is running on";
        assert!(said.code == Some(1) && said.err.contains(named), "{said:?}");
        assert!(said.err.contains("or name its API with kubeconfig:FILE"), "{said:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn unusable_apis_are_errors_with_a_way_out() {
    let mut site = Site::start().await;
    let to = site.folder("to");
    let current = site.place.replace("?context=admin", "");
    let said = transfer(&current, text(&to), &[]);
    assert!(said.err.contains("--from: cannot use") && said.err.contains("none"), "{said:?}");
    let file = site.folder("kubeconfig");
    let config = std::fs::read_to_string(&file).expect("the kubeconfig can be read");
    let wrong = site.folder("wrong");
    std::fs::write(&wrong, config.replace("token-of-admin", "other")).expect("it can be written");
    let place = format!("kubeconfig:{}?context=admin", text(&wrong));
    let said = transfer(&place, text(&to), &[]);
    assert!(said.err.contains("does not accept the credentials"), "{said:?}");
    site.server.terminate().await;
    let said = run(&["transfer", "--from", &site.place, "--to", text(&to)], "");
    assert!(said.err.contains("start the server, or correct the address"), "{said:?}");
}

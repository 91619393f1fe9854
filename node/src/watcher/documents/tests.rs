use serde_json::json;

use super::*;

fn deployed(body: serde_json::Value) -> Listing {
    let read = DeployedPackage::parse_list(body.to_string().as_bytes()).expect("of the contract's shape");
    deployments("ship-7", read)
}

fn pulled(body: serde_json::Value) -> Listing {
    packages("ship-7", &Registry::parse_list(body.to_string().as_bytes()).expect("of the contract's shape"))
}

fn shown(listing: &Listing) -> String {
    let lines = listing.documents.iter().map(|(id, fields)| format!("{id} {}\n", Value::Object(fields.clone())));
    let counts = (listing.whole, listing.skipped, listing.annotations_left_out);
    format!("{}whole, skipped, annotations left out: {counts:?}\n", lines.collect::<String>())
}

#[test]
fn a_whole_answer_of_each_list() {
    let packages = deployed(json!({ "packages": [
        { "name": "podinfo", "version": "6.4.0", "status": 2, "flavor": "upstream", "namespaceOverride": "",
          "annotations": { "dev.uds.title": "Podinfo", "org.opencontainers.image.authors": "somebody" } },
        { "name": "core", "version": "0.30.0", "status": 1 },
    ] }));
    let pulled = pulled(json!({ "registries": [{ "name": "ghcr", "host": "ghcr.io", "packages": [
        { "repoName": "packages/podinfo", "packageName": "podinfo", "tags": [
            { "reference": "ghcr.io/packages/podinfo:6.4.0-upstream", "arch": "amd64", "version": "6.4.0",
              "totalBytes": "52428800", "pullInfo": { "downloadedBytes": "1024", "status": 1 } },
            { "reference": "ghcr.io/packages/podinfo@sha256:0123abcd", "arch": "arm64", "version": "6.3.0",
              "totalBytes": "5", "pullInfo": { "downloadedBytes": "5", "status": "PULLED" } },
        ] },
    ] }] }));
    insta::assert_snapshot!(format!("{}\n{}", shown(&packages), shown(&pulled)));
}

#[test]
fn nothing_that_looks_like_a_credential_becomes_part_of_a_document() {
    // Assembled, so that no scanner of secrets takes this file for a leak.
    let pem = format!("-----{} KEY-----", "BEGIN PRIVATE");
    let web_token = format!("ey{}.eyJz.c2ln", "JhbGci");
    let secrets = json!({
        "db.password": "hunter2", "DB_PASSWD": "hunter2", "apiToken": "hunter2", "client-secret": "hunter2",
        "registry.credential": "hunter2", "x-api-key": "hunter2", "private_key": "hunter2", "note": "password=hunter2",
        "proxy": "https://user:hunter2@proxy.example/", "cert": pem, "session": web_token, "auth": "Bearer hunter2",
        "title": "harmless",
    });
    let listing = deployed(json!({ "packages": [{
        "name": "a", "annotations": secrets, "version": "https://user:hunter2@host/", "password": "hunter2",
        "credentials": { "token": "hunter2" },
    }] }));
    let fields = &listing.documents["ship-7:a"];
    assert_eq!(fields["annotations"], json!({ "title": "harmless" }));
    assert_eq!(listing.annotations_left_out, 12);
    assert!(!shown(&listing).contains("hunter2"), "{}", shown(&listing));

    let listing = pulled(json!({ "registries": [{
        "name": "r", "host": "user:hunter2@ghcr.io", "username": "user", "password": "hunter2",
        "packages": [{ "tags": [{ "reference": "user:hunter2@ghcr.io/a:1" }, { "reference": "https://x/a" },
            { "reference": "good:1", "pullInfo": { "status": 1, "authHeader": "hunter2" } }] }],
    }] }));
    assert_eq!(listing.documents.keys().collect::<Vec<_>>(), ["ship-7:good:1"]);
    assert_eq!(listing.skipped, 2);
    assert!(!shown(&listing).contains("hunter2"), "{}", shown(&listing));
}

#[test]
fn ids_that_cannot_be_are_skipped_and_counted() {
    let long = "x".repeat(limits::MAX_AGENT_TEXT_BYTES);
    let listing = deployed(json!({ "packages": [
        { "name": "" }, { "version": "1" }, { "name": "a\nb" }, { "name": "a b" }, { "name": long }, { "name": "ok" },
    ] }));
    assert_eq!(listing.documents.keys().collect::<Vec<_>>(), ["ship-7:ok"]);
    assert_eq!((listing.skipped, listing.whole), (5, true));
}

#[test]
fn two_deployments_of_one_package_are_two_documents_in_any_order() {
    let one = json!({ "name": "a", "namespaceOverride": "blue" });
    let two = json!({ "name": "a", "namespaceOverride": "green" });
    let plain = json!({ "name": "a", "version": "1" });
    let all = deployed(json!({ "packages": [one, plain, two] }));
    assert_eq!(all.documents.keys().collect::<Vec<_>>(), ["ship-7:a", "ship-7:a:blue", "ship-7:a:green"]);
    assert_eq!(all, deployed(json!({ "packages": [two, one, plain] })));
    let alone = deployed(json!({ "packages": [two] }));
    assert_eq!(alone.documents.keys().collect::<Vec<_>>(), ["ship-7:a"]);
    let twice = deployed(json!({ "packages": [plain, plain] }));
    assert_eq!((twice.documents.len(), twice.skipped), (1, 1));
}

#[test]
fn an_item_that_cannot_be_read_leaves_its_list_in_doubt() {
    let listing = deployed(json!({ "packages": [{ "name": "a" }, { "name": "b", "version": 7 }] }));
    assert_eq!((listing.documents.len(), listing.whole), (1, false));
    let tag = json!({ "reference": "a:1", "totalBytes": -1 });
    let listing = pulled(json!({ "registries": [{ "packages": [{ "tags": [tag] }] }] }));
    assert_eq!((listing.documents.len(), listing.whole), (0, false));
}

#[test]
fn how_far_a_pull_is_is_no_content_but_that_it_is_complete() {
    let at = |downloaded: i64| {
        let tag = json!({ "reference": "a:1", "totalBytes": 100, "pullInfo": { "downloadedBytes": downloaded, "status": 1 } });
        let listing = pulled(json!({ "registries": [{ "packages": [{ "tags": [tag] }] }] }));
        content(&listing.documents["ship-7:a:1"])
    };
    assert_eq!(at(1), at(99));
    assert_ne!(at(99), at(100));
}

use proptest::prelude::*;

use super::*;

fn is(text: &str) -> Leaf<String> {
    Leaf::Is(text.into())
}

#[test]
fn only_what_the_contract_names_is_read() {
    let body = br#"{"packages":[{"name":"podinfo","version":"6.4.0","status":2,"flavor":"upstream",
        "namespaceOverride":"demo","annotations":{"title":"Podinfo","port":9898},
        "registryCredentials":{"username":"u","password":"p"},"pods":[{"name":"x"}]}]}"#;
    let packages = DeployedPackage::parse_list(body).expect("valid");
    let annotations = Annotations { texts: [("title".to_owned(), "Podinfo".to_owned())].into(), left_out: 1 };
    let expected = DeployedPackage {
        name: is("podinfo"),
        version: is("6.4.0"),
        status: Leaf::Is(2),
        flavor: is("upstream"),
        namespace_override: is("demo"),
        annotations: Leaf::Is(annotations),
    };
    assert_eq!(packages, [expected]);
}

#[test]
fn proto3_writes_long_integers_as_strings_enums_by_name_and_leaves_out_defaults() {
    let body = br#"{"registries":[{"name":"ghcr","packages":[{"repoName":"r","tags":[
        {"reference":"a:1","totalBytes":"9007199254740993","pullInfo":{"downloadedBytes":12.0,"status":"PULLING"}},
        {"reference":"a:2","totalBytes":null,"pullInfo":null},
        {"reference":"a:3","pullInfo":{"status":"3"}}]},{"tags":null}]},{}]}"#;
    let registries = Registry::parse_list(body).expect("valid");
    let tags = &registries[0].packages.items[0].tags.items;
    assert_eq!(tags[0].total_bytes, Leaf::Is(9_007_199_254_740_993));
    let pulling = PullInfo { downloaded_bytes: Leaf::Is(12), status: Leaf::Is(Level::Name("PULLING".into())) };
    assert_eq!(tags[0].pull_info, pulling);
    assert_eq!((&tags[1].total_bytes, &tags[1].pull_info), (&Leaf::Absent, &PullInfo::default()));
    assert_eq!(tags[2].pull_info.status, Leaf::Is(Level::Number(3)));
    assert!(tags.iter().all(PulledTag::is_whole));
}

#[test]
fn an_empty_list_is_one_only_if_nothing_else_stands_in_its_place() {
    for empty in ["{}", r#"{"packages":null}"#, r#"{"packages":[]}"#, r#"{"packages":[],"nextPageToken":""}"#] {
        assert_eq!(DeployedPackage::parse_list(empty.as_bytes()), Ok(vec![]), "{empty}");
    }
    let starting = DeployedPackage::parse_list(br#"{"message":"starting"}"#);
    assert_eq!(starting, Err(AnswerError::NoList { list: "packages" }));
}

#[test]
fn a_field_of_the_wrong_type_spoils_its_item_only() {
    let body =
        br#"{"packages":[{"name":7},{"name":"a","version":["x"]},{"name":"b","status":1.5},{"name":"c","status":"on"},
        {"name":"d","annotations":"none"},{"name":"e","version":{"a":{}},"flavor":true},{"name":"good"}]}"#;
    let packages = DeployedPackage::parse_list(body).expect("each can be told from the others");
    let whole: Vec<bool> = packages.iter().map(DeployedPackage::is_whole).collect();
    assert_eq!(whole, [false, false, false, false, false, false, true]);
    let long = format!(r#"{{"packages":[{{"name":"{}"}}]}}"#, "x".repeat(limits::MAX_AGENT_TEXT_BYTES + 1));
    assert!(!DeployedPackage::parse_list(long.as_bytes()).expect("valid")[0].is_whole());
}

#[test]
fn an_answer_of_another_shape_says_nothing_and_is_not_repeated() {
    let bad = [
        "",
        "hunter2",
        "[]",
        "null",
        "7",
        r#"{"packages":"hunter2"}"#,
        r#"{"packages":{"hunter2":{}}}"#,
        r#"{"packages":[hunter2]}"#,
        r#"{"packages":["hunter2"]}"#,
        r#"{"packages":[["hunter2"]]}"#,
        r#"{"packages":[{"name":"a","name":"hunter2"}]}"#,
        r#"{"packages":[],"packages":[]}"#,
        r#"{"packages":[{"name":"hunter"#,
        "{\"packages\":[{\"name\":\"\u{1}\"}]}",
        r#"{"message":"hunter2"}"#,
    ];
    let mut told = String::new();
    for body in bad {
        let error = DeployedPackage::parse_list(body.as_bytes()).expect_err(body).to_string();
        assert!(!error.contains("hunter"), "{error}");
        told.push_str(&format!("{body:?}\n  {error}\n"));
    }
    for status in [r#"{"message":"hunter2"}"#, "{}", "[]", r#"["hunter2"]"#] {
        let error = StatusAnswer::parse(status.as_bytes()).expect_err(status);
        told.push_str(&format!("status {status:?}\n  {error}\n"));
    }
    insta::assert_snapshot!(told.replace("hunter2", "(a secret)").replace("hunter", "(a secret)"));
}

#[test]
fn lists_and_lists_in_lists_are_bounded() {
    let list = |item: &str, count: usize| vec![item; count].join(",");
    let body = format!(r#"{{"packages":[{}]}}"#, list("{}", limits::MAX_AGENT_DOCUMENTS));
    assert_eq!(DeployedPackage::parse_list(body.as_bytes()).expect("at the limit").len(), limits::MAX_AGENT_DOCUMENTS);
    let body = format!(r#"{{"packages":[{}]}}"#, list("{}", limits::MAX_AGENT_DOCUMENTS + 1));
    let limit = limits::MAX_AGENT_DOCUMENTS;
    assert_eq!(DeployedPackage::parse_list(body.as_bytes()), Err(AnswerError::TooMany { what: "packages", limit }));
    let packages = format!(r#"{{"packages":[{}]}}"#, list("{}", 500));
    let body = format!(r#"{{"registries":[{}]}}"#, list(&packages, 500));
    let limit = limits::MAX_AGENT_OBJECTS;
    assert_eq!(Registry::parse_list(body.as_bytes()), Err(AnswerError::TooMany { what: "objects", limit }));
}

#[test]
fn which_annotations_are_kept_does_not_depend_on_their_order() {
    let count = limits::MAX_AGENT_ANNOTATIONS + 5;
    let entry = |i: usize| format!(r#""k{i:03}":"v""#);
    let up: Vec<String> = (0..count).map(entry).collect();
    let down: Vec<String> = (0..count).rev().map(entry).collect();
    let read = |entries: &[String]| {
        let body = format!(r#"{{"packages":[{{"annotations":{{{}}}}}]}}"#, entries.join(","));
        DeployedPackage::parse_list(body.as_bytes()).expect("valid").remove(0).annotations
    };
    assert_eq!(read(&up), read(&down));
    let Leaf::Is(read) = read(&up) else { panic!("readable") };
    assert_eq!((read.texts.len(), read.left_out), (limits::MAX_AGENT_ANNOTATIONS, 5));
}

/// JSON of any shape, with the names of the contract where they may hurt.
fn json() -> impl Strategy<Value = serde_json::Value> {
    use serde_json::Value;
    let names =
        ["packages", "registries", "name", "tags", "annotations", "status", "pullInfo", "totalBytes", "version"];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 64, 6, move |inner| {
        let key = prop_oneof![proptest::sample::select(names.to_vec()).prop_map(str::to_owned), ".{0,4}"];
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            proptest::collection::vec((key, inner), 0..6).prop_map(|entries| entries.into_iter().collect()),
        ]
    })
}

proptest! {
    #[test]
    fn whatever_comes_is_read_or_refused(body in proptest::collection::vec(any::<u8>(), 0..256)) {
        let _ = (StatusAnswer::parse(&body), DeployedPackage::parse_list(&body), Registry::parse_list(&body));
    }

    #[test]
    fn whatever_json_comes_is_read_or_refused(value in json()) {
        let body = serde_json::json!({ "packages": value, "registries": value }).to_string();
        let _ = (StatusAnswer::parse(body.as_bytes()), DeployedPackage::parse_list(body.as_bytes()));
        let _ = Registry::parse_list(body.as_bytes());
        let _ = StatusAnswer::parse(value.to_string().as_bytes());
    }
}

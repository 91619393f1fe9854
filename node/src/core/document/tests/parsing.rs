//! What is accepted as a document, and what the refusals say.

use proptest::prelude::*;

use super::*;

fn refusal(text: &str) -> String {
    JsonObject::parse(text, &JsonLimits { max_bytes: 200, max_depth: 3 }).unwrap_err().to_string()
}

#[test]
fn refusals_name_position_limit_and_remedy() {
    let texts = [
        "",
        "{\"a\":1",
        "{\"a\":1}\n x",
        "{\n  \"a\": 1,\n}",
        "{\"a\" 1}",
        "{\"é\": tru}",
        "{\"a\": \"x",
        "{\"a\": \"x\ny\"}",
        "{\"a\": \"\\x\"}",
        "{\"a\": \"\\ud800\"}",
        "{\"a\": \"\\udc00\"}",
        "{\"a\": \"\\u00g0\"}",
        "{\"a\": 01}",
        "{\"a\": 1.}",
        "{\"a\": -}",
        "[1]",
        "\"text\"",
        "12",
        "{\"a\": {\"k\": 1, \"k\": 2}}",
        "{\"a\": [[[1]]]}",
        "{\"a\": 18446744073709551616}",
        "{\"a\": -9223372036854775809}",
        "{\"a\": 1e999}",
        &format!("{{\"a\": \"{}\"}}", "x".repeat(300)),
    ];
    let said: Vec<String> = texts.iter().map(|text| refusal(text)).collect();
    insta::assert_snapshot!(said.join("\n"), @r#"
    line 1, column 1: expected a value, but the text ends here
    line 1, column 7: expected ',' or '}', but the text ends here
    line 2, column 2: text after the end of the document
    line 3, column 1: expected a key in double quotes, found '}'
    line 1, column 6: expected ':' after the key, found '1'
    line 1, column 7: expected a value, found 't'
    line 1, column 7: this string is never closed
    line 1, column 9: control character in a string: escape it as \u00XX
    line 1, column 8: unknown escape in a string
    line 1, column 8: half a surrogate pair: JSON text must be whole Unicode characters
    line 1, column 8: half a surrogate pair: JSON text must be whole Unicode characters
    line 1, column 8: \u needs four hexadecimal digits
    line 1, column 7: a number must not start with 0
    line 1, column 9: expected a digit, found '}'
    line 1, column 8: expected a digit, found '}'
    a document is a JSON object, this is an array: wrap the value, as in {"value": ...}
    a document is a JSON object, this is a string: wrap the value, as in {"value": ...}
    a document is a JSON object, this is a number: wrap the value, as in {"value": ...}
    line 1, column 16: key "k" occurs twice in one object: remove or rename one
    line 1, column 9: nested deeper than 3 levels: flatten the document
    line 1, column 7: integer 18446744073709551616 is outside -9223372036854775808 to 18446744073709551615: send it as a string
    line 1, column 7: integer -9223372036854775809 is outside -9223372036854775808 to 18446744073709551615: send it as a string
    line 1, column 7: number 1e999 is too large for a double: send it as a string
    the document has 309 bytes, the limit is 200: split it into several documents
    "#);
}

#[test]
fn numbers_are_exact_and_keep_their_kind() {
    let text = format!(
        r#"{{"min":{},"max":{},"one":1,"one_f":1.0,"zero":0,"minus":-0.0,"tenth":0.1,"big":1e+300}}"#,
        i64::MIN,
        u64::MAX
    );
    let mut document = replica(1);
    put(&mut document, &text);
    assert_eq!(rendered(&document), text);
}

/// serde_json reads this number one unit in the last place off unless a feature is on: a document
/// would drift with every read-modify-write.
#[test]
fn doubles_are_rounded_correctly() {
    for text in ["2.638344616030823e-256", "1.7976931348623157e308", "5e-324", "0.3", "122.416294033786585"] {
        let object = parse(&format!("{{\"a\":{text}}}"));
        let exact: f64 = text.parse().unwrap();
        assert_eq!(object.0[0].1, super::super::json::Json::Scalar(super::super::scalar::Scalar::F64(exact)));
    }
}

#[test]
fn space_and_escapes_are_normalised() {
    let mut document = replica(1);
    put(&mut document, " {\r\n\t\"a\\u0062\" : \"\\ud83d\\ude00\\/\\n\" , \"c\" : [ 1 , { } , [ ] ] } ");
    assert_eq!(rendered(&document), "{\"ab\":\"😀/\\n\",\"c\":[1,{},[]]}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    /// The grammar is that of serde_json, whatever the text.
    #[test]
    fn accepts_what_serde_json_accepts(text in r#"\{("a":|"b":)?([\[\]{}:, \\u0d8c+eE.\-]|"x"|[0-9]{1,3}|true|null|"\\u[0-9a-f]{4}"){0,8}\}"#) {
        let ours = JsonObject::parse(&text, &JsonLimits::default());
        let theirs = serde_json::from_str::<serde_json::Value>(&text);
        match (ours, theirs) {
            (Ok(ours), Ok(theirs)) => prop_assert_eq!(ours.to_string(), theirs.to_string()),
            (Err(JsonError::Syntax { .. }), Err(_)) => {}
            (Err(JsonError::DuplicateKey { .. } | JsonError::NumberOutOfRange { .. }), _) => {}
            (ours, theirs) => prop_assert!(false, "{:?} {:?}", ours, theirs),
        }
    }

    #[test]
    fn never_panics(text in "\\PC*") {
        let _ = JsonObject::parse(&text, &JsonLimits::default());
    }
}

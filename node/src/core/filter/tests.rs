use proptest::prelude::*;

use super::*;

const SHIP: &str = r#"{"name":"ship-7","fuel":0.25,"count":9007199254740993,"big":18446744073709551615,
    "whole":1.0,"none":null,"ready":true,"crew":["ann","bo"],"p":{"q.r":{"s":-3}},"back\\slash":1}"#;

fn compare(path: &str, comparison: Comparison, value: &str) -> bool {
    let path = Path::parse(path).expect("a path");
    Filter::Compare(path, comparison, Scalar::parse(value).expect("a scalar")).matches(SHIP)
}

#[test]
fn values_are_found_by_path_and_compared_exactly() {
    use Comparison::*;
    for (path, comparison, value, expected) in [
        ("name", Equal, r#""ship-7""#, true),
        ("name", Less, r#""ship-8""#, true),
        ("name", Less, "8", false),
        ("fuel", Less, "0.3", true),
        ("fuel", GreaterOrEqual, "0.25", true),
        ("count", Equal, "9007199254740993", true),
        ("count", Equal, "9007199254740992.0", false),
        ("count", Greater, "9007199254740992.0", true),
        ("big", Greater, "18446744073709551614", true),
        ("big", Less, "1e300", true),
        ("whole", Equal, "1", true),
        ("whole", LessOrEqual, "0.5", false),
        ("none", Equal, "null", true),
        ("missing", Equal, "null", false),
        ("missing", NotEqual, "null", true),
        ("missing", Greater, "0", false),
        ("ready", Equal, "true", true),
        ("ready", NotEqual, "1", true),
        ("crew.1", Equal, r#""bo""#, true),
        ("crew.01", Equal, r#""bo""#, false),
        (r"p.q\.r.s", Less, "-2.5", true),
        (r"back\\slash", Equal, "1", true),
    ] {
        assert_eq!(compare(path, comparison, value), expected, "{path} {comparison:?} {value}");
    }
}

#[test]
fn conditions_are_joined_and_negated() {
    let is = |path: &str| Filter::Exists(Path::parse(path).expect("a path"));
    assert!(is("none").matches(SHIP) && !is("name.x").matches(SHIP));
    assert!(Filter::And(vec![is("name"), is("fuel")]).matches(SHIP));
    assert!(!Filter::And(vec![is("name"), is("missing")]).matches(SHIP));
    assert!(Filter::Or(vec![is("missing"), is("fuel")]).matches(SHIP));
    assert!(Filter::Not(Box::new(is("missing"))).matches(SHIP));
}

#[test]
fn what_cannot_be_a_filter_is_refused_with_the_remedy() {
    let mut deep = Filter::Exists(Path::parse("a").expect("a path"));
    let wide = Filter::Or(vec![deep.clone(); limits::MAX_FILTER_CONDITIONS]);
    for _ in 0..limits::MAX_FILTER_DEPTH {
        deep = Filter::Not(Box::new(deep));
    }
    let refused = [
        deep.validate().unwrap_err(),
        wide.validate().unwrap_err(),
        Path::parse("").unwrap_err(),
        Path::parse(r"a\b").unwrap_err(),
        Path::parse(&"k".repeat(limits::MAX_FILTER_PATH_BYTES + 1)).unwrap_err(),
        Scalar::parse("").unwrap_err(),
        Scalar::parse("[1]").unwrap_err(),
        Scalar::parse("ship-7").unwrap_err(),
        Scalar::parse(&format!("\"{}\"", "k".repeat(limits::MAX_FILTER_VALUE_BYTES))).unwrap_err(),
        FilterError::Operator { given: 77 },
        FilterError::Operands { op: "FILTER_OP_NOT", wanted: "exactly one", actual: 2 },
    ];
    insta::assert_snapshot!(refused.map(|error| error.to_string()).join("\n"));
}

proptest! {
    #[test]
    fn integers_and_doubles_are_ordered_as_numbers(a in any::<i64>(), b in any::<i32>()) {
        let (whole, half) = (f64::from(b), f64::from(b) + 0.5);
        let order = |value: i64, with: f64| Scalar::Double(with).order_of(&Value::from(value));
        prop_assert_eq!(order(a, whole), Some(a.cmp(&i64::from(b))));
        let expected = if a <= i64::from(b) { std::cmp::Ordering::Less } else { std::cmp::Ordering::Greater };
        prop_assert_eq!(order(a, half), Some(expected));
        let back = Scalar::Integer(i128::from(a)).order_of(&Value::from(half));
        prop_assert_eq!(back, Some(expected.reverse()));
    }
}

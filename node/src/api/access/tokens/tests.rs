use proptest::prelude::*;

use super::*;

const HASH: &str = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

fn line(fields: &str) -> String {
    format!(r#"{{"name":"a","sha256":"{HASH}",{fields}}}"#)
}

#[test]
fn a_file_has_tokens_comments_and_empty_lines() {
    let other = HASH.replace('9', "A");
    let text = format!(
        "# the fleet\r\n\n  {}\r\n{{\"name\":\"b\",\"sha256\":\"{other}\",\"scope\":\"admin\"}}",
        line(r#""scope":"write","collections":["tracks","team-a.*"],"expires":"2027-01-01T01:30:00.5+01:30""#)
    );
    let list = TokenList::parse(text.as_bytes()).expect("valid");
    let token = list.get(&TokenHash::of("test")).expect("sha256 of \"test\"");
    assert_eq!((token.name.as_str(), token.scope), ("a", Scope::Write));
    assert_eq!(token.expires_ms, Some(1_798_761_600_500), "2027-01-01T00:00:00.5Z");
    for (collection, has) in
        [("tracks", true), ("tracks2", false), ("team-a.", true), ("team-a.x", true), ("team-b", false)]
    {
        assert_eq!(token.reach.has(collection), has, "{collection}");
    }
    assert_eq!((list.len(), list.in_force(1_798_761_600_499), list.in_force(1_798_761_600_500)), (2, 2, 1));
    assert!(TokenList::parse(b"# nobody yet\n").expect("valid").is_empty());
}

#[test]
fn a_revoked_token_is_as_good_as_none_and_its_name_is_still_taken() {
    let revoked = line(r#""scope":"read","revoked":true"#);
    assert!(TokenList::parse(revoked.as_bytes()).expect("valid").is_empty());
    let twice = format!("{revoked}\n{}", line(r#""scope":"read""#));
    assert_eq!(TokenList::parse(twice.as_bytes()).expect_err("twice").line, 2);
}

#[test]
fn every_bad_file_is_explained() {
    let many = |n: usize| format!("[{}]", vec!["\"c\""; n].join(","));
    let lines = [
        "dashboard read".into(),
        "[]".into(),
        r#"{"name":"a","scope":"read"}"#.into(),
        r#"{"name":"a","sha256":"hunter2!","scope":"read"}"#.into(),
        r#"{"name":"","sha256":"","scope":"read"}"#.into(),
        line(r#""scope":"root""#),
        line(r#""scope":"read","colections":["c"]"#),
        line(r#""scope":"read","collections":[]"#),
        line(r#""scope":"read","collections":"c""#),
        line(r#""scope":"read","collections":[""]"#),
        line(r#""scope":"read","collections":["a\n"]"#),
        line(&format!(r#""scope":"read","collections":{}"#, many(limits::MAX_TOKEN_COLLECTIONS + 1))),
        line(r#""scope":"read","expires":"tomorrow""#),
        line(r#""scope":"read","expires":"2027-01-01""#),
        line(r#""scope":"read","expires":"2027-01-01T00:00:00+25:00""#),
        line(r#""scope":"read","expires":"1969-12-31T23:59:59Z""#),
        line(r#""scope":"read","revoked":1"#),
        format!("{}\n{}", line(r#""scope":"read""#), line(r#""scope":"write""#)),
        format!("{}\n{}", line(r#""scope":"read""#), line(r#""scope":"read""#).replace("\"a\"", "\"b\"")),
    ];
    let told: Vec<String> = lines
        .iter()
        .map(|text| TokenList::parse(format!("# one\n{text}\n").as_bytes()).expect_err(text).to_string())
        .collect();
    let told = told.join("\n");
    assert!(!told.contains("hunter2") && !told.contains(HASH), "a secret was shown");
    insta::assert_snapshot!(told);
}

#[test]
fn a_file_has_a_bounded_number_of_tokens() {
    let lines = |n: usize| -> String {
        let line = |i| format!("{{\"name\":\"{i}\",\"sha256\":\"{i:064x}\",\"scope\":\"read\"}}\n");
        (0..n).map(line).collect()
    };
    let full = TokenList::parse(lines(limits::MAX_API_TOKENS).as_bytes()).expect("as many as there may be");
    assert_eq!(full.len(), limits::MAX_API_TOKENS);
    TokenList::parse(lines(limits::MAX_API_TOKENS + 1).as_bytes()).expect_err("one more");
}

#[test]
fn a_new_token_fits_its_line() {
    let new = NewToken {
        name: "dash \"board\"".into(),
        scope: Scope::Read,
        collections: Some(vec!["tracks".into(), "team-a.*".into()]),
        expires: Some("2027-01-01T00:00:00Z".into()),
    };
    let (token, line) = new.clone().make([7; 32]).expect("valid");
    insta::assert_snapshot!(format!("{token}\n{line}"));
    assert!(is_token(&token));
    let list = TokenList::parse(line.as_bytes()).expect("valid");
    assert_eq!(list.get(&TokenHash::of(&token)).expect("there").name, "dash \"board\"");
    assert_eq!(list.get(&TokenHash::of(&token[1..])), None);
    assert!(NewToken { collections: Some(vec![]), ..new }.make([7; 32]).is_err());
}

proptest! {
    #[test]
    fn any_bytes_are_a_list_or_an_explanation(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        if let Err(error) = TokenList::parse(&bytes) {
            prop_assert!(error.line >= 1 && error.line <= bytes.iter().filter(|b| **b == b'\n').count() + 1);
        }
    }

    /// A good line in which something is replaced: nearer to what files have than bytes at random.
    #[test]
    fn a_line_with_a_piece_replaced_is_a_list_or_an_explanation(from in 0usize..150, length in 0usize..20, piece in "\\PC{0,20}") {
        let mut text = line(r#""scope":"read","collections":["tracks","a*"],"expires":"2027-01-01T00:00:00+01:00""#);
        let at = |n: usize, text: &str| (0..=n.min(text.len())).rev().find(|n| text.is_char_boundary(*n)).unwrap_or(0);
        let (from, to) = (at(from, &text), at(from + length, &text));
        text.replace_range(from..to, &piece);
        if let Ok(list) = TokenList::parse(text.as_bytes()) {
            prop_assert!(list.len() <= 1);
        }
    }

    #[test]
    fn a_time_is_parsed_or_refused(text in "\\PC{0,30}") {
        let _ = parse_time(&text);
    }

    #[test]
    fn an_offset_moves_a_time_by_as_much(hours in 0i64..24, minutes in 0i64..60, east in any::<bool>()) {
        let sign = if east { '+' } else { '-' };
        let moved = parse_time(&format!("2027-01-01T12:00:00{sign}{hours:02}:{minutes:02}")).expect("valid");
        let utc = parse_time("2027-01-01T12:00:00Z").expect("valid");
        let offset = (hours * 3600 + minutes * 60) * 1000;
        prop_assert_eq!(moved.wrapping_sub(utc) as i64, if east { -offset } else { offset });
    }

    /// What a token is for is exactly what its patterns say, byte by byte.
    #[test]
    fn a_prefix_has_what_begins_with_it(prefix in "[a-z.*é]{0,6}", name in "[a-z.*é]{1,8}") {
        let reach = Reach::parse(Some(&[format!("{prefix}*")])).expect("valid");
        prop_assert_eq!(reach.has(&name), name.starts_with(&prefix));
    }
}

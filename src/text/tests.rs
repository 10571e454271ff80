use super::*;

fn rewritten(input: &[u8]) -> Result<String, ErrorKind> {
    let section = parse(input).map_err(|error| error.kind)?;
    let mut out = Vec::new();
    write_nodes(&section.0, 0, &mut out);
    Ok(out.iter().map(|&byte| char::from(byte)).collect())
}

fn check(input: &str, expected: &str) {
    assert_eq!(rewritten(input.as_bytes()).as_deref(), Ok(expected), "{input:?}");
}

fn check_error(input: &str, expected: ErrorKind) {
    assert_eq!(rewritten(input.as_bytes()), Err(expected), "{input:?}");
}

#[test]
fn nodes_need_no_separator() {
    check("a=1 b=2", "a=1\nb=2\n");
    check("c=\"x\"d=\"y\"e{f=1}g=2", "c=\"x\"\nd=\"y\"\ne {\n\tf=1\n}\ng=2\n");
    check("a=1;b=2", "a=1\n;b=2\n");
    check("a=1#c\nb=2", "a=1\nb=2\n");
    check("a=1\0b=", "a=1\n");
}

#[test]
fn numbers_are_read_as_c_reads_them() {
    for (input, expected) in [
        ("010", "8"),
        ("08", "0"),
        ("+7", "7"),
        ("-", "0"),
        ("-9223372036854775808", "-9223372036854775808"),
        ("1.", "1.000000"),
        (".5", "0.500000"),
        (".", "0.000000"),
        ("-1.5", "-1.500000"),
    ] {
        check(&format!("a={input}"), &format!("a={expected}\n"));
    }
    for input in ["0x10", "1e5", "1.2.3", "1b", "1,b=2"] {
        check_error(
            &format!("a={input}"),
            if input.contains(',') { ErrorKind::KeyExpected } else { ErrorKind::LoneKey },
        );
    }
    check_error("a=9223372036854775808", ErrorKind::NumberOutOfRange);
    check("creation_time=9223372036854775808", "creation_time=1527120000\n");
}

#[test]
fn lists() {
    check("a=[]", "a=[]\n");
    check("a=[\"x\"]", "a=\"x\"\n");
    check("a=[\"x\"\"y\"]", "a=[\"x\",\"y\"]\n");
    check("a=[1,\"x\",2.5,bare ]", "a=[1,\"x\",2.500000,\"bare\"]\n");
    check("a=[1,]", "a=1\n");
    check_error("a=[,1]", ErrorKind::ValueExpected);
    check_error("a=[1,,2]", ErrorKind::ValueExpected);
    check_error("a=[1 2]", ErrorKind::CommaExpected);
    check_error("a=[b,c]", ErrorKind::UnterminatedList);
    check_error("a=[ [1] ]", ErrorKind::ValueExpected);
    check_error("a=[1,2", ErrorKind::UnterminatedList);
}

#[test]
fn strings() {
    check(r#"a="x\"y\\z\n""#, "a=\"x\\\"y\\\\z\\\\n\"\n");
    check(r"a='x\'", "a=\"x\\\\\"\n");
    check_error("request=\"pv_listX", ErrorKind::UnterminatedString);
    check_error("a=\"x\\", ErrorKind::UnterminatedString);
    check_error("a='x", ErrorKind::UnterminatedString);
}

#[test]
fn keys() {
    check("a/b=1 a/c=2", "a {\n\tb=1\n}\na {\n\tc=2\n}\n");
    check("/a//b { c=1 }", "a {\n\tb {\n\t\tc=1\n\t}\n}\n");
    check("\"two words\"=1", "\"two words\"=1\n");
    check("a!b=1", "\"a!b\"=1\n");
    check("a/=1", "a {\n\t\"/\"=1\n}\n");
    check_error("\"\"=1", ErrorKind::EmptyKey);
    check_error("=1", ErrorKind::KeyExpected);
    check_error("a", ErrorKind::LoneKey);
    check_error("a={b=1}", ErrorKind::ValueExpected);
}

#[test]
fn braces() {
    check("a {}", "a {\n}\n");
    check_error("a {b=1", ErrorKind::UnterminatedSection);
    check_error("a{b=1}}", ErrorKind::UnexpectedBrace);
    check_error("", ErrorKind::Empty);
    check_error("# only a comment", ErrorKind::Empty);
}

#[test]
fn depth_is_bounded_by_braces_and_by_paths() {
    let nested = |depth: usize| format!("{}x=1{}", "a{".repeat(depth), "}".repeat(depth));
    assert!(parse(nested(MAX_DEPTH).as_bytes()).is_ok());
    check_error(&nested(MAX_DEPTH + 1), ErrorKind::TooDeep);
    check_error(&"a{".repeat(1_000_000), ErrorKind::TooDeep);
    check_error(&format!("{}=1", "a/".repeat(1_000_000)), ErrorKind::TooDeep);
}

#[test]
fn errors_name_the_line() {
    assert_eq!(parse(b"a=1\nb=2\nc").unwrap_err().line, 3);
}

#[test]
fn lookups_take_the_first_of_equal_keys() {
    let section = parse(b"v{b=1} v{c=2} a=1 a=2 s=[\"x\",\"y\"] e=\"\" n=\"5\"").unwrap();
    assert_eq!(section.int("a"), Some(1));
    assert_eq!(section.int("v/b"), Some(1));
    assert_eq!(section.int("v/c"), None);
    assert_eq!(section.str("s"), Some(&b"x"[..]));
    assert_eq!(section.str("e"), None);
    assert_eq!(section.int("n"), None);
}

#[test]
fn merging_joins_sections_and_lets_the_last_value_win() {
    let section = parse(b"v{b=1} v{c=2} a=1 a=2").unwrap().merged();
    assert_eq!(section.int("a"), Some(2));
    assert_eq!((section.int("v/b"), section.int("v/c")), (Some(1), Some(2)));
}

#[test]
fn a_known_section_is_not_parsed_again() {
    let input = b"name=\"v\" metadata { a=1 } token=\"t\"";
    let known = |before: &Section, key: &[u8], rest: &[u8]| {
        (key == b"metadata" && before.str("name").is_some() && rest.starts_with(b" a=1 }")).then_some(6)
    };
    let message = parse_message(input, &known).unwrap();
    assert_eq!(message.section.item("metadata"), Some(&Item::Known(b" a=1 ")));
    assert_eq!(message.section.str("token"), Some(&b"t"[..]));
    let slash = parse_message(b"name=\"v\" /metadata { a=1 }", &known).unwrap();
    assert_eq!(slash.section.item("metadata"), Some(&Item::Known(b" a=1 ")));
}

#[test]
fn top_level_sections_are_known_by_their_bytes() {
    let message = parse_message(b"a=1 b/c { d=1 } m { x { y=1 } #}\n}e{}", &|_, _, _| None).unwrap();
    assert_eq!(message.inside("m"), Some(&b" x { y=1 } #}\n"[..]));
    assert_eq!(message.inside("e"), Some(&b""[..]));
    assert_eq!((message.inside("a"), message.inside("b"), message.inside("z")), (None, None, None));
}

#[test]
fn what_is_written_reads_back() {
    for input in ["a/=1", "\"a\\\"b\\\\\"=1", "'k k'{x=[ b ,1,.5]}", "\u{e9}=\"\u{e9}\n\\\\\"", "a[0]=1 ;b=2"] {
        let first = parse(input.as_bytes()).unwrap();
        let mut out = Vec::new();
        write_nodes(&first.0, 0, &mut out);
        assert_eq!(parse(&out).as_ref(), Ok(&first), "{}", String::from_utf8_lossy(&out));
    }
}

#[test]
fn a_float_is_never_infinite() {
    let digits = "9".repeat(400);
    let input = format!("a=-{digits}. b={digits}.");
    let section = parse(input.as_bytes()).unwrap();
    assert_eq!(section.value("a"), Some(&Value::One(Scalar::Float(f64::MIN))));
    let mut out = Vec::new();
    write_nodes(&section.0, 0, &mut out);
    assert_eq!(parse(&out), Ok(section));
}

#[test]
fn each_level_of_a_path_counts() {
    let deep = format!("{}=1 ", ["k"; MAX_DEPTH].join("/"));
    assert!(parse(deep.as_bytes()).is_ok());
    assert_eq!(parse(deep.repeat(40_000).as_bytes()).unwrap_err().kind, ErrorKind::TooMany);
    assert_eq!(parse(&b"a/".repeat(10_000_000)).unwrap_err().kind, ErrorKind::TooDeep);
}

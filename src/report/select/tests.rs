use super::time::Utc;
use super::*;
use crate::report::value::Kind;
use std::borrow::Cow;

/// LVs of a VG, a column for each of `COLUMNS`, sizes in sectors and times in seconds.
const ROWS: &str = include_str!("recorded/rows.tsv");
/// Selections, and which of the LVs lvm2 2.03.16 finds, at `NOW` and without a time zone; or `!`.
const RECORDED: &str = include_str!("recorded/selections.tsv");
const NOW: i64 = 1_441_802_096;

static COLUMNS: [Field; 15] = [
    Field::of_kind("lv_name", Kind::String),
    Field::of_kind("lv_size", Kind::Size),
    Field::of_kind("lv_tags", Kind::StringList),
    Field::of_kind("lv_time", Kind::Time),
    Field::of_kind("lv_permissions", Kind::String),
    Field::of_kind("lv_skip_activation", Kind::Number),
    Field::of_kind("lv_read_ahead", Kind::Size),
    Field::of_kind("lv_major", Kind::Number),
    Field::of_kind("seg_count", Kind::Number),
    Field::of_kind("lv_host", Kind::String),
    Field::of_kind("data_percent", Kind::Percent),
    Field::of_kind("lv_when_full", Kind::String),
    Field::of_kind("vg_tags", Kind::StringList),
    Field::of_kind("vg_mda_copies", Kind::Number),
    Field::of_kind("lv_kernel_read_ahead", Kind::Size),
];
static SELECTED: Field = Field::of_kind("selected", Kind::Number);

/// As in reports of LVs: the prefix and underscores may be left out, capitals may not be there.
fn look_up(name: &str) -> Result<&'static Field, String> {
    let bare = |name: &str| name.replace('_', "").trim_start_matches("lv").to_owned();
    let mut fields = COLUMNS.iter().chain([&SELECTED]);
    fields.find(|field| bare(field.name) == bare(&name.to_lowercase())).ok_or_else(|| "no such field".to_owned())
}

fn value(row: &'static str, field: &'static Field) -> Value<'static> {
    let Some(at) = COLUMNS.iter().position(|known| std::ptr::eq(known, field)) else { return Value::Number(1) };
    let shown = row.split('\t').nth(at).unwrap();
    match (field.kind, shown) {
        (Kind::Number, "skip activation") => Value::Flag(true, "skip activation"),
        (Kind::Number, "") => Value::Flag(false, "skip activation"),
        (Kind::Number, "unmanaged") => Value::Word("unmanaged", u64::MAX),
        (Kind::Size, "auto") => Value::Word("auto", u64::MAX),
        (Kind::StringList, "") => Value::List(Vec::new()),
        (Kind::StringList, list) => Value::List(list.split(',').map(|item| Cow::Borrowed(item.as_bytes())).collect()),
        (Kind::String, text) => Value::Text(Cow::Borrowed(text.as_bytes())),
        (Kind::Time, seconds) => seconds.parse().map_or(Value::Undefined(""), Value::Time),
        (Kind::Percent, _) | (_, "-1") => Value::Undefined(shown),
        (Kind::Number, number) => Value::Number(number.parse().unwrap()),
        (Kind::Size, number) => Value::Size(number.parse().unwrap()),
    }
}

fn select(text: &str) -> Result<String, SelectError> {
    let selection = Selection::parse(text.as_bytes(), &look_up, &Utc(NOW))?;
    let found = ROWS.lines().filter(|row| selection.matches(&mut |field| value(row, field)));
    let mut names = found.map(|row| row.split('\t').next().unwrap()).collect::<Vec<_>>();
    names.sort_unstable();
    Ok(names.join(" "))
}

/// Where we do otherwise than lvm2 2.03.16.
const OTHERWISE: &[&str] = &[
    // LVM complains, and finds everything.
    "lv_name=~\"|a\"",
    "lv_name=~\"a||b\"",
];

#[test]
fn recorded_selections_find_what_lvm_finds() {
    let mut wrong = Vec::new();
    for line in RECORDED.lines() {
        let (selection, found) = line.rsplit_once('\t').unwrap();
        let ours = select(selection);
        let same = match &ours {
            Ok(ours) => ours == found,
            Err(_) => found == "!",
        };
        if same == OTHERWISE.contains(&selection) {
            wrong.push(format!("{selection}\n  lvm:  {found}\n  ours: {ours:?}"));
        }
    }
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
}

fn check_error(text: &str, column: usize) {
    match select(text) {
        Ok(found) => panic!("{text}: {found}"),
        Err(error) => assert_eq!(error.column, column, "{text}: {error}"),
    }
}

#[test]
fn an_error_points_at_the_trouble() {
    check_error("nofield=1", 0);
    check_error("lv_name=a && nofield=1", 13);
    check_error("lv_name a", 8);
    check_error("lv_name>a", 7);
    check_error("lv_name=a b", 10);
    check_error("lv_name='a", 8);
    check_error("lv_name=~\"x(a\"", 11);
    check_error("(lv_name=a", 0);
    check_error("!lv_name=a", 1);
    check_error("lv_name=a)", 9);
    check_error("(lv_name=a b)", 11);
    check_error("lv_size=", 8);
    check_error("lv_size=1%", 9);
    check_error("lv_major=1k", 10);
    check_error("lv_tags=[a", 8);
    check_error("lv_tags=[a b]", 11);
    check_error("lv_tags=[a,b||c]", 12);
    check_error("lv_tags=[a}", 10);
    check_error("lv_time=20", 8);
    check_error("lv_name=a &&", 12);
    check_error("lv_tags=~a", 7);
    check_error("lv_size==4m", 8);
    check_error("lv_name == a", 9);
    check_error("lv_name==a && lv_size=x", 22);
}

#[test]
fn depth_and_length_are_bounded() {
    let nested = |depth: usize| format!("{}lv_name=x{}", "(".repeat(depth), ")".repeat(depth));
    assert_eq!(select(&nested(MAX_DEPTH)), Ok("x".to_owned()));
    check_error(&nested(MAX_DEPTH + 1), MAX_DEPTH + 1);
    assert!(select(&"(".repeat(MAX_LENGTH)).is_err());
    assert!(select(&format!("lv_name={}", "x".repeat(MAX_LENGTH))).is_err());
    let chain = vec!["lv_name=x"; 5000].join("||");
    assert_eq!(select(&chain), Ok("x".to_owned()));
}

#[test]
fn fields_are_told_once() {
    let selection = Selection::parse(b"lv_name=a || size>1 && !(name=b)", &look_up, &Utc(NOW)).unwrap();
    assert_eq!(selection.fields().iter().map(|field| field.name).collect::<Vec<_>>(), ["lv_name", "lv_size"]);
}

#[test]
fn dates_are_taken_apart_and_put_together() {
    use super::time::{Tm, utc};
    let check = |seconds, year, month, day, weekday| {
        let tm = utc(seconds);
        assert_eq!((tm.year + 1900, tm.month + 1, tm.day, tm.weekday), (year, month, day, weekday));
        assert_eq!(Utc(0).seconds(&tm), seconds);
    };
    check(0, 1970, 1, 1, 4);
    check(-1, 1969, 12, 31, 3);
    check(951_782_400, 2000, 2, 29, 2);
    check(4_107_542_399, 2100, 2, 28, 0);
    check(NOW, 2015, 9, 9, 3);
    for day in -200_000..200_000 {
        assert_eq!(Utc(0).seconds(&utc(day * 86_400 + 7)), day * 86_400 + 7);
    }
    let beyond = Tm { month: 13, day: 0, ..utc(0) };
    assert_eq!(Utc(0).seconds(&beyond), Utc(0).seconds(&Tm { year: 71, month: 0, day: 31, ..utc(0) }));
}

#[path = "../../../tests/common/selections.rs"]
mod selections;

/// The fields of the recorded rows, with the values that they have.
fn known() -> Vec<selections::Known<'static>> {
    use selections::{Known, Of};
    let of = |field: &Field| match field.kind {
        Kind::Number if field.name == "lv_skip_activation" => Of::Flag,
        Kind::Number => Of::Number,
        Kind::Size => Of::Size,
        Kind::Percent => Of::Percent,
        Kind::String => Of::Text,
        Kind::StringList => Of::List,
        Kind::Time => Of::Time,
    };
    let values = |at: usize| ROWS.lines().map(|row| row.split('\t').nth(at).unwrap().to_owned()).collect();
    COLUMNS
        .iter()
        .enumerate()
        .map(|(at, field)| Known { name: field.name, of: of(field), values: values(at) })
        .collect()
}

#[test]
fn expressions_are_joined_by_their_logic() {
    use selections::{Expression, Random};
    fn matches(expression: &Expression, row: &'static str) -> bool {
        match expression {
            Expression::Test(test) => {
                let test = Selection::parse(test.as_bytes(), &look_up, &Utc(NOW)).unwrap();
                test.matches(&mut |field| value(row, field))
            }
            Expression::All(parts) => parts.iter().all(|part| matches(part, row)),
            Expression::Any(parts) => parts.iter().any(|part| matches(part, row)),
            Expression::Not(inner) => !matches(inner, row),
        }
    }
    fn turned(expression: Expression) -> Expression {
        match expression {
            Expression::All(parts) => Expression::Any(parts.into_iter().map(turned).collect()),
            Expression::Any(parts) => Expression::All(parts.into_iter().map(turned).collect()),
            Expression::Not(inner) => *inner,
            test @ Expression::Test(_) => Expression::Not(Box::new(test)),
        }
    }
    let known = known();
    for seed in 1..300 {
        let mut random = Random(seed * 7919);
        let expression = random.expression(&known, 3);
        let text = random.text(&expression);
        let parse = |text: &str| {
            let parsed = Selection::parse(text.as_bytes(), &look_up, &Utc(NOW));
            parsed.unwrap_or_else(|error| panic!("{text}: {error}"))
        };
        let selection = parse(&text);
        let rows = ROWS.lines().step_by(7).collect::<Vec<_>>();
        let found = rows.iter().map(|row| matches(&expression, row)).collect::<Vec<_>>();
        let negated = parse(&random.text(&turned(expression)));
        for (row, found) in rows.into_iter().zip(found) {
            assert_eq!(selection.matches(&mut |field| value(row, field)), found, "{text} {row}");
            assert_eq!(negated.matches(&mut |field| value(row, field)), !found, "not {text} {row}");
        }
    }
}

#[test]
fn a_negated_selection_finds_the_others() {
    let known = known();
    let all = ROWS.lines().count();
    for seed in 1..100 {
        let text = selections::Random(seed * 104_729).selection(&known);
        if text.starts_with('!') {
            continue;
        }
        let count =
            |text: &str| select(text).unwrap_or_else(|error| panic!("{text}: {error}")).split_whitespace().count();
        assert_eq!(count(&text) + count(&format!("!({text})")), all, "{text}");
    }
}

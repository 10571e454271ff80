use super::*;

/// What lvm2 2.03.16 prints as the sizes of LVs, a column for each of `--units`.
const PRINTED: &str = include_str!("printed.tsv");

fn check_table(table: &str) {
    let mut lines = table.lines().map(|line| line.split('\t'));
    let units = lines.next().unwrap().skip(1).map(|arguments| {
        let letters = arguments.rsplit(' ').next().unwrap();
        Units { suffix: letters == arguments, ..Units::parse(letters.as_bytes()).unwrap() }
    });
    let units = units.collect::<Vec<_>>();
    let mut count = 0;
    for mut line in lines {
        let sectors = line.next().unwrap().parse::<u64>().unwrap();
        for (units, printed) in units.iter().zip(line) {
            assert_eq!(units.show(sectors), printed, "{sectors} {units:?}");
            count += 1;
        }
    }
    assert!(count > 1000);
}

#[test]
fn sizes_are_printed_as_lvm_prints_them() {
    check_table(PRINTED);
}

#[test]
fn what_lvm_refuses_is_refused() {
    let refused =
        ["", "0m", "12", "0", "mm", "m4", ".5m", "x", "-4m", "+4m", " 4m", "4 m", "nan", "infb", "16e", "0.3b", "u"];
    for text in refused {
        assert!(Units::parse(text.as_bytes()).is_err(), "{text}");
    }
    assert!(Units::parse(b"1e30e").is_err());
    assert!(Units::parse(b"4\xff").is_err());
}

#[test]
fn a_number_whose_whole_part_is_one_keeps_the_letter() {
    check_parse("1.5k", Some(b'k'), 1536.0);
    check_parse("1e3K", Some(b'K'), 1_000_000.0);
    check_parse("4m", None, 4_194_304.0);
    check_parse("0.5g", None, 536_870_912.0);
    check_parse("7h", Some(b'h'), 0.0);
    check_parse("S", Some(b'S'), 512.0);
}

fn check_parse(text: &str, letter: Option<u8>, factor: f64) {
    assert_eq!(Units::parse(text.as_bytes()), Ok(Units { letter, factor, ..Units::default() }), "{text}");
}

/// Of a size that doubles hold exactly, rounded by whole numbers only.
fn computed(bytes: u128, unit: u128) -> String {
    let (hundredths, rest) = (bytes * 100 / unit, bytes * 100 % unit);
    let up = rest * 2 > unit || rest * 2 == unit && hundredths % 2 == 1;
    let hundredths = hundredths + u128::from(up);
    format!("{}.{:02}", hundredths / 100, hundredths % 100)
}

#[test]
fn sizes_of_powers_of_two_are_rounded_once() {
    let mut state = 88_172_645_463_325_252_u64;
    for _ in 0..20_000 {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let sectors = (state >> 13 >> (state % 50)).max(1) & ((1 << 53) - 1);
        let bytes = u128::from(sectors) * 512;
        for (power, letter) in b"kmgtp".iter().enumerate() {
            let unit = 1024_u128.pow(u32::try_from(power).unwrap() + 1);
            let units = Units::parse(&[*letter]).unwrap();
            let wanted = format!("{}{}", computed(bytes, unit), char::from(*letter));
            assert_eq!(units.show(sectors), wanted, "{sectors}");
            if bytes >= unit && bytes < unit * 1024 {
                let shown = Units::default().show(sectors);
                let up = bytes * 100 % unit * 2 > unit;
                assert_eq!(shown.trim_start_matches('<'), wanted);
                assert!(!up || shown.starts_with('<'), "{sectors} {shown}");
            }
        }
        assert_eq!(Units::parse(b"b").unwrap().show(sectors), format!("{bytes}B"));
        assert_eq!(Units::parse(b"s").unwrap().show(sectors), format!("{sectors}S"));
    }
}

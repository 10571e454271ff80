//! `"2 weeks ago"`, `"yesterday 12:30"`, `"24 Feb 2015 noon"`: words for times, as LVM has them.
//!
//! Numbers get their meaning from the words beside them. What is said of the date and of the time is
//! either absolute or relative, and from the finest part that is named follows how long a span it is.

use super::{Calendar, DAY, Tm, days_in_month};

const HOUR: i64 = 3600;
/// Of a text, in items.
const MAX_ITEMS: usize = 64;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Item {
    /// Of which the meaning is to be found out: how many digits, and the number.
    Number(usize, i64),
    /// So many of what comes next.
    Count(i64),
    Day(i64),
    Year(i64),
    Month(i64),
    Ago,
    Today,
    Yesterday,
    Weekday(i64),
    Noon,
    Midnight,
    /// Seconds, minutes and hours, of a time of day or of how long ago.
    Clock(Grain, Sense),
    Am,
    Pm,
    Days,
    Weeks,
    Months,
    Years,
    /// Is read and of no effect.
    Zone,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sense {
    OfDay,
    Ago,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Grain {
    None,
    Second,
    Minute,
    Hour,
    Day,
    Week,
    Month,
    Year,
    Unset,
}

const WORDS: &[(&str, Item, bool)] = &[
    ("ago", Item::Ago, false),
    ("today", Item::Today, false),
    ("yesterday", Item::Yesterday, false),
    ("noon", Item::Noon, true),
    ("midnight", Item::Midnight, true),
    ("second", Item::Clock(Grain::Second, Sense::OfDay), true),
    ("sec", Item::Clock(Grain::Second, Sense::OfDay), true),
    ("s", Item::Clock(Grain::Second, Sense::OfDay), false),
    ("minute", Item::Clock(Grain::Minute, Sense::OfDay), true),
    ("min", Item::Clock(Grain::Minute, Sense::OfDay), true),
    ("m", Item::Clock(Grain::Minute, Sense::OfDay), false),
    ("hour", Item::Clock(Grain::Hour, Sense::OfDay), true),
    ("hr", Item::Clock(Grain::Hour, Sense::OfDay), true),
    ("h", Item::Clock(Grain::Hour, Sense::OfDay), false),
    ("am", Item::Am, false),
    ("pm", Item::Pm, false),
    ("day", Item::Days, true),
    ("week", Item::Weeks, true),
    ("month", Item::Months, true),
    ("year", Item::Years, true),
    ("yr", Item::Years, true),
];

const WEEKDAYS: [&str; 7] = ["sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"];
const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];

/// `None` for what has no words, and for words that make no sense.
pub fn parse(text: &[u8], calendar: &dyn Calendar) -> Option<(i64, i64)> {
    let mut items = read(text)?;
    recognize_relative(&mut items);
    recognize_numbers(&mut items);
    let grains = Grains::of(&items);
    if !grains.allow(&items) {
        return None;
    }
    Some(span(&items, &grains, calendar))
}

fn read(text: &[u8]) -> Option<Vec<Item>> {
    let mut rest = text.trim_ascii_start();
    let mut items = Vec::new();
    let mut has_words = false;
    while let Some(&byte) = rest.first() {
        if items.len() > MAX_ITEMS {
            return None;
        }
        match byte {
            b'+' | b'-' => rest = clock(&rest[1..], true, &mut items)?,
            _ if byte.is_ascii_digit() => {
                let (length, number) = number(rest)?;
                if rest.get(length) == Some(&b':') {
                    rest = clock(rest, false, &mut items)?;
                    continue;
                }
                items.push(Item::Number(length, number));
                rest = rest[length..].trim_ascii_start();
            }
            _ if byte.is_ascii_alphabetic() => {
                has_words = true;
                let length = rest.iter().take_while(|byte| !byte.is_ascii_whitespace()).count();
                let item = word(&rest[..length])?;
                if is_unit(item)
                    && let Some(&Item::Number(_, number)) = items.last()
                {
                    items.pop();
                    items.push(Item::Count(number));
                }
                items.push(item);
                rest = rest[length..].trim_ascii_start();
            }
            _ => return None,
        }
    }
    has_words.then_some(items)
}

/// `HH:MM`, and `:SS` but for time zones. LVM goes on one byte behind it.
fn clock<'t>(text: &'t [u8], zone: bool, items: &mut Vec<Item>) -> Option<&'t [u8]> {
    let mut rest = text;
    for grain in [Grain::Hour, Grain::Minute, Grain::Second] {
        let (length, value) = number(rest)?;
        items.extend([Item::Count(value), if zone { Item::Zone } else { Item::Clock(grain, Sense::OfDay) }]);
        rest = &rest[length..];
        match (grain, rest.first()) {
            (Grain::Minute, Some(b':')) if zone => return None,
            (Grain::Hour | Grain::Minute, Some(b':')) => rest = &rest[1..],
            (Grain::Hour, _) => return None,
            _ => break,
        }
    }
    Some(rest.get(1..).unwrap_or_default())
}

/// How many digits, and the number, unless that is of no date.
fn number(text: &[u8]) -> Option<(usize, i64)> {
    let length = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let number = text[..length.min(10)].iter().fold(0, |number, byte| number * 10 + i64::from(byte - b'0'));
    (length < 10).then_some((length, number))
}

fn word(text: &[u8]) -> Option<Item> {
    let is = |name: &str, plural: bool| {
        let singular = if plural { text.strip_suffix(b"s").unwrap_or(text) } else { text };
        text.eq_ignore_ascii_case(name.as_bytes()) || singular.eq_ignore_ascii_case(name.as_bytes())
    };
    let position = |names: &[&str], plural| {
        names.iter().position(|name| is(name, plural) || name.get(..3).is_some_and(|short| is(short, false)))
    };
    if let Some((_, item, _)) = WORDS.iter().find(|(name, _, plural)| is(name, *plural)) {
        return Some(*item);
    }
    let weekday = position(&WEEKDAYS, true).and_then(|at| i64::try_from(at).ok()).map(Item::Weekday);
    weekday.or_else(|| position(&MONTHS, false).and_then(|at| i64::try_from(at).ok()).map(Item::Month))
}

fn is_unit(item: Item) -> bool {
    matches!(
        item,
        Item::Clock(..) | Item::Am | Item::Pm | Item::Days | Item::Weeks | Item::Months | Item::Years | Item::Zone
    )
}

/// Before an `ago`, up to the one before it, hours are such, and none of the clock.
fn recognize_relative(items: &mut [Item]) {
    let mut ago = false;
    for item in items.iter_mut().rev() {
        match item {
            Item::Ago => ago = true,
            Item::Clock(_, sense) if ago => *sense = Sense::Ago,
            _ => {}
        }
    }
}

fn recognize_numbers(items: &mut [Item]) {
    for at in 0..items.len() {
        let Item::Number(length, number) = items[at] else { continue };
        let is_month =
            |at: Option<usize>| at.and_then(|at| items.get(at)).is_some_and(|item| matches!(item, Item::Month(_)));
        let by_length = if length <= 2 { Item::Day(number) } else { Item::Year(number) };
        items[at] = if is_month(Some(at + 1)) {
            match items.get(at + 2) {
                Some(&Item::Number(other_length, other)) if length < other_length => {
                    items[at + 2] = Item::Year(other);
                    Item::Day(number)
                }
                Some(&Item::Number(_, other)) => {
                    items[at + 2] = Item::Day(other);
                    Item::Year(number)
                }
                _ => by_length,
            }
        } else if is_month(at.checked_sub(1)) {
            by_length
        } else {
            Item::Year(number)
        };
    }
}

struct Properties {
    date: bool,
    time: bool,
    /// Else relative, or neither.
    absolute: bool,
    relative: bool,
    grain: Grain,
}

fn properties(item: Item) -> Properties {
    let (date, time, absolute, relative, grain) = match item {
        Item::Number(..) | Item::Count(_) => (false, false, false, false, Grain::None),
        Item::Day(_) | Item::Today | Item::Yesterday | Item::Weekday(_) => (true, false, true, false, Grain::Day),
        Item::Year(_) => (true, false, true, false, Grain::Year),
        Item::Month(_) => (true, false, true, false, Grain::Month),
        Item::Ago => (true, true, false, true, Grain::None),
        Item::Noon | Item::Midnight => (false, true, true, false, Grain::Second),
        Item::Clock(grain, Sense::OfDay) => (false, true, true, false, grain),
        Item::Clock(grain, Sense::Ago) => (false, true, false, true, grain),
        Item::Am | Item::Pm => (false, true, true, false, Grain::Hour),
        Item::Days => (true, false, false, true, Grain::Day),
        Item::Weeks => (true, false, false, true, Grain::Week),
        Item::Months => (true, false, false, true, Grain::Month),
        Item::Years => (true, false, false, true, Grain::Year),
        Item::Zone => (false, true, true, false, Grain::None),
    };
    Properties { date, time, absolute, relative, grain }
}

/// The finest and coarsest parts that are named.
struct Grains {
    finest_date: Grain,
    coarsest_date: Grain,
    finest_time: Grain,
    finest_relative: Grain,
}

impl Grains {
    fn of(items: &[Item]) -> Grains {
        let mut grains = Grains {
            finest_date: Grain::Unset,
            coarsest_date: Grain::None,
            finest_time: Grain::Unset,
            finest_relative: Grain::Unset,
        };
        for item in items.iter().map(|item| properties(*item)).filter(|item| item.grain != Grain::None) {
            if item.date && item.absolute {
                grains.coarsest_date = grains.coarsest_date.max(item.grain);
                grains.finest_date = grains.finest_date.min(item.grain);
            } else if item.absolute {
                grains.finest_time = grains.finest_time.min(item.grain);
            } else {
                grains.finest_relative = grains.finest_relative.min(item.grain);
            }
        }
        grains
    }

    /// Whether the parts go together.
    fn allow(&self, items: &[Item]) -> bool {
        let (mut date_relative, mut time_relative) = (None, None);
        let (mut date_label, mut time_label) = (false, false);
        for item in items {
            let part = properties(*item);
            if part.date {
                let mixed = *date_relative.get_or_insert(part.relative) != part.relative;
                if mixed && self.coarsest_date >= self.finest_relative || date_label {
                    return false;
                }
                date_label |= matches!(item, Item::Today | Item::Yesterday | Item::Weekday(_));
            } else if part.time {
                let mixed = *time_relative.get_or_insert(part.relative) != part.relative;
                if mixed || time_label {
                    return false;
                }
                time_label |= matches!(item, Item::Noon | Item::Midnight);
            }
        }
        true
    }
}

fn span(items: &[Item], grains: &Grains, calendar: &dyn Calendar) -> (i64, i64) {
    let now = calendar.local(calendar.now());
    let mut tm = Tm { summer: Some(false), ..now };
    let mut ago = 0;
    let mut count = 1;
    let mut before = None;
    for &item in items {
        match item {
            Item::Count(number) => count = number,
            Item::Day(number) => tm.day = number,
            Item::Year(number) => tm.year = number - 1900,
            Item::Month(month) => tm.month = month,
            Item::Weekday(day) if now.weekday < day => ago += (7 - day + now.weekday) * DAY,
            Item::Weekday(day) => ago += (now.weekday - day) * DAY,
            Item::Yesterday => ago += DAY,
            Item::Noon => (tm.hour, tm.minute, tm.second) = (12, 0, 0),
            Item::Midnight => (tm.hour, tm.minute, tm.second) = (0, 0, 0),
            Item::Clock(Grain::Second, Sense::OfDay) => tm.second = count,
            Item::Clock(Grain::Minute, Sense::OfDay) => tm.minute = count,
            Item::Clock(_, Sense::OfDay) => tm.hour = count,
            Item::Clock(Grain::Second, Sense::Ago) => ago += count,
            Item::Clock(Grain::Minute, Sense::Ago) => ago += count * 60,
            Item::Clock(_, Sense::Ago) => ago += count * HOUR,
            Item::Am if matches!(before, Some(Item::Count(_))) => tm.hour = count,
            Item::Pm if matches!(before, Some(Item::Count(_))) => tm.hour = count + 12,
            Item::Pm if before.is_some_and(is_unit) => ago -= 12 * HOUR,
            Item::Days => ago += count * DAY,
            Item::Weeks => ago += count * 7 * DAY,
            Item::Months => {
                tm.year -= count / 12;
                let months = count % 12;
                if months > tm.month + 1 {
                    tm.year -= 1;
                    tm.month += 12 - months;
                } else {
                    tm.month -= months;
                }
            }
            Item::Years => tm.year -= count,
            Item::Number(..) | Item::Ago | Item::Today | Item::Am | Item::Pm | Item::Zone => {}
        }
        before = Some(item);
    }
    round_down(grains, &mut tm);
    let (first, last) = ends(grains, &tm, calendar.seconds(&tm) - ago);
    let in_winter = |seconds: i64| seconds - if calendar.local(seconds).summer == Some(true) { HOUR } else { 0 };
    (in_winter(first), in_winter(last))
}

fn round_down(grains: &Grains, tm: &mut Tm) {
    if grains.finest_date == Grain::Year {
        tm.month = 0;
    }
    if matches!(grains.finest_date, Grain::Year | Grain::Month) {
        tm.day = 1;
    }
    let whole_days =
        matches!(grains.finest_relative, Grain::Day | Grain::Week | Grain::Month | Grain::Year | Grain::Unset);
    match grains.finest_time {
        Grain::Hour => (tm.minute, tm.second) = (0, 0),
        Grain::Minute => tm.second = 0,
        Grain::Unset if whole_days => (tm.hour, tm.minute, tm.second) = (0, 0, 0),
        _ => {}
    }
}

fn ends(grains: &Grains, tm: &Tm, at: i64) -> (i64, i64) {
    match (grains.finest_time, grains.finest_relative, grains.finest_date) {
        (Grain::Minute, ..) => (at, at + 59),
        (Grain::Hour, ..) => (at, at + HOUR - 1),
        (Grain::Unset, Grain::Minute, _) => (at - 61, at),
        (Grain::Unset, Grain::Hour, _) => (at - HOUR - 1, at),
        (Grain::Unset, Grain::Day | Grain::Week | Grain::Month | Grain::Year, _) => (at, at + DAY - 1),
        (Grain::Unset, Grain::Unset, Grain::Month) => (at, at + DAY * days_in_month(tm.month + 1, tm.year) - 1),
        (Grain::Unset, Grain::Unset, date) if date != Grain::Unset => (at, at + DAY - 1),
        _ => (at, at),
    }
}

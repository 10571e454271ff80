//! The lists of names that a command line and the settings make together.

use super::columns;
use super::options::{Group, Part};
use super::value::Object;

/// What one report is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    pub fields: String,
    pub sort: String,
    pub select: Option<String>,
    /// Left out if they are empty in all rows.
    pub compact: String,
}

/// What the groups make of it. `is_for` tells which parts are meant: of one report, its own, and what
/// is for no part.
///
/// # Errors
/// A list that is empty.
pub fn asked(
    mut asked: Asked,
    groups: &[Group],
    start: Object,
    mut is_for: impl FnMut(Option<Part>) -> bool,
) -> Result<Asked, String> {
    let mut part = None;
    let mut names = split(&asked.fields);
    for group in groups {
        // What a part was named for stays with those behind it.
        part = group.part.or(part);
        if !is_for(part) {
            continue;
        }
        if let Some(fields) = &group.fields {
            change(&mut names, fields, start, &mut asked.compact)?;
        }
        if let Some(sort) = &group.sort {
            asked.sort.clone_from(sort);
        }
        if group.select.is_some() {
            asked.select.clone_from(&group.select);
        }
    }
    asked.fields = names.join(",");
    Ok(asked)
}

fn change(names: &mut Vec<String>, fields: &str, start: Object, compact: &mut String) -> Result<(), String> {
    let rest = |sign| fields.strip_prefix(sign);
    if fields.is_empty() {
        return Err("Invalid options string: ".to_owned());
    }
    if let Some(added) = rest('+') {
        names.extend(split(added));
    } else if let Some(removed) = rest('-') {
        for name in split(removed) {
            if let Some(found) = names.iter().position(|known| is_same(known, &name, columns::prefix(start))) {
                names.remove(found);
            }
        }
    } else if let Some(compacted) = rest('#') {
        compacted.clone_into(compact);
    } else {
        *names = split(fields);
    }
    Ok(())
}

/// With or without the prefix of the report on either side.
fn is_same(a: &str, b: &str, prefix: &str) -> bool {
    let bare = |name: &str| {
        let rest = name.strip_prefix(prefix);
        rest.map_or(name, |rest| rest.strip_prefix('_').unwrap_or(rest)).to_owned()
    };
    a == b || bare(a) == bare(b)
}

/// The column at which a list has this name, signs before it or not.
pub fn place(list: &str, name: &str) -> Option<usize> {
    let bare = |name: &str| name.trim_start_matches(['+', '-', '#']).chars().count();
    let is_it = |part: &str| part.strip_suffix(name).is_some_and(|signs| bare(signs) == 0);
    let before = list.split(',').take_while(|part| !is_it(part)).map(|part| part.chars().count() + 1).sum::<usize>();
    let found = list.split(',').find(|part| is_it(part))?;
    Some(before + found.chars().count() - name.chars().count())
}

fn split(text: &str) -> Vec<String> {
    text.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(fields: &[&str], expected: &str) {
        let groups = fields.iter().map(|fields| Group { fields: Some((*fields).to_owned()), ..Group::default() });
        let start = Asked { fields: "lv_name,vg_name,lv_attr".to_owned(), ..Asked::default() };
        let asked = asked(start, &groups.collect::<Vec<_>>(), Object::Lv, |_| true).unwrap();
        assert_eq!(asked.fields, expected, "{fields:?}");
    }

    #[test]
    fn a_name_has_its_place_in_a_list() {
        for (list, name, expected) in [
            ("foo", "foo", Some(0)),
            ("+foo", "foo", Some(1)),
            ("-a,foo", "foo", Some(3)),
            ("a,-foo", "foo", Some(3)),
            ("a,-foo", "-foo", Some(2)),
            ("é,foo", "foo", Some(2)),
            ("xfoo,foo", "foo", Some(5)),
            ("a,b", "foo", None),
        ] {
            assert_eq!(place(list, name), expected, "{list} {name}");
        }
    }

    #[test]
    fn lists_of_fields_add_up() {
        check(&[], "lv_name,vg_name,lv_attr");
        check(&["+a,b"], "lv_name,vg_name,lv_attr,a,b");
        check(&["-attr", "+x"], "lv_name,vg_name,x");
        check(&["-lv_name,nope"], "vg_name,lv_attr");
        check(&["a,,b", "+c"], "a,b,c");
        check(&["+a", "b"], "b");
        check(&["#vg_name"], "lv_name,vg_name,lv_attr");
        let empty = [Group { fields: Some(String::new()), ..Group::default() }];
        assert!(asked(Asked::default(), &empty, Object::Lv, |_| true).is_err());
    }
}

//! LVM's text format: VG metadata, `lvm.conf` and the lvmetad socket all speak it.
//!
//! ```text
//! text   = node+                         an empty text is an error
//! node   = key ( "{" node* "}"  |  "=" value )
//! key    = word | "string" | 'string'    a "/" in a key makes sections: a/b=1 is a { b=1 }
//! value  = scalar | "[" [ scalar { ["," ] scalar } [ "," ] ] "]"
//! scalar = integer | float | "string" | 'string' | word
//! ```
//!
//! Input is bytes and is never decoded; a NUL ends it. Duplicate keys are kept in order and a
//! look-up takes the first, as LVM does for VG metadata and on the socket; [`Section::merged`]
//! gives the other reading, which `lvm.conf` has. The same grammar is spoken by lvm2 in
//! `libdm/libdm-config.c`.

#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects, clippy::expect_used, clippy::indexing_slicing))]

mod parse;
mod write;

use std::borrow::Cow;

pub use parse::{Error, ErrorKind, Known, MAX_DEPTH, Message, parse, parse_message};
pub use write::{escape_into, write_key, write_nodes};

/// Ends each message of lvmetad's protocol. To the parser it is a comment.
pub const TERMINATOR: &[u8] = b"\n##\n";

/// One `key=value` or `key { ... }`.
#[derive(Clone, Debug, PartialEq)]
pub struct Node<'a> {
    pub key: Cow<'a, [u8]>,
    pub item: Item<'a>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Item<'a> {
    Section(Section<'a>),
    Value(Value<'a>),
    /// A section that the caller of [`parse_message`] recognised by its bytes: what
    /// stands between its braces, not parsed again.
    Known(&'a [u8]),
}

/// A list of one element cannot be told from a scalar, here as in LVM: `["x"]` is `One`.
#[derive(Clone, Debug, PartialEq)]
pub enum Value<'a> {
    One(Scalar<'a>),
    /// Empty, or two and more.
    List(Vec<Scalar<'a>>),
}

#[derive(Clone, Debug, PartialEq)]
pub enum Scalar<'a> {
    Int(i64),
    Float(f64),
    Str(Cow<'a, [u8]>),
}

/// The nodes between two braces, or of a whole text.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Section<'a>(pub Vec<Node<'a>>);

impl<'a> Section<'a> {
    /// The first node with this key.
    pub fn node(&self, key: &str) -> Option<&Node<'a>> {
        self.0.iter().find(|node| &*node.key == key.as_bytes())
    }

    /// The item at a path such as `metadata/seqno`; the first match at each level is followed.
    pub fn item(&self, path: &str) -> Option<&Item<'a>> {
        match path.split_once('/') {
            None => self.node(path).map(|node| &node.item),
            Some((first, rest)) => self.section(first)?.item(rest),
        }
    }

    pub fn section(&self, path: &str) -> Option<&Section<'a>> {
        match self.item(path)? {
            Item::Section(section) => Some(section),
            Item::Value(_) | Item::Known(_) => None,
        }
    }

    pub fn value(&self, path: &str) -> Option<&Value<'a>> {
        match self.item(path)? {
            Item::Value(value) => Some(value),
            Item::Section(_) | Item::Known(_) => None,
        }
    }

    /// A non-empty string; of a list, its first element.
    pub fn str(&self, path: &str) -> Option<&[u8]> {
        match self.value(path)?.scalars().first()? {
            Scalar::Str(bytes) if !bytes.is_empty() => Some(bytes),
            _ => None,
        }
    }

    /// An integer; of a list, its first element. `"5"` is not one.
    pub fn int(&self, path: &str) -> Option<i64> {
        match self.value(path)?.scalars().first()? {
            Scalar::Int(value) => Some(*value),
            _ => None,
        }
    }

    /// The child sections, in order.
    pub fn sections(&self) -> impl Iterator<Item = (&[u8], &Section<'a>)> {
        self.0.iter().filter_map(|node| match &node.item {
            Item::Section(section) => Some((&*node.key, section)),
            Item::Value(_) | Item::Known(_) => None,
        })
    }

    /// The same text as `lvm.conf` means it: sections of one name are one, the last value wins.
    pub fn merged(self) -> Section<'a> {
        let mut out = Section::default();
        for node in self.0 {
            out.merge_node(node);
        }
        out
    }

    /// Lays `later` over this (already merged) text.
    pub fn merge(&mut self, later: Section<'a>) {
        for node in later.0 {
            self.merge_node(node);
        }
    }

    fn merge_node(&mut self, node: Node<'a>) {
        let earlier = self.0.iter_mut().find(|earlier| earlier.key == node.key);
        match (earlier, node.item) {
            (Some(Node { item: Item::Section(into), .. }), Item::Section(from)) => into.merge(from),
            (Some(earlier), Item::Section(from)) => earlier.item = Item::Section(from.merged()),
            (Some(earlier), item) => earlier.item = item,
            (None, Item::Section(from)) => {
                self.0.push(Node { key: node.key, item: Item::Section(from.merged()) });
            }
            (None, item) => self.0.push(Node { key: node.key, item }),
        }
    }
}

impl<'a> Value<'a> {
    pub fn scalars(&self) -> &[Scalar<'a>] {
        match self {
            Value::One(scalar) => std::slice::from_ref(scalar),
            Value::List(scalars) => scalars,
        }
    }

    /// The strings among the elements.
    pub fn strings(&self) -> impl Iterator<Item = &[u8]> {
        self.scalars().iter().filter_map(|scalar| match scalar {
            Scalar::Str(bytes) => Some(&**bytes),
            Scalar::Int(_) | Scalar::Float(_) => None,
        })
    }
}

impl<'a> Node<'a> {
    pub fn int(key: &'a str, value: i64) -> Node<'a> {
        Node { key: Cow::Borrowed(key.as_bytes()), item: Item::Value(Value::One(Scalar::Int(value))) }
    }

    pub fn str(key: &'a str, value: impl Into<Cow<'a, [u8]>>) -> Node<'a> {
        Node { key: Cow::Borrowed(key.as_bytes()), item: Item::Value(Value::One(Scalar::Str(value.into()))) }
    }

    pub fn section(key: impl Into<Cow<'a, [u8]>>, nodes: Vec<Node<'a>>) -> Node<'a> {
        Node { key: key.into(), item: Item::Section(Section(nodes)) }
    }
}

#[cfg(test)]
mod tests;

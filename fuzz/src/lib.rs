//! What the targets share: taking an input apart, and comparing what was written with what is
//! read back.

use pvwatch::text::{Item, Node, Scalar, Section, Value, write_nodes};

/// Takes an input apart from the front. When it is used up, there are zeros.
pub struct Input<'a>(pub &'a [u8]);

impl<'a> Input<'a> {
    pub fn u8(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    pub fn u16(&mut self) -> u16 {
        u16::from_le_bytes([self.u8(), self.u8()])
    }

    pub fn bytes(&mut self, length: usize) -> &'a [u8] {
        let (first, rest) = self.0.split_at(length.min(self.0.len()));
        self.0 = rest;
        first
    }
}

pub fn written(section: &Section) -> Vec<u8> {
    let mut out = Vec::new();
    write_nodes(&section.0, 0, &mut out);
    out
}

/// Floats are written with six places: the same tree has the same text but for these.
pub fn without_floats<'a>(section: &Section<'a>) -> Section<'a> {
    let plain = |scalar: &Scalar<'a>| match scalar {
        Scalar::Float(_) => Scalar::Float(0.0),
        other => other.clone(),
    };
    let nodes = section.0.iter().map(|node| {
        let item = match &node.item {
            Item::Section(section) => Item::Section(without_floats(section)),
            Item::Value(Value::One(scalar)) => Item::Value(Value::One(plain(scalar))),
            Item::Value(Value::List(scalars)) => Item::Value(Value::List(scalars.iter().map(plain).collect())),
            Item::Known(bytes) => Item::Known(bytes),
        };
        Node { key: node.key.clone(), item }
    });
    Section(nodes.collect())
}

use super::{Item, Node, Scalar, Value};

/// The stock writer indents no further than this.
const MAX_INDENT: usize = 32;

/// Appends the nodes, one a line, each level indented by a tab more, the outermost by `indent`.
pub fn write_nodes(nodes: &[Node], indent: usize, out: &mut Vec<u8>) {
    for node in nodes {
        write_indent(indent, out);
        write_key(&node.key, out);
        match &node.item {
            Item::Section(section) => {
                out.extend_from_slice(b" {\n");
                write_nodes(&section.0, indent.saturating_add(1), out);
                write_indent(indent, out);
                out.extend_from_slice(b"}\n");
            }
            Item::Known(inside) => {
                out.extend_from_slice(b" {\n");
                out.extend_from_slice(inside);
                out.extend_from_slice(b"}\n");
            }
            Item::Value(value) => {
                out.push(b'=');
                write_value(value, out);
                out.push(b'\n');
            }
        }
    }
}

fn write_indent(indent: usize, out: &mut Vec<u8>) {
    out.extend(std::iter::repeat_n(b'\t', indent.min(MAX_INDENT)));
}

fn write_value(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::One(scalar) => write_scalar(scalar, out),
        Value::List(scalars) => {
            out.push(b'[');
            for (index, scalar) in scalars.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                write_scalar(scalar, out);
            }
            out.push(b']');
        }
    }
}

fn write_scalar(scalar: &Scalar, out: &mut Vec<u8>) {
    match scalar {
        Scalar::Int(value) => out.extend_from_slice(itoa::Buffer::new().format(*value).as_bytes()),
        Scalar::Float(value) => out.extend_from_slice(format!("{value:.6}").as_bytes()),
        Scalar::Str(bytes) => {
            out.push(b'"');
            escape_into(bytes, out);
            out.push(b'"');
        }
    }
}

/// Appends the bytes with `"` and `\` escaped, as they stand between double quotes.
pub fn escape_into(bytes: &[u8], out: &mut Vec<u8>) {
    let mut rest = bytes;
    while let Some(at) = memchr::memchr2(b'"', b'\\', rest)
        && let Some((plain, [special, behind @ ..])) = rest.split_at_checked(at)
    {
        out.extend_from_slice(plain);
        out.extend_from_slice(&[b'\\', *special]);
        rest = behind;
    }
    out.extend_from_slice(rest);
}

/// Stock quotes a key only for `#`, `"` and `!`, and so writes keys it cannot read back.
pub fn write_key(key: &[u8], out: &mut Vec<u8>) {
    let plain = |byte: &u8| byte.is_ascii_graphic() && !b"#\"!'={}[],\\".contains(byte) || *byte >= 0x80;
    if key.is_empty() {
        // Only a path with a trailing slash makes an empty key, and only a path can say it again.
        out.extend_from_slice(b"\"/\"");
    } else if key.iter().all(plain) {
        out.extend_from_slice(key);
    } else {
        out.push(b'"');
        escape_into(key, out);
        out.push(b'"');
    }
}

use super::{Area, MdaScan, Pv};
use crate::text::Node;

impl Pv {
    /// What an lvm2 2.02 command tells lvmetad about a PV in `pv_found`, on the device with this
    /// `dev_t`: `lvmetad_pv_found` and `_extract_mdas` in its `lib/cache/lvmetad.c`.
    pub fn pvmeta(&self, device: u64) -> Vec<Node<'static>> {
        let mut nodes = vec![
            int("device", device),
            int("dev_size", self.dev_size),
            Node::str("format", &b"lvm2"[..]),
            int("label_sector", self.label_sector),
            Node::str("id", self.id.hyphenated()),
            int("ext_version", self.ext_version.into()),
            int("ext_flags", self.ext_flags.into()),
        ];
        nodes.extend(numbered("mda", &self.mdas, mda_nodes));
        nodes.extend(numbered("da", &self.data_areas, area_nodes));
        nodes.extend(numbered("ba", &self.bootloader_areas, area_nodes));
        nodes
    }
}

fn numbered<T>(name: &str, items: &[T], nodes: fn(&T) -> Vec<Node<'static>>) -> impl Iterator<Item = Node<'static>> {
    items
        .iter()
        .enumerate()
        .map(move |(number, item)| Node::section(format!("{name}{number}").into_bytes(), nodes(item)))
}

fn mda_nodes(mda: &MdaScan) -> Vec<Node<'static>> {
    vec![
        int("ignore", mda.ignored.into()),
        int("start", mda.area.offset),
        int("size", mda.area.size),
        int("free_sectors", mda.free_sectors),
    ]
}

fn area_nodes(area: &Area) -> Vec<Node<'static>> {
    vec![int("offset", area.offset), int("size", area.size)]
}

/// The protocol's integers are signed; LVM prints large ones as negative, and reads them back.
fn int(key: &'static str, value: u64) -> Node<'static> {
    Node::int(key, value.cast_signed())
}

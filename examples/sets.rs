//! Reports of images, against what LVM printed of them in the laboratory.
//!
//! The images are no part of this repository: a plain clone skips the test that needs them.

use pvwatch::dry_run::Images;
use pvwatch::report::fields;
use pvwatch::report::inventory::{Host, Item, Needs, Source};
use pvwatch::report::row::{Marks, PvRow, Row};
use pvwatch::report::value::Value as Shown;
use pvwatch::sys::settings::{self, Over};
use serde_json::{Map, Value};
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

struct World;
impl World {
    fn path(&self, n: &str) -> PathBuf {
        PathBuf::from(n)
    }
    fn system_dir(&self) -> PathBuf {
        PathBuf::from("/tmp/pvs_example/etc")
    }
}

fn unpack(folder: &Path, world: &World, name: &str) -> io::Result<PathBuf> {
    let path = world.path(name);
    let mut packed = flate2::read::GzDecoder::new(File::open(folder.join(format!("{name}.gz")))?);
    let mut image = File::create(&path)?;
    let mut block = vec![0; 64 << 10];
    let mut length = 0;
    loop {
        let count = packed.read(&mut block)?;
        if count == 0 {
            image.set_len(length)?;
            return Ok(path);
        }
        if block[..count].iter().any(|&byte| byte != 0) {
            image.seek(SeekFrom::Start(length))?;
            image.write_all(&block[..count])?;
        }
        length += count as u64;
    }
}

fn text(value: &Shown) -> String {
    match value {
        Shown::Text(text) => String::from_utf8_lossy(text).into_owned(),
        Shown::Number(number) => number.to_string(),
        Shown::Size(sectors) => (sectors * 512).to_string(),
        Shown::Percent(percent) => percent.to_string(),
        Shown::Time(time) => time.to_string(),
        Shown::List(list) => list.iter().map(|item| String::from_utf8_lossy(item)).collect::<Vec<_>>().join(","),
        Shown::Flag(is_set, word) => if *is_set { *word } else { "" }.to_owned(),
        Shown::Word(word, _) | Shown::Undefined(word) => (*word).to_owned(),
    }
}

fn shown(row: &Row, expected: &Map<String, Value>) -> Map<String, Value> {
    let field = |name: &str| {
        fields::all()
            .find(|field| field.name == name)
            .map_or_else(|| format!("no field {name}"), |field| text(&(field.value)(row)))
    };
    expected.keys().map(|name| (name.clone(), Value::String(field(name)))).collect()
}

fn main() {
    if let Some(_) = pvwatch::sys::reader::run_if_reader() {
        return;
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/vectors/disks");
    let world = World;
    fs::create_dir_all("/tmp/pvs_example").unwrap();
    std::env::set_current_dir("/tmp/pvs_example").unwrap();
    let manifest: Value = serde_json::from_reader(File::open(folder.join("MANIFEST.json")).unwrap()).unwrap();
    let mut wrong = 0;
    for (set, about) in manifest["sets"].as_object().unwrap() {
        let names = about["images"]
            .as_array()
            .unwrap()
            .iter()
            .map(|image| image["file"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>();
        let paths = names.iter().map(|name| unpack(&folder, &world, name).unwrap()).collect::<Vec<_>>();
        let settings = settings::load(&world.system_dir(), Over::Nothing).unwrap();
        let needs = Needs { lvs: true, devices: true };
        let mut images = Images::look(settings, &paths, needs).unwrap();
        let lvm = &about["lvm"];
        let (mut pvs, mut vgs, mut said) = (vec![], vec![], vec![]);
        let (mut host, marks) = (Host::default(), Marks::default());
        let empty = Map::new();
        let first = |kind: &str| lvm[kind][0].as_object().cloned().unwrap_or(empty.clone());
        let (pv_fields, vg_fields) = (first("pvs"), first("vgs"));
        let mut later = Vec::new();
        while let Some(item) = images.next().unwrap() {
            let base = |host| Row {
                host,
                marks: &marks,
                vg: None,
                pv: None,
                lvs: None,
                lv: None,
                segment: None,
                pv_segment: None,
                live: None,
            };
            match &item {
                Item::Host(found) => {
                    host = found.clone();
                    said.extend(found.warnings.clone())
                }
                Item::Vg(vg) => {
                    said.extend(vg.warnings.clone());
                    let row = Row { vg: Some(vg), ..base(&host) };
                    vgs.push(Value::Object(shown(&row, &vg_fields)));
                    for listed in &vg.vg.pvs {
                        let present = vg.present.iter().find(|present| Some(present.id) == listed.id);
                        let pv = PvRow { listed: Some(listed), present, ..PvRow::default() };
                        pvs.push(Value::Object(shown(&Row { pv: Some(pv), ..row }, &pv_fields)));
                        for duplicate in present.into_iter().flat_map(|present| &present.duplicates) {
                            let pv = PvRow { duplicate: Some(duplicate), ..pv };
                            later.push(Value::Object(shown(&Row { pv: Some(pv), ..row }, &pv_fields)));
                        }
                    }
                }
                Item::Unreadable(vg) => said.extend(vg.warnings.clone()),
                Item::Orphan(present) => {
                    said.extend(present.warnings.clone());
                    let pv = PvRow { present: Some(present), ..PvRow::default() };
                    pvs.push(Value::Object(shown(&Row { pv: Some(pv), ..base(&host) }, &pv_fields)));
                }
                Item::Device(device) => {
                    let pv = PvRow { device: Some(device), ..PvRow::default() };
                    pvs.push(Value::Object(shown(&Row { pv: Some(pv), ..base(&host) }, &pv_fields)));
                }
            }
        }
        pvs.extend(later);
        pvs.sort_by_key(|pv| pv["pv_name"].as_str().unwrap_or("").to_owned());
        let mut expected = lvm["pvs"].as_array().unwrap().clone();
        expected.sort_by_key(|pv| pv["pv_name"].as_str().unwrap_or("").to_owned());
        if pvs != expected {
            wrong += 1;
            println!("{set}: pvs\n  {}\n  {}", Value::Array(pvs), Value::Array(expected));
        }
        vgs.sort_by_key(|pv| pv["vg_name"].as_str().unwrap_or("").to_owned());
        if vgs != *lvm["vgs"].as_array().unwrap() {
            wrong += 1;
            println!("{set}: vgs\n  {}\n  {}", Value::Array(vgs), lvm["vgs"]);
        }
        let said = said.iter().filter(|warning| !warning.unless_foreign).map(|w| w.text.clone()).collect::<Vec<_>>();
        let expected = lvm["stderr"]
            .as_array()
            .map(|lines| lines.iter().map(|line| line.as_str().unwrap().to_owned()).collect::<Vec<_>>())
            .unwrap_or_default();
        if said != expected {
            println!("{set}: stderr");
            for line in &said {
                println!("   ours {line}");
            }
            for line in &expected {
                println!("   LVM  {line}");
            }
        }
        paths.iter().for_each(|path| fs::remove_file(path).unwrap());
    }
    println!("{wrong} wrong");
}

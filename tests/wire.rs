//! The recorded conversations with the stock lvmetad, replayed without a socket. They lie beside
//! the repository; where they are not, this says so and tests nothing.

use pvwatch::protocol::frame::Frames;
use pvwatch::text::{self, Item, Scalar, Section, Value};
use pvwatch::watcher::Watcher;
use serde_json::Value as Json;
use std::path::Path;
use std::time::Duration;

const RECORDINGS: &str = "../shared/vectors/wire";
const TERMINATOR: &[u8] = b"\n##\n";

#[test]
fn replies_are_those_of_the_stock_daemon() {
    let Ok(entries) = std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(RECORDINGS)) else {
        println!("skipped: there are no recordings in {RECORDINGS}");
        return;
    };
    let mut paths = entries.map(|entry| entry.expect("a readable folder").path()).collect::<Vec<_>>();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "jsonl"));
    paths.sort();
    assert!(!paths.is_empty());
    let problems = paths.iter().flat_map(|path| replay(path)).collect::<Vec<_>>();
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

fn replay(path: &Path) -> Vec<String> {
    let mut watcher = Watcher::server(1);
    let mut now = Duration::from_secs(1000);
    let mut varying = Vec::new();
    let mut problems = Vec::new();
    let text = std::fs::read_to_string(path).expect("a readable recording");
    for (line, object) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let object: Json = serde_json::from_str(object).expect("one JSON object a line");
        let mut check = |request: &[u8], reply: Option<&[u8]>| {
            let ours = watcher.handle_request(now, request);
            let ours = ours.bytes().strip_suffix(TERMINATOR).expect("a reply ends with its terminator");
            if let Err(problem) = compare(ours, reply, &object, &varying) {
                let name = path.file_name().unwrap_or_default().display().to_string();
                problems.push(format!("{name}:{}: {problem}", line + 1));
            }
        };
        match object["kind"].as_str() {
            Some("header") => {
                let names = object["varying"].as_array().into_iter().flatten();
                varying = names.filter_map(|name| Some(name.as_str()?.to_owned())).collect();
            }
            Some("exchange") => {
                if let Some(request) = bytes(&object, "request") {
                    check(&request, bytes(&object, "reply").as_deref());
                }
            }
            Some("chunks") => {
                let mut frames = Frames::default();
                object["chunks"].as_array().into_iter().flatten().filter_map(Json::as_str).for_each(|chunk| {
                    frames.push(chunk.as_bytes());
                });
                for reply in object["replies"].as_array().into_iter().flatten() {
                    let request = frames.next_request().expect("it is small").expect("one for each reply").to_vec();
                    check(&request, reply.as_str().map(str::as_bytes));
                }
            }
            Some("sleep") => now += Duration::from_secs_f64(object["seconds"].as_f64().expect("a number")),
            _ => {}
        }
    }
    problems
}

/// A message that is in base64 is one of broken bytes; the protocol's own tests have these.
fn bytes(object: &Json, key: &str) -> Option<Vec<u8>> {
    Some(object[key].as_str()?.as_bytes().to_vec())
}

fn compare(ours: &[u8], stock: Option<&[u8]>, exchange: &Json, varying: &[String]) -> Result<(), String> {
    let mode = exchange["compare"].as_str().unwrap_or("tree");
    if mode == "skip" {
        return Ok(());
    }
    let show = || ours.escape_ascii().to_string();
    let parsed = text::parse(ours).map_err(|error| format!("{error}: {}", show()))?;
    let also = exchange["also_ok"].as_array().into_iter().flatten().filter_map(Json::as_object);
    let is = |key: &String, value: &Json| match value {
        Json::String(text) => parsed.str(key).unwrap_or_default() == text.as_bytes(),
        Json::Number(number) => parsed.int(key) == number.as_i64(),
        _ => false,
    };
    if also.into_iter().any(|fields| fields.iter().all(|(key, value)| is(key, value))) {
        return Ok(());
    }
    let Some(stock) = stock else { return Ok(()) };
    let expected = text::parse(stock).map_err(|error| format!("the recording: {error}"))?;
    let same = match mode {
        "response" => parsed.str("response") == expected.str("response"),
        _ => canonical(&parsed, varying) == canonical(&expected, varying),
    };
    if same { Ok(()) } else { Err(format!("{}\n    not {}", show(), stock.escape_ascii())) }
}

/// Equal for equal trees: siblings in an order of their own, and `status` and `flags` are sets.
fn canonical(section: &Section, left_out: &[String]) -> Vec<String> {
    let nodes = section.0.iter().filter(|node| !left_out.iter().any(|key| key.as_bytes() == &*node.key));
    let mut out = nodes
        .map(|node| {
            let key = node.key.escape_ascii();
            match &node.item {
                Item::Section(inside) => format!("{key} {{{}}}", canonical(inside, &[]).join("\n")),
                Item::Value(value) => format!("{key} = {:?}", scalars(&node.key, value)),
                Item::Known(_) => unreachable!("nothing was declared known"),
            }
        })
        .collect::<Vec<_>>();
    out.sort();
    out
}

fn scalars(key: &[u8], value: &Value) -> Vec<String> {
    let text = |scalar: &Scalar| match scalar {
        Scalar::Int(number) => format!("i{number}"),
        Scalar::Float(number) => format!("f{number:.6}"),
        Scalar::Str(bytes) => format!("s{}", bytes.escape_ascii()),
    };
    let mut out = value.scalars().iter().map(text).collect::<Vec<_>>();
    if matches!(key, b"status" | b"flags") {
        out.sort();
    }
    out
}

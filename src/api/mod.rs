//! The other protocol on our sockets, for people and monitoring: Varlink (varlink.org), JSON
//! objects that end with a NUL. The first byte of a message tells which protocol it is of: no
//! request of lvmetad's can begin with a brace and be right.

mod activations;
mod clients;
pub mod inventory;
mod status;

use crate::activation::Inhibit;
use crate::metadata::is_valid_name;
use crate::protocol::frame::CALL_END;
use crate::pvscan::Found;
use crate::report::inventory::Needs;
use serde_json::{Map, Value, json};
use std::path::Path;
use std::time::Duration;

pub use activations::activations;
pub use clients::{Bound, Clients, Refusals};
pub use status::{Process, Uevents, show, status};

const INTERFACE: &str = "io.pvwatch";
const DESCRIPTION: &str = include_str!("io.pvwatch.varlink");

const SERVICE_DESCRIPTION: &str = "\
interface org.varlink.service
method GetInfo() -> (vendor: string, product: string, version: string, url: string, interfaces: []string)
method GetInterfaceDescription(interface: string) -> (description: string)
error InterfaceNotFound (interface: string)
error MethodNotFound (method: string)
error MethodNotImplemented (method: string)
error InvalidParameter (parameter: string)
error PermissionDenied ()
error ExpectedMore ()
";

/// What a client asks of the daemon.
#[derive(Debug, PartialEq, Eq)]
pub enum Call {
    Status,
    Activations,
    Show(String),
    Dump,
    Rescan(Vec<String>),
    Settle,
    Inhibit {
        /// A name that LVM allows.
        vg: String,
        /// For so long, or until it is lifted; `None`: lift it.
        until: Option<Option<Duration>>,
    },
    /// What is inhibited.
    Inhibited,
    /// What reports are made of.
    Inventory(Needs),
    /// The configuration is read again.
    Reload,
    /// What these devices are; all that hold a PV if there is none.
    Online {
        devices: Vec<String>,
        lvs: bool,
        /// Multipath takes none of them for a path.
        no_paths: bool,
        /// Whoever asks is about to be told that a VG is complete.
        complete: bool,
    },
}

/// What a call takes of whoever makes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Right {
    /// It changes nothing, waits for nothing, and is for everybody who may read.
    Read,
    /// It changes nothing, but is for those whom lvmetad's socket lets in.
    Ask,
    /// It changes something, and is for root and the daemon's own user.
    Change,
}

impl Call {
    /// No call is left out here by a wildcard.
    pub fn right(&self) -> Right {
        match self {
            Call::Status | Call::Activations | Call::Show(_) | Call::Inhibited | Call::Inventory(_) => Right::Read,
            Call::Dump | Call::Settle => Right::Ask,
            // Somebody who asks with `Online` may be told that a VG is complete, and others are not then.
            Call::Rescan(_) | Call::Inhibit { .. } | Call::Reload | Call::Online { .. } => Right::Change,
        }
    }
}

/// A message with a call in it.
#[derive(Debug, PartialEq, Eq)]
pub struct Request {
    /// `Err` holds the reply to one that needs no daemon to be answered, or is wrong.
    pub call: Result<Call, Vec<u8>>,
    /// No reply is wanted.
    pub oneway: bool,
    /// It has more levels than are looked at, which are 127 of JSON.
    pub nests_too_deeply: bool,
}

pub fn parse(message: &[u8]) -> Request {
    let request = match serde_json::from_slice::<Map<String, Value>>(message) {
        Ok(request) => request,
        Err(error) => {
            // By nothing else can it be told from other errors.
            let nests_too_deeply = error.to_string().starts_with("recursion limit exceeded");
            return Request { call: Err(invalid("call")), oneway: false, nests_too_deeply };
        }
    };
    let oneway = flag(&request, "oneway");
    Request {
        oneway: oneway.as_ref().is_ok_and(|oneway| *oneway),
        call: oneway.and_then(|_| call(&request)),
        nests_too_deeply: false,
    }
}

fn call(request: &Map<String, Value>) -> Result<Call, Vec<u8>> {
    let more = flag(request, "more")?;
    // There is no other protocol to change to.
    if flag(request, "upgrade")? {
        return Err(invalid("upgrade"));
    }
    let method = request.get("method").and_then(Value::as_str).unwrap_or_default();
    let none = Map::new();
    let parameters = match request.get("parameters") {
        None | Some(Value::Null) => &none,
        Some(parameters) => parameters.as_object().ok_or_else(|| invalid("parameters"))?,
    };
    match method {
        "org.varlink.service.GetInfo" => Err(reply(json!({
            "vendor": "pvwatch", "product": "pvwatchd", "version": env!("CARGO_PKG_VERSION"), "url": "",
            "interfaces": ["org.varlink.service", INTERFACE],
        }))),
        "org.varlink.service.GetInterfaceDescription" => Err(describe(parameters)),
        "io.pvwatch.Status" => Ok(Call::Status),
        "io.pvwatch.Activations" => Ok(Call::Activations),
        "io.pvwatch.Show" => string(parameters, "thing").map(Call::Show),
        "io.pvwatch.Dump" => Ok(Call::Dump),
        "io.pvwatch.Rescan" => strings(parameters, "devices").map(Call::Rescan),
        "io.pvwatch.Settle" => Ok(Call::Settle),
        "io.pvwatch.Inhibit" => inhibit(parameters),
        "io.pvwatch.Inhibited" => Ok(Call::Inhibited),
        "io.pvwatch.Inventory" => {
            let named = parameters.get("named").filter(|named| !named.is_null());
            let named = named.map(|named| serde_json::from_value(named.clone()).map_err(|_| invalid("named")));
            let needs = Needs {
                lvs: flag(parameters, "lvs")?,
                labels: flag(parameters, "labels")?,
                devices: flag(parameters, "devices")?,
                named: named.transpose()?.unwrap_or_default(),
            };
            if more { Ok(Call::Inventory(needs)) } else { Err(error("org.varlink.service.ExpectedMore", json!({}))) }
        }
        "io.pvwatch.Reload" => Ok(Call::Reload),
        "io.pvwatch.Online" => {
            let (lvs, no_paths) = (flag(parameters, "lvs")?, flag(parameters, "no_paths")?);
            let complete = flag(parameters, "complete")?;
            strings(parameters, "devices").map(|devices| Call::Online { devices, lvs, no_paths, complete })
        }
        _ => Err(error("org.varlink.service.MethodNotFound", json!({"method": method}))),
    }
}

/// Nobody means to inhibit a VG for longer and not until he lifts it.
const INHIBIT_MAX: f64 = 10.0 * 365.0 * 24.0 * 3600.0;

fn inhibit(parameters: &Map<String, Value>) -> Result<Call, Vec<u8>> {
    let vg = string(parameters, "vg")?;
    if !is_valid_name(vg.as_bytes()) {
        return Err(invalid("vg"));
    }
    let span = match parameters.get("seconds") {
        None | Some(Value::Null) => None,
        Some(seconds) => {
            let seconds = seconds.as_f64().filter(|seconds| (0.0..=INHIBIT_MAX).contains(seconds));
            Some(Duration::from_secs_f64(seconds.ok_or_else(|| invalid("seconds"))?))
        }
    };
    match (flag(parameters, "lift")?, span) {
        (true, Some(_)) => Err(invalid("seconds")),
        (true, None) => Ok(Call::Inhibit { vg, until: None }),
        (false, span) => Ok(Call::Inhibit { vg, until: Some(span) }),
    }
}

fn describe(parameters: &Map<String, Value>) -> Vec<u8> {
    match parameters.get("interface").and_then(Value::as_str) {
        Some(INTERFACE) => reply(json!({"description": DESCRIPTION})),
        Some("org.varlink.service") => reply(json!({"description": SERVICE_DESCRIPTION})),
        Some(other) => error("org.varlink.service.InterfaceNotFound", json!({"interface": other})),
        None => invalid("interface"),
    }
}

fn string(parameters: &Map<String, Value>, name: &str) -> Result<String, Vec<u8>> {
    parameters.get(name).and_then(Value::as_str).map(str::to_owned).ok_or_else(|| invalid(name))
}

/// An absent list is an empty one.
fn strings(parameters: &Map<String, Value>, name: &str) -> Result<Vec<String>, Vec<u8>> {
    let Some(value) = parameters.get(name).filter(|value| !value.is_null()) else { return Ok(Vec::new()) };
    let items = value.as_array().ok_or_else(|| invalid(name))?;
    items.iter().map(|item| item.as_str().map(str::to_owned).ok_or_else(|| invalid(name))).collect()
}

/// An absent one is not set.
fn flag(parameters: &Map<String, Value>, name: &str) -> Result<bool, Vec<u8>> {
    let value = parameters.get(name).filter(|value| !value.is_null());
    value.map_or(Ok(false), |value| value.as_bool().ok_or_else(|| invalid(name)))
}

pub fn invalid(parameter: &str) -> Vec<u8> {
    error("org.varlink.service.InvalidParameter", json!({"parameter": parameter}))
}

/// A successful reply, terminator included.
#[expect(clippy::needless_pass_by_value, reason = "callers build it in place")]
pub fn reply(parameters: Value) -> Vec<u8> {
    finish(&json!({"parameters": parameters}))
}

/// One device of the answer to `Online`.
pub struct Online {
    /// As it was named.
    pub operand: String,
    pub found: Found,
    /// Of a VG whose activation is the daemon's to start: whether nobody has been told yet that it is
    /// complete.
    pub is_first: Option<bool>,
}

/// The answer to `Online`.
pub fn online(devices: &[Online], run_dir: Option<&Path>, event_activation: bool, system_id: Option<&str>) -> Vec<u8> {
    let device = |online: &Online| {
        let mut device = online.found.to_json();
        device.insert("operand".into(), online.operand.as_str().into());
        if let Some(is_first) = online.is_first {
            device.insert("is_first".into(), is_first.into());
        }
        Value::Object(device)
    };
    reply(json!({
        "devices": devices.iter().map(device).collect::<Vec<_>>(),
        "run_dir": run_dir,
        "event_activation": event_activation,
        "system_id": system_id,
    }))
}

/// The answer to `Inhibited`. What is over is not in it.
pub fn inhibited(inhibits: &[Inhibit], now: Duration) -> Vec<u8> {
    let inhibits = inhibits.iter().filter(|inhibit| inhibit.until.is_none_or(|until| until > now));
    let inhibit = |inhibit: &Inhibit| {
        let left = inhibit.until.map(|until| until.saturating_sub(now).as_secs_f64());
        json!({ "vg": String::from_utf8_lossy(&inhibit.vg), "seconds": left })
    };
    reply(json!({ "inhibits": inhibits.map(inhibit).collect::<Vec<_>>() }))
}

/// What was asked for could not be done.
pub fn failed(reason: &str) -> Vec<u8> {
    error("io.pvwatch.Failed", json!({"reason": reason}))
}

/// Of a client for whom there is no room.
pub fn too_many_clients() -> Vec<u8> {
    failed(crate::protocol::TOO_MANY_CLIENTS)
}

/// Of who may only read.
pub fn permission_denied() -> Vec<u8> {
    error("org.varlink.service.PermissionDenied", json!({}))
}

pub fn not_found(thing: &str) -> Vec<u8> {
    error("io.pvwatch.NotFound", json!({"thing": thing}))
}

pub fn not_scanning() -> Vec<u8> {
    error("io.pvwatch.NotScanning", json!({}))
}

pub fn not_scanned(device: &str, rule: &str) -> Vec<u8> {
    error("io.pvwatch.NotScanned", json!({"device": device, "rule": rule}))
}

#[expect(clippy::needless_pass_by_value, reason = "callers build it in place")]
fn error(name: &str, parameters: Value) -> Vec<u8> {
    finish(&json!({"error": name, "parameters": parameters}))
}

fn finish(message: &Value) -> Vec<u8> {
    finish_with(message.to_string().into_bytes(), b"")
}

fn finish_with(mut message: Vec<u8>, end: &[u8]) -> Vec<u8> {
    message.extend_from_slice(end);
    message.push(CALL_END);
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error_of(call: &str) -> String {
        let reply = parse(call.as_bytes()).call.expect_err(call);
        let reply: Value = serde_json::from_slice(reply.strip_suffix(&[CALL_END]).unwrap()).unwrap();
        reply["error"].as_str().unwrap_or_default().to_owned()
    }

    #[test]
    fn calls() {
        let parse = |message: &[u8]| parse(message).call;
        assert_eq!(parse(br#"{"method":"io.pvwatch.Status"}"#), Ok(Call::Status));
        let nulls = br#"{"method":"io.pvwatch.Rescan","parameters":null,"more":null,"oneway":null,"upgrade":false}"#;
        assert_eq!(parse(nulls), Ok(Call::Rescan(vec![])));
        let null = br#"{"method":"io.pvwatch.Rescan","parameters":{"devices":null}}"#;
        assert_eq!(parse(null), Ok(Call::Rescan(vec![])));
        assert_eq!(
            parse(br#"{"method":"io.pvwatch.Show","parameters":{"thing":"vg0"}}"#),
            Ok(Call::Show("vg0".into()))
        );
        assert_eq!(parse(br#"{"method":"io.pvwatch.Rescan","parameters":{}}"#), Ok(Call::Rescan(vec![])));
        let online = |devices: &[&str], lvs| {
            Ok(Call::Online {
                devices: devices.iter().map(|&d| d.into()).collect(),
                lvs,
                no_paths: lvs,
                complete: false,
            })
        };
        assert_eq!(parse(br#"{"method":"io.pvwatch.Online"}"#), online(&[], false));
        let call =
            br#"{"method":"io.pvwatch.Online","parameters":{"devices":["/dev/sda","8:0"],"lvs":true,"no_paths":true}}"#;
        assert_eq!(parse(call), online(&["/dev/sda", "8:0"], true));
    }

    #[test]
    fn who_wants_no_answer() {
        let oneway = |call: &str| parse(call.as_bytes()).oneway;
        assert!(oneway(r#"{"method":"io.pvwatch.Reload","oneway":true}"#));
        assert!(oneway(r#"{"method":"no such","oneway":true}"#));
        assert!(!oneway(r#"{"method":"io.pvwatch.Reload","oneway":false}"#));
        assert!(!oneway(r#"{"method":"io.pvwatch.Reload","oneway":1}"#));
    }

    #[test]
    fn an_inventory_is_more_than_one_reply() {
        let call = |rest: &str| format!(r#"{{"method":"io.pvwatch.Inventory"{rest}}}"#);
        let needs = |rest: &str| parse(call(rest).as_bytes()).call;
        assert_eq!(needs(r#","more":true"#), Ok(Call::Inventory(Needs::default())));
        let both = r#","more":true,"parameters":{"lvs":true,"devices":true}"#;
        assert_eq!(
            needs(both),
            Ok(Call::Inventory(Needs { lvs: true, labels: false, devices: true, named: Vec::new() }))
        );
        let two = r#","more":true,"parameters":{"named":[{"path":"/dev/sda","devno":"8:0"},{"path":"x"}]}"#;
        let named = [("/dev/sda", Some(crate::devno::DevNo::new(8, 0))), ("x", None)];
        let named =
            named.map(|(path, devno)| crate::report::inventory::NamedDevice { path: path.into(), devno }).to_vec();
        assert_eq!(needs(two), Ok(Call::Inventory(Needs { named, ..Needs::default() })));
        let wrong = call(r#","more":true,"parameters":{"named":["/dev/sda"]}"#);
        assert_eq!(error_of(&wrong), "org.varlink.service.InvalidParameter");
        let none = r#","more":true,"parameters":{"lvs":null,"devices":false,"named":null}"#;
        assert_eq!(needs(none), Ok(Call::Inventory(Needs::default())));
        assert_eq!(error_of(&call("")), "org.varlink.service.ExpectedMore");
        assert_eq!(error_of(&call(r#","more":false"#)), "org.varlink.service.ExpectedMore");
    }

    #[test]
    fn inhibits() {
        let call = |parameters: &str| {
            let call = format!(r#"{{"method":"io.pvwatch.Inhibit","parameters":{parameters}}}"#);
            parse(call.as_bytes()).call.map_err(|_| error_of(&call))
        };
        let inhibit = |until| Ok(Call::Inhibit { vg: "vg+0".into(), until });
        let for_seconds = |seconds| inhibit(Some(Some(Duration::from_secs_f64(seconds))));
        assert_eq!(call(r#"{"vg":"vg+0"}"#), inhibit(Some(None)));
        assert_eq!(call(r#"{"vg":"vg+0","seconds":null,"lift":false}"#), inhibit(Some(None)));
        assert_eq!(call(r#"{"vg":"vg+0","seconds":90}"#), for_seconds(90.0));
        assert_eq!(call(r#"{"vg":"vg+0","seconds":0.5}"#), for_seconds(0.5));
        assert_eq!(call(r#"{"vg":"vg+0","lift":true}"#), inhibit(None));
        for wrong in [
            "{}",
            r#"{"vg":"../x"}"#,
            r#"{"vg":"a b"}"#,
            r#"{"vg":"vg","seconds":-1}"#,
            r#"{"vg":"vg","seconds":1e300}"#,
            r#"{"vg":"vg","seconds":"1"}"#,
            r#"{"vg":"vg","seconds":1,"lift":true}"#,
        ] {
            assert_eq!(call(wrong), Err("org.varlink.service.InvalidParameter".into()), "{wrong}");
        }
        let list = [
            Inhibit { vg: b"a".to_vec(), until: None },
            Inhibit { vg: b"b".to_vec(), until: Some(Duration::from_secs(5)) },
            Inhibit { vg: b"c".to_vec(), until: Some(Duration::from_secs(9)) },
        ];
        let answer = inhibited(&list, Duration::from_secs(5));
        let answer: Value = serde_json::from_slice(answer.strip_suffix(&[CALL_END]).unwrap()).unwrap();
        let expected = json!([{ "vg": "a", "seconds": null }, { "vg": "c", "seconds": 4.0 }]);
        assert_eq!(answer["parameters"]["inhibits"], expected);
    }

    #[test]
    fn wrong_calls_are_named() {
        assert_eq!(error_of("{"), "org.varlink.service.InvalidParameter");
        assert_eq!(error_of("[]"), "org.varlink.service.InvalidParameter");
        for wrong in [r#""parameters":[]"#, r#""more":1"#, r#""oneway":"no""#, r#""upgrade":true"#] {
            let call = format!(r#"{{"method":"io.pvwatch.Status",{wrong}}}"#);
            assert_eq!(error_of(&call), "org.varlink.service.InvalidParameter", "{wrong}");
        }
        assert_eq!(error_of("{}"), "org.varlink.service.MethodNotFound");
        assert_eq!(error_of(r#"{"method":"io.pvwatch.Show"}"#), "org.varlink.service.InvalidParameter");
        assert_eq!(
            error_of(r#"{"method":"io.pvwatch.Rescan","parameters":{"devices":[1]}}"#),
            "org.varlink.service.InvalidParameter"
        );
        assert_eq!(
            error_of(r#"{"method":"io.pvwatch.Online","parameters":{"lvs":"yes"}}"#),
            "org.varlink.service.InvalidParameter"
        );
        assert_eq!(error_of(r#"{"method":"org.varlink.service.GetInfo"}"#), "");
        assert_eq!(
            error_of(r#"{"method":"org.varlink.service.GetInterfaceDescription","parameters":{"interface":"x"}}"#),
            "org.varlink.service.InterfaceNotFound"
        );
    }
}

//! `Inventory`: what reports are made of, streamed.

use crate::common::daemon::{Daemon, World};
use crate::common::{LONG, id, vg, wait_until, write_pv};
use crate::report_socket::Caller;
use nix::sys::signal::Signal;
use pvwatch::client::inventory::Inventory;
use pvwatch::metadata::VgText;
use pvwatch::report::inventory::{Item, Needs};
use std::io::Read;
use std::path::Path;
use std::time::Duration;

const ALL: Needs = Needs { lvs: true, labels: true, devices: true, named: Vec::new() };
const CALL: &[u8] = b"{\"method\":\"io.pvwatch.Inventory\",\"parameters\":{\"lvs\":true},\"more\":true}\0";

fn ask(socket: &Path, needs: &Needs) -> Vec<Item> {
    let mut inventory = Inventory::ask(&[socket], needs, LONG).unwrap();
    std::iter::from_fn(|| inventory.next_item().unwrap()).collect()
}

fn names(items: &[Item]) -> Vec<String> {
    let name = |item: &Item| match item {
        Item::Host(_) => "host".to_owned(),
        Item::Named(named) => format!("named {}", named.at),
        Item::Vg(item) => format!("VG {}", String::from_utf8_lossy(&item.vg.name)),
        Item::Unreadable(vg) => format!("unreadable {}", String::from_utf8_lossy(&vg.name)),
        Item::Orphan(present) => format!("orphan {}", present.id),
        Item::Label(present) => format!("label {}", present.device.path),
        Item::Device(device) => format!("device {}", device.path),
    };
    items.iter().map(name).collect()
}

fn texts(items: &[Item]) -> Vec<Option<Vec<u8>>> {
    let text = |item: &Item| match item {
        Item::Vg(item) => Some(item.text.as_ref().map(|text| text.to_vec())),
        _ => None,
    };
    items.iter().filter_map(text).collect()
}

/// Tells a daemon of a VG with a text that is longer by so much.
fn tell(daemon: &Daemon, name: &str, seqno: i64, longer: usize) -> Vec<u8> {
    let text = VgText::parse(vg(name, seqno, &[name]).into()).unwrap();
    let mut body = text.body.to_vec();
    body.extend_from_slice(b"\njunk {\n\ta = \"");
    body.resize(body.len() + longer, b'\t');
    body.extend_from_slice(b"\"\n}\n");
    let mut request = format!("request=\"vg_update\" token=\"skip\" vgname=\"{name}\" metadata {{").into_bytes();
    request.extend_from_slice(&body);
    request.extend_from_slice(b"}\n##\n");
    let mut client = daemon.connect();
    client.send(&request);
    assert_eq!(client.answer().response(), "OK");
    body
}

#[test]
fn everything_that_reports_need_arrives() {
    let world = World::new();
    let images = ["member", "orphan", "neither"].map(|name| world.path(name));
    let text = vg("vg0", 1, &["a"]);
    write_pv(&images[0], "a", Some(text.clone()));
    write_pv(&images[1], "o", None);
    std::fs::write(&images[2], vec![0; 4 << 20]).unwrap();
    let _daemon = world.watch(&images.each_ref().map(|path| path.as_path()));
    let body = VgText::parse(text.into()).unwrap().body.to_vec();
    for socket in [world.report_socket(), world.socket()] {
        let items = ask(&socket, &ALL);
        let expected = ["host", "VG vg0", &format!("orphan {}", id("o")), &format!("device {}", images[2].display())];
        assert_eq!(names(&items), expected);
        assert_eq!(texts(&items), [Some(body.clone())]);
        let Item::Vg(item) = &items[1] else { panic!("{:?}", items[1]) };
        assert_eq!((item.vg.seqno, item.vg.pvs.len(), item.present.len()), (1, 1, 1));
        assert_eq!(item.present[0].device.path, images[0].display().to_string());
        let items = ask(&socket, &Needs::default());
        assert_eq!(names(&items), expected[..3]);
        assert_eq!(texts(&items), [None]);
    }
    let mut caller = Caller::connect(&world.report_socket());
    assert_eq!(caller.method("io.pvwatch.Inventory")["error"], "org.varlink.service.ExpectedMore");
}

#[test]
fn whoever_asks_first_waits_for_the_first_scan() {
    let world = World::new();
    let image = world.path("image");
    write_pv(&image, "a", Some(vg("vg0", 1, &["a"])));
    let fifo = world.path("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    world.configure("pvwatch { read_deadline=2 }");
    let mut command = world.command();
    let daemon = world.spawn(command.arg("-f").arg("--devices").arg(&fifo).arg("--devices").arg(&image));
    wait_until("its socket", || std::os::unix::net::UnixStream::connect(world.report_socket()).is_ok());
    let gone = std::thread::spawn({
        let socket = world.report_socket();
        move || Inventory::ask(&[&*socket], &ALL, Duration::from_millis(200)).unwrap().next_item().err()
    });
    assert_eq!(names(&ask(&world.report_socket(), &ALL)), ["host", "VG vg0"]);
    assert_eq!(daemon.status()["ready"], true);
    let gone = gone.join().unwrap();
    assert!(gone.is_none_or(|error| error.to_string().contains("no answer within")));
}

#[test]
fn each_piece_is_as_it_is_when_its_turn_comes() {
    let world = World::new();
    let daemon = world.start(["--no-scan"]);
    for name in ["b", "c"] {
        tell(&daemon, name, 1, 10);
    }
    let long = tell(&daemon, "a", 1, 4 << 20);
    let mut order = names(&ask(&world.report_socket(), &Needs::default()));
    assert_eq!(order.remove(0), "host");
    assert_eq!(order.len(), 3, "{order:?}");
    let mut stream = Inventory::ask(&[&*world.report_socket()], &ALL, LONG).unwrap();
    assert!(matches!(stream.next_item(), Ok(Some(Item::Host(_)))));
    // Nothing but the long one holds it up, and what came before that is on its way.
    let at = order.iter().position(|name| name == "VG a").unwrap();
    let goes = if at == 2 { None } else { Some(order[2].trim_start_matches("VG ").to_owned()) };
    tell(&daemon, "a", 2, 10);
    if let Some(name) = &goes {
        let request = format!("request=\"vg_remove\" token=\"skip\" uuid=\"{}\"", id(name));
        assert_eq!(daemon.ask(&request).response(), "OK");
    }
    let items = std::iter::from_fn(|| stream.next_item().unwrap()).collect::<Vec<_>>();
    let expected = order.iter().filter(|name| goes.as_ref().is_none_or(|goes| **name != format!("VG {goes}")));
    assert_eq!(names(&items), expected.cloned().collect::<Vec<_>>());
    assert_eq!(texts(&items)[at].as_deref(), Some(&long[..]), "it is of one time");
}

#[test]
fn whoever_takes_nothing_costs_nobody_anything() {
    let world = World::new();
    let daemon = world.start(["--no-scan"]);
    tell(&daemon, "long", 1, 4 << 20);
    let memory = || {
        let status = std::fs::read_to_string(format!("/proc/{}/status", daemon.pid())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() >> 10
    };
    ask(&world.report_socket(), &ALL);
    let before = memory();
    let mut idle = (0..50).map(|_| Caller::connect(&world.report_socket())).collect::<Vec<_>>();
    for caller in &mut idle {
        caller.send(&CALL.repeat(20));
    }
    // One takes it byte by byte.
    let mut slow = Caller::connect(&world.report_socket());
    slow.send(CALL);
    for _ in 0..100 {
        slow.stream.read_exact(&mut [0]).unwrap();
        assert_eq!(daemon.ask("request=\"hello\"").response(), "OK");
    }
    assert_eq!(texts(&ask(&world.report_socket(), &ALL))[0].as_ref().unwrap().len() >> 20, 4);
    assert!(memory() < before + 64, "{before} MiB, then {} MiB", memory());
    // Half of them leave, and the others have what they asked for when they take it.
    idle.truncate(25);
    let mut last = idle.pop().unwrap();
    drop(idle);
    for _ in 0..2 {
        while last.reply().unwrap()["continues"] == true {}
    }
    drop((last, slow));
    wait_until("all of them to be gone", || daemon.status()["counts"]["clients"] == 1);
}

#[test]
fn a_daemon_that_ends_or_talks_nonsense_is_an_error() {
    let world = World::new();
    let error = |result: Result<Inventory, pvwatch::client::Error>| match result {
        Ok(mut inventory) => loop {
            match inventory.next_item() {
                Ok(Some(_)) => {}
                Ok(None) => panic!("it is no end"),
                Err(error) => break error.to_string(),
            }
        },
        Err(error) => error.to_string(),
    };
    let ask_for = |patience| Inventory::ask(&[&*world.report_socket()], &ALL, patience);
    let ask = || ask_for(LONG);
    assert!(error(ask()).contains("systemctl start pvwatch"));

    let mut daemon = world.start(["--no-scan"]);
    tell(&daemon, "long", 1, 4 << 20);
    let begun = ask();
    daemon.signal(Signal::SIGKILL);
    daemon.wait();
    assert!(error(begun).contains("closed the connection"));

    std::fs::remove_file(world.report_socket()).unwrap();
    let listener = std::os::unix::net::UnixListener::bind(world.report_socket()).unwrap();
    for (answer, expected) in [
        ("nonsense\0", "not a pvwatchd"),
        ("{\"parameters\":{\"items\":[]}", "closed the connection"),
        ("{\"error\":\"org.varlink.service.PermissionDenied\"}\0", "permission denied"),
        ("{\"error\":\"org.varlink.service.MethodNotFound\"}\0", "restarted"),
        ("{\"error\":\"io.pvwatch.Failed\",\"parameters\":{\"reason\":\"because\"}}\0", "because"),
        ("{\"parameters\":{\"items\":[{\"text\":\"a\"}]}}\0", "not a pvwatchd"),
    ] {
        let answering = std::thread::spawn({
            let listener = listener.try_clone().unwrap();
            move || {
                let (mut stream, _) = listener.accept().unwrap();
                let mut call = vec![0; 200];
                let _ = stream.read(&mut call);
                std::io::Write::write_all(&mut stream, answer.as_bytes()).unwrap();
            }
        });
        let said = error(ask());
        assert!(said.contains(expected), "{answer}: {said}");
        answering.join().unwrap();
    }
    // Nobody accepts.
    assert!(error(ask_for(Duration::from_millis(500))).contains("no answer within 0.5 s"));
}

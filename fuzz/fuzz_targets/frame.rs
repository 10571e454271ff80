//! However a stream is cut, the messages are those of the whole.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pvwatch::protocol::frame::Frames;
use pvwatch_fuzz::Input;

const TERMINATOR: &[u8] = b"\n##\n";

#[derive(Debug, PartialEq)]
enum Message {
    Call(Vec<u8>),
    Request(Vec<u8>),
}

fuzz_target!(|input: &[u8]| {
    let mut input = Input(input);
    let cuts = usize::from(input.u8() % 16);
    let cuts = input.bytes(cuts);
    let stream = input.0;
    let (expected, rest) = split(stream);

    let mut whole = Frames::default();
    whole.push(stream);
    assert_eq!(all(&mut whole), expected);
    assert_eq!(whole.is_partial(), !rest.is_empty());

    let mut frames = Frames::default();
    let mut messages = Vec::new();
    let mut left = Input(stream);
    for cut in cuts {
        frames.push(left.bytes(usize::from(*cut)));
        if cut % 3 > 0 {
            messages.extend(all(&mut frames));
        }
    }
    frames.push(left.0);
    messages.extend(all(&mut frames));
    assert_eq!(messages, expected);
    assert_eq!(frames.is_partial(), !rest.is_empty());
});

fn all(frames: &mut Frames) -> Vec<Message> {
    let mut out = Vec::new();
    loop {
        if let Some(call) = frames.next_call() {
            out.push(Message::Call(call.to_vec()));
        } else if let Some(request) = frames.next_request().expect("nothing is that large") {
            out.push(Message::Request(request.to_vec()));
        } else {
            return out;
        }
    }
}

/// The plain reading.
fn split(stream: &[u8]) -> (Vec<Message>, &[u8]) {
    let (mut out, mut rest) = (Vec::new(), stream);
    loop {
        let request = rest.windows(TERMINATOR.len()).position(|window| window == TERMINATOR);
        let call = rest.iter().position(|byte| *byte == 0).filter(|_| rest.first() == Some(&b'{'));
        match (call, request) {
            (Some(call), request) if request.is_none_or(|request| call < request + TERMINATOR.len()) => {
                out.push(Message::Call(rest[..call].to_vec()));
                rest = &rest[call + 1..];
            }
            (_, Some(request)) => {
                out.push(Message::Request(rest[..request].to_vec()));
                rest = &rest[request + TERMINATOR.len()..];
            }
            (_, None) => return (out, rest),
        }
    }
}

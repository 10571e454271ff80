//! However a stream is cut, the messages are those of the whole.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pvwatch::protocol::frame::Frames;
use pvwatch_fuzz::Input;

fuzz_target!(|input: &[u8]| {
    let mut input = Input(input);
    let terminator = if input.u8() % 4 == 0 { &b"\0"[..] } else { b"\n##\n" };
    let cuts = usize::from(input.u8() % 16);
    let cuts = input.bytes(cuts);
    let stream = input.0;
    let (expected, rest) = split(stream, terminator);

    let mut whole = Frames::default();
    whole.push(stream);
    assert_eq!(all(&mut whole, terminator), expected);
    assert_eq!((whole.is_partial(), whole.first_byte()), (!rest.is_empty(), rest.first().copied()));

    let mut frames = Frames::default();
    let mut messages = Vec::new();
    let mut left = Input(stream);
    for cut in cuts {
        frames.push(left.bytes(usize::from(*cut)));
        if cut % 3 > 0 {
            messages.extend(all(&mut frames, terminator));
        }
    }
    frames.push(left.0);
    messages.extend(all(&mut frames, terminator));
    assert_eq!(messages, expected);
    assert_eq!((frames.is_partial(), frames.first_byte()), (!rest.is_empty(), rest.first().copied()));
});

fn all(frames: &mut Frames, terminator: &[u8]) -> Vec<Vec<u8>> {
    let mut out = Vec::new();
    while let Some(message) = frames.next(terminator).expect("nothing is that large") {
        out.push(message.to_vec());
    }
    out
}

/// The plain reading.
fn split<'s>(stream: &'s [u8], terminator: &[u8]) -> (Vec<Vec<u8>>, &'s [u8]) {
    let (mut out, mut rest) = (Vec::new(), stream);
    while let Some(at) = rest.windows(terminator.len()).position(|window| window == terminator) {
        out.push(rest[..at].to_vec());
        rest = &rest[at + terminator.len()..];
    }
    (out, rest)
}

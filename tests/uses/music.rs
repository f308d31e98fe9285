//! Music in four voices.

#[path = "../../examples/music/main.rs"]
#[allow(dead_code)]
mod program;

#[test]
fn notes_are_told_from_those_before_and_above() {
    let scores = super::short("music", program::run);
    let of = |name: &str| super::of(&scores, name);
    let alone = of("nats a frame, notes counted");
    assert!(alone > 8.0, "{scores:?}");
    assert!(of("nats a frame, counted after the note before") < 0.4 * alone, "{scores:?}");
    assert!(of("nats a frame") < 0.4 * alone, "{scores:?}");
}

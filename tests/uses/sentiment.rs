//! Praise or blame.

#[path = "../../examples/sentiment/main.rs"]
#[allow(dead_code)]
mod program;

#[test]
fn most_sentences_are_read_right() {
    let scores = super::short("sentiment", program::run);
    let of = |name: &str| super::of(&scores, name);
    assert!(of("accuracy") > 0.75, "{scores:?}");
    assert!(of("accuracy, words and pairs counted") > 0.8, "{scores:?}");
}

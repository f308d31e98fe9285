//! Words, parts of speech and names.

#[path = "../../examples/tagging/main.rs"]
#[allow(dead_code)]
mod program;

#[test]
fn words_and_names_are_found() {
    let scores = super::short("tagging", program::run);
    let of = |name: &str| super::of(&scores, name);
    assert!(of("words, F1 with CRF") > 0.7, "{scores:?}");
    assert!(of("parts of speech, accuracy with CRF") > 0.7, "{scores:?}");
    assert!(of("names, F1 with CRF") > 0.1, "{scores:?}");
}

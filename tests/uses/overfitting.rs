//! How much data does a model need?

#[path = "../../examples/overfitting/main.rs"]
#[allow(dead_code)]
mod program;

#[test]
fn few_labels_are_learned_by_heart_and_speech_without_labels_helps() {
    let scores = super::short("overfitting", program::run);
    let of = |name| super::of(&scores, name);
    assert!(of("100 %, plain") > of("5 %, plain") + 0.1, "{scores:?}");
    assert!(of("5 %, plain, on these") > of("5 %, plain") + 0.2, "{scores:?}");
    assert!(of("25 %, pre-trained") > of("25 %, plain") + 0.02, "{scores:?}");
}

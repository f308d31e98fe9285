//! From letters to sounds.

#[path = "../../examples/letters/main.rs"]
#[allow(dead_code)]
mod program;

#[test]
fn both_models_say_words_better_than_their_neighbours() {
    let scores = super::short("letters", program::run);
    let of = |name: &str| super::of(&scores, name);
    let nearest = of("phone errors, nearest spelling");
    assert!(of("phone errors, CTC") < 0.6 * nearest, "{scores:?}");
    assert!(of("phone errors, attention") < 0.7 * nearest, "{scores:?}");
}

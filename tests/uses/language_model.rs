//! What word comes next.

#[path = "../../examples/language_model/main.rs"]
#[allow(dead_code)]
mod program;

#[test]
fn the_model_knows_what_counting_does_not() {
    let scores = super::short("language_model", program::run);
    let of = |name: &str| super::of(&scores, name);
    let counted = of("perplexity, five words counted");
    assert!(of("perplexity") < 2.0 * counted, "{scores:?}");
    assert!(of("perplexity, half of each") < 0.97 * counted, "{scores:?}");
}

//! The experiments of 1997 and 2000.

#[path = "../../examples/classics/main.rs"]
#[allow(dead_code)]
mod program;

/// After 1,024 sequences two of them are learned, and none by a plain recurrent layer.
#[test]
fn an_lstm_remembers_over_a_hundred_steps() {
    let scores = super::short("classics", program::run);
    let of = |name: &str| super::of(&scores, name);
    for title in ["3a two sequences", "3b two sequences, noise"] {
        assert!(of(&format!("{title}, % wrong")) < 15.0, "{scores:?}");
        assert!(of(&format!("{title}, % wrong, plain RNN")) > 50.0, "{scores:?}");
    }
    assert!(of("continual grammar, % wrong") < 35.0, "{scores:?}");
}

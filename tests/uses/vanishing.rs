//! The vanishing gradient.

#[path = "../../examples/vanishing/main.rs"]
#[allow(dead_code)]
mod program;

#[test]
fn gradients_vanish_but_where_forget_gates_begin_open() {
    let scores = super::short("vanishing", program::run);
    let of = |name: &str| super::of(&scores, name);
    assert!(of("decades lost, RNN") > 20.0, "{scores:?}");
    assert!((3.0..12.0).contains(&of("decades lost, RNN, orthogonal")), "{scores:?}");
    assert!(of("decades lost, LSTM, forget bias 0") > 30.0, "{scores:?}");
    assert!((9.0..17.0).contains(&of("decades lost, LSTM, forget bias 1")), "{scores:?}");
    assert!(of("decades lost, LSTM, chrono") < 2.0, "{scores:?}");
    assert!(of("accuracy on sentences") > 0.65, "{scores:?}");
}

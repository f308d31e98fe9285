//! A recogniser of digits.

#[path = "../../examples/recogniser/main.rs"]
#[allow(dead_code)]
mod program;

#[test]
fn digits_are_heard_in_sound_of_voices_that_are_not_in_the_training() {
    let scores = super::short("recogniser", program::run);
    let of = |name: &str| super::of(&scores, name);
    assert!(of("digit errors, voices of the training") < 0.3, "{scores:?}");
    assert!(of("digit errors, a person not heard before") < 0.6, "{scores:?}");
    assert!(of("digit errors, four synthetic voices") < 0.6, "{scores:?}");
    assert!((50.0..250.0).contains(&of("delay in ms, median")), "{scores:?}");
}

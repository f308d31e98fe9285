//! Spoken digits.

#[path = "../../examples/spoken_digits/main.rs"]
#[allow(dead_code)]
mod program;

#[test]
fn digits_are_told_and_strings_of_them_are_heard_before_they_end() {
    let scores = super::short("spoken_digits", program::run);
    let of = |name: &str| super::of(&scores, name);
    assert!(of("accuracy, one digit") > 0.93, "{scores:?}");
    assert!(of("accuracy, linear on means and deviations") > 0.8, "{scores:?}");
    assert!(of("digit error rate of strings, by beams") < 0.45, "{scores:?}");
    assert!(of("digit error rate of strings, as streams") < 0.55, "{scores:?}");
    // A digit has 18 frames in the mean.
    assert!((-18.0..0.0).contains(&of("delay in frames, median")), "{scores:?}");
}

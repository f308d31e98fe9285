//! Heart beats of five classes.

#[path = "../../examples/ecg/main.rs"]
#[allow(dead_code)]
mod program;

#[test]
fn common_beats_are_told_and_some_of_the_rare_are_found() {
    let scores = super::short("ecg", program::run);
    let of = |name: &str| super::of(&scores, name);
    assert!(of("accuracy") > 0.89, "{scores:?}");
    assert!(of("accuracy, linear") > 0.91, "{scores:?}");
    assert!((0.91..0.94).contains(&of("accuracy, nearest beat")), "{scores:?}");
    // A model that knows the two common classes alone has 0.4.
    assert!(of("sensitivity, mean of classes") > 0.45, "{scores:?}");
    assert!(of("specificity, mean of classes") > 0.96, "{scores:?}");
}

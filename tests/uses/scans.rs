//! Tissue in scans of a head.

#[path = "../../examples/scans/main.rs"]
#[allow(dead_code)]
mod program;

#[test]
fn tissue_is_told_by_what_is_around_it() {
    let scores = super::short("scans", program::run);
    let of = |name: &str| super::of(&scores, name);
    // Half of the head is grey matter; fifty steps of training find white matter as well.
    assert!(of("accuracy in the head") > 0.65, "{scores:?}");
    assert!(of("Dice of white matter") > 0.6, "{scores:?}");
    assert!((0.74..0.79).contains(&of("accuracy, by light")), "{scores:?}");
}

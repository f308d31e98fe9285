//! Tissue in scans of a head.

#[path = "../../examples/scans/main.rs"]
#[allow(dead_code)]
mod program;

#[test]
fn what_is_around_a_pixel_tells_more_than_its_light() {
    let scores = super::short("scans", program::run);
    let of = |name| super::of(&scores, name);
    assert!(of("accuracy in the head") > 0.6, "{scores:?}");
}

//! Which phone is this?

#[path = "../../examples/phones/main.rs"]
#[allow(dead_code)]
mod program;

#[test]
fn what_comes_after_a_frame_tells_more_of_it() {
    let scores = super::short("phones", program::run);
    let of = |name: &str| super::of(&scores, name);
    assert!(of("by a frame alone, linear") > 0.33, "{scores:?}");
    assert!(of("two directions") > of("one direction") + 0.05, "{scores:?}");
    assert!(of("two directions, two layers") > of("two directions") + 0.02, "{scores:?}");
}

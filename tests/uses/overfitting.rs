//! How much data does a model need?

#[path = "../../examples/overfitting/main.rs"]
#[allow(dead_code)]
mod program;

#[test]
fn few_labels_are_learned_by_heart() {
    // So short a training is no proof of what the pre-training gains: that all learn.
    let scores = super::short("overfitting", program::run);
    let of = |name: &str| super::of(&scores, name);
    assert!(of("5 %, plain, on these") > of("5 %, plain") + 0.25, "{scores:?}");
    for way in ["plain", "regularised", "pre-trained", "linear"] {
        let [few, all] = [5, 100].map(|share| of(&format!("{share} %, {way}")));
        assert!(all > few + 0.04 && all > 0.13, "{way}: {scores:?}");
    }
}

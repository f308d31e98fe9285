//! Events of a sensor net.

#[path = "../../examples/anomalies/main.rs"]
#[allow(dead_code)]
mod program;

#[test]
fn a_forecast_that_misses_tells_the_events() {
    let scores = super::short("anomalies", program::run);
    let of = |name: &str| super::of(&scores, name);
    assert!(of("AUC indoors") > 0.98 && of("AUC outdoors") > 0.97, "{scores:?}");
    assert!(of("AUC outdoors") > of("AUC outdoors, level"), "{scores:?}");
}

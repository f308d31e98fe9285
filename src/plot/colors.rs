//! Colours that those who are colour-blind tell apart, too.

/// For lines: those of Okabe & Ito (2008), the darkest first.
const LINES: [&str; 7] =
    ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000"];

/// From little to much: ColorBrewer's `Blues`.
const BLUES: [[u8; 3]; 6] = [
    [247, 251, 255],
    [208, 225, 242],
    [148, 196, 223],
    [74, 152, 201],
    [23, 100, 171],
    [8, 48, 107],
];

/// From 0 downwards: ColorBrewer's oranges, which the blues are told from.
const ORANGES: [[u8; 3]; 6] =
    [[255, 250, 245], [254, 224, 194], [253, 184, 124], [244, 128, 48], [201, 76, 6], [127, 39, 4]];

/// Of what is no number.
pub(super) const NONE: &str = "#bbbbbb";

/// The colour of the line with this number.
pub(super) fn line(number: usize) -> &'static str {
    LINES[number % LINES.len()]
}

/// The colour of a share from -1 to 1: white at 0, dark blue at 1, dark orange at -1. `None` for NaN.
pub(super) fn shade(share: f64) -> Option<[u8; 3]> {
    if share.is_nan() {
        return None;
    }
    let steps = if share < 0.0 { &ORANGES } else { &BLUES };
    let at = share.abs().min(1.0) * (steps.len() - 1) as f64;
    let below = (at as usize).min(steps.len() - 2);
    let (a, b, rest) = (steps[below], steps[below + 1], at - below as f64);
    Some(
        [0, 1, 2]
            .map(|i| (f64::from(a[i]) + rest * (f64::from(b[i]) - f64::from(a[i]))).round() as u8),
    )
}

pub(super) fn hex([r, g, b]: [u8; 3]) -> String {
    format!("#{r:02x}{g:02x}{b:02x}")
}

/// Whether white is read on it better than black (ITU-R BT.601's luma).
pub(super) fn is_dark([r, g, b]: [u8; 3]) -> bool {
    0.299 * f64::from(r) + 0.587 * f64::from(g) + 0.114 * f64::from(b) < 140.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shades_grow_darker_from_0_to_both_sides() {
        let luma = |share: f64| {
            let [r, g, b] = shade(share).unwrap().map(f64::from);
            0.299 * r + 0.587 * g + 0.114 * b
        };
        for side in [1.0, -1.0] {
            for step in 0..100 {
                let (near, far) = (f64::from(step) / 100.0, f64::from(step + 1) / 100.0);
                assert!(luma(side * far) < luma(side * near), "{side} {step}");
            }
        }
        assert_eq!(shade(f64::NAN), None);
        assert_eq!(shade(f64::INFINITY), shade(1.0));
        assert!(is_dark(shade(1.0).unwrap()) && is_dark(shade(-1.0).unwrap()));
        assert!(!is_dark(shade(0.0).unwrap()));
    }
}

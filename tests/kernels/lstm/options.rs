//! What cases are with and without.

use std::fmt;

/// What a case has and what is wanted of it, beside its sizes. Each is on and off independently of the
/// others.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Options {
    /// Its rows have different lengths.
    pub(crate) lengths: bool,
    /// A first state goes in; else it is zeros.
    pub(crate) state: bool,
    /// The gradient of the first state is wanted, given or not.
    pub(crate) d_state: bool,
    /// The outputs of all steps are wanted and have gradients, beside the last state.
    pub(crate) sequences: bool,
    /// The backward pass computes the gates anew, instead of finding them kept.
    pub(crate) recompute: bool,
}

impl Options {
    pub(crate) const NONE: Self =
        Self { lengths: false, state: false, d_state: false, sequences: false, recompute: false };
    pub(crate) const ALL: Self =
        Self { lengths: true, state: true, d_state: true, sequences: true, recompute: true };

    pub(crate) const SEQUENCES: Self = Self { sequences: true, ..Self::NONE };

    /// Each set of options once.
    pub(super) fn every() -> impl Iterator<Item = Self> {
        (0..32).map(|set| {
            let [lengths, state, d_state, sequences, recompute] =
                [0, 1, 2, 3, 4].map(|at| set >> at & 1 == 1);
            Self { lengths, state, d_state, sequences, recompute }
        })
    }

    /// Few of them, none and all among them, in which any two options are met on and off, together
    /// and apart; three of them in every way.
    pub(super) fn some() -> [Self; 8] {
        [0, 1, 2, 3, 4, 5, 6, 7].map(|set| {
            let three @ [lengths, state, sequences] = [0, 1, 2].map(|at| set >> at & 1 == 1);
            let on = three.into_iter().filter(|on| *on).count();
            Self { lengths, state, d_state: on >= 2, sequences, recompute: on % 2 == 1 }
        })
    }
}

/// The names of those that are on.
impl fmt::Display for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let &Self { lengths, state, d_state, sequences, recompute } = self;
        let all = [
            (lengths, "lengths"),
            (state, "state"),
            (d_state, "d_state"),
            (sequences, "sequences"),
            (recompute, "recompute"),
        ];
        let on: Vec<_> = all.iter().filter(|(on, _)| *on).map(|(_, name)| *name).collect();
        f.write_str(&if on.is_empty() { "no option".to_owned() } else { on.join(" ") })
    }
}

#[test]
fn some_options_hold_every_pair() {
    let flags = |o: Options| [o.lengths, o.state, o.d_state, o.sequences, o.recompute];
    let some = Options::some();
    assert!(some.contains(&Options::NONE) && some.contains(&Options::ALL));
    for (a, b) in (0..5).flat_map(|a| (0..a).map(move |b| (a, b))) {
        for pair in [[false, false], [false, true], [true, false], [true, true]] {
            let met = some.iter().any(|&o| [flags(o)[a], flags(o)[b]] == pair);
            assert!(met, "options {a} and {b}: never {pair:?}");
        }
    }
    let mut every: Vec<_> = Options::every().map(flags).collect();
    every.sort_unstable();
    every.dedup();
    assert_eq!(every.len(), 32);
}

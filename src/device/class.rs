//! The kinds of adapters that are tuned apart.

/// What decides which way through a layer is the fastest on an adapter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    /// It computes on the CPU.
    Software,
    /// A card: units enough that workgroups share a layer, a cache of megabytes, memory of its own.
    Discrete,
    /// Beside a CPU: a few units, and the CPU's memory.
    Integrated,
    /// Apple's own, beside a CPU too: commands take longer to submit, and no workgroup is promised that
    /// another goes on.
    Apple,
}

impl Class {
    pub(crate) const ALL: [Self; 4] =
        [Self::Software, Self::Discrete, Self::Integrated, Self::Apple];

    /// Its name in tables.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Software => "software",
            Self::Discrete => "discrete",
            Self::Integrated => "integrated",
            Self::Apple => "apple",
        }
    }

    /// All adapters of it, in a sentence.
    pub(crate) fn plural(self) -> &'static str {
        match self {
            Self::Software => "software adapters",
            Self::Discrete => "discrete GPUs",
            Self::Integrated => "integrated GPUs",
            Self::Apple => "Apple's GPUs",
        }
    }
}

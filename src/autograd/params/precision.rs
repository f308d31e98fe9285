//! What numbers a model computes with.

/// The numbers that layers compute with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Precision {
    /// Floats of 32 bits.
    #[default]
    Full,
    /// Where the device can, the products of `Lstm` (not the layer-normalised), `Rnn` and `Dense` take
    /// their weights, and what an LSTM keeps of its gates, from floats of 16 bits: half the memory
    /// to hold and to read. Sums, states, outputs, the parameters themselves, their gradients and
    /// everything else stay in 32. Where the GPU has matrix units that wgpu can use, and a clock finds
    /// them faster, large products round their other factor to 16 bits too, as other libraries do: a
    /// feature above 65,504 is infinite there.
    ///
    /// Gradients of 16 bits vanish below 6e-8, so [`crate::Tape::backward`] multiplies the loss by a
    /// scale, and the optimizers of this crate divide by it: as large as all gradients stay finite.
    /// A step whose gradients do not is left out, and halves the scale; after 2,000 others it
    /// doubles (Micikevicius et al. 2018, arXiv 1710.03740). All of that is the device's work.
    ///
    /// A GPU can if its adapter has half precision and computed right with it when this crate tried,
    /// which a browser lets nobody wait for. The CPU device, and every other, stays with
    /// [`Precision::Full`]: the same program runs there.
    Mixed,
}

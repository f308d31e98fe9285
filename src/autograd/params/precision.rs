//! The precision in which a model computes.

/// The precision in which layers compute.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, Default, serde::Serialize, serde::Deserialize,
)]
#[non_exhaustive]
pub enum Precision {
    /// 32-bit floats.
    #[default]
    Full,
    /// 16-bit floats, where the device has them, for the weights in products of `Lstm` (not the
    /// layer-normalised), `Rnn` and `Dense`, and for the gates that an LSTM saves: half the memory to hold
    /// and to read. Sums, states, outputs, the parameters themselves, their gradients and everything else
    /// stay at 32 bits. Where the GPU has matrix units that wgpu can use, and they are measured to be
    /// faster, large products round their other factor to 16 bits too, as other libraries do: a feature
    /// above 65,504 is then infinite.
    ///
    /// 16-bit gradients vanish below 6e-8, so [`crate::Tape::backward`] multiplies the loss by a scale, by
    /// which the optimizers of this crate divide. A step whose gradients are not finite is skipped, and
    /// halves the scale; after 2,000 steps without one it doubles (Micikevicius et al. 2018,
    /// arXiv 1710.03740). All of this happens on the device.
    ///
    /// It needs a GPU with half precision that passes this crate's check at first use, which a browser
    /// cannot run. On any other device [`Precision::Full`] stays in effect, and the same program runs.
    Mixed,
}

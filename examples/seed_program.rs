//! A first LSTM in Keras, and the same in Rust:
//!
//! ```python
//! model = Sequential()
//! model.add(LSTM(128, input_shape=(timesteps, features)))
//! model.add(Dense(1, activation='sigmoid'))
//! model.compile(loss='binary_crossentropy', optimizer='adam', metrics=['accuracy'])
//! model.fit(X_train, y_train, epochs=10, batch_size=32, validation_split=0.2)
//! ```
//!
//! It reads handwritten digits row by row and says whether they are odd (UCI; see
//! data/README.md).
//!
//!     cargo run --release --example seed_program

use wgpu_lstm::prelude::*;

fn main() -> anyhow::Result<()> {
    let (x_train, y_train) = load(include_bytes!("data/digits.bin"))?;

    let mut model = Sequential::new(&Device::auto()?)
        .add(Lstm::new(128))
        .add(Dense::new(1).activation(Activation::Sigmoid));
    model.compile(Adam::default(), Loss::BinaryCrossEntropy, &[Metric::Accuracy]);
    model.fit(&x_train, &y_train, Fit::new().epochs(10).batch_size(32).validation_split(0.2))?;
    Ok(())
}

/// The images as sequences of 8 rows of 8 pixels from 0 to 1, and 1 for each odd digit.
fn load(bytes: &[u8]) -> anyhow::Result<(Sequences, Targets)> {
    let images: Vec<&[u8]> = bytes[4..].chunks_exact(65).collect();
    let pixels: Vec<f32> =
        images.iter().flat_map(|i| i[..64].iter().map(|&p| f32::from(p) / 16.0)).collect();
    let odd: Vec<f32> = images.iter().map(|i| f32::from(i[64] % 2)).collect();
    Ok((Sequences::from_array(&pixels, [images.len(), 8, 8])?, Targets::values(odd, 1)))
}

//! State dicts of PyTorch: read, made into layers of this crate, and written.
//!
//! [`StateDict::open`] reads what `torch.save(model.state_dict(), path)` writes (a zip archive, or the format before
//! PyTorch 1.6), checkpoints that have state dicts among other things, TorchScript archives, and safetensors files.
//! Pickles are read by a list of opcodes and names, and nothing in them is run.
//!
//! A model is made by hand of the layers that [`StateDict::modules`] lists, in the order of the original's
//! `forward`, and gets its values by [`StateDict::load_into`]; [`save`] writes them back.
//!
//! ```
//! use wgpu_lstm::io::pytorch::{StateDict, save};
//! use wgpu_lstm::prelude::*;
//!
//! # fn main() -> wgpu_lstm::Result<()> {
//! # let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/io/pytorch");
//! // torch.save({"model": model.state_dict(), "epoch": 3}, path), of a class with four modules.
//! let dict = StateDict::open(folder.join("checkpoint_2.pt"))?.prefix("model")?;
//! for module in dict.modules() {
//!     println!("{module}"); // encoder: LSTM of 4 features, 5 units, both directions
//! }
//! let mut model = Sequential::new(&Device::auto()?)
//!     .add(dict.embedding("embedding")?)
//!     .add(dict.lstm("encoder")?.return_sequences())
//!     .add(dict.layer_norm("norm")?)
//!     .add(dict.dense("head")?);
//! let names = ["embedding", "encoder", "norm", "head"];
//! dict.load_into(&mut model, &names)?;
//! let y = model.predict(&Sequences::from_tokens([[1, 4, 2]])?)?;
//! assert_eq!((y.rows(), y.row(0).len()), (3, 2));
//!
//! // As the original's load_state_dict takes it: load_file(path) of safetensors.torch.
//! # let path = std::env::temp_dir().join(format!("module-{}.safetensors", std::process::id()));
//! save(&model, &path, &names)?; // Returns what the file does not hold.
//! # std::fs::remove_file(path).unwrap();
//! # Ok(()) }
//! ```
//!
//! What PyTorch keeps in no state dict, a program says itself, here as there: the order of modules, activations, an RNN's
//! `nonlinearity`, whether all outputs or the last are used, a norm's `eps`, a convolution's stride and padding, dropout,
//! an embedding's `padding_idx`. Without `return_sequences` an LSTM gives its last h, of both directions each its own:
//! `h_n`. In PyTorch `output[:, -1]` is that of one direction alone, since the backward half has seen one frame there.

mod archive;
mod dict;
mod dtype;
mod layers;
mod left_out;
mod legacy;
mod load;
mod modules;
mod pickle;
mod safetensors;
mod save;
mod stored;

pub use dict::StateDict;
pub use modules::{Module, ModuleKind, Recurrent};
pub use save::save;

use pickle::Pickle;
use stored::{Named, Place};

/// The tensors that were found in a pickle, with the places of its storages.
fn join(pickle: &Pickle, places: &[Result<Place, String>], found: Vec<(String, usize)>) -> Named {
    let stored = |number: usize| {
        let (storage, view) = pickle.tensors[number].clone()?;
        Ok((places[storage].clone()?, view))
    };
    found.into_iter().map(|(name, number)| (name, stored(number))).collect()
}

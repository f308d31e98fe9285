#![no_main]

// The crate tokenizers panics where the parts of a file do not fit each other.
wgpu_lstm_fuzz::target!("tokenizer", wgpu_lstm_fuzz::panics_are_caught());

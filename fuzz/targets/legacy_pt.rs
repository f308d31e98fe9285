#![no_main]

wgpu_lstm_fuzz::target!("legacy_pt");

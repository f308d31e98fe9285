#![no_main]

wgpu_lstm_fuzz::target!("state_dict");

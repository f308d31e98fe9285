//! `wgpu-lstm devices`

use crate::text::table;
use anyhow::Result;
use clap::Args;
use serde_json::json;
use wgpu_lstm::{AdapterInfo, DEVICE_VARIABLE, Device};

/// Lists the devices of this machine, and says which is `auto`
#[derive(Args)]
#[command(after_help = "\
Examples:
  wgpu-lstm devices
  wgpu-lstm devices --json
  WGPU_LSTM_DEVICE=cpu wgpu-lstm devices

`auto` is a hardware GPU if there is one, else the CPU; the environment variable WGPU_LSTM_DEVICE
overrides it in every program.")]
pub struct Devices {
    /// Prints JSON
    #[arg(long)]
    json: bool,
}

impl Devices {
    pub fn run(&self) -> Result<()> {
        let adapters = Device::adapters();
        let (auto, wanted) = (Device::auto(), std::env::var(DEVICE_VARIABLE).ok());
        let cpu = Device::named("cpu")?;
        let is_auto = |adapter: Option<&AdapterInfo>| {
            auto.as_ref().is_ok_and(|auto| auto.adapter() == adapter)
        };
        if self.json {
            let gpus = adapters.iter().map(|adapter| {
                json!({
                    "name": adapter.name,
                    "backend": adapter.backend,
                    "driver": adapter.driver,
                    "software": adapter.software,
                    "features": features(adapter),
                    "auto": is_auto(Some(adapter)),
                })
            });
            let cpu = json!({ "name": cpu.to_string(), "auto": is_auto(None) });
            let all = json!({
                "cpu": cpu,
                "adapters": gpus.collect::<Vec<_>>(),
                "variable": wanted,
            });
            return crate::print_json(&all);
        }
        let mark = |auto: bool| if auto { "auto" } else { "" }.to_owned();
        let head = ["", "device", "backend", "driver", "features"].map(str::to_owned).to_vec();
        let mut lines = vec![head];
        lines.extend(adapters.iter().map(|adapter| {
            let (name, backend) = (adapter.name.clone(), adapter.backend.clone());
            let kind = if adapter.software { vec!["software"] } else { vec![] };
            let features = [kind, features(adapter)].concat().join(", ");
            vec![mark(is_auto(Some(adapter))), name, backend, adapter.driver.clone(), features]
        }));
        lines.push(vec![mark(is_auto(None)), cpu.to_string()]);
        let mut text = table(&lines);
        if let Err(error) = &auto {
            text += &format!("None is auto by {DEVICE_VARIABLE}: {error}\n");
        } else if let Some(wanted) = wanted.filter(|wanted| !wanted.is_empty()) {
            text += &format!("{DEVICE_VARIABLE}={wanted} says which is auto.\n");
        }
        crate::print(&text)
    }
}

/// What an adapter has beyond the least.
fn features(adapter: &AdapterInfo) -> Vec<&'static str> {
    let all = [
        (adapter.half_precision, "f16"),
        (adapter.subgroups, "subgroups"),
        (adapter.cooperative_matrices, "cooperative matrices"),
    ];
    all.into_iter().filter_map(|(has, name)| has.then_some(name)).collect()
}

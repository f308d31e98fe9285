//! Where a GPU's time goes: a table of kernels, by timestamps, for each shape and pass.

use crate::devices::candidates;
use crate::layer::{Layer, Pass, Way};
use crate::shapes;
use crate::warm::warm;
use wgpu_lstm::GpuOptions;

pub fn run() {
    for (name, device) in candidates(&GpuOptions::default().profile()) {
        let device = match device {
            Ok(device) if device.is_gpu() => device,
            Ok(_) => continue,
            Err(error) => {
                println!("\nprofile/{name}: none ({error})");
                continue;
            }
        };
        for shape in shapes::chosen() {
            for pass in Pass::ALL {
                let profile = Layer::new(&device, shape, Way::AUTO).and_then(|mut layer| {
                    layer.time(pass, 1)?;
                    warm(&device, || layer.time(pass, 1).map(|_| ()))?;
                    device.profile()?;
                    layer.time(pass, 5)?;
                    device.profile()
                });
                println!("\nprofile/{name}/{}/{shape}, 5 runs:", pass.name());
                match profile {
                    Ok(profile) => print!("{profile}"),
                    Err(error) => println!("none ({error})"),
                }
            }
        }
    }
}

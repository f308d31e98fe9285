//! State dicts of PyTorch.

use crate::options::Chain;
use anyhow::{Context, Result, bail};
use std::collections::BTreeSet;
use std::path::Path;
use wgpu_lstm::io::pytorch::{self, Module, ModuleKind, StateDict};
use wgpu_lstm::{Device, Sequential};

pub fn open(path: &Path) -> Result<StateDict> {
    Ok(StateDict::open(path)?)
}

/// The modules one after another, as a model.
pub fn chain(dict: &StateDict, chain: &Chain, device: &Device) -> Result<Sequential> {
    let modules = dict.modules();
    let names: Vec<_> = modules.iter().map(|module| module.name.as_str()).collect();
    let Some(chosen) = chain.names() else {
        bail!(
            "a state dict has weights, but not what joins them: say the modules in the order in which \
             they run, --modules {}",
            names.join(",")
        );
    };
    let chosen: Vec<&Module> = match chosen {
        [all] if all == "all" => modules.iter().collect(),
        chosen => {
            let find = |name: &String| {
                let found = modules.iter().find(|module| module.name == *name);
                let there =
                    || format!("no module is called {name:?}; there are {}", names.join(", "));
                found.with_context(there)
            };
            chosen.iter().map(find).collect::<Result<_>>()?
        }
    };
    let last = chosen.iter().rposition(|module| is_recurrent(module));
    let mut model = Sequential::new(device);
    for (number, module) in chosen.iter().enumerate() {
        let name = module.name.as_str();
        // Whatever follows a recurrent module takes all of its steps, unless it is the last of them.
        let sequences = chain.sequences() || last != Some(number);
        model = match &module.kind {
            ModuleKind::Lstm(_) if sequences => model.add(dict.lstm(name)?.return_sequences()),
            ModuleKind::Lstm(_) => model.add(dict.lstm(name)?),
            ModuleKind::Rnn(_) if sequences => model.add(dict.rnn(name)?.return_sequences()),
            ModuleKind::Rnn(_) => model.add(dict.rnn(name)?),
            ModuleKind::Matrix { .. } if number == 0 => model.add(dict.embedding(name)?),
            ModuleKind::Linear { .. } | ModuleKind::Matrix { .. } => model.add(dict.dense(name)?),
            ModuleKind::LayerNorm { .. } => model.add(dict.layer_norm(name)?),
            _ => bail!("{module}: no layer is made of it here; leave it out of --modules"),
        };
    }
    let names: Vec<_> = chosen.iter().map(|module| module.name.as_str()).collect();
    dict.load_into(&mut model, &names).context("--modules")?;
    Ok(model)
}

fn is_recurrent(module: &Module) -> bool {
    matches!(module.kind, ModuleKind::Lstm(_) | ModuleKind::Rnn(_))
}

/// Writes the parameters under these modules' names, or under the layers' own.
pub fn save(model: &Sequential, path: &Path, names: &[String]) -> Result<()> {
    let mut own = Vec::new();
    for name in model.explain(1, 1)?.iter().flat_map(|plan| &plan.parameters) {
        let module = name.split('.').next().unwrap_or_default().to_owned();
        if !own.contains(&module) {
            own.push(module);
        }
    }
    let names = if names.is_empty() { &own[..] } else { names };
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let left_out = pytorch::save(model, path, &names).context("PyTorch")?;
    for line in &left_out {
        crate::print(&format!("not in the file, for the program that loads it to say: {line}"))?;
    }
    Ok(())
}

/// The types of the tensors' numbers.
pub fn types(dict: &StateDict) -> String {
    let types: BTreeSet<_> = dict.names().filter_map(|name| dict.dtype(name).ok()).collect();
    types.into_iter().collect::<Vec<_>>().join(", ")
}

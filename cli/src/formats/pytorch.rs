//! State dicts of PyTorch.

use super::modules::{self, Choice};
use crate::options::Chain;
use anyhow::{Context, Result, bail};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Once;
use wgpu_lstm::io::pytorch::{self, StateDict};
use wgpu_lstm::{Device, Sequential};

pub fn open(path: &Path) -> Result<StateDict> {
    Ok(StateDict::open(path)?)
}

/// The modules one after another, as a model; what was taken without having been said is told.
pub fn chain(dict: &StateDict, chain: &Chain, device: &Device) -> Result<Sequential> {
    let modules = dict.modules();
    let Some(chosen) = chain.modules() else {
        let names = match &modules[..] {
            [module] if module.name.is_empty() => "all".into(),
            modules => modules::names(modules),
        };
        bail!(
            "a state dict has weights, but not what joins them: say the modules in the order in which \
             they run, --modules {names}"
        );
    };
    let is_all = |text: &String| text == "all" && modules.iter().all(|module| module.name != "all");
    let chosen: Vec<Choice<'_>> = match chosen {
        [all] if is_all(all) => modules
            .iter()
            .map(|module| Choice::of(&module.name, &modules))
            .collect::<Result<_>>()?,
        chosen => chosen.iter().map(|text| Choice::of(text, &modules)).collect::<Result<_>>()?,
    };
    let names: Vec<_> = chosen.iter().map(|choice| choice.module.name.as_str()).collect();
    let told = chosen.iter().filter_map(|choice| {
        Some(format!("  {}: taken {}\n", choice.module.name, choice.assumed()?))
    });
    let told = told.collect::<String>();
    // The last recurrent module gives its last output, unless what follows takes all of them.
    let last = chosen.iter().rposition(Choice::takes_sequences);
    let last = last.filter(|&last| chosen[last].is_recurrent());
    let mut model = Sequential::new(device);
    for (number, choice) in chosen.into_iter().enumerate() {
        let sequences = chain.sequences() || last != Some(number);
        model = choice.add(model, dict, [number == 0, sequences])?;
    }
    dict.load_into(&mut model, &names).context("--modules")?;
    if !told.is_empty() {
        // Once, however many devices the model is loaded for.
        static TOLD: Once = Once::new();
        let text = format!("a state dict does not say all of its modules\n{told}");
        TOLD.call_once(|| crate::note(&text));
    }
    Ok(model)
}

/// Writes the parameters under these modules' names, or under the layers' own.
pub fn save(model: &Sequential, path: &Path, names: &[String]) -> Result<()> {
    if model.params().names().is_empty() {
        bail!("the model has no parameters, which alone a state dict is made of");
    }
    let mut own = Vec::new();
    for name in model.explain(1, 1)?.iter().flat_map(|plan| &plan.parameters) {
        let module = name.split('.').next().unwrap_or_default().to_owned();
        if !own.contains(&module) {
            own.push(module);
        }
    }
    let names = if names.is_empty() { &own[..] } else { names };
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let left_out = pytorch::save(model, path, &names)?;
    if !left_out.is_empty() {
        let lines = left_out.join(
            "
  ",
        );
        crate::note(&format!(
            "the program that loads the file says itself, of its modules
  {lines}"
        ));
    }
    Ok(())
}

/// The types of the tensors' numbers.
pub fn types(dict: &StateDict) -> String {
    let types: BTreeSet<_> = dict.names().filter_map(|name| dict.dtype(name).ok()).collect();
    types.into_iter().collect::<Vec<_>>().join(", ")
}

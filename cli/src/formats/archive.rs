//! Which format a zip archive is of, by the names of its entries, in whatever order a program put them.

use super::{Format, unknown};
use anyhow::Result;
use std::fs::File;
use std::path::Path;
use zip::ZipArchive;

pub fn format(path: &Path) -> Result<Format> {
    let archive = match ZipArchive::new(File::open(path)?) {
        Ok(archive) => archive,
        Err(error) => return Err(unknown(path, &format!("it is a damaged zip archive ({error})"))),
    };
    let names: Vec<String> = archive
        .file_names()
        .filter_map(|name| name.ok().map(|name| name.into_owned()))
        .filter(|name| !name.ends_with('/'))
        .collect();
    of_names(&names).ok_or_else(|| {
        let arrays = !names.is_empty() && names.iter().all(|name| name.ends_with(".npy"));
        let found = match arrays {
            true => "it is an archive of numpy's arrays, no model",
            false => {
                "it is a zip archive with neither Keras' model.weights.h5 nor the data.pkl of torch.save"
            }
        };
        unknown(path, found)
    })
}

fn of_names(names: &[String]) -> Option<Format> {
    let is_pickle = |name: &str| name.strip_suffix("/data.pkl").is_some_and(|f| !f.contains('/'));
    if names.iter().any(|name| is_pickle(name)) {
        return Some(Format::Pytorch);
    }
    // An error of the reader says which of its entries are missing.
    let keras = ["config.json", "metadata.json", "model.weights.h5"];
    names.iter().any(|name| keras.contains(&name.as_str())).then_some(Format::Keras)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_entry_tells_the_format() {
        let of =
            |names: &[&str]| of_names(&names.iter().map(|&n| n.to_owned()).collect::<Vec<_>>());
        assert_eq!(of(&["READ.me", "model.weights.h5", "config.json"]), Some(Format::Keras));
        assert_eq!(of(&["x/version", "x/data/0", "x/data.pkl"]), Some(Format::Pytorch));
        assert_eq!(of(&["x/config.json", "x/y/data.pkl", "x.npy"]), None);
        assert_eq!(of(&[]), None);
    }
}

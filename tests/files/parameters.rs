//! Parameters alone, from and for other programs.

use super::common::{Folder, devices};
use super::place;
use half::{bf16, f16};
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use std::path::Path;
use wgpu_lstm::nn::{Attention, Dense, Embedding, Lstm, Params};
use wgpu_lstm::{Device, Error};

/// Every kind of layout, and a sparse table.
fn params(device: &Device, seed: u64) -> Params {
    let params = Params::seeded(device, seed);
    let _ = Embedding::new(11, 5).sparse().build(&params).unwrap();
    let lstm = Lstm::new(7).num_layers(2).peepholes().projection(3);
    let _ = lstm.build(&params, 5).unwrap();
    let _ = Lstm::new(6).layer_norm().build(&params, 3).unwrap();
    let _ = Attention::additive(4).build(&params, 5, 6).unwrap();
    let _ = Dense::new(9).build(&params, 6).unwrap();
    params
}

fn all(params: &Params) -> Vec<(String, Vec<u32>)> {
    let bits = |name: &str| params.get(name).unwrap().iter().map(|v| v.to_bits()).collect();
    params.names().into_iter().map(|name| (name.clone(), bits(&name))).collect()
}

#[test]
fn parameters_come_back() {
    for device in devices() {
        let (folder, path) = place("parameters");
        let (one, other) = (params(device, 1), params(device, 2));
        one.set("lstm.peephole_l0", &[f32::NAN, -0.0, 1e-42, f32::INFINITY, 1.5].repeat(5)[..21])
            .unwrap();
        assert_ne!(all(&one), all(&other));
        one.save(&path).unwrap();
        other.load(&path).unwrap();
        assert_eq!(all(&one), all(&other), "{device}");
        // The same values give the same bytes.
        other.save(path.with_extension("other")).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        assert!(bytes == std::fs::read(path.with_extension("other")).unwrap());
        // Another program finds them by the same names.
        let file = SafeTensors::deserialize(&bytes).unwrap();
        assert_eq!(file.len(), one.names().len());
        for name in one.names() {
            let tensor = file.tensor(&name).unwrap();
            assert_eq!(
                (tensor.dtype(), tensor.shape()),
                (Dtype::F32, &one.shape(&name).unwrap()[..])
            );
            let bytes: Vec<u8> =
                one.get(&name).unwrap().iter().flat_map(|v| v.to_le_bytes()).collect();
            assert!(tensor.data() == bytes, "{name}");
        }
        assert_eq!(folder.files().len(), 2);
    }
}

/// A file of another program.
fn foreign(path: &Path, tensors: &[(&str, Dtype, &[usize], Vec<u8>)]) {
    let views = tensors.iter().map(|(name, dtype, shape, bytes)| {
        (*name, TensorView::new(*dtype, shape.to_vec(), bytes).unwrap())
    });
    std::fs::write(path, safetensors::serialize(views, None).unwrap()).unwrap();
}

#[test]
fn half_precision_is_widened() {
    let (_folder, path) = place("half");
    let values = [0.1f32, -2.5, 65504.0, 1e-7, 0.0, f32::INFINITY];
    let f16s: Vec<u8> = values.iter().flat_map(|&v| f16::from_f32(v).to_le_bytes()).collect();
    let bf16s: Vec<u8> =
        values[..3].iter().flat_map(|&v| bf16::from_f32(v).to_le_bytes()).collect();
    foreign(
        &path,
        &[("dense.bias", Dtype::BF16, &[3], bf16s), ("dense.weight", Dtype::F16, &[3, 2], f16s)],
    );
    for device in devices() {
        let params = Params::new(device);
        let _ = Dense::new(3).build(&params, 2).unwrap();
        params.load(&path).unwrap();
        assert_eq!(params.get("dense.weight").unwrap(), values.map(|v| f16::from_f32(v).to_f32()));
        assert_eq!(
            params.get("dense.bias").unwrap(),
            [0, 1, 2].map(|i| bf16::from_f32(values[i]).to_f32())
        );
    }
}

#[test]
fn what_does_not_fit_changes_nothing_and_names_the_tensor() {
    let (_folder, path) = place("unfit");
    let zeros = |n: usize| vec![0; n];
    type Tensors<'a> = Vec<(&'a str, Dtype, &'a [usize], Vec<u8>)>;
    let bias = ("dense.bias", Dtype::F32, &[3][..], zeros(12));
    let weight = ("dense.weight", Dtype::F32, &[3, 2][..], zeros(24));
    let cases: [(Tensors<'_>, [&str; 3]); 5] = [
        (vec![bias.clone()], ["tensor dense.weight", "[3, 2]", "missing"]),
        (
            vec![bias.clone(), ("dense.weight", Dtype::F32, &[2, 3], zeros(24))],
            ["tensor dense.weight", "[3, 2]", "[2, 3]"],
        ),
        (
            vec![bias.clone(), ("dense.weight", Dtype::F64, &[3, 2], zeros(48))],
            ["tensor dense.weight", "of F32, F16 or BF16", "of F64"],
        ),
        (
            vec![bias.clone(), weight.clone(), ("conv.weight", Dtype::F32, &[1], zeros(4))],
            [
                "tensor conv.weight",
                "no more than the parameters dense.bias, dense.weight",
                "of no parameter",
            ],
        ),
        (vec![], ["tensor dense.bias", "[3]", "missing"]),
    ];
    for device in devices() {
        let params = Params::seeded(device, 3);
        let _ = Dense::new(3).build(&params, 2).unwrap();
        let before = all(&params);
        for (tensors, [entry, expected, found]) in &cases {
            foreign(&path, tensors);
            let error = params.load(&path).unwrap_err();
            let right = Error::File {
                path: path.display().to_string(),
                entry: entry.to_string(),
                expected: expected.to_string(),
                found: found.to_string(),
            };
            assert_eq!(error, right);
            assert_eq!(all(&params), before);
        }
        // What a training keeps is passed over.
        foreign(
            &path,
            &[bias.clone(), weight.clone(), ("__state__/x", Dtype::F32, &[1], zeros(4))],
        );
        params.load(&path).unwrap();
        assert_eq!(params.get("dense.weight").unwrap(), [0.0; 6]);
    }
}

#[test]
fn a_name_that_is_kept_for_a_training_is_refused() {
    let (folder, path) = place("reserved");
    let params = Params::new(&devices()[0]);
    assert!(matches!(params.save(&path), Err(Error::NotBuilt { .. })));
    params.insert("__metadata__", [1], &[0.0]).unwrap();
    let error = params.save(&path).unwrap_err();
    assert!(matches!(error, Error::Option { option: "Params::name", .. }), "{error}");
    assert!(folder.files().is_empty());
}

#[test]
fn a_model_that_is_not_built_loads_nothing() {
    let (_folder, path) = place("unbuilt");
    params(&devices()[0], 1).save(&path).unwrap();
    let error = Params::new(&devices()[0]).load(&path).unwrap_err();
    assert!(matches!(error, Error::NotBuilt { .. }), "{error}");
}

#[test]
fn a_path_that_is_none_is_named() {
    let (folder, path): (Folder, _) = place("paths");
    let params = params(&devices()[0], 1);
    // A folder that is missing is made by writing, and a file is no folder.
    let inside = folder.path().join("none").join("x");
    assert!(matches!(params.load(&inside), Err(Error::Io { action: "read", .. })));
    params.save(&inside).unwrap();
    params.load(&inside).unwrap();
    std::fs::remove_dir_all(folder.path().join("none")).unwrap();
    params.save(&path).unwrap();
    for bad in [path.join("x"), folder.path().into()] {
        for (action, error) in [("read", params.load(&bad)), ("write", params.save(&bad))] {
            match error.unwrap_err() {
                Error::Io { action: found, path, .. } => {
                    assert_eq!((found, path), (action, bad.display().to_string()));
                }
                other => panic!("{other:?}"),
            }
        }
    }
    assert_eq!(folder.files().len(), 1);
}

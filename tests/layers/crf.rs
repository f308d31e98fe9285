//! The layer that decides on the tags of a whole sequence.

use super::gradient;
use crate::common::{Folder, Vectors, assert_close, close, devices, tensor, value};
use wgpu_lstm::data::{Sequences, Targets};
use wgpu_lstm::loss::{CrossEntropy, Labels, RowWeights};
use wgpu_lstm::nn::{Crf, Dense, Embedding, Graph, Layer, Layers, Lstm, Masking, Merge, Params};
use wgpu_lstm::train::{Adam, Average, Fit, Loss, Metric, Sgd, metrics};
use wgpu_lstm::{Device, Error, Lengths, Mask, Sequential, Tape, Tensor, Var};

const DIMS: [usize; 3] = [5, 9, 5];
const TAGS: [&str; 5] = ["O", "B-X", "I-X", "B-Y", "I-Y"];
const PARTS: [&str; 3] = ["transitions", "start_transitions", "end_transitions"];

/// The layer with the vectors' parameters.
fn built(crf: Crf, v: &Vectors, device: &Device) -> (Params, Crf) {
    let params = Params::new(device);
    let crf = crf.build(&params, 5).unwrap();
    for part in PARTS {
        params.set(&format!("crf.{part}"), &v.get(part)).unwrap();
    }
    (params, crf)
}

/// The emissions, with NaN behind each row's end.
fn padded(v: &Vectors) -> Vec<f32> {
    let mut x = v.get("x");
    for (row, length) in v.usizes("lengths").into_iter().enumerate() {
        x[(row * 9 + length) * 5..(row + 1) * 45].fill(f32::NAN);
    }
    x
}

#[test]
fn what_pytorch_crf_computes() {
    let v = Vectors::load("crf");
    let lengths = v.usizes("lengths");
    for device in devices() {
        for (name, crf, tags) in
            [("plain", Crf::new(), "tags"), ("bio", Crf::bio(TAGS).unwrap(), "bio_tags")]
        {
            let what = format!("{name} on {device}");
            let expected = |part: &str| v.get(&format!("{name}.{part}"));
            let (params, crf) = built(crf, &v, device);
            let tape = Tape::new(&params);
            let x = tape.input(tensor(&padded(&v), DIMS, device));
            let emissions = x.clone().with_lengths(Some(Lengths::new(&lengths, device).unwrap()));
            let mut labels: Vec<u32> = v.get(tags).iter().map(|&tag| tag as u32).collect();
            // Of a frame that does not count the label may be anything.
            labels[10] = 77;
            let labels = Labels::new(&labels, device).unwrap();
            let loss = crf.loss(&tape, &emissions, &labels, None).unwrap();
            close(&what, &value(&loss), &expected("loss"), 1e-5);
            let found = gradient(&tape.backward(&loss).unwrap(), &x);
            assert_close(&what, &found, &expected("d_x"), 1e-2, 1e-4);
            for part in PARTS {
                let found = params.gradient(&format!("crf.{part}")).unwrap();
                assert_close(&what, &found, &expected(&format!("d_{part}")), 1e-2, 1e-4);
            }
            let tape = Tape::inference(&params);
            let q = crf.forward(&tape, &emissions).unwrap();
            close(&what, &value(&q), &expected("marginals"), 1e-4);
            let paths = expected("paths");
            let scores = expected("scores");
            for (row, (tags, score)) in crf.decode(&tape, &emissions).unwrap().iter().enumerate() {
                let path: Vec<u32> =
                    paths[row * 9..].iter().map(|&t| t as u32).take(lengths[row]).collect();
                assert_eq!(*tags, path, "{what}");
                assert!((score - scores[row]).abs() < 1e-4, "{what}: {score}, not {}", scores[row]);
            }
            // With a weight for each row.
            let each = expected("each");
            let of_rows = [0.5, 2.0, 0.0, 1.0, 0.25];
            let weights: Vec<f32> = (0..45)
                .map(|i| if i % 9 < lengths[i / 9] { of_rows[i / 9] } else { 0.0 })
                .collect();
            let weights = RowWeights::new(&weights, device).unwrap();
            let loss = crf.loss(&tape, &x, &labels, Some(&weights)).unwrap();
            let sum: f32 = each.iter().zip(of_rows).map(|(loss, w)| loss * w).sum();
            close(&what, &value(&loss), &[sum / weights.sum()], 1e-5);
        }
    }
}

/// Frames that a mask leaves out are not there.
#[test]
fn masks_may_have_gaps() {
    let v = Vectors::load("crf");
    let x = v.get("x");
    let on: Vec<bool> = (0..45).map(|i| i % 4 != 2 && i / 9 != 3).collect();
    let tags: Vec<u32> = v.get("tags").iter().map(|&tag| tag as u32).collect();
    for device in devices() {
        let (params, crf) = built(Crf::new(), &v, device);
        let run = |x: &[f32], tags: &[u32], shape: [usize; 3], steps: &dyn Fn(Var) -> Var| {
            let tape = Tape::new(&params);
            let input = tape.input(tensor(x, shape, device));
            let x = steps(input.clone());
            let labels = Labels::new(tags, device).unwrap();
            let paths = crf.decode(&tape, &x).unwrap();
            let q = value(&crf.forward(&tape, &x).unwrap());
            let loss = crf.loss(&tape, &x, &labels, None).unwrap();
            let loss_value = value(&loss)[0];
            (loss_value, gradient(&tape.backward(&loss).unwrap(), &input), q, paths)
        };
        let mut given = x.clone();
        on.iter()
            .zip(given.chunks_mut(5))
            .filter(|(on, _)| !**on)
            .for_each(|(_, x)| x.fill(f32::NAN));
        let mask = Mask::new(&on, [5, 9], device).unwrap();
        let (loss, d_x, q, paths) = run(&given, &tags, DIMS, &|x| x.with_mask(Some(mask.clone())));
        assert!(paths[3].0.is_empty() && paths[3].1 == 0.0, "{device}");
        let (mut sum, mut frames) = (0.0, 0);
        for (row, expected) in paths.iter().enumerate() {
            let own: Vec<usize> = (row * 9..row * 9 + 9).filter(|&i| on[i]).collect();
            for i in (row * 9..row * 9 + 9).filter(|&i| !on[i]) {
                let zero = |values: &[f32]| values[i * 5..][..5].iter().all(|&v| v == 0.0);
                assert!(zero(&d_x) && zero(&q), "{device}");
            }
            if own.is_empty() {
                continue;
            }
            let short: Vec<f32> = own.iter().flat_map(|&i| x[i * 5..][..5].to_vec()).collect();
            let short_tags: Vec<u32> = own.iter().map(|&i| tags[i]).collect();
            let (alone, _, q_alone, path) = run(&short, &short_tags, [1, own.len(), 5], &|x| x);
            let found: Vec<f32> = own.iter().flat_map(|&i| q[i * 5..][..5].to_vec()).collect();
            assert_eq!(found, q_alone, "{device}");
            assert_eq!(path[0], *expected, "{device}");
            sum += alone * own.len() as f32;
            frames += own.len();
        }
        assert!((loss - sum / frames as f32).abs() < 1e-5, "{loss} on {device}");
    }
}

#[test]
fn a_crf_checks_what_it_gets() {
    for device in devices() {
        let params = Params::new(device);
        let named = Crf::bio(["O", "B-X"]).unwrap().build(&params, 3).unwrap_err();
        assert!(matches!(&named, Error::Option { option: "Crf::bio", .. }), "{named}");
        assert!(matches!(Crf::bio(["X"]), Err(Error::Option { option: "Crf::bio", .. })));
        let beyond = Crf::new().forbid(0, 3).build(&params, 3).unwrap_err();
        assert!(beyond.to_string().contains("the tag 3"), "{beyond}");
        assert!(Crf::new().build(&params, 0).is_err() && params.names().is_empty());
        // More scores than there is memory for are an error before one is made.
        for crf in [Crf::new(), Crf::new().forbid(0, 1)] {
            let huge = crf.build(&params, 1 << 20).unwrap_err();
            assert!(matches!(huge, Error::TooLarge { .. }), "{huge}");
        }
        assert!(params.names().is_empty());
        let crf = Crf::new().forbid(2, 2).forbid_end(1).forbid_start(0).build(&params, 3).unwrap();
        assert_eq!(crf.parameter_count(), 15);
        let tape = Tape::new(&params);
        let x = tape.input(Tensor::zeros([2, 3, 3], device).unwrap());
        let loss =
            |labels: &[u32]| crf.loss(&tape, &x, &Labels::new(labels, device).unwrap(), None);
        assert!(loss(&[1, 0, 0, 2, 1, 0]).is_ok());
        for (labels, said) in [
            (
                [1, 0, 0, 2, 2, 0],
                "row 1: Crf::bio or Crf::forbid is labels that go from tag 2 to tag 2, behind frame 0",
            ),
            ([0, 0, 0, 2, 1, 0], "row 0: Crf::bio or Crf::forbid is labels that begin with tag 0"),
            ([1, 0, 1, 2, 1, 0], "row 0: Crf::bio or Crf::forbid is labels that end with tag 1"),
        ] {
            let error = loss(&labels).unwrap_err().to_string();
            assert!(error.starts_with(said), "{error}");
        }
        assert_eq!(
            loss(&[1, 0, 0, 2, 1, 3]).unwrap_err(),
            Error::Label { row: 5, found: 3, classes: 3 }
        );
        assert!(matches!(loss(&[1, 0, 0]), Err(Error::Shape { arg: "labels", .. })));
        let soft = Labels::probabilities(&[0.5; 18], 3, device).unwrap();
        let error = crf.loss(&tape, &x, &soft, None).unwrap_err();
        assert!(matches!(error, Error::Unsupported { what: "Crf", .. }), "{error}");
        let forward = |shape: &[usize]| {
            let x = Tensor::zeros(shape, device).unwrap();
            crf.forward(&tape, &x.into()).unwrap_err()
        };
        assert!(matches!(forward(&[2, 3]), Error::Rank { arg: "emissions", .. }));
        assert!(matches!(forward(&[2, 3, 4]), Error::Shape { arg: "emissions", .. }));
        assert!(matches!(forward(&[2, 0, 3]), Error::Empty { .. }));
        // The marginals know no gradient, and say so.
        let q = crf.forward(&tape, &x).unwrap();
        let seed = Tensor::zeros([2, 3, 3], device).unwrap();
        let error = tape.backward_from(&[(&q, seed)]).err().unwrap();
        assert!(error.to_string().contains("Crf::loss"), "{error}");
        let paths = crf.decode(&Tape::inference(&params), &x).unwrap();
        assert!(paths.iter().all(|(tags, _)| tags[0] != 0 && tags[2] != 1), "{paths:?}");
    }
}

#[test]
fn only_the_last_layer_of_a_model_is_a_crf() {
    let device = &devices()[0];
    let lstm = Lstm::new(3).return_sequences();
    let graph = Graph::new().layer("lstm", "input", lstm).layer("tags", "lstm", Crf::new());
    let mut inside = Sequential::new(device).add(graph);
    let error = inside.build(2).unwrap_err();
    assert!(matches!(error, Error::Unsupported { what: "a Crf", with: "Graph", .. }), "{error}");
}

/// Tags of which each follows from the one before, too: `I` goes on only after `B` or `I`.
fn sentences() -> (Sequences, Vec<u32>) {
    let mut r = 12345u32;
    let mut next = |n: u32| {
        r = r.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (r >> 16) % n
    };
    let (mut rows, mut tags) = (Vec::new(), Vec::new());
    for row in 0..48 {
        let length = 3 + (row % 7);
        let (mut tokens, mut tag) = (Vec::new(), 0);
        for _ in 0..length {
            tag = match (tag, next(3)) {
                (0, 0) | (_, 2) => 1,
                (0, _) => 0,
                (_, 0) => 0,
                _ => 2,
            };
            // A token tells its tag two times out of three.
            tokens.push(1 + if next(3) > 0 { tag } else { 3 + next(3) });
            tags.push(tag);
        }
        rows.push(tokens);
    }
    (Sequences::from_tokens(rows).unwrap(), tags)
}

fn tagger(device: &Device, masks: bool) -> Sequential {
    let embedding = Embedding::new(8, 6);
    let embedding = if masks { embedding.mask_zero() } else { embedding };
    Sequential::new(device)
        .seed(3)
        .add(embedding)
        .add(Lstm::new(8).bidirectional(Merge::Concat).return_sequences())
        .add(Dense::new(3))
        .add(Crf::bio(["O", "B-X", "I-X"]).unwrap())
}

#[test]
fn a_tagger_learns_measures_and_is_kept() {
    let (x, tags) = sentences();
    let y = Targets::classes(tags.clone());
    let names: Vec<String> = ["O", "B-X", "I-X"].map(str::to_owned).to_vec();
    let spans = Metric::SpanF1 { tags: names.clone() };
    let all = [Metric::Accuracy, spans, Metric::F1(Average::Macro), Metric::ErrorRate];
    for device in devices() {
        let run = || {
            let mut model = tagger(device, false);
            model.compile(Adam::new(0.02), Loss::CrossEntropy, &all);
            let history = model.fit(&x, &y, Fit::new().epochs(12).batch_size(16).quiet()).unwrap();
            (model, history)
        };
        let (model, history) = run();
        let losses: Vec<f32> = history.epochs.iter().map(|epoch| epoch.training.loss).collect();
        assert!(losses[11] < 0.5 * losses[0], "{losses:?} on {device}");
        let found = model.predict(&x).unwrap();
        let classes: Vec<u32> = found.classes().iter().map(|&class| class as u32).collect();
        // The numbers of an evaluation are those of the predictions.
        let measured = model.evaluate(&x, &y).unwrap();
        let right = classes.iter().zip(&tags).filter(|(a, b)| a == b).count();
        let mut of_spans = metrics::SpanF1::new(&names).unwrap();
        for i in 0..x.len() {
            of_spans.add(&classes[found.rows_of(i)], &tags[found.rows_of(i)]);
        }
        let accuracy = right as f32 / tags.len() as f32;
        assert!(accuracy > 0.8, "{accuracy} on {device}");
        let f1 = of_spans.f1() as f32;
        assert_close("metrics", &measured.metrics[..2], &[accuracy, f1], 1e-3, 1e-6);
        assert_close("error rate", &measured.metrics[3..], &[1.0 - accuracy], 1e-1, 1.0);
        // They are the layer's own tags, and the values are its marginals.
        for row in found.iter() {
            assert!((row.iter().sum::<f32>() - 1.0).abs() < 1e-5, "{row:?} on {device}");
        }
        for i in 0..x.len() {
            let path = &classes[found.rows_of(i)];
            assert!(path[0] != 2 && path.windows(2).all(|s| s != [0, 2]), "{path:?} on {device}");
        }
        // The same bits in another run, and after a file.
        let (other, again) = run();
        let last = |history: &wgpu_lstm::train::History| history.epochs[11].training.clone();
        assert_eq!(last(&again).loss.to_bits(), last(&history).loss.to_bits(), "{device}");
        assert_eq!(last(&again).metrics, last(&history).metrics, "{device}");
        assert_eq!(other.predict(&x).unwrap(), found, "{device}");
        let folder = Folder::new("crf");
        std::fs::create_dir_all(folder.path()).unwrap();
        let path = folder.path().join("tagger.safetensors");
        model.save(&path).unwrap();
        let loaded = Sequential::load(&path, device).unwrap();
        assert_eq!(loaded.predict(&x).unwrap(), found, "{device}");
    }
    // A file of a layer without options is one without constraints.
    let old = Layers::new().make("crf", "{}").unwrap().unwrap();
    assert_eq!(old.config().unwrap(), Crf::new().config().unwrap());
}

/// Tokens of 0 are in no chain, in training nor in what is measured.
#[test]
fn masked_tokens_are_in_no_chain() {
    for device in devices() {
        let mut model = tagger(device, true);
        model.build(1).unwrap();
        model.compile(Adam::new(0.01), Loss::CrossEntropy, &[Metric::Accuracy]);
        let gaps = Sequences::from_tokens([vec![1, 0, 2, 3, 0], vec![0, 2, 1, 5]]).unwrap();
        let without = Sequences::from_tokens([vec![1, 2, 3], vec![2, 1, 5]]).unwrap();
        // At a gap there may be a tag that could not be there.
        let y = Targets::classes([1, 2, 2, 0, 2, 2, 1, 0, 1]);
        let y_without = Targets::classes([1, 2, 0, 1, 0, 1]);
        let found = model.evaluate(&gaps, &y).unwrap();
        let expected = model.evaluate(&without, &y_without).unwrap();
        assert_close("loss", &[found.loss], &[expected.loss], 1e-3, 1e-5);
        assert_eq!(found.metrics, expected.metrics, "{device}");
        let tags = |x: &Sequences| model.predict(x).unwrap().classes();
        let (all, short) = (tags(&gaps), tags(&without));
        assert_eq!([all[0], all[2], all[3], all[6], all[7], all[8]], short[..], "{device}");
        model.fit(&gaps, &y, Fit::new().epochs(1).quiet()).unwrap();
        // Two weights of sequences are a weighted mean.
        let weighted = Fit::new().epochs(1).sample_weights(&[2.0, 0.0]).quiet();
        assert!(model.fit(&gaps, &y, weighted).unwrap().epochs[0].training.loss.is_finite());
    }
}

/// A frame that is masked by its value is in no chain, whatever its label.
#[test]
fn frames_masked_by_their_value_break_no_constraint() {
    let x = Sequences::from_array(&[0.5, 0.0, 1.0, 0.3, 0.2, 0.1], [2, 3, 1]).unwrap();
    for device in devices() {
        let crf = Crf::bio(["O", "B-X", "I-X"]).unwrap();
        let mut model = Sequential::new(device).add(Masking::new(0.0)).add(Dense::new(3)).add(crf);
        model.compile(Adam::default(), Loss::CrossEntropy, &[]);
        let mut fit = |labels| model.fit(&x, &Targets::classes(labels), Fit::new().quiet());
        assert!(fit([1, 0, 2, 1, 2, 2]).unwrap().epochs[0].training.loss.is_finite());
        // Without the frame between them 0 is right before 2.
        let error = fit([0, 1, 2, 1, 2, 2]).unwrap_err();
        assert!(error.to_string().contains("from tag 0 to tag 2"), "{error}");
    }
}

#[test]
fn one_tag_is_a_path_too() {
    let x = Sequences::from_array(&[0.5, 0.1, 1.0, 0.3], [2, 2, 1]).unwrap();
    let y = Targets::classes([0; 4]);
    for device in devices() {
        let mut model = Sequential::new(device).add(Dense::new(1)).add(Crf::new());
        model.compile(Sgd::new(0.1), Loss::CrossEntropy, &[Metric::Accuracy]);
        for _ in 0..2 {
            let history = model.fit(&x, &y, Fit::new().quiet()).unwrap();
            assert!(history.epochs[0].training.loss.abs() < 1e-6, "{device}");
        }
        assert_eq!(model.evaluate(&x, &y).unwrap().metrics, [1.0]);
        let found = model.predict(&x).unwrap();
        assert_eq!(found.classes(), [0; 4]);
        close(&format!("marginals on {device}"), found.values(), &[1.0; 4], 1e-6);
        let two = Targets::classes([0, 1, 0, 0]);
        assert!(matches!(
            model.fit(&x, &two, Fit::new().quiet()),
            Err(Error::Label { .. } | Error::At { .. })
        ));
    }
}

/// The class whose gradient is taken is that of the path, not the likeliest of the emission.
#[test]
fn saliency_is_that_of_the_path() {
    let x = Sequences::from_array(&[0.0, 1.0, 9.0, 9.0, 0.0, 1.0, 0.0, 1.0, 9.0], [1, 3, 3]);
    for device in devices() {
        let crf = Crf::bio(["O", "B-X", "I-X"]).unwrap().forbid(1, 2);
        let mut model = Sequential::new(device).add(crf);
        model.build(3).unwrap();
        let x = x.as_ref().unwrap();
        let classes = model.predict(x).unwrap().classes();
        assert_eq!((classes[2], model.saliency(x, None).unwrap()[0].output), (1, 1), "{device}");
    }
}

#[test]
fn a_model_with_a_crf_says_what_does_not_go_with_it() {
    let device = &devices()[0];
    let (x, tags) = sentences();
    let y = Targets::classes(tags.clone());
    let error = |loss: Loss, metrics: &[Metric], y: &Targets| {
        let mut model = tagger(device, false);
        model.compile(Adam::default(), loss, metrics);
        model.fit(&x, y, Fit::new().quiet()).unwrap_err()
    };
    let smooth = Loss::CrossEntropyWith(CrossEntropy::new().label_smoothing(0.1));
    assert!(matches!(error(smooth, &[], &y), Error::Loss { loss: "Crf", .. }));
    let values = Targets::values(vec![0.5; 3 * tags.len()], 3);
    assert!(matches!(error(Loss::MeanSquaredError, &[], &values), Error::Loss { loss: "Crf", .. }));
    for metric in [Metric::TopK(2), Metric::LogLoss, Metric::Perplexity, Metric::RocAuc] {
        let error = error(Loss::CrossEntropy, std::slice::from_ref(&metric), &y);
        assert!(error.to_string().contains("ends in a Crf"), "{error}");
    }
    let mut soft = vec![0.0; 3 * tags.len()];
    soft.iter_mut().step_by(3).for_each(|p| *p = 1.0);
    let soft = error(Loss::CrossEntropy, &[], &Targets::probabilities(soft, 3));
    assert!(soft.to_string().contains("no classes"), "{soft}");
    let mut wrong = tags;
    // Sequence 1 is of 4 frames, from the fourth on.
    (wrong[4], wrong[5]) = (0, 2);
    let wrong = error(Loss::CrossEntropy, &[], &Targets::classes(wrong)).to_string();
    assert!(wrong.starts_with("sequence 1: ") && wrong.contains("from tag 0 to tag 2"), "{wrong}");
    // Frame by frame there is no path yet.
    let mut model = tagger(device, false);
    model.build(1).unwrap();
    assert!(matches!(model.stepper(1).err(), Some(Error::Unsupported { .. })));
}

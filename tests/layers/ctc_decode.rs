//! What labels a model's frames say, and when: against TensorFlow, torchaudio, and all paths one by one.

use crate::common::{Vectors, close, devices, tensor};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use wgpu_lstm::loss::{BeamSearch, Ctc, Emissions};
use wgpu_lstm::{Error, Lengths, Mask, Var};

/// Numbers from -1 to 1, the same in every run.
fn noise(count: usize, seed: u32) -> Vec<f32> {
    let mut state = seed.wrapping_mul(2_654_435_761).wrapping_add(1);
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..count).map(|_| next()).collect()
}

fn spelled(path: &[u32], blank: u32) -> Vec<u32> {
    let mut labels = path.to_vec();
    labels.dedup();
    labels.retain(|&label| label != blank);
    labels
}

/// Every path through the frames of one row, with its log-probability.
fn paths(row: &[f32], classes: usize) -> Vec<(Vec<u32>, f64)> {
    let mut paths = vec![(Vec::new(), 0.0)];
    for frame in row.chunks(classes) {
        let longer = |(path, log): &(Vec<u32>, f64)| {
            let each = frame.iter().enumerate();
            let each = each.map(|(k, &p)| ([&path[..], &[k as u32]].concat(), log + f64::from(p)));
            each.collect::<Vec<_>>()
        };
        paths = paths.iter().flat_map(longer).collect();
    }
    paths
}

/// The log-probability of all that can be spelled, and the likeliest path of each.
fn all(row: &[f32], classes: usize, blank: u32) -> HashMap<Vec<u32>, (f64, f64, Vec<u32>)> {
    let mut found: HashMap<_, (f64, f64, Vec<u32>)> = HashMap::new();
    for (path, log) in paths(row, classes) {
        let entry = found.entry(spelled(&path, blank)).or_insert((0.0, f64::MIN, Vec::new()));
        entry.0 += log.exp();
        if log > entry.1 {
            (entry.1, entry.2) = (log, path);
        }
    }
    found.values_mut().for_each(|entry| entry.0 = entry.0.ln());
    found
}

#[test]
fn beams_and_greedy_paths_as_tensorflow() {
    let v = Vectors::load("ctc_beam");
    let trimmed = |labels: &[f32]| -> Vec<u32> {
        labels.iter().filter(|&&label| label >= 0.0).map(|&label| label as u32).collect()
    };
    for case in 0..v.usizes("cases")[0] {
        let of = |name: &str| format!("{case}_{name}");
        let [b, t, c, width, top] = v.usizes(&of("dims"))[..] else { panic!() };
        for device in devices() {
            let lengths = Lengths::new(&v.usizes(&of("lengths")), device).unwrap();
            let logits = v.tensor(&of("logits"), [b, t, c], device);
            let logits = Var::from(logits).with_lengths(Some(lengths));
            let emissions = Emissions::new(&logits).unwrap();
            let ctc = Ctc::new().blank(c as u32 - 1);
            let search = BeamSearch::new(width).best(top);
            let found = ctc.beam_search(&emissions, &search).unwrap();
            let labels: Vec<_> = found.iter().flatten().map(|one| one.labels.clone()).collect();
            let expected: Vec<_> = v.get(&of("labels")).chunks(t).map(trimmed).collect();
            assert_eq!(labels, expected, "case {case} on {device}");
            let logs: Vec<_> = found.iter().flatten().map(|d| d.log_probability as f32).collect();
            let what = format!("beams of case {case} on {device}");
            close(&what, &logs, &v.get(&of("log_probabilities")), 1e-5);
            assert!(found.iter().flatten().all(|d| d.score == d.log_probability));

            let found = ctc.greedy(&emissions).unwrap();
            let labels: Vec<_> = found.iter().map(|one| one.labels()).collect();
            let expected: Vec<_> = v.get(&of("greedy")).chunks(t).map(trimmed).collect();
            assert_eq!(labels, expected, "greedy, case {case} on {device}");
            let logs: Vec<_> = found.iter().map(|a| a.log_probability as f32).collect();
            close(&what, &logs, &v.get(&of("greedy_log_probabilities")), 1e-5);
        }
    }
}

#[test]
fn alignments_as_torchaudio() {
    let v = Vectors::load("ctc_align");
    for case in 0..v.usizes("cases")[0] {
        let of = |name: &str| format!("{case}_{name}");
        let [t, c, blank] = v.usizes(&of("dims"))[..] else { panic!() };
        let emissions = Emissions::from_logits(&v.get(&of("logits")), c, &[t]).unwrap();
        let whole = |name: &str| v.get(&of(name)).iter().map(|&k| k as u32).collect::<Vec<_>>();
        let labels = whole("labels");
        let found = &Ctc::new().blank(blank as u32).align(&emissions, &[&labels]).unwrap()[0];
        assert_eq!(found.path, whole("path"), "case {case}");
        assert_eq!(found.labels(), labels, "case {case}");
        let scores = v.get(&of("scores"));
        let sum = scores.iter().map(|&s| f64::from(s)).sum::<f64>();
        assert!((found.log_probability / sum - 1.0).abs() < 1e-6, "case {case}");
        let spans = found.spans.iter();
        let spans: Vec<_> =
            spans.flat_map(|s| [s.label as f32, s.start as f32, s.end as f32, s.score]).collect();
        close(&format!("spans of case {case}"), &spans, &v.get(&of("spans")), 1e-6);
    }
}

#[test]
fn a_wide_beam_and_an_alignment_are_exact() {
    for (seed, (t, c, blank)) in
        [(1, 2, 0), (4, 2, 1), (5, 4, 3), (7, 3, 1), (3, 7, 2)].iter().enumerate()
    {
        let (t, c, blank) = (*t, *c, *blank);
        let mut logits: Vec<_> = noise(t * c, seed as u32).iter().map(|x| 3.0 * x).collect();
        // A class that is ruled out, and one that is nearly.
        (logits[0], logits[t * c - 1]) = (f32::NEG_INFINITY, -300.0);
        let emissions = Emissions::from_logits(&logits, c, &[t]).unwrap();
        let mut all = all(emissions.row(0), c, blank);
        all.retain(|_, one| one.0.is_finite());
        let ctc = Ctc::new().blank(blank);
        let found = ctc.beam_search(&emissions, &BeamSearch::new(5000).best(5000)).unwrap();
        let what = format!("{t} x {c}, blank {blank}");
        assert_eq!(found[0].len(), all.len(), "{what}");
        assert!(found[0].is_sorted_by(|a, b| a.score >= b.score), "{what}");
        for one in &found[0] {
            let (log, best, path) = &all[&one.labels];
            assert!((one.log_probability - log).abs() < 1e-9, "{what}: {one:?}, not {log}");
            assert!((one.alignment.log_probability - best).abs() < 1e-9, "{what}: {best}");
            assert_eq!((&one.alignment.path, one.alignment.labels()), (path, one.labels.clone()));
        }
        // No narrower beam finds more than there is.
        for width in [1, 2, 3] {
            let narrow = ctc.beam_search(&emissions, &BeamSearch::new(width)).unwrap();
            let one = &narrow[0][0];
            assert!(one.log_probability <= all[&one.labels].0 + 1e-9, "{what}");
        }
    }
}

#[test]
fn a_language_model_takes_part() {
    let (t, c) = (5, 4);
    let emissions = Emissions::from_logits(&noise(t * c, 9), c, &[t]).unwrap();
    // Of the last label, the next, and how many there were; 3 may not follow 1.
    let model = |before: &[u32], next: Option<u32>| -> f32 {
        let last = before.last().copied().unwrap_or(0) as f32;
        match next {
            Some(3) if before.last() == Some(&1) => f32::NEG_INFINITY,
            Some(next) => -0.3 * (last - next as f32).abs() - 0.1 * before.len() as f32,
            None => -0.7 * last,
        }
    };
    let asked = Arc::new(Mutex::new(HashMap::<_, usize>::new()));
    let notes = asked.clone();
    let noting = move |before: &[u32], next| {
        *notes.lock().unwrap().entry((before.to_vec(), next)).or_default() += 1;
        model(before, next)
    };
    let search = BeamSearch::new(1000).best(1000).language_model(1.5, noting).length_bonus(0.4);
    let found = Ctc::new().beam_search(&emissions, &search).unwrap();
    let score = |labels: &[u32], log: f64| {
        let each = (0..labels.len()).map(|i| model(&labels[..i], Some(labels[i])));
        let said: f64 = each.chain([model(labels, None)]).map(f64::from).sum();
        log + 1.5 * said + f64::from(0.4f32) * labels.len() as f64
    };
    let mut expected: Vec<_> = all(emissions.row(0), c, 0)
        .into_iter()
        .map(|(labels, (log, ..))| (score(&labels, log), log, labels))
        .filter(|one| one.0.is_finite())
        .collect();
    expected.sort_by(|a, b| b.0.total_cmp(&a.0));
    assert_eq!(found[0].len(), expected.len());
    for (found, (score, log, labels)) in found[0].iter().zip(&expected) {
        assert_eq!(&found.labels, labels);
        assert!((found.score - score).abs() < 1e-5 && (found.log_probability - log).abs() < 1e-9);
    }
    // Nothing leaves this beam, so that no question comes twice.
    assert!(asked.lock().unwrap().values().all(|&count| count == 1));

    // A weight of 0 counts for nothing, but what is forbidden stays so.
    let plain = BeamSearch::new(1000).best(1000);
    let found = Ctc::new().beam_search(&emissions, &plain.clone().language_model(0.0, model));
    let plain = Ctc::new().beam_search(&emissions, &plain).unwrap();
    let allowed = plain[0].iter().filter(|one| !one.labels.windows(2).any(|w| w == [1, 3]));
    assert!(found.unwrap()[0].iter().eq(allowed));

    let none = BeamSearch::new(5).language_model(1.0, |_, _| f32::NEG_INFINITY);
    assert_eq!(Ctc::new().beam_search(&emissions, &none).unwrap(), [vec![]]);
    let bad = BeamSearch::new(5).language_model(1.0, |_, next| match next {
        Some(2) => f32::NAN,
        _ => 0.0,
    });
    let error = Ctc::new().beam_search(&emissions, &bad).unwrap_err();
    assert_eq!(
        error.to_string(),
        "what BeamSearch::language_model says is not finite in row 0: of label 2 behind 0 labels; it is a \
         log-probability: at most 0, or -inf for what cannot be"
    );
}

#[test]
fn fewer_classes_extend_a_prefix() {
    let (t, c) = (6, 5);
    let emissions = Emissions::from_logits(&noise(t * c, 11), c, &[t]).unwrap();
    let found = |search: BeamSearch| {
        let found = Ctc::new().beam_search(&emissions, &search.best(2000)).unwrap();
        found.into_iter().next().unwrap()
    };
    let plain = found(BeamSearch::new(2000));
    // All labels are as good as no limit.
    assert_eq!(found(BeamSearch::new(2000).top_classes(4)), plain);
    assert_eq!(found(BeamSearch::new(2000).min_log_probability(-50.0)), plain);
    let rank = |frame: &[f32], label: u32| {
        frame[1..].iter().filter(|&&p| p > frame[label as usize]).count()
    };
    let frames: Vec<_> = emissions.row(0).chunks(c).collect();
    let one = found(BeamSearch::new(2000).top_classes(1));
    assert!(!one.is_empty() && one.len() < plain.len());
    for decoded in &one {
        for span in &decoded.alignment.spans {
            // A label may begin on the likeliest path at another frame than where it entered the beam.
            assert!((0..t).any(|at| rank(frames[at], span.label) == 0), "{decoded:?}");
        }
    }
    // Whatever the limit, the likeliest class of a frame goes on: the greedy path is left.
    let least = found(BeamSearch::new(2000).min_log_probability(0.0));
    let greedy = Ctc::new().greedy(&emissions).unwrap()[0].labels();
    assert!(least.iter().any(|decoded| decoded.labels == greedy), "{least:?}");
    assert!(least.len() < plain.len());
}

#[test]
fn emissions_are_checked() {
    let never = f32::NEG_INFINITY;
    let error = Emissions::from_logits(&[0.0; 5], 3, &[1, 1]).unwrap_err();
    assert!(matches!(error, Error::Count { expected: 6, found: 5, .. }), "{error}");
    assert!(matches!(Emissions::from_logits(&[], 0, &[]), Err(Error::Option { .. })));
    assert!(Emissions::from_logits(&[0.0], usize::MAX, &[usize::MAX, 3]).is_err());
    for bad in [[0.0, f32::NAN], [f32::INFINITY, 0.0], [never, never]] {
        let error = Emissions::from_logits(&[&[0.0; 4][..], &bad].concat(), 2, &[1, 2]);
        let error = error.unwrap_err().to_string();
        assert!(error.contains("not finite in frame 1 of row 1"), "{error}");
    }
    for bad in [[0.5, 0.6], [1.5, -0.5], [f32::NAN, 0.5], [0.0, 0.0], [f32::INFINITY, 0.0]] {
        let error = Emissions::from_probabilities(&bad, 2, &[1]).unwrap_err();
        assert!(error.to_string().contains("at frame 0 of row 0"), "{error}");
    }
    // Logits, log-probabilities and probabilities say the same.
    let logits = [1.0, -2.0, 0.5, never, 3.0, 3.0];
    let of_logits = Emissions::from_logits(&logits, 3, &[2, 0]).unwrap();
    let again = Emissions::from_logits(of_logits.row(0), 3, &[2, 0]).unwrap();
    let p: Vec<_> = of_logits.row(0).iter().map(|x| x.exp()).collect();
    let of_p = Emissions::from_probabilities(&p, 3, &[2, 0]).unwrap();
    for other in [again, of_p] {
        let pairs = of_logits.row(0).iter().zip(other.row(0));
        assert!(pairs.clone().all(|(a, b)| a == b || (a - b).abs() < 1e-6), "{other:?}");
    }
    assert_eq!((of_logits.rows(), of_logits.classes()), (2, 3));
    assert!(of_logits.row(1).is_empty() && of_logits.row(2).is_empty());

    for device in devices() {
        // Padding may hold anything.
        let x = [0., 9., 0., 9., 0., 0., 1., 2., 0., f32::NAN, 0., 0.];
        let logits = Var::from(tensor(&x, [2, 2, 3], device));
        let of = |lengths: &[usize]| {
            let lengths = Lengths::new(lengths, device).unwrap();
            Emissions::new(&logits.clone().with_lengths(Some(lengths)))
        };
        let found = of(&[2, 1]).unwrap();
        assert_eq!([found.row(0).len(), found.row(1).len()], [6, 3]);
        assert!(matches!(Emissions::new(&logits), Err(Error::NotFinite { .. })));
        assert!(matches!(of(&[3, 1]), Err(Error::Length { .. })));
        assert!(matches!(of(&[1]), Err(Error::Shape { .. })));
        let mask = Mask::new(&[true; 4], [2, 2], device).unwrap();
        assert!(Emissions::new(&logits.clone().with_mask(Some(mask))).is_err());
        let flat = Var::from(tensor(&x, [4, 3], device));
        assert!(matches!(Emissions::new(&flat), Err(Error::Rank { .. })));
    }
}

#[test]
fn what_cannot_be_decoded_says_so() {
    let never = f32::NEG_INFINITY;
    // Three frames of two classes and the blank; the second row has none, in the third 2 is ruled out.
    let x = [&[0.0; 9][..], &[0.0, 0.0, never].repeat(2)].concat();
    let emissions = Emissions::from_logits(&x, 3, &[3, 0, 2]).unwrap();
    let ctc = Ctc::new();
    let align = |labels: [&[u32]; 3]| ctc.align(&emissions, &labels);
    let found = align([&[1, 1], &[], &[1]]).unwrap();
    assert_eq!((&found[0].path[..], &found[1].path[..]), (&[1, 0, 1][..], &[][..]));
    assert_eq!((found[1].spans.len(), found[1].log_probability), (0, 0.0));
    // Without labels all is blank.
    assert_eq!(align([&[], &[], &[]]).unwrap()[0].path, [0, 0, 0]);
    let error = align([&[1, 1, 2], &[], &[]]).unwrap_err();
    assert_eq!(error, Error::TooFewFrames { row: 0, expected: 4, found: 3 });
    let error = align([&[1], &[2], &[]]).unwrap_err();
    assert_eq!(error, Error::TooFewFrames { row: 1, expected: 1, found: 0 });
    let error = align([&[1], &[], &[2]]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the log-probability of every path is not finite in row 2; a label's class is ruled out, by -inf, \
         wherever the label could be"
    );
    assert!(matches!(align([&[3], &[], &[]]), Err(Error::Label { row: 0, found: 3, .. })));
    assert!(matches!(align([&[1], &[], &[0]]), Err(Error::Option { option: "Ctc::blank", .. })));
    assert!(matches!(ctc.align(&emissions, &[[1u32]]), Err(Error::Count { .. })));

    let found = ctc.beam_search(&emissions, &BeamSearch::new(3).best(9)).unwrap();
    assert_eq!((found[0].len(), found[1].len()), (3, 1));
    assert!(found[1][0].labels.is_empty() && found[1][0].log_probability == 0.0);
    assert!(ctc.greedy(&emissions).unwrap()[1].path.is_empty());
    let no_class = ctc.blank(3);
    assert!(no_class.greedy(&emissions).is_err());
    assert!(no_class.align(&emissions, &[[1u32], [1], [1]]).is_err());
    let new = || BeamSearch::new(3);
    for (search, option) in [
        (BeamSearch::new(0), "BeamSearch::width"),
        (new().best(0), "BeamSearch::best"),
        (new().top_classes(0), "BeamSearch::top_classes"),
        (new().min_log_probability(f32::NAN), "BeamSearch::min_log_probability"),
        (new().length_bonus(f32::INFINITY), "BeamSearch::length_bonus"),
        (new().language_model(-1.0, |_, _| 0.0), "BeamSearch::language_model"),
    ] {
        let error = ctc.beam_search(&emissions, &search).unwrap_err();
        assert!(matches!(error, Error::Option { option: found, .. } if found == option), "{error}");
    }
}

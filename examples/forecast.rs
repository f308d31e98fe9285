//! A forecast with its interval, from a CSV file to a picture: the sunspots of the year to come.
//!
//!     cargo run --release --example forecast --features csv,plot
//!
//! The first run trains and saves the model, with its scaler; a second one loads them and only predicts.

use std::path::PathBuf;
use wgpu_lstm::data::Table;
use wgpu_lstm::plot::Forecast;
use wgpu_lstm::prelude::*;

const DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/data/sunspots.csv");
/// Trained on the years up to 1959; those from 1960 on are for the test.
const CUT: usize = 260;

fn main() -> anyhow::Result<()> {
    let (device, path) = (Device::auto()?, file("sunspots.safetensors"));
    let series = Table::from_csv(DATA)?.series(["sunspots"])?;
    if !path.exists() {
        train(&series, &device)?.save(&path)?;
    }
    let model = Sequential::load(&path, &device)?;
    let scaler: Standardizer = model.kept("scaler")?.expect("`train` keeps it");
    let (_, test) = Windows::new(44, 1).of(&scaler.transform(&series)?)?.split_at(CUT);
    let found = scaler.inverse(&model.predict(&test.x)?)?;
    let truth = &series.get(0)[CUT..];
    let [low, median, high] = [0, 1, 2].map(|quantile| found.column(quantile));
    let error = |guess: &[f32]| {
        truth.iter().zip(guess).map(|(y, x)| (y - x).abs()).sum::<f32>() / truth.len() as f32
    };
    let inside = (0..truth.len()).filter(|&i| (low[i]..=high[i]).contains(&truth[i])).count();
    println!("mean absolute error {:.1}", error(&median));
    println!("of the year before as a forecast {:.1}", error(&series.get(0)[CUT - 1..]));
    println!("{inside} of {} years are within the 80 % interval", truth.len());
    let years: Vec<f64> = (1940..2009).map(f64::from).collect();
    let picture = Forecast::new(&median).truth(truth).interval(0.8, &low, &high);
    picture.history(&series.get(0)[240..CUT]).x(&years).plot()?.save(file("sunspots.svg"))?;
    println!("{} shows them", file("sunspots.svg").display());
    Ok(())
}

fn train(series: &Sequences, device: &Device) -> anyhow::Result<Sequential> {
    let scaler = Standardizer::fit(&series.first_frames(CUT)?)?;
    let (train, _) = Windows::new(44, 1).of(&scaler.transform(series)?)?.split_at(CUT);
    let mut model = Sequential::new(device).add(Lstm::new(32)).add(Dense::new(3));
    model.compile(AdamW::new(5e-3), Loss::Quantiles(vec![0.1, 0.5, 0.9]), &[]);
    model.keep("scaler", &scaler)?;
    let fit = Fit::new().epochs(200).validation_split(0.15).schedule(CosineDecay::new(1000));
    let history =
        model.fit(&train.x, &train.y, fit.callback(EarlyStopping::new("val_loss").patience(30)))?;
    history.plot().save(file("sunspots_training.svg"))?;
    Ok(model)
}

fn file(name: &str) -> PathBuf {
    std::env::temp_dir().join(name)
}

//! Music in files: as text, as MIDI, as a picture.

use super::common;
use anyhow::{Context, ensure};
use std::fmt::Write;
use std::path::Path;
use wgpu_lstm::data::read_lines;

pub const VOICES: usize = 4;

/// What soprano, alto, tenor and bass sing in half a beat: MIDI's numbers of notes, where 60 is the middle C.
pub type Frame = [u8; VOICES];

/// The tunes of the user's own file, or of the one that is here: four numbers a line, and a line with # above a tune.
pub fn read() -> anyhow::Result<Vec<Vec<Frame>>> {
    let own = common::data("music/own.txt");
    let path = if own.exists() { own } else { common::data("music/tunes.txt") };
    println!("reads {}", path.display());
    let mut tunes: Vec<Vec<Frame>> = Vec::new();
    for (number, line) in read_lines(&path)?.iter().enumerate() {
        if line.starts_with('#') || tunes.is_empty() {
            tunes.push(Vec::new());
        }
        if let (false, Some(tune)) = (line.starts_with('#') || line.is_empty(), tunes.last_mut()) {
            let notes: Result<Vec<u8>, _> = line.split_whitespace().map(str::parse).collect();
            let frame = notes.ok().and_then(|notes| notes.try_into().ok());
            tune.push(frame.with_context(|| format!("line {}: not four notes", number + 1))?);
        }
    }
    tunes.retain(|tune| !tune.is_empty());
    ensure!(tunes.len() >= 10, "{} tunes are too few to learn and to test", tunes.len());
    Ok(tunes)
}

/// The notes that there are, from the lowest to the highest.
pub struct Notes {
    lowest: u8,
    highest: u8,
}

impl Notes {
    pub fn of(tunes: &[Vec<Frame>]) -> Self {
        let all = || tunes.iter().flatten().flatten().copied();
        Self { lowest: all().min().unwrap_or(0), highest: all().max().unwrap_or(0) }
    }

    pub fn len(&self) -> usize {
        usize::from(self.highest - self.lowest) + 1
    }

    /// The notes of a tune in a row, counted from the lowest, frame by frame from soprano to bass.
    pub fn numbers(&self, tune: &[Frame]) -> Vec<u32> {
        tune.iter().flatten().map(|note| u32::from(note - self.lowest)).collect()
    }

    /// The last note as a token that says also who sang it; before the first note, one that is nobody's.
    pub fn token_before(&self, sung: &[u32]) -> u32 {
        let Some(last) = sung.last() else { return (VOICES * self.len()) as u32 };
        ((sung.len() - 1) % VOICES * self.len()) as u32 + last
    }

    /// For each note the token before it.
    pub fn before(&self, sung: &[u32]) -> Vec<u32> {
        (0..sung.len()).map(|at| self.token_before(&sung[..at])).collect()
    }

    pub fn frames(&self, sung: &[u32]) -> Vec<Frame> {
        let note = |number: u32| self.lowest + number as u8;
        sung.as_chunks::<VOICES>().0.iter().map(|frame| frame.map(note)).collect()
    }
}

/// The notes of each voice: its number, the first frame and that after its last. Equal ones in a row are one.
fn held(music: &[Frame], voice: usize) -> Vec<(u8, usize, usize)> {
    let mut notes: Vec<(u8, usize, usize)> = Vec::new();
    for (at, frame) in music.iter().enumerate() {
        match notes.last_mut() {
            Some((note, _, end)) if *note == frame[voice] => *end += 1,
            _ => notes.push((frame[voice], at, at + 1)),
        }
    }
    notes
}

/// Writes a MIDI file of one track (format 0), 100 beats a minute, a channel for each voice.
pub fn save_midi(music: &[Frame], path: &Path) -> anyhow::Result<()> {
    // When, the note's end before another's begin, in which channel, and which.
    let mut events = Vec::new();
    for voice in 0..VOICES {
        for (note, begin, end) in held(music, voice) {
            events.extend([(begin, 0x90, voice as u8, note), (end, 0x80, voice as u8, note)]);
        }
    }
    events.sort_unstable();
    // The tempo, in microseconds a beat.
    let mut track = vec![0, 0xff, 0x51, 3, 0x09, 0x27, 0xc0];
    let mut now = 0;
    for (at, kind, voice, note) in events {
        // The ticks since the event before, two a beat: less than 128, thus one byte.
        track.extend([(at - now) as u8, kind | voice, note, 80]);
        now = at;
    }
    track.extend([0, 0xff, 0x2f, 0]);
    let mut file = b"MThd\0\0\0\x06\0\0\0\x01\0\x02MTrk".to_vec();
    file.extend((track.len() as u32).to_be_bytes());
    file.extend(track);
    Ok(std::fs::write(path, file)?)
}

/// Draws the notes over time, the higher the higher.
pub fn draw(music: &[Frame], path: &Path) -> anyhow::Result<()> {
    let notes = Notes::of(&[music.to_vec()]);
    let (width, height) = (8 * music.len() + 60, 8 * notes.len() + 20);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
         font-family=\"sans-serif\" font-size=\"11\">\n\
         <rect width=\"{width}\" height=\"{height}\" fill=\"white\"/>\n"
    );
    for note in (notes.lowest..=notes.highest).filter(|note| note % 12 == 0) {
        let y = 10 + 8 * usize::from(notes.highest - note);
        let octave = note / 12 - 1;
        writeln!(svg, "<text x=\"8\" y=\"{}\">C{octave}</text>", y + 8)?;
        writeln!(svg, "<path d=\"M40 {}H{}\" stroke=\"#e4e4e4\"/>", y + 8, width - 20)?;
    }
    for (voice, color) in ["#d55e00", "#e69f00", "#009e73", "#0072b2"].into_iter().enumerate() {
        for (note, begin, end) in held(music, voice) {
            let (x, y) = (40 + 8 * begin, 10 + 8 * usize::from(notes.highest - note));
            let w = 8 * (end - begin) - 1;
            writeln!(
                svg,
                "<rect x=\"{x}\" y=\"{y}\" width=\"{w}\" height=\"7\" fill=\"{color}\" fill-opacity=\"0.8\"/>"
            )?;
        }
    }
    Ok(std::fs::write(path, svg + "</svg>\n")?)
}

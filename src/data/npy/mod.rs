//! Arrays in files of numpy.

mod header;
#[cfg(feature = "npz")]
mod npz;
mod numbers;

#[cfg(feature = "npz")]
pub use npz::NpzFile;

use super::Sequences;
use crate::file::{io, open, replace, write_floats};
use crate::{Error, Result};
use header::{Header, LARGEST};
use numbers::{Number, Whole};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

/// An array in a file of numpy (`.npy`, written by `numpy.save`), whose rows are read when they are asked
/// for: of a file larger than memory a model can be trained by its rows. `numpy.load` with `mmap_mode="r"`.
///
/// The first axis counts the rows. All kinds of numbers become 32-bit floats, rounded to the nearest:
/// `float16`, `float32`, `float64`, signed and unsigned integers of 8 to 64 bits, and `bool`; little-endian
/// or big-endian. Rows are always given in C order. In a file in Fortran order each value of a row lies
/// elsewhere, which makes rows slow there: `numpy.ascontiguousarray` before saving helps.
///
/// ```
/// use wgpu_lstm::data::NpyArray;
/// # let path = std::env::temp_dir().join(format!("wgpu-lstm-{}.npy", std::process::id()));
/// let values: Vec<f32> = (0..24).map(|i| i as f32).collect();
/// NpyArray::save(&path, &values, &[4, 3, 2])?; // numpy.save
/// let array = NpyArray::open(&path)?;
/// assert_eq!((array.shape(), array.len()), (&[4, 3, 2][..], 4));
/// assert_eq!(array.rows(1..2)?, [6.0, 7.0, 8.0, 9.0, 10.0, 11.0]); // [3,2]
/// let x = array.sequences()?; // all of it: 4 sequences of 3 frames
/// assert_eq!((x.len(), x.frames(0), x.features()), (4, 3, 2));
/// # std::fs::remove_file(path).unwrap();
/// # Ok::<(), wgpu_lstm::Error>(())
/// ```
///
/// As a [`super::Dataset`] a file may be larger than memory:
///
/// ```
/// use wgpu_lstm::data::{Dataset, NpyArray, Sample, Targets};
///
/// /// Sequences `[N,T,F]`, and the class of each.
/// struct Recordings {
///     x: NpyArray,
///     labels: Vec<u32>,
/// }
///
/// impl Dataset for Recordings {
///     fn features(&self) -> usize {
///         self.x.shape()[2]
///     }
///     fn len(&self) -> usize {
///         self.labels.len()
///     }
///     fn get(&self, i: usize) -> wgpu_lstm::Result<Sample> {
///         Ok(Sample::new(self.x.rows(i..i + 1)?).targets(Targets::classes([self.labels[i]])))
///     }
/// }
/// # let path = std::env::temp_dir().join(format!("wgpu-lstm-set-{}.npy", std::process::id()));
/// # NpyArray::save(&path, &[0.5; 24], &[4, 3, 2])?;
/// let data = Recordings { x: NpyArray::open(&path)?, labels: vec![0, 1, 1, 0] };
/// assert_eq!(data.get(3)?.frames(data.features()), 3);
/// # std::fs::remove_file(path).unwrap();
/// # Ok::<(), wgpu_lstm::Error>(())
/// ```
///
/// The file is not mapped into memory: where another process cuts a mapped file, the program that reads it
/// dies, and what changes under it is undefined behaviour. Each call reads at the rows' place instead; a
/// file that is cut meanwhile gives an error, and one that is written to gives what it then holds. Threads
/// may read at once.
#[derive(Debug)]
pub struct NpyArray {
    /// What errors call it: the path of its file.
    name: String,
    source: Source,
    /// The byte at which the values begin.
    start: u64,
    header: Header,
}

#[derive(Debug)]
enum Source {
    File(Mutex<File>),
    /// What was packed in an archive.
    #[cfg(feature = "npz")]
    Memory(Vec<u8>),
}

/// The bytes that are read at once; a multiple of every number's size.
const PART: usize = 1 << 18;

impl NpyArray {
    /// Opens a file and reads its header: no values yet.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be read; [`Error::File`] if it is no `.npy` file of the format's
    /// versions 1 to 3, if it is not as long as its header says, or if it holds other things than numbers:
    /// Python's objects (pickles are never read), texts, dates, complex numbers, records.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let (file, length) = open(path)?;
        Self::in_file(file, 0..length, path, path.display().to_string())
    }

    /// The array that lies at these bytes of a file.
    fn in_file(mut file: File, bytes: Range<u64>, path: &Path, name: String) -> Result<Self> {
        let read = |error| io("read", path, error);
        let length = bytes.end.saturating_sub(bytes.start);
        file.seek(SeekFrom::Start(bytes.start)).map_err(read)?;
        let mut head = Vec::new();
        (&mut file).take(length.min(LARGEST as u64)).read_to_end(&mut head).map_err(read)?;
        let (header, size) = Header::parse(&head).map_err(|bad| bad.of(&name))?;
        check_length(&name, &header, size, length)?;
        let start = bytes.start + size as u64;
        Ok(Self { name, source: Source::File(Mutex::new(file)), start, header })
    }

    /// Writes values of a shape as 32-bit floats, such as predictions: `numpy.save`. After an error a file
    /// that was there is as before.
    ///
    /// # Errors
    /// [`Error::Count`] if the shape holds another number of values; [`Error::Io`] if the file cannot be
    /// written.
    pub fn save(path: impl AsRef<Path>, values: &[f32], shape: &[usize]) -> Result<()> {
        let (path, expected) = (path.as_ref(), crate::tensor::count(shape));
        if expected != values.len() {
            let (shape, found) = (shape.to_vec(), values.len());
            return Err(Error::Count { op: "NpyArray::save", shape, expected, found });
        }
        replace(path, &Header::bytes("<f4", shape), |file| {
            write_floats(file, values).map_err(|error| io("write", path, error))
        })
    }

    /// Writes whole numbers of a shape as 64-bit integers (`int64`), such as classes or tokens. All else is as in
    /// [`NpyArray::save`].
    ///
    /// # Errors
    /// As [`NpyArray::save`].
    pub fn save_i64(path: impl AsRef<Path>, values: &[i64], shape: &[usize]) -> Result<()> {
        let (path, expected) = (path.as_ref(), crate::tensor::count(shape));
        if expected != values.len() {
            let (shape, found) = (shape.to_vec(), values.len());
            return Err(Error::Count { op: "NpyArray::save_i64", shape, expected, found });
        }
        replace(path, &Header::bytes("<i8", shape), |mut file| {
            values.chunks(1 << 15).try_for_each(|part| {
                let bytes: Vec<u8> = part.iter().flat_map(|value| value.to_le_bytes()).collect();
                file.write_all(&bytes).map_err(|error| io("write", path, error))
            })
        })
    }

    /// The type of the numbers in the file, as numpy calls it: `float32`, `int64`, `bool`.
    pub fn dtype(&self) -> &'static str {
        self.header.kind.name()
    }

    /// The sizes of the axes.
    pub fn shape(&self) -> &[usize] {
        &self.header.shape
    }

    /// The number of rows: the size of the first axis; 1 for a single number without axes.
    pub fn len(&self) -> usize {
        self.header.rows()
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The values of some rows, in C order: those of `array[rows]`. It takes memory for these rows alone.
    ///
    /// # Errors
    /// [`Error::Option`] if there are no such rows; [`Error::Io`] if the file cannot be read, or is shorter
    /// than it was; [`Error::OutOfMemory`].
    pub fn rows(&self, rows: Range<usize>) -> Result<Vec<f32>> {
        self.values(rows)
    }

    /// All values, in C order: those of the first row first.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be read, or is shorter than it was; [`Error::OutOfMemory`].
    pub fn read(&self) -> Result<Vec<f32>> {
        self.values(0..self.len())
    }

    /// All values as whole numbers, in C order, each exact: of a file of integers or booleans, or of floats that
    /// have no fraction.
    ///
    /// ```
    /// use wgpu_lstm::data::NpyArray;
    /// # let path = std::env::temp_dir().join(format!("wgpu-lstm-whole-{}.npy", std::process::id()));
    /// NpyArray::save_i64(&path, &[16_777_217, -3], &[2])?; // the first is no 32-bit float
    /// let array = NpyArray::open(&path)?;
    /// assert_eq!((array.dtype(), array.read_i64()?), ("int64", vec![16_777_217, -3]));
    /// assert_eq!(array.read()?, [16_777_216.0, -3.0]);
    /// # std::fs::remove_file(path).unwrap();
    /// # Ok::<(), wgpu_lstm::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::File`] for a value that is no whole number, or none of 64 bits with a sign, with its place, and
    /// those of [`NpyArray::read`].
    pub fn read_i64(&self) -> Result<Vec<i64>> {
        let values: Vec<Whole> = self.values(0..self.len())?;
        let whole = |(place, value)| match value {
            Whole::Is(value) => Ok(value),
            Whole::Large(found) => Err(self.not_whole(place, found.to_string())),
            Whole::Float(found) => Err(self.not_whole(place, found.to_string())),
        };
        values.into_iter().enumerate().map(whole).collect()
    }

    fn not_whole(&self, place: usize, found: String) -> Error {
        Error::File {
            path: self.name.clone(),
            entry: format!("value {place}"),
            expected: format!("a whole number from {} to {}", i64::MIN, i64::MAX),
            found,
        }
    }

    /// All values as the numbers of classes or tokens, in C order: for
    /// [`crate::data::Targets::classes`].
    ///
    /// # Errors
    /// [`Error::File`] for a value that is no whole number from 0 to 4,294,967,295, with its place, and
    /// those of [`NpyArray::read`].
    pub fn read_classes(&self) -> Result<Vec<u32>> {
        let values: Vec<f64> = self.values(0..self.len())?;
        let class = |(place, value): (usize, f64)| match value as u32 {
            class if f64::from(class) == value => Ok(class),
            _ => Err(Error::File {
                path: self.name.clone(),
                entry: format!("value {place}"),
                expected: format!("a whole number from 0 to {}", u32::MAX),
                found: value.to_string(),
            }),
        };
        values.into_iter().enumerate().map(class).collect()
    }

    /// All values as sequences: an array `[N,T,F]`, or `[N,T]` with one feature a frame, such as the numbers
    /// of tokens.
    ///
    /// # Errors
    /// [`Error::Rank`] for an array of other axes; those of [`NpyArray::read`] and
    /// [`Sequences::from_array`].
    pub fn sequences(&self) -> Result<Sequences> {
        let shape = match *self.shape() {
            [n, timesteps] => [n, timesteps, 1],
            [n, timesteps, features] => [n, timesteps, features],
            _ => {
                let (op, found) = ("NpyArray::sequences", self.shape().to_vec());
                return Err(Error::Rank { op, arg: "array", axes: "[N,T,F] or [N,T]", found });
            }
        };
        Sequences::from_array(&self.read()?, shape)
    }

    fn values<N: Number>(&self, rows: Range<usize>) -> Result<Vec<N>> {
        let (all, width) = (self.len(), self.header.width());
        if rows.start > rows.end || rows.end > all {
            return Err(Error::Option {
                option: "NpyArray::rows",
                found: format!("{rows:?}"),
                expected: format!("rows of 0..{all}"),
            });
        }
        let count = rows.len().saturating_mul(width);
        let mut values = Vec::new();
        values.try_reserve_exact(count).map_err(|_| Error::OutOfMemory {
            what: "rows of an array",
            bytes: (count as u64).saturating_mul(size_of::<N>() as u64),
        })?;
        if !self.header.fortran {
            self.run(rows.start * width, count, |value| values.push(value))?;
            return Ok(values);
        }
        values.resize(count, N::default());
        if rows.len() == all {
            // As the file has them: the first axis runs fastest.
            let mut at = 0;
            self.run(0, count, |value| {
                values[at % all * width + self.header.in_row(at / all)] = value;
                at += 1;
            })?;
        } else {
            for column in 0..width {
                let (in_row, mut row) = (self.header.in_row(column), 0);
                self.run(column * all + rows.start, rows.len(), |value| {
                    values[row * width + in_row] = value;
                    row += 1;
                })?;
            }
        }
        Ok(values)
    }

    /// Hands on `count` numbers as they lie in the file, from the one with this index on.
    fn run<N: Number>(&self, first: usize, count: usize, mut give: impl FnMut(N)) -> Result<()> {
        let size = self.header.kind.size();
        let (mut at, mut left) = (self.start + (first * size) as u64, count * size);
        let mut part = vec![0; left.min(PART)];
        while left > 0 {
            let bytes = left.min(PART);
            let part = &mut part[..bytes];
            self.bytes(at, part)?;
            self.header.kind.decode(self.header.big_endian, part, &mut give);
            at += bytes as u64;
            left -= bytes;
        }
        Ok(())
    }

    fn bytes(&self, at: u64, part: &mut [u8]) -> Result<()> {
        match &self.source {
            Source::File(file) => {
                // A thread that panicked left nothing half done: each reading begins with its place.
                let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
                let read = file.seek(SeekFrom::Start(at)).and_then(|_| file.read_exact(part));
                read.map_err(|error| io("read", Path::new(&self.name), error))
            }
            #[cfg(feature = "npz")]
            Source::Memory(bytes) => {
                let from = bytes.get(at as usize..).and_then(|from| from.get(..part.len()));
                from.map(|from| part.copy_from_slice(from)).ok_or_else(|| {
                    io("read", Path::new(&self.name), std::io::ErrorKind::UnexpectedEof)
                })
            }
        }
    }
}

/// Checks that an array is as long as its header says.
fn check_length(name: &str, header: &Header, size: usize, length: u64) -> Result<()> {
    let expected = size as u64 + header.data() as u64;
    if length == expected {
        return Ok(());
    }
    Err(Error::File {
        path: name.into(),
        entry: "the array's length".into(),
        expected: format!("{expected}, as its header says: it is damaged, or not one array alone"),
        found: if length > expected { "longer".into() } else { format!("{length} bytes") },
    })
}

//! The arguments of `--input` and `--output`: NAME=FILE, or a FILE alone.

use crate::options::file;
use anyhow::{Context, Result, bail};
use std::path::Path;

/// What a command's option takes.
pub struct Names<'a> {
    /// The option, for errors.
    pub option: &'static str,
    /// The names that may be given.
    pub all: Vec<&'a str>,
    /// That which a FILE alone is for, if there is only one.
    pub bare: Option<&'a str>,
    /// Whether a FILE alone that is there is one, whatever its name.
    pub exists: bool,
    /// What there is, for errors.
    pub described: String,
}

impl<'a> Names<'a> {
    /// The file of each name that was given.
    pub fn assign<'t>(&self, texts: &'t [String]) -> Result<Vec<(&'a str, &'t Path)>> {
        let mut given: Vec<(&str, &Path)> = Vec::new();
        for text in texts {
            let (name, path) = self.split(text)?;
            if given.iter().any(|(before, _)| *before == name) {
                bail!("{}: {name:?} is given twice; {}", self.option, self.described);
            }
            if path.is_empty() {
                bail!("{}: {text:?} has no name of a file; {}", self.option, self.described);
            }
            let path = file(Path::new(path))?;
            // A second output would replace the first.
            if let Some((other, _)) = given.iter().find(|(_, before)| is_same(before, path))
                && !self.exists
            {
                bail!("{}: {other:?} and {name:?} go to one file, {text:?}", self.option);
            }
            given.push((name, path));
        }
        Ok(given)
    }

    fn split<'t>(&self, text: &'t str) -> Result<(&'a str, &'t str)> {
        let option = self.option;
        let named = self.all.iter().filter_map(|&name| {
            let path = text.strip_prefix(name)?.strip_prefix('=')?;
            Some((name, path))
        });
        // A name may have a `=` of its own.
        if let Some(found) = named.max_by_key(|(name, _)| name.len()) {
            return Ok(found);
        }
        if let Some((name, _)) = text.split_once('=')
            && !(self.exists && Path::new(text).exists())
            && !self.all.is_empty()
        {
            bail!("{option}: nothing is called {name:?}; {}", self.described);
        }
        let several = || {
            format!("{option}: {text:?} does not say what it is for: NAME=FILE; {}", self.described)
        };
        Ok((self.bare.with_context(several)?, text))
    }
}

/// Whether two paths are those of one file, which need not be there.
fn is_same(a: &Path, b: &Path) -> bool {
    let whole = |path: &Path| path.canonicalize().or_else(|_| std::path::absolute(path));
    a == b || matches!((whole(a), whole(b)), (Ok(a), Ok(b)) if a == b)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names<'a>(all: &[&'a str], bare: Option<&'a str>) -> Names<'a> {
        let described = format!("there are {}", all.join(", "));
        Names { option: "--input", all: all.to_vec(), bare, exists: true, described }
    }

    #[test]
    fn each_name_gets_its_file() {
        let texts = |texts: &[&str]| texts.iter().map(|&t| t.to_owned()).collect::<Vec<_>>();
        let one = names(&["x", "x=y", "h0"], Some("x"));
        for (given, expected) in [
            (&["a.npy"][..], Ok(vec![("x", "a.npy")])),
            (&["h0=h.npy", "a.npy"], Ok(vec![("h0", "h.npy"), ("x", "a.npy")])),
            (&["x=a=b.npy"], Ok(vec![("x", "a=b.npy")])),
            (&["x=y=b.npy"], Ok(vec![("x=y", "b.npy")])),
            (&["y=b.npy"], Err("nothing is called \"y\"; there are x, x=y, h0")),
            (&["a.npy", "x=b.npy"], Err("\"x\" is given twice")),
            (&["-"], Err("standard input")),
        ] {
            let texts = texts(given);
            match (one.assign(&texts), expected) {
                (Ok(found), Ok(expected)) => {
                    let expected: Vec<_> =
                        expected.into_iter().map(|(name, path)| (name, Path::new(path))).collect();
                    assert_eq!(found, expected);
                }
                (Err(error), Err(part)) => assert!(error.to_string().contains(part), "{error}"),
                (found, _) => assert!(found.is_err(), "{given:?}: {found:?}"),
            }
        }
        let bare = texts(&["a.npy"]);
        let error = names(&["x", "y"], None)
            .assign(&bare)
            .err()
            .map(|error| error.to_string())
            .unwrap_or_default();
        assert!(error.contains("NAME=FILE; there are x, y"), "{error}");
    }
}

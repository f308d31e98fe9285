//! The crate's modules with what each of them names, and what a path means in one of them.

use anyhow::{Context, Result, anyhow, bail};
use std::path::{Path, PathBuf};
use syn::punctuated::Punctuated;
use syn::{Attribute, Expr, ExprLit, ItemImpl, Lit, Meta, Token, UseTree, Visibility};

/// What `cfg` says of the target.
const TARGET: [(&str, &str); 5] = [
    ("target_arch", "x86_64"),
    ("target_family", "unix"),
    ("target_os", "linux"),
    ("target_pointer_width", "64"),
    ("target_endian", "little"),
];

pub struct Tree {
    /// The root first.
    pub modules: Vec<Module>,
    pub items: Vec<Item>,
    /// With the modules that they stand in.
    pub impls: Vec<(usize, ItemImpl)>,
    features: Vec<String>,
}

#[derive(Default)]
pub struct Module {
    /// From the crate's name on.
    pub path: Vec<String>,
    parent: usize,
    pub names: Vec<Name>,
    /// The macros that are called in it, of which nobody knows what they make.
    pub calls: Vec<String>,
}

pub struct Item {
    pub module: usize,
    pub name: String,
    /// From the documentation, whoever exports it.
    pub hidden: bool,
    pub is: syn::Item,
}

/// A name in a module.
pub struct Name {
    pub name: String,
    /// Public, and not hidden from the documentation.
    pub shown: bool,
    pub is: Is,
}

pub enum Is {
    Module(usize),
    Item(usize),
    Use(Vec<String>),
    Glob,
}

/// What a path means.
#[derive(Clone, Debug, PartialEq)]
pub enum Found {
    Module(usize),
    Item(usize),
    /// Of another crate.
    Outside(Vec<String>),
}

/// The `use`s that are being followed: module and place in it.
pub type Followed = Vec<(usize, usize)>;

impl Tree {
    /// Of the crate whose root is this file.
    pub fn read(file: &Path, name: &str, features: &[&str]) -> Result<Self> {
        let mut tree = Self::empty(features);
        let folder = file.parent().context("a file is in a folder")?;
        let items = parse(file)?.items;
        tree.module(name.to_owned(), None, items, folder, folder)?;
        Ok(tree)
    }

    /// Of a crate in one file.
    #[cfg(test)]
    pub fn of(source: &str, features: &[&str]) -> Result<Self> {
        let mut tree = Self::empty(features);
        let items = syn::parse_file(source)?.items;
        tree.module("own".into(), None, items, Path::new("none"), Path::new("none"))?;
        Ok(tree)
    }

    fn empty(features: &[&str]) -> Self {
        let features = features.iter().map(ToString::to_string).collect();
        Self { modules: Vec::new(), items: Vec::new(), impls: Vec::new(), features }
    }

    /// Adds a module. `folder` is that of its file, which `#[path]` begins at, `below` that of its modules.
    fn module(
        &mut self,
        name: String,
        parent: Option<usize>,
        items: Vec<syn::Item>,
        folder: &Path,
        below: &Path,
    ) -> Result<usize> {
        let this = self.modules.len();
        let mut path = parent.map_or(Vec::new(), |parent| self.modules[parent].path.clone());
        path.push(name);
        let parent = parent.unwrap_or(this);
        self.modules.push(Module { path, parent, ..Module::default() });
        for item in items {
            self.item(this, item, folder, below)?;
        }
        Ok(this)
    }

    fn item(&mut self, module: usize, item: syn::Item, folder: &Path, below: &Path) -> Result<()> {
        use syn::Item as I;
        let (attributes, visibility, name) = match &item {
            I::Const(i) => (&i.attrs, &i.vis, &i.ident),
            I::Enum(i) => (&i.attrs, &i.vis, &i.ident),
            I::Fn(i) => (&i.attrs, &i.vis, &i.sig.ident),
            I::Mod(i) => (&i.attrs, &i.vis, &i.ident),
            I::Static(i) => (&i.attrs, &i.vis, &i.ident),
            I::Struct(i) => (&i.attrs, &i.vis, &i.ident),
            I::Trait(i) => (&i.attrs, &i.vis, &i.ident),
            I::Type(i) => (&i.attrs, &i.vis, &i.ident),
            I::Union(i) => (&i.attrs, &i.vis, &i.ident),
            I::Use(i) => {
                if self.is_on(&i.attrs)? {
                    let shown = is_public(&i.vis) && !self.is_hidden(&i.attrs)?;
                    self.uses(module, &i.tree, Vec::new(), shown);
                }
                return Ok(());
            }
            I::Impl(i) => {
                if self.is_on(&i.attrs)? && !self.is_hidden(&i.attrs)? {
                    self.impls.push((module, i.clone()));
                }
                return Ok(());
            }
            I::Macro(i) => {
                let exported = i.attrs.iter().any(|a| a.path().is_ident("macro_export"));
                match &i.ident {
                    _ if !self.is_on(&i.attrs)? => {}
                    // At the root, wherever it stands.
                    Some(name) if exported && !self.is_hidden(&i.attrs)? => {
                        let (name, is) = (name.to_string(), Is::Item(self.items.len()));
                        self.items.push(Item {
                            module,
                            name: name.clone(),
                            hidden: false,
                            is: item,
                        });
                        self.modules[0].names.push(Name { name, shown: true, is });
                    }
                    Some(_) => {}
                    None => {
                        let path = &i.mac.path.segments;
                        let path: Vec<_> = path.iter().map(|s| s.ident.to_string()).collect();
                        self.modules[module].calls.push(path.join("::"));
                    }
                }
                return Ok(());
            }
            I::ExternCrate(i) if !is_public(&i.vis) => return Ok(()),
            _ => bail!("an item of a kind that is not read, in {}", self.path(module)),
        };
        if !self.is_on(attributes)? {
            return Ok(());
        }
        let hidden = self.is_hidden(attributes)?;
        let shown = is_public(visibility) && !hidden;
        let name = name.to_string();
        let is = if let I::Mod(inner) = item {
            let own = self.path_attribute(&inner.attrs)?;
            let below = below.join(&name);
            let inner = match inner.content {
                Some((_, items)) => {
                    self.module(name.clone(), Some(module), items, &below, &below)?
                }
                None => {
                    let file = file_of(&below, own.map(|own| folder.join(own)))?;
                    let folder = file.parent().context("a file is in a folder")?;
                    let is_root = file.ends_with("mod.rs");
                    let below = if is_root { folder.to_owned() } else { file.with_extension("") };
                    let items = parse(&file)?.items;
                    self.module(name.clone(), Some(module), items, folder, &below)?
                }
            };
            Is::Module(inner)
        } else {
            self.items.push(Item { module, name: name.clone(), hidden, is: item });
            Is::Item(self.items.len() - 1)
        };
        self.modules[module].names.push(Name { name, shown, is });
        Ok(())
    }

    fn uses(&mut self, module: usize, tree: &UseTree, mut path: Vec<String>, shown: bool) {
        let (name, is) = match tree {
            UseTree::Path(step) => {
                path.push(step.ident.to_string());
                return self.uses(module, &step.tree, path, shown);
            }
            UseTree::Group(group) => {
                for tree in &group.items {
                    self.uses(module, tree, path.clone(), shown);
                }
                return;
            }
            UseTree::Glob(_) => ("*".into(), Is::Glob),
            UseTree::Name(name) if name.ident == "self" => {
                (path.last().cloned().unwrap_or_default(), Is::Use(path))
            }
            UseTree::Name(name) => {
                path.push(name.ident.to_string());
                (name.ident.to_string(), Is::Use(path))
            }
            UseTree::Rename(rename) => {
                if rename.ident != "self" {
                    path.push(rename.ident.to_string());
                }
                (rename.rename.to_string(), Is::Use(path))
            }
        };
        self.modules[module].names.push(Name { name, shown, is });
    }

    pub fn path(&self, module: usize) -> String {
        self.modules[module].path.join("::")
    }

    /// What a path means in a module: more than one thing if it names a type and a function, nothing if
    /// it is of the language or a parameter.
    pub fn resolve(&self, module: usize, path: &[String], followed: &mut Followed) -> Vec<Found> {
        let mut start = module;
        let mut rest = path;
        while let Some(first) = rest.first() {
            match first.as_str() {
                "crate" => start = 0,
                "self" => {}
                "super" => start = self.modules[start].parent,
                _ => break,
            }
            rest = &rest[1..];
        }
        let mut found = vec![Found::Module(start)];
        if rest.len() == path.len() {
            let Some((first, after)) = path.split_first() else { return Vec::new() };
            found = self.named(module, first, followed);
            rest = after;
            if found.is_empty() && !rest.is_empty() {
                return vec![Found::Outside(path.to_vec())];
            }
        }
        for step in rest {
            let next = found.into_iter().flat_map(|found| match found {
                Found::Module(module) => self.named(module, step, followed),
                Found::Item(_) => Vec::new(),
                Found::Outside(mut path) => {
                    path.push(step.clone());
                    vec![Found::Outside(path)]
                }
            });
            found = next.collect();
        }
        found
    }

    fn named(&self, module: usize, name: &str, followed: &mut Followed) -> Vec<Found> {
        let mut found = Vec::new();
        for (place, known) in self.modules[module].names.iter().enumerate() {
            match &known.is {
                _ if known.name != name => {}
                Is::Module(module) => found.push(Found::Module(*module)),
                Is::Item(item) => found.push(Found::Item(*item)),
                Is::Use(path) if !followed.contains(&(module, place)) => {
                    followed.push((module, place));
                    let meant = self.resolve(module, path, followed);
                    followed.pop();
                    // A name that is found nowhere is a crate's.
                    let of_crate = meant.is_empty() && path.len() == 1;
                    found.extend(meant);
                    found.extend(of_crate.then(|| Found::Outside(path.clone())));
                }
                Is::Use(_) | Is::Glob => {}
            }
        }
        found
    }

    /// The attributes, with what `cfg_attr` adds.
    pub fn attributes(&self, attributes: &[Attribute]) -> Result<Vec<Meta>> {
        let mut all = Vec::new();
        for attribute in attributes {
            if !attribute.path().is_ident("cfg_attr") {
                all.push(attribute.meta.clone());
                continue;
            }
            let Meta::List(list) = &attribute.meta else { continue };
            let mut inner = inner(list)?.into_iter();
            if inner.next().is_some_and(|condition| self.holds(&condition)) {
                all.extend(inner);
            }
        }
        Ok(all)
    }

    /// Whether `cfg` leaves what has these attributes.
    pub fn is_on(&self, attributes: &[Attribute]) -> Result<bool> {
        for attribute in self.attributes(attributes)? {
            if let Meta::List(list) = attribute
                && list.path.is_ident("cfg")
                && !inner(&list)?.iter().all(|condition| self.holds(condition))
            {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn holds(&self, condition: &Meta) -> bool {
        match condition {
            Meta::Path(path) => path.is_ident("unix"),
            Meta::NameValue(pair) => {
                let Some(value) = text(&pair.value) else { return false };
                if pair.path.is_ident("feature") {
                    return self.features.contains(&value);
                }
                TARGET.iter().any(|(name, of)| pair.path.is_ident(name) && *of == value)
            }
            Meta::List(list) => {
                let Ok(inner) = inner(list) else { return false };
                let mut held = inner.iter().map(|condition| self.holds(condition));
                if list.path.is_ident("not") {
                    return !held.all(|held| held);
                }
                if list.path.is_ident("any") {
                    held.any(|held| held)
                } else {
                    held.all(|held| held)
                }
            }
        }
    }

    /// Whether the documentation leaves out what has these attributes.
    pub fn is_hidden(&self, attributes: &[Attribute]) -> Result<bool> {
        Ok(self.attributes(attributes)?.iter().any(|attribute| {
            attribute.path().is_ident("doc")
                && matches!(attribute, Meta::List(list) if list.tokens.to_string() == "hidden")
        }))
    }

    fn path_attribute(&self, attributes: &[Attribute]) -> Result<Option<String>> {
        Ok(self.attributes(attributes)?.iter().find_map(|attribute| match attribute {
            Meta::NameValue(pair) if pair.path.is_ident("path") => text(&pair.value),
            _ => None,
        }))
    }
}

pub fn is_public(visibility: &Visibility) -> bool {
    matches!(visibility, Visibility::Public(_))
}

/// What stands between an attribute's parentheses.
pub fn inner(list: &syn::MetaList) -> Result<Vec<Meta>> {
    let metas = list.parse_args_with(Punctuated::<Meta, Token![,]>::parse_terminated)?;
    Ok(metas.into_iter().collect())
}

fn text(value: &Expr) -> Option<String> {
    let Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) = value else { return None };
    Some(text.value())
}

fn parse(file: &Path) -> Result<syn::File> {
    let source = std::fs::read_to_string(file).with_context(|| file.display().to_string())?;
    syn::parse_file(&source)
        .map_err(|error| anyhow!("{}:{}: {error}", file.display(), error.span().start().line))
}

/// The file of a module, whose path without an ending is `below`.
fn file_of(below: &Path, own: Option<PathBuf>) -> Result<PathBuf> {
    let files =
        own.map_or_else(|| vec![below.with_extension("rs"), below.join("mod.rs")], |own| vec![own]);
    let wanted = files[0].display().to_string();
    files.into_iter().find(|file| file.exists()).with_context(|| format!("{wanted} is not there"))
}

#[cfg(test)]
mod tests;

//! A line for each public item.

mod qualify;

use super::text::text;
use super::tree::{Found, Is, Tree, inner, is_public};
use anyhow::{Result, bail, ensure};
use qualify::{Part, Qualify, subject};
use quote::ToTokens;
use std::collections::{BTreeMap, BTreeSet};
use syn::visit_mut::{self, VisitMut};
use syn::{Attribute, Fields, FnArg, Generics, ImplItem, ItemImpl, ItemTrait, Meta, Pat};
use syn::{Ident, Path, PathArguments, PathSegment, Safety, Signature, TraitItem, Type};

/// The interface's lines, in the order of their paths.
pub fn lines(tree: &Tree) -> Result<String> {
    let mut printer = Printer {
        tree,
        exports: BTreeMap::new(),
        lines: BTreeSet::new(),
        unnamed: BTreeSet::new(),
    };
    let root = tree.modules[0].path.join("::");
    printer.exports(0, &root, &mut Vec::new())?;
    for paths in printer.exports.values_mut() {
        paths.sort_by_key(|path| {
            (path.contains("::prelude::"), path.matches("::").count(), path.clone())
        });
    }
    for (item, paths) in printer.exports.clone() {
        printer.item(item, &paths[0])?;
        for path in &paths[1..] {
            printer.line(path, format!("pub use {path} = {}", paths[0]));
        }
    }
    for (module, of) in &tree.impls {
        printer.implementation(*module, of)?;
    }
    // A trait that no user can name keeps to the crate what asks for it.
    let unnamed = printer.unnamed.into_iter().filter(|path| !path.ends_with("::Sealed"));
    let unnamed: Vec<_> = unnamed.collect();
    ensure!(unnamed.is_empty(), "not exported, and in public signatures: {}", unnamed.join(", "));
    Ok(printer.lines.into_iter().map(|(.., line)| line + "\n").collect())
}

struct Printer<'a> {
    tree: &'a Tree,
    /// The public paths of each item, the one that it is called by first.
    exports: BTreeMap<usize, Vec<String>>,
    /// By their item's path: its own line, what is implemented for it, and its members.
    lines: BTreeSet<(String, bool, String)>,
    /// What public signatures name and no user can.
    unnamed: BTreeSet<String>,
}

impl Printer<'_> {
    fn line(&mut self, path: &str, line: String) {
        self.lines.insert((path.to_owned(), false, line));
    }

    /// Finds what a module exports, and prints what has no lines but its own.
    fn exports(&mut self, module: usize, path: &str, above: &mut Vec<usize>) -> Result<()> {
        let tree = self.tree;
        let this = &tree.modules[module];
        ensure!(!above.contains(&module), "{path} is inside itself");
        let unknown = this.calls.iter().find(|name| *name != "thread_local");
        if let Some(name) = unknown {
            bail!("{name}! is called in the public module {path}: what it makes cannot be read");
        }
        self.line(path, format!("pub mod {path}"));
        above.push(module);
        for (place, name) in this.names.iter().enumerate().filter(|(_, name)| name.shown) {
            let path = format!("{path}::{}", name.name);
            let found = match &name.is {
                Is::Module(module) => vec![Found::Module(*module)],
                Is::Item(item) => vec![Found::Item(*item)],
                Is::Use(to) => {
                    let found = tree.resolve(module, to, &mut vec![(module, place)]);
                    ensure!(!found.is_empty(), "{path}: nothing is {}", to.join("::"));
                    found
                }
                Is::Glob => bail!("{path}: a public glob does not say what it exports"),
            };
            for found in found {
                match found {
                    // As a `use` finds them, too: a private module may have a public function's name.
                    Found::Module(module) if self.is_shown(module) => {
                        self.exports(module, &path, above)?;
                    }
                    Found::Module(_) => {}
                    Found::Item(item) if tree.items[item].hidden => {}
                    Found::Item(item) => self.exports.entry(item).or_default().push(path.clone()),
                    Found::Outside(to) => {
                        self.line(&path, format!("pub use {path} = {}", to.join("::")));
                    }
                }
            }
        }
        above.pop();
        Ok(())
    }

    fn is_shown(&self, module: usize) -> bool {
        let mut names = self.tree.modules.iter().flat_map(|module| &module.names);
        names.any(|name| name.shown && matches!(name.is, Is::Module(is) if is == module))
    }

    fn item(&mut self, item: usize, path: &str) -> Result<()> {
        use syn::Item as I;
        let tree = self.tree;
        let module = tree.items[item].module;
        let line = match &tree.items[item].is {
            I::Fn(i) => self.function(module, path, &i.sig),
            I::Const(i) => {
                let ty = self.qualified(module, &*i.ty);
                format!("pub const {path}: {ty} = {}", text(&i.expr))
            }
            I::Static(i) => format!("pub static {path}: {}", self.qualified(module, &*i.ty)),
            I::Type(i) => {
                let (generics, bounds) = self.generics(module, &i.generics);
                format!("pub type {path}{generics} = {}{bounds}", self.qualified(module, &*i.ty))
            }
            I::Macro(_) => format!("pub macro {path}!"),
            I::Struct(i) => {
                self.derived(module, path, &i.generics, &i.attrs, [&i.fields].into_iter())?;
                let (generics, bounds) = self.generics(module, &i.generics);
                let fields = self.fields(module, path, &i.fields, false)?;
                format!("{}pub struct {path}{generics}{fields}{bounds}", self.marks(&i.attrs)?)
            }
            I::Union(i) => {
                let fields = Fields::Named(i.fields.clone());
                self.derived(module, path, &i.generics, &i.attrs, [&fields].into_iter())?;
                let (generics, bounds) = self.generics(module, &i.generics);
                let fields = self.fields(module, path, &fields, false)?;
                format!("{}pub union {path}{generics}{fields}{bounds}", self.marks(&i.attrs)?)
            }
            I::Enum(i) => {
                let fields = i.variants.iter().map(|variant| &variant.fields);
                self.derived(module, path, &i.generics, &i.attrs, fields)?;
                for variant in &i.variants {
                    if !tree.is_on(&variant.attrs)? || tree.is_hidden(&variant.attrs)? {
                        continue;
                    }
                    let of = format!("{path}::{}", variant.ident);
                    let fields = self.fields(module, &of, &variant.fields, true)?;
                    let value = variant.discriminant.as_ref();
                    let value =
                        value.map_or(String::new(), |(_, value)| format!(" = {}", text(value)));
                    let marks = self.marks(&variant.attrs)?;
                    self.line(&of, format!("{marks}pub {of}{fields}{value}"));
                }
                let (generics, bounds) = self.generics(module, &i.generics);
                format!("{}pub enum {path}{generics}{bounds}", self.marks(&i.attrs)?)
            }
            I::Trait(i) => self.definition(module, path, i)?,
            _ => bail!("{path} is of a kind that is not read"),
        };
        self.line(path, line);
        Ok(())
    }

    /// A trait, and its items.
    fn definition(&mut self, module: usize, path: &str, of: &ItemTrait) -> Result<String> {
        for item in &of.items {
            let attributes = match item {
                TraitItem::Fn(item) => &item.attrs,
                TraitItem::Const(item) => &item.attrs,
                TraitItem::Type(item) => &item.attrs,
                _ => bail!("{path} has an item that is not read"),
            };
            if !self.tree.is_on(attributes)? || self.tree.is_hidden(attributes)? {
                continue;
            }
            let (name, line, given) = match item {
                TraitItem::Fn(item) => {
                    let path = format!("{path}::{}", item.sig.ident);
                    let line = self.function(module, &path, &item.sig);
                    (path, line, item.default.is_some())
                }
                TraitItem::Const(item) => {
                    let path = format!("{path}::{}", item.ident);
                    let line = format!("pub const {path}: {}", self.qualified(module, &item.ty));
                    (path, line, item.default.is_some())
                }
                TraitItem::Type(item) => {
                    let path = format!("{path}::{}", item.ident);
                    let bounds = self.bounds(module, &item.bounds, item.bounds.is_empty());
                    let (generics, clause) = self.generics(module, &item.generics);
                    (path.clone(), format!("pub type {path}{generics}{bounds}{clause}"), false)
                }
                _ => continue,
            };
            self.line(&name, if given { line + " { .. }" } else { line });
        }
        let (generics, clause) = self.generics(module, &of.generics);
        let bounds = self.bounds(module, &of.supertraits, of.supertraits.is_empty());
        let unsafety = if of.unsafety.is_some() { "unsafe " } else { "" };
        let marks = self.marks(&of.attrs)?;
        Ok(format!("{marks}pub {unsafety}trait {path}{generics}{bounds}{clause}"))
    }

    /// Prints the public fields that have names, and gives what stands behind the name of their type.
    fn fields(&mut self, module: usize, path: &str, fields: &Fields, all: bool) -> Result<String> {
        let mut types = Vec::new();
        let mut private = false;
        for field in fields {
            if !self.tree.is_on(&field.attrs)? {
                continue;
            }
            let shown = (all || is_public(&field.vis)) && !self.tree.is_hidden(&field.attrs)?;
            private |= !shown;
            types.push(if shown { self.qualified(module, &field.ty) } else { "_".into() });
            if let (true, Some(name), Some(of)) = (shown, &field.ident, types.last()) {
                let path = format!("{path}::{name}");
                let line = format!("pub {path}: {of}");
                self.line(&path, line);
            }
        }
        Ok(match fields {
            Fields::Named(_) if private => " { private fields }".into(),
            Fields::Named(_) if types.is_empty() => " {}".into(),
            // They have their lines.
            Fields::Named(_) => String::new(),
            // One cannot be told from another by whoever cannot name them.
            Fields::Unnamed(_) if types.iter().all(|of| of == "_") => "(private fields)".into(),
            Fields::Unnamed(_) => format!("({})", types.join(", ")),
            Fields::Unit => String::new(),
        })
    }

    fn implementation(&mut self, module: usize, of: &ItemImpl) -> Result<()> {
        let found = match subject(&of.self_ty) {
            Some(path) => self.found(module, path).map(|(found, _)| found),
            None => None,
        };
        let path = match found {
            Some(Found::Item(item)) => match self.exports.get(&item) {
                Some(paths) => Some(paths[0].clone()),
                None => return Ok(()),
            },
            _ => None,
        };
        if of.trait_.is_none() {
            return path.map_or(Ok(()), |path| self.own(module, &path, of));
        }
        // Of what users cannot name they have no use.
        let before = std::mem::take(&mut self.unnamed);
        let line = self.implemented(module, of)?;
        if !std::mem::replace(&mut self.unnamed, before).is_empty() {
            return Ok(());
        }
        let root = self.tree.modules[0].path[0].clone();
        self.lines.insert((path.unwrap_or(root), true, line));
        Ok(())
    }

    /// The public items of an `impl` without a trait.
    fn own(&mut self, module: usize, path: &str, of: &ItemImpl) -> Result<()> {
        // Which of several: for `X<f32>` alone, or where a bound holds.
        let has_types = |arguments: &PathArguments| match arguments {
            PathArguments::AngleBracketed(list) => {
                list.args.iter().any(|one| !matches!(one, syn::GenericArgument::Lifetime(_)))
            }
            _ => false,
        };
        let special = subject(&of.self_ty)
            .is_some_and(|path| path.segments.iter().any(|one| has_types(&one.arguments)));
        let mut only = String::new();
        if special {
            let (generics, clause) = self.generics(module, &of.generics);
            only = format!(" of impl{generics} {}{clause}", self.qualified(module, &*of.self_ty));
        }
        for item in &of.items {
            let (attributes, visibility, name) = match item {
                ImplItem::Fn(item) => (&item.attrs, &item.vis, &item.sig.ident),
                ImplItem::Const(item) => (&item.attrs, &item.vis, &item.ident),
                _ => bail!("an impl of {path} has an item that is not read"),
            };
            let on = self.tree.is_on(attributes)? && !self.tree.is_hidden(attributes)?;
            if !on || !is_public(visibility) {
                continue;
            }
            let path = format!("{path}::{name}");
            let line = match item {
                ImplItem::Const(item) => {
                    let ty = self.qualified(module, &item.ty);
                    format!("pub const {path}: {ty} = {}", text(&item.expr))
                }
                ImplItem::Fn(item) => self.function(module, &path, &item.sig),
                _ => continue,
            };
            let marks = self.marks(attributes)?;
            self.line(&path, format!("{marks}{line}{only}"));
        }
        Ok(())
    }

    /// An `impl` of a trait, with its types.
    fn implemented(&mut self, module: usize, of: &ItemImpl) -> Result<String> {
        let Some((name, _)) = &of.trait_ else { bail!("an impl without a trait") };
        let (generics, clause) = self.generics(module, &of.generics);
        let (name, subject) = (self.qualified(module, name), self.qualified(module, &*of.self_ty));
        let unsafety = if of.unsafety.is_some() { "unsafe " } else { "" };
        let mut types = Vec::new();
        for item in &of.items {
            if let ImplItem::Type(item) = item
                && self.tree.is_on(&item.attrs)?
            {
                let (generics, _) = self.generics(module, &item.generics);
                let ty = self.qualified(module, &item.ty);
                types.push(format!("type {}{generics} = {ty}", item.ident));
            }
        }
        let types =
            if types.is_empty() { String::new() } else { format!(" {{ {} }}", types.join("; ")) };
        Ok(format!("{unsafety}impl{generics} {name} for {subject}{clause}{types}"))
    }

    /// What `derive` implements.
    fn derived<'f>(
        &mut self,
        module: usize,
        path: &str,
        generics: &Generics,
        attributes: &[Attribute],
        fields: impl Iterator<Item = &'f Fields>,
    ) -> Result<()> {
        let (with, clause) = self.generics(module, generics);
        let (_, arguments, _) = generics.split_for_impl();
        let subject = format!("{path}{}{clause}", text(&arguments));
        let mut traits = Vec::new();
        for attribute in self.tree.attributes(attributes)? {
            let Meta::List(list) = attribute else { continue };
            if list.path.is_ident("derive") {
                for derived in inner(&list)? {
                    traits.push(self.qualified(module, derived.path()));
                }
            }
        }
        let mut converted = Vec::new();
        for field in fields.flatten() {
            if field.attrs.iter().any(|attribute| attribute.path().is_ident("from")) {
                converted.push(format!("From<{}>", self.qualified(module, &field.ty)));
            }
        }
        // By the names that an `impl` would have.
        let traits = traits.into_iter().flat_map(|name| match name.as_str() {
            "Debug" => vec!["std::fmt::Debug".into()],
            "Hash" => vec!["std::hash::Hash".into()],
            "thiserror::Error" => {
                vec!["std::error::Error".into(), "std::fmt::Display".to_owned()]
            }
            _ => vec![name],
        });
        for name in traits.chain(converted) {
            let line = format!("impl{with} {name} for {subject}");
            self.lines.insert((path.to_owned(), true, line));
        }
        Ok(())
    }

    /// The attributes that change what users can do.
    fn marks(&self, attributes: &[Attribute]) -> Result<String> {
        let mut marks = String::new();
        for attribute in self.tree.attributes(attributes)? {
            let path = attribute.path();
            if path.is_ident("deprecated") {
                marks += "#[deprecated] ";
            } else if path.is_ident("non_exhaustive") || path.is_ident("repr") {
                marks += &format!("#[{}] ", text(&attribute));
            }
        }
        Ok(marks)
    }

    fn function(&mut self, module: usize, path: &str, signature: &Signature) -> String {
        let mut signature = signature.clone();
        for input in &mut signature.inputs {
            match input {
                FnArg::Receiver(this) => this.mutability = None,
                // The name alone: the rest is the body's.
                FnArg::Typed(argument) => match &mut *argument.pat {
                    Pat::Ident(name) => {
                        (name.by_ref, name.mutability, name.subpat) = (None, None, None);
                    }
                    other => *other = syn::parse_quote!(_),
                },
            }
        }
        signature.inputs.pop_punct();
        let (generics, clause) = self.generics(module, &signature.generics);
        let inputs: Vec<_> =
            signature.inputs.iter().map(|input| self.qualified(module, input)).collect();
        let mut line = String::from("pub ");
        for (is, word) in [
            (signature.constness.is_some(), "const "),
            (signature.asyncness.is_some(), "async "),
            (matches!(signature.safety, Safety::Unsafe(_)), "unsafe "),
        ] {
            line += if is { word } else { "" };
        }
        if let Some(abi) = &signature.abi {
            line += &format!("{} ", text(abi));
        }
        let output = self.qualified(module, &signature.output);
        let gap = if output.is_empty() { "" } else { " " };
        line + &format!("fn {path}{generics}({}){gap}{output}{clause}", inputs.join(", "))
    }

    /// The parameters, and the clause with its bounds.
    fn generics(&mut self, module: usize, generics: &Generics) -> (String, String) {
        let mut generics = generics.clone();
        generics.params.pop_punct();
        let clause = generics.where_clause.take().map_or(String::new(), |mut clause| {
            clause.predicates.pop_punct();
            format!(" {}", self.qualified(module, &clause))
        });
        (self.qualified(module, &generics), clause)
    }

    fn bounds(&mut self, module: usize, bounds: &impl Part, none: bool) -> String {
        if none { String::new() } else { format!(": {}", self.qualified(module, bounds)) }
    }

    /// The text of it, with whole paths.
    fn qualified(&mut self, module: usize, of: &impl Part) -> String {
        let mut of = of.clone();
        of.visit(&mut Qualify { printer: self, module });
        text(&of)
    }

    /// What a type's path means, and how many of its segments say so.
    fn found(&self, module: usize, path: &Path) -> Option<(Found, usize)> {
        let names: Vec<_> = path.segments.iter().map(|one| one.ident.to_string()).collect();
        for count in 1..=names.len() {
            let found = self.tree.resolve(module, &names[..count], &mut Vec::new());
            for found in found {
                match found {
                    Found::Module(_) => {}
                    Found::Item(item) if !self.is_type(item) => {}
                    // As it stands there: a crate's, or a parameter's.
                    Found::Outside(whole) if whole == names[..count] => return None,
                    found => return Some((found, count)),
                }
            }
        }
        None
    }

    fn is_type(&self, item: usize) -> bool {
        use syn::Item as I;
        let item = &self.tree.items[item].is;
        matches!(item, I::Enum(_) | I::Struct(_) | I::Trait(_) | I::Type(_) | I::Union(_))
    }
}

#[cfg(test)]
mod tests;

//! Paths of a signature as whole public paths.

use super::*;

/// What is known of a type behind references.
pub(super) fn subject(of: &Type) -> Option<&Path> {
    match of {
        Type::Path(of) => Some(&of.path),
        Type::Reference(of) => subject(&of.elem),
        Type::Paren(of) => subject(&of.elem),
        _ => None,
    }
}

/// Parts of a signature in which paths stand.
pub(super) trait Part: Clone + ToTokens {
    fn visit(&mut self, with: &mut Qualify<'_, '_>);
}

macro_rules! parts {
    ($($of:ty => $visit:ident),* $(,)?) => {
        $(impl Part for $of {
            fn visit(&mut self, with: &mut Qualify<'_, '_>) {
                with.$visit(self);
            }
        })*
    };
}

parts! {
    FnArg => visit_fn_arg_mut,
    Generics => visit_generics_mut,
    Path => visit_path_mut,
    syn::ReturnType => visit_return_type_mut,
    Type => visit_type_mut,
    syn::WhereClause => visit_where_clause_mut,
}

impl Part for syn::punctuated::Punctuated<syn::TypeParamBound, syn::Token![+]> {
    fn visit(&mut self, with: &mut Qualify<'_, '_>) {
        self.iter_mut().for_each(|bound| with.visit_type_param_bound_mut(bound));
    }
}

/// Writes each path as users would, from its crate on.
pub(super) struct Qualify<'p, 'a> {
    pub(super) printer: &'p mut Printer<'a>,
    pub(super) module: usize,
}

impl VisitMut for Qualify<'_, '_> {
    fn visit_attributes_mut(&mut self, attributes: &mut Vec<Attribute>) {
        attributes.clear();
    }

    fn visit_path_mut(&mut self, path: &mut Path) {
        if let Some((found, count)) = self.printer.found(self.module, path)
            && let Some(whole) = self.whole(found)
        {
            let arguments = path.segments[count - 1].arguments.clone();
            let rest: Vec<_> = path.segments.iter().skip(count).cloned().collect();
            let mut segments: Vec<_> =
                whole.iter().map(|name| PathSegment::from(ident(name))).collect();
            if let Some(last) = segments.last_mut() {
                last.arguments = arguments;
            }
            path.segments = segments.into_iter().chain(rest).collect();
        }
        visit_mut::visit_path_mut(self, path);
    }
}

impl Qualify<'_, '_> {
    /// The public path of what was found, if it is not the one that stands there.
    fn whole(&mut self, found: Found) -> Option<Vec<String>> {
        match found {
            Found::Item(item) => Some(match self.printer.exports.get(&item) {
                Some(paths) => paths[0].split("::").map(str::to_owned).collect(),
                None => {
                    let item = &self.printer.tree.items[item];
                    let mut whole = self.printer.tree.modules[item.module].path.clone();
                    whole.push(item.name.clone());
                    self.printer.unnamed.insert(whole.join("::"));
                    whole
                }
            }),
            Found::Outside(whole) => Some(whole),
            Found::Module(_) => None,
        }
    }
}

pub(super) fn ident(name: &str) -> Ident {
    let span = proc_macro2::Span::call_site();
    name.strip_prefix("r#").map_or_else(|| Ident::new(name, span), |raw| Ident::new_raw(raw, span))
}

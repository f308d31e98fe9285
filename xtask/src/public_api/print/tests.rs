use super::*;

fn printed(source: &str) -> Result<String> {
    lines(&Tree::of(source, &["gpu"])?)
}

/// Its lines, but for the module's own.
fn are(source: &str, expected: &[&str]) {
    let printed = printed(source).unwrap();
    let printed: Vec<_> = printed.lines().skip(1).collect();
    assert_eq!(printed, expected);
}

#[test]
fn what_is_not_exported_or_hidden_has_no_line() {
    are(
        "mod inner {
            pub struct Inner;
            impl Inner { pub fn call(&self) {} }
            impl Clone for Inner { fn clone(&self) -> Self { Inner } }
            pub(crate) fn helper() {}
        }
        #[doc(hidden)] pub mod testing { pub fn kernels() {} }
        #[doc(hidden)] pub fn hidden() {}
        #[cfg(not(feature = \"gpu\"))] pub fn without() {}
        #[cfg(feature = \"gpu\")] pub fn with() {}
        pub trait Layer { fn kind(&self) -> u8; #[doc(hidden)] fn own(&self, _: inner::Inner) {} }
        impl Layer for inner::Inner { fn kind(&self) -> u8 { 0 } }",
        &["pub trait own::Layer", "pub fn own::Layer::kind(&self) -> u8", "pub fn own::with()"],
    );
}

#[test]
fn names_are_whole_and_public() {
    are(
        "mod tensor { pub struct Tensor { shape: Vec<usize> } }
        mod ops {
            use crate::tensor::Tensor;
            use std::{fmt::{self, Debug}, path::Path as File};
            impl Tensor {
                pub fn read<T>(mut self, [a, b]: [usize; 2], mut file: &File, of: T) -> fmt::Result
                where
                    T: Debug + Iterator<Item = Tensor>,
                { todo!() }
                pub(crate) fn inner(&self) {}
                pub const SIZE: usize = 4;
            }
            impl fmt::Display for Tensor { }
            impl From<Tensor> for Vec<f32> { }
            impl Iterator for &Tensor { type Item = crate::Data; }
        }
        pub use tensor::{Tensor, Tensor as Data};
        pub mod prelude { pub use crate::Data; }",
        &[
            "impl From<own::Data> for Vec<f32>",
            "pub struct own::Data { private fields }",
            "impl Iterator for &own::Data { type Item = own::Data }",
            "impl std::fmt::Display for own::Data",
            "pub const own::Data::SIZE: usize = 4",
            "pub fn own::Data::read<T>(self, _: [usize; 2], file: &std::path::Path, of: T) -> \
                std::fmt::Result where T: std::fmt::Debug + Iterator<Item = own::Data>",
            "pub use own::Tensor = own::Data",
            "pub mod own::prelude",
            "pub use own::prelude::Data = own::Data",
        ],
    );
}

#[test]
fn fields_and_variants_have_lines() {
    are(
        "#[derive(Clone, Debug, thiserror::Error)]
        #[non_exhaustive]
        pub enum Error {
            None,
            One(u8, &'static str),
            Wrapped(#[from] std::io::Error),
            Named { /** It. */ name: String },
            #[doc(hidden)] Hidden,
        }
        pub struct Pair(pub u8, f32);
        pub struct Opaque(pub(crate) f32);
        pub struct Open { pub a: u8 }
        pub struct Of<'a, T: Clone = u8> { pub a: &'a [T], b: u8 }
        impl<'a, T: Clone> Of<'a, T> { pub unsafe fn of(&'a mut self) -> &'a T { todo!() } }
        impl<'a> Of<'a, f32> { pub const fn sum(self: Box<Self>) {} }",
        &[
            "#[non_exhaustive] pub enum own::Error",
            "impl Clone for own::Error",
            "impl From<std::io::Error> for own::Error",
            "impl std::error::Error for own::Error",
            "impl std::fmt::Debug for own::Error",
            "impl std::fmt::Display for own::Error",
            "pub own::Error::Named",
            "pub own::Error::Named::name: String",
            "pub own::Error::None",
            "pub own::Error::One(u8, &'static str)",
            "pub own::Error::Wrapped(std::io::Error)",
            "pub struct own::Of<'a, T: Clone = u8> { private fields }",
            "pub own::Of::a: &'a [T]",
            "pub unsafe fn own::Of::of(&'a mut self) -> &'a T of impl<'a, T: Clone> own::Of<'a, T>",
            "pub const fn own::Of::sum(self: Box<Self>) of impl<'a> own::Of<'a, f32>",
            "pub struct own::Opaque(private fields)",
            "pub struct own::Open",
            "pub own::Open::a: u8",
            "pub struct own::Pair(u8, _)",
        ],
    );
}

#[test]
fn traits_say_what_must_be_given() {
    are(
        "pub trait Layer: Send + Sync {
            type Out: Clone;
            const N: usize = 1;
            fn forward(&self, x: &Self::Out) -> Result<Self::Out>;
            fn size(&self) -> usize { 0 }
        }
        pub type Result<T, E = u8> = std::result::Result<T, E>;",
        &[
            "pub trait own::Layer: Send + Sync",
            "pub const own::Layer::N: usize { .. }",
            "pub type own::Layer::Out: Clone",
            "pub fn own::Layer::forward(&self, x: &Self::Out) -> own::Result<Self::Out>",
            "pub fn own::Layer::size(&self) -> usize { .. }",
            "pub type own::Result<T, E = u8> = std::result::Result<T, E>",
        ],
    );
}

/// Two types of one name in two modules, as `nn::Attention` has its op's.
#[test]
fn an_impl_belongs_to_the_type_of_its_module() {
    are(
        "mod ops { pub struct A; impl A { pub fn inner() {} } }
        pub mod nn { pub struct A; impl A { pub fn new() {} } }",
        &["pub mod own::nn", "pub struct own::nn::A", "pub fn own::nn::A::new()"],
    );
}

#[test]
fn what_would_hide_a_part_is_an_error() {
    let error = |source| printed(source).unwrap_err().to_string();
    let text = error("mod a { pub struct A; } pub fn f() -> a::A { a::A }");
    assert_eq!(text, "not exported, and in public signatures: own::a::A");
    let text = error("type Own = u8; pub fn f() -> Own { 0 }");
    assert_eq!(text, "not exported, and in public signatures: own::Own");
    let text = error("mod a { pub fn f() {} } pub use a::*;");
    assert_eq!(text, "own::*: a public glob does not say what it exports");
    let text = error("pub mod a { makes! {} }");
    assert!(text.starts_with("makes! is called in the public module own::a"), "{text}");
    assert!(printed("mod a { makes! {} }").is_ok());
}

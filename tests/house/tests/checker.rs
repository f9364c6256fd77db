//! The checker of module circles, on crates of a few lines each.

use fm_house::Crate;

/// The circles of a crate of one file, each as its modules.
fn circles(text: &str) -> Vec<Vec<String>> {
    let read = Crate::parse(text).expect("Rust");
    read.circles().into_iter().map(|circle| circle.modules).collect()
}

#[test]
fn circles_are_found_however_the_path_is_written() {
    for (how, text) in [
        (
            "by use",
            "mod a { use crate::b::B; pub struct A(B); } mod b { use super::a::A; pub struct B(A); }",
        ),
        (
            "by a path in a body",
            "mod a { pub fn a() { crate::b::b() } } mod b { pub fn b() { super::a::a() } }",
        ),
        (
            "by a use in a body",
            "mod a { pub fn a() { use crate::b; b::b() } } mod b { pub fn b() { super::a::a() } }",
        ),
        (
            "in a macro",
            "mod a { pub fn a() { println!(\"{}\", crate::b::b()); } } mod b { pub fn b() -> u8 { super::a::a(); 1 } }",
        ),
        (
            "by a name that the parent passes on",
            "mod a { pub struct A(crate::B); } mod b { pub struct B(crate::A); } pub use a::A; pub use b::B;",
        ),
        (
            "by a star",
            "mod a { use crate::b::*; pub struct A(B); } mod b { pub struct B(crate::a::A); }",
        ),
        (
            "by a name of its own",
            "mod a { use crate::b::B as Other; pub struct A(Other); } mod b { pub struct B(crate::a::A); }",
        ),
        (
            "from deep inside",
            "mod a { mod inner { pub struct I(crate::b::B); } pub struct A; } mod b { pub struct B(crate::a::A); }",
        ),
        (
            "of two that pass each other on",
            "mod a { pub use crate::b::B; pub struct A; } mod b { pub use crate::a::A; pub struct B; }",
        ),
    ] {
        assert_eq!(circles(text), [["a", "b"]], "{how}");
    }
}

#[test]
fn circles_of_methods_that_stand_in_other_modules_than_their_type_are_found() {
    for (how, text) in [
        (
            "by a call on itself",
            "mod a { pub struct A; impl A { pub fn go(&self) { self.step() } fn note(&self) {} }}
             mod b { use super::a::A; impl A { pub fn step(&self) {} } }",
        ),
        (
            "by a path",
            "mod a { pub struct A; impl A { pub fn go() { Self::step() } } }
             mod b { use crate::A; impl A { pub fn step() {} } } use a::A;",
        ),
        (
            "in a trait's method",
            "mod a { pub struct A<T>(T); impl<T> Drop for A<T> { fn drop(&mut self) { self.step() } } }
             mod b { impl<T> super::a::A<T> { pub fn step(&self) {} } }",
        ),
    ] {
        assert_eq!(circles(text), [["a", "b"]], "{how}");
    }
}

#[test]
fn a_circle_of_three_is_one_and_its_line_names_what_is_used() {
    let read = Crate::parse(
        "mod a { pub struct A(crate::b::B); } mod b { pub struct B(crate::c::C); } mod c { pub fn c(_: crate::a::A) {} pub struct C; }
         mod apart { pub struct Apart(crate::a::A); }",
    );
    let circles = read.expect("Rust").circles();
    assert_eq!(circles.len(), 1);
    assert_eq!(circles[0].modules, ["a", "b", "c"]);
    assert_eq!(
        circles[0].uses,
        ["a uses B of b", "b uses C of c", "c uses A of a"]
    );
}

#[test]
fn circles_below_a_module_are_found_as_well() {
    let text = "mod top { mod a { pub struct A(super::b::B); } mod b { pub struct B(super::a::A); } }";
    assert_eq!(circles(text), [["top::a", "top::b"]]);
}

#[test]
fn a_child_that_calls_its_parent_is_a_circle_with_it() {
    let text =
        "mod top { pub fn go() { child::go() } fn help() {} mod child { pub fn go() { super::help() } } }";
    assert_eq!(circles(text), [["top", "top::child"]]);
    let root = "fn help() {} pub fn go() { child::go() } mod child { pub fn go() { crate::help() } }";
    assert_eq!(circles(root), [["crate", "child"]]);
}

#[test]
fn what_is_no_circle_is_let_through() {
    for (what, text) in [
        (
            "one direction",
            "mod a { pub struct A(crate::b::B); } mod b { pub struct B; }",
        ),
        (
            "a child that takes its parent's types",
            "mod top { pub struct T; const N: u8 = 1; pub fn go() { child::go(T) } mod child { pub fn go(_: super::T) -> u8 { super::N } } }",
        ),
        (
            "a parent that only passes its children on",
            "mod a { pub struct A; } mod b { pub struct B(crate::A); } pub use a::A; pub use b::B;",
        ),
        (
            "tests that use what they test",
            "mod a { pub fn a() {} #[cfg(test)] mod tests { use crate::b::b; } } mod b { pub fn b() { crate::a::a() } }",
        ),
        (
            "crates of the same name as a module",
            "mod a { use std::fs; use serde::b; } mod b { use crate::a; }",
        ),
        (
            "methods of a type that each goes on from",
            "mod a { pub struct A; impl A { pub fn note(&self) {} } }
             mod b { use super::a::A; impl A { pub fn step(&self) { self.note() } } }
             mod c { pub fn go(a: &crate::a::A) { a.step() } }",
        ),
        (
            "a method of the same name",
            "mod a { pub struct A; impl A { pub fn go(&self) { self.step() } fn step(&self) {} } }
             mod b { pub struct B(crate::a::A); impl B { pub fn step(&self) {} } }",
        ),
        (
            "a child that calls methods of its parent's type",
            "mod top { pub struct T; impl T { pub fn go(&self) { self.child() } fn help(&self) {} }
             mod child { impl super::T { pub fn child(&self) { self.help() } } } }",
        ),
        (
            "visibility",
            "mod a { pub struct A; mod inner { pub(in crate::b) fn f() {} } } mod b { pub struct B(crate::a::A); }",
        ),
    ] {
        assert_eq!(circles(text), Vec::<Vec<String>>::new(), "{what}");
    }
}

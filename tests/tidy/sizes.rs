//! How long things may be: what fits on a screen can be proofread.

use syn::{
    Block, ImplItemFn, ItemFn, Signature, TraitItemFn,
    spanned::Spanned,
    visit::{self, Visit},
};

use super::{
    none,
    source::{Source, sources},
};

const FILE: usize = 300;
const FUNCTION: usize = 50;

#[test]
fn files_are_short() {
    let long = sources().into_iter().filter_map(|source| {
        let lines = source.text.lines().count() - source.test_lines;
        (lines > FILE).then(|| format!("{}: {lines} lines without its tests", source.path))
    });
    none(&format!("files of more than {FILE} lines"), long);
}

#[test]
fn functions_fit_on_a_screen() {
    let mut complaints = Vec::new();
    for source in &sources() {
        let mut functions = Functions { source, complaints: &mut complaints };
        for item in &source.items {
            functions.visit_item(item);
        }
    }
    none(&format!("functions of more than {FUNCTION} lines"), complaints);
}

struct Functions<'a> {
    source: &'a Source,
    complaints: &'a mut Vec<String>,
}

impl Functions<'_> {
    fn look_at(&mut self, signature: &Signature, body: &Block) {
        // Between the braces.
        let lines = (body.span().end().line - body.span().start().line).saturating_sub(1);
        if lines > FUNCTION {
            let name = &signature.ident;
            self.complaints.push(format!("{}: {name} has {lines} lines", self.source.path));
        }
    }
}

impl<'ast> Visit<'ast> for Functions<'_> {
    fn visit_item_fn(&mut self, function: &'ast ItemFn) {
        self.look_at(&function.sig, &function.block);
        visit::visit_item_fn(self, function);
    }

    fn visit_impl_item_fn(&mut self, function: &'ast ImplItemFn) {
        self.look_at(&function.sig, &function.block);
        visit::visit_impl_item_fn(self, function);
    }

    fn visit_trait_item_fn(&mut self, function: &'ast TraitItemFn) {
        if let Some(body) = &function.default {
            self.look_at(&function.sig, body);
        }
        visit::visit_trait_item_fn(self, function);
    }
}

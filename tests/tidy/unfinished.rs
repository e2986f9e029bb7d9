//! Nothing half done, nothing switched off, every file introduced.

use syn::{
    Attribute, Macro,
    visit::{self, Visit},
};

use super::{
    none,
    source::{everything_in, files, name_of, read},
};

#[test]
fn nothing_is_unfinished_and_no_test_is_switched_off() {
    let mut complaints = Vec::new();
    for path in ["src", "tests", "benches"].into_iter().flat_map(|folder| files(folder, ".rs")) {
        let mut search = Search { path: &path, complaints: &mut complaints };
        for item in &everything_in(&path) {
            search.visit_item(item);
        }
    }
    none("left unfinished or switched off", complaints);
}

#[test]
fn every_file_says_first_what_it_is() {
    let files = ["src", "benches"].into_iter().flat_map(|folder| files(folder, ".rs"));
    let silent = files.filter(|path| !read(path).starts_with("//! "));
    none("files that do not open with `//! `", silent);
}

struct Search<'a> {
    path: &'a str,
    complaints: &'a mut Vec<String>,
}

impl<'ast> Visit<'ast> for Search<'_> {
    fn visit_macro(&mut self, makro: &'ast Macro) {
        let name = name_of(makro);
        if name == "todo" || name == "unimplemented" {
            self.complaints.push(format!("{}: {name}!", self.path));
        }
        // What a macro is given may hold them, too.
        let inner = makro.tokens.to_string();
        for word in ["todo !", "unimplemented !", "# [ignore"] {
            if inner.contains(word) {
                self.complaints.push(format!("{}: {word} inside {name}!", self.path));
            }
        }
        visit::visit_macro(self, makro);
    }

    fn visit_attribute(&mut self, attribute: &'ast Attribute) {
        if attribute.path().is_ident("ignore") {
            self.complaints.push(format!("{}: #[ignore]", self.path));
        }
        visit::visit_attribute(self, attribute);
    }
}

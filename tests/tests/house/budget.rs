//! How long a file and a function may be, and how many files a folder may hold.

use std::collections::BTreeMap;

use syn::visit::{self, Visit};

use crate::source::{Source, is_test_only, line_span};

pub(crate) const FILE_SOFT_LINES: usize = 300;
const FILE_LINES: usize = 500;
const FUNCTION_LINES: usize = 80;
const FOLDER_FILES: usize = 12;
const README_LINES: usize = 120;

/// Lines of a file without its inline tests.
pub(crate) fn lines(source: &Source) -> usize {
    let tests: usize = source
        .ast
        .items
        .iter()
        .filter(|item| matches!(item, syn::Item::Mod(module) if is_test_only(&module.attrs)))
        .map(|item| {
            let (first, last) = line_span(item);
            last - first + 1
        })
        .sum();
    source.line_count - tests
}

pub(crate) fn over_long_file(source: &Source) -> Option<String> {
    let lines = lines(source);
    (lines > FILE_LINES).then(|| {
        format!(
            "{}: {lines} lines without tests, at most {FILE_LINES} are allowed",
            source.path
        )
    })
}

/// Functions, methods and default methods; tests too, for a giant test hides which promise broke.
pub(crate) fn over_long_functions(source: &Source) -> Vec<String> {
    let mut functions = Functions {
        path: &source.path,
        complaints: Vec::new(),
    };
    functions.visit_file(&source.ast);
    functions.complaints
}

/// What a newcomer reads first has one length, whatever else there would be to say.
pub(crate) fn over_long_readme(text: &str) -> Option<String> {
    let lines = text.lines().count();
    (lines > README_LINES).then(|| {
        format!(
            "README.md: {lines} lines, at most {README_LINES} are allowed; the rest goes to --help"
        )
    })
}

pub(crate) fn over_full_folders<'a>(paths: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut counts = BTreeMap::<&str, usize>::new();
    for path in paths {
        *counts
            .entry(path.rsplit_once('/').map_or("", |(folder, _)| folder))
            .or_default() += 1;
    }
    counts
        .into_iter()
        .filter(|&(_, count)| count > FOLDER_FILES)
        .map(|(folder, count)| {
            format!("{folder}: {count} Rust files, at most {FOLDER_FILES} are allowed")
        })
        .collect()
}

struct Functions<'a> {
    path: &'a str,
    complaints: Vec<String>,
}

impl Functions<'_> {
    /// From the line of `fn` to the closing brace: documentation is free.
    fn measure(&mut self, signature: &syn::Signature, body: &syn::Block) {
        let first = signature.fn_token.span.start().line;
        let lines = line_span(body).1 - first + 1;
        if lines > FUNCTION_LINES {
            self.complaints.push(format!(
                "{}:{first}: `{}` has {lines} lines, at most {FUNCTION_LINES} are allowed",
                self.path, signature.ident
            ));
        }
    }
}

impl<'ast> Visit<'ast> for Functions<'_> {
    fn visit_item_fn(&mut self, function: &'ast syn::ItemFn) {
        self.measure(&function.sig, &function.block);
        visit::visit_item_fn(self, function);
    }

    fn visit_impl_item_fn(&mut self, method: &'ast syn::ImplItemFn) {
        self.measure(&method.sig, &method.block);
        visit::visit_impl_item_fn(self, method);
    }

    fn visit_trait_item_fn(&mut self, method: &'ast syn::TraitItemFn) {
        if let Some(body) = &method.default {
            self.measure(&method.sig, body);
        }
        visit::visit_trait_item_fn(self, method);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn constants(count: usize) -> String {
        (0..count)
            .map(|n| format!("const C{n}: u8 = 0;\n"))
            .collect()
    }

    fn statements(count: usize) -> String {
        "let _ = 0;\n".repeat(count)
    }

    #[test]
    fn a_file_of_501_lines_is_refused_and_one_of_500_is_not() {
        assert!(over_long_file(&Source::parse("a.rs", &constants(501))).is_some());
        assert!(over_long_file(&Source::parse("a.rs", &constants(500))).is_none());
    }

    #[test]
    fn inline_tests_are_not_counted_and_what_follows_them_is() {
        let tests = format!("#[cfg(test)]\nmod tests {{\n{}}}\n", constants(400));
        let fits = format!("{}{tests}", constants(499));
        assert_eq!(lines(&Source::parse("a.rs", &fits)), 499);
        let hidden = format!("{tests}{}", constants(501));
        assert!(over_long_file(&Source::parse("a.rs", &hidden)).is_some());
    }

    #[test]
    fn functions_methods_and_nested_functions_are_measured() {
        let body = statements(79);
        let text = format!(
            "fn long() {{\n{body}}}\n\
             impl X {{\nfn method() {{\n{body}}}\n}}\n\
             trait T {{\nfn given() {{\n{body}}}\n}}\n\
             mod m {{\nfn inner() {{\n{body}}}\n}}\n"
        );
        let complaints = over_long_functions(&Source::parse("a.rs", &text)).join("\n");
        for name in ["long", "method", "given", "inner"] {
            assert!(
                complaints.contains(&format!("`{name}` has 81 lines")),
                "{complaints}"
            );
        }
    }

    #[test]
    fn a_function_of_80_lines_is_allowed_however_long_its_documentation() {
        let text = format!(
            "{}fn fits() {{\n{}}}\n",
            "/// doc\n".repeat(50),
            statements(78)
        );
        assert_eq!(
            over_long_functions(&Source::parse("a.rs", &text)),
            Vec::<String>::new()
        );
    }

    #[test]
    fn the_121st_line_of_the_readme_is_refused() {
        assert_eq!(over_long_readme(&"line\n".repeat(120)), None);
        assert!(over_long_readme(&"line\n".repeat(121)).is_some());
    }

    #[test]
    fn the_thirteenth_file_of_a_folder_is_refused() {
        let paths: Vec<_> = (0..13).map(|n| format!("src/room/f{n}.rs")).collect();
        assert!(over_full_folders(paths[..12].iter().map(String::as_str)).is_empty());
        let complaints = over_full_folders(paths.iter().map(String::as_str));
        assert_eq!(
            complaints,
            ["src/room: 13 Rust files, at most 12 are allowed"]
        );
    }
}

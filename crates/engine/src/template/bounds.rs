//! How deep a template may nest and how long it may chain: the library recurses over both, while it parses and later. And
//! what of macros it has otherwise than Jinja2, by name.

use super::fault::Fault;
use super::lexer::{Kind, Token};
use super::operators::{KEYWORDS, depths, is_closing, is_opening};

// Published templates nest some ten blocks; the library's parser goes 150 deep at most, blocks and brackets together.
const BLOCKS_DEEP_MAX: usize = 48;
const BRACKETS_DEEP_MAX: usize = 48;
// The library walks a chain such as `a + b + c` by recursion, one level an operator. Published templates have some forty in
// a tag.
const OPERATORS_MAX: usize = 600;
// Likewise for each `elif` of an `if`; published templates have some twenty.
const BRANCHES_MAX: usize = 200;
// What macros have in Jinja2 without naming it.
const UNNAMED: [&str; 2] = ["varargs", "kwargs"];

/// Which blocks are open.
#[derive(Default)]
pub(super) struct Blocks {
    /// Of each, how many branches it has.
    open: Vec<usize>,
    /// How many of them are macros.
    macros: Vec<usize>,
}

impl Blocks {
    /// Refuses what a macro has by itself in Jinja2 and here only when it is one of its arguments.
    pub(super) fn check_names(&self, tokens: &[Token]) -> Result<(), Fault> {
        if self.macros.is_empty() {
            return Ok(());
        }
        for (at, token) in tokens.iter().enumerate() {
            let is_own = at.checked_sub(1).and_then(|it| tokens.get(it)).is_none_or(|it| !it.is("."));
            let names = tokens.get(at + 1).is_some_and(|it| it.is("="));
            if let Some(name) = token.name().filter(|it| UNNAMED.contains(it) && is_own && !names) {
                let message = format!("{name} in a macro is not supported; name its arguments");
                return Err(Fault { line: token.line, message });
            }
        }
        Ok(())
    }

    pub(super) fn enter(&mut self, line: usize, tag: &[Token]) -> Result<(), Fault> {
        let name = tag.first().and_then(Token::name).unwrap_or_default();
        let opens = match name {
            "set" => !tag.iter().any(|it| it.is("=")),
            "for" | "if" | "block" | "macro" | "with" | "autoescape" | "call" | "filter" | "generation" => {
                true
            }
            _ => false,
        };
        if name.starts_with("end") {
            self.open.pop();
            if self.macros.last() == Some(&self.open.len()) {
                self.macros.pop();
            }
        }
        if opens {
            if name == "macro" {
                self.macros.push(self.open.len());
            }
            self.open.push(0);
        }
        if name == "elif"
            && let Some(branches) = self.open.last_mut()
        {
            *branches += 1;
            if *branches > BRANCHES_MAX {
                return Err(Fault { line, message: format!("an if has more than {BRANCHES_MAX} branches") });
            }
        }
        if self.open.len() > BLOCKS_DEEP_MAX {
            return Err(Fault {
                line,
                message: format!("blocks are nested more than {BLOCKS_DEEP_MAX} deep"),
            });
        }
        Ok(())
    }
}

/// A macro's default that is another of its arguments would be read outside of the macro.
pub(super) fn check_defaults(line: usize, macro_tag: &[Token]) -> Result<(), Fault> {
    let mut names: Vec<&str> = Vec::new();
    for pair in macro_tag.windows(2).skip(1) {
        let [before, token] = pair else { continue };
        let Some(name) = token.name() else { continue };
        if (before.is("(") || before.is(",")) && !names.contains(&name) {
            names.push(name);
        } else if names.contains(&name) && !before.is(".") {
            let message = format!("a macro's default is its argument {name}, which is not supported");
            return Err(Fault { line, message });
        }
    }
    Ok(())
}

pub(super) fn check(tokens: &[Token]) -> Result<(), Fault> {
    let Some(first) = tokens.first() else { return Ok(()) };
    let line = first.line;
    if depths(tokens).any(|(depth, _)| depth > BRACKETS_DEEP_MAX) {
        return Err(Fault {
            line,
            message: format!("brackets are nested more than {BRACKETS_DEEP_MAX} deep"),
        });
    }
    // Within one pair of brackets commas part what is chained; the values of a list are no chain.
    let mut chains = vec![0_usize];
    for token in tokens {
        if is_opening(token) {
            let outer = chains.last().copied().unwrap_or(0);
            chains.push(outer + 1);
        } else if is_closing(token) && chains.len() > 1 {
            chains.pop();
            if let Some(chain) = chains.last_mut() {
                *chain += 1;
            }
        } else if token.is(",") {
            let outer = chains.len().checked_sub(2).and_then(|it| chains.get(it)).copied().unwrap_or(0);
            if let Some(chain) = chains.last_mut() {
                *chain = outer;
            }
        } else if (matches!(token.kind, Kind::Op(_)) || token.name().is_some_and(|it| KEYWORDS.contains(&it)))
            && let Some(chain) = chains.last_mut()
        {
            *chain += 1;
        }
        if chains.last().is_some_and(|it| *it > OPERATORS_MAX) {
            let message = format!("more than {OPERATORS_MAX} operators are chained in one tag");
            return Err(Fault { line: token.line, message });
        }
    }
    Ok(())
}

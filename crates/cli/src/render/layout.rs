//! Blocks and tables that line up whatever foreign text is in them, and fit a terminal.

use anstyle::{AnsiColor, Effects, Style};
use textwrap::WordSeparator;
use textwrap::core::{Word, break_words, display_width};
use textwrap::wrap_algorithms::wrap_first_fit;

use super::units::short;
use super::view::View;
use crate::console::{harmless, paint};

/// Between two columns.
const GAP: usize = 2;
/// Narrowest column of a wrapped text.
const WRAP_MIN: usize = 8;
/// Narrowest value of a block that is wrapped; on a terminal narrower than that it is left to the terminal.
const VALUE_MIN: usize = 24;

/// `Label: value` lines, values aligned and wrapped to the terminal. Empty values are left out.
pub(crate) fn block(rows: &[(&str, String)], view: &View) -> String {
    let rows: Vec<_> = rows.iter().filter(|(_, value)| !value.is_empty()).collect();
    let label_width = rows.iter().map(|(label, _)| label.len() + 1).max().unwrap_or(0);
    let indent = " ".repeat(label_width + 1);
    let room = view.width.map(|it| it.saturating_sub(indent.len())).filter(|it| *it >= VALUE_MIN);
    let mut out = String::new();
    for (label, value) in rows {
        let value = match room {
            Some(room) => wrapped(value, room).join(&format!("\n{indent}")),
            None => value.clone(),
        };
        out.push_str(&format!("{:<label_width$} {value}\n", format!("{label}:")));
    }
    out
}

/// A sentence, wrapped to the terminal.
pub(super) fn paragraph(text: &str, view: &View) -> String {
    let lines = view.width.map_or_else(|| vec![text.to_owned()], |width| wrapped(text, width));
    lines.into_iter().map(|it| format!("{it}\n")).collect()
}

/// One column of a table: its head, and how it gives way where the terminal is narrow.
#[derive(Clone, Copy)]
pub(crate) struct Column {
    head: &'static str,
    fit: Fit,
    width_min: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Fit {
    Fixed,
    /// Uuids become their first eight digits.
    Ids,
    /// Left out, the last one first.
    Optional,
    Wrapped,
}

/// A column that is always whole.
pub(crate) const fn fixed(head: &'static str) -> Column {
    Column { head, fit: Fit::Fixed, width_min: 0 }
}

/// A column that is always whole, and of this width at least, so that values that change don't move the others.
pub(crate) const fn steady(head: &'static str, width_min: usize) -> Column {
    Column { head, fit: Fit::Fixed, width_min }
}

/// A column of ids, or of lists of ids with commas.
pub(crate) const fn ids(head: &'static str) -> Column {
    Column { head, fit: Fit::Ids, width_min: 0 }
}

/// A column that is left out where there is no room for it.
pub(crate) const fn optional(head: &'static str) -> Column {
    Column { head, fit: Fit::Optional, width_min: 0 }
}

/// A column of text that may take several lines.
pub(crate) const fn text(head: &'static str) -> Column {
    Column { head, fit: Fit::Wrapped, width_min: 0 }
}

/// A table with upper-case heads.
pub(crate) struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<Cell>>,
}

/// What a table came to on a terminal: its columns with their widths.
pub(crate) struct Shape {
    columns: Vec<Shown>,
    is_fitted: bool,
}

struct Shown {
    at: usize,
    head: &'static str,
    width: usize,
    is_short: bool,
    wraps: bool,
}

impl Table {
    pub(crate) fn new(columns: impl Into<Vec<Column>>, rows: Vec<Vec<Cell>>) -> Self {
        Self { columns: columns.into(), rows }
    }

    /// The heads and all rows.
    pub(crate) fn render(&self, view: &View) -> String {
        let shape = self.shape(view);
        format!("{}{}", shape.heads(), shape.rows(&self.rows))
    }

    /// Gives way in this order until it fits: ids become short, optional columns go, texts wrap.
    pub(crate) fn shape(&self, view: &View) -> Shape {
        let mut shown = self.measured(false);
        let Some(width) = view.width else { return Shape { columns: shown, is_fitted: false } };
        if total(&shown) > width {
            shown = self.measured(true);
        }
        while total(&shown) > width
            && let Some(last) = shown.iter().rposition(|it| self.fit_of(it) == Some(Fit::Optional))
        {
            shown.remove(last);
        }
        // First where no word is cut, then anywhere.
        for cuts_words in [false, true] {
            let narrowest: Vec<usize> = shown.iter().map(|it| self.narrowest(it, cuts_words)).collect();
            while total(&shown) > width {
                let gives_way =
                    shown.iter_mut().zip(&narrowest).filter(|(it, narrowest)| it.width > **narrowest);
                match gives_way.max_by_key(|(it, _)| it.width) {
                    Some((column, _)) => column.width -= 1,
                    None => break,
                }
            }
        }
        Shape { columns: shown, is_fitted: true }
    }

    fn fit_of(&self, shown: &Shown) -> Option<Fit> {
        self.columns.get(shown.at).map(|it| it.fit)
    }

    /// How narrow a column may become; ids are never cut.
    fn narrowest(&self, column: &Shown, cuts_words: bool) -> usize {
        let cells = self.rows.iter().filter_map(|row| row.get(column.at)).map(|it| it.shown(column.is_short));
        let longest =
            |cell: String| cell.split_inclusive([' ', '/', ',']).map(|it| display_width(it.trim_end())).max();
        let longest = cells.filter_map(longest).max().unwrap_or(0);
        match self.fit_of(column) {
            Some(Fit::Wrapped) if cuts_words => column.head.len().max(WRAP_MIN),
            Some(Fit::Wrapped) => column.head.len().max(WRAP_MIN).max(longest),
            Some(Fit::Ids) => column.head.len().max(longest),
            Some(Fit::Fixed | Fit::Optional) | None => column.width,
        }
    }

    fn measured(&self, is_narrow: bool) -> Vec<Shown> {
        let columns = self.columns.iter().enumerate();
        columns
            .map(|(at, column)| {
                let is_short = is_narrow && column.fit == Fit::Ids;
                let cells = self.rows.iter().filter_map(|row| row.get(at));
                let widths = cells.map(|it| display_width(&it.shown(is_short)));
                let width = widths.chain([column.head.len(), column.width_min]).max().unwrap_or(0);
                let wraps = matches!(column.fit, Fit::Wrapped | Fit::Ids);
                Shown { at, head: column.head, width, is_short, wraps }
            })
            .collect()
    }
}

fn total(shown: &[Shown]) -> usize {
    shown.iter().map(|it| it.width).sum::<usize>() + GAP * shown.len().saturating_sub(1)
}

impl Shape {
    pub(crate) fn heads(&self) -> String {
        let heads = self.columns.iter().map(|it| vec![(it.head.to_owned(), Style::new(), false)]).collect();
        self.lines(heads)
    }

    /// Rows of the table that the shape is of, or of one like it.
    pub(crate) fn rows(&self, rows: &[Vec<Cell>]) -> String {
        rows.iter().map(|row| self.row(row)).collect()
    }

    fn row(&self, row: &[Cell]) -> String {
        let cells = self.columns.iter().map(|column| {
            let Some(cell) = row.get(column.at) else { return Vec::new() };
            let text = cell.shown(column.is_short);
            let pieces =
                if self.is_fitted && column.wraps { wrapped(&text, column.width) } else { vec![text] };
            pieces.into_iter().map(|it| (it, cell.style, cell.styled)).collect()
        });
        self.lines(cells.collect())
    }

    /// A row of cells, each of as many lines as it needs.
    fn lines(&self, cells: Vec<Vec<(String, Style, bool)>>) -> String {
        let height = cells.iter().map(Vec::len).max().unwrap_or(0).max(1);
        let mut out = String::new();
        for n in 0..height {
            let mut line = String::new();
            for (at, (cell, column)) in cells.iter().zip(&self.columns).enumerate() {
                if at > 0 {
                    line.push_str(&" ".repeat(GAP));
                }
                let (text, style, styled) =
                    cell.get(n).map_or(("", Style::new(), false), |it| (it.0.as_str(), it.1, it.2));
                line.push_str(&paint(text, style, styled && !text.is_empty()));
                line.push_str(&" ".repeat(column.width.saturating_sub(display_width(text))));
            }
            out.push_str(line.trim_end());
            out.push('\n');
        }
        out
    }
}

/// `text` in lines of at most `width` columns. A word that is longer is cut after a slash or a comma, or else anywhere.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let words = WordSeparator::AsciiSpace
        .find_words(text)
        .flat_map(|word| if word.word.len() <= width { vec![word] } else { pieces(word) });
    let words = break_words(words, width.max(1));
    let lines = wrap_first_fit(&words, &[width as f64]);
    let joined = lines.into_iter().map(|line| {
        let line: String = line.iter().flat_map(|it| [it.word, it.whitespace]).collect();
        line.trim_end().to_owned()
    });
    joined.collect()
}

/// The parts of a name or of a list without spaces.
fn pieces(word: Word<'_>) -> Vec<Word<'_>> {
    let mut parts: Vec<Word<'_>> = word.word.split_inclusive(['/', ',']).map(Word::from).collect();
    if let Some(last) = parts.last_mut() {
        last.whitespace = word.whitespace;
    }
    parts
}

/// One cell of a table.
#[derive(Clone)]
pub(crate) struct Cell {
    text: String,
    style: Style,
    styled: bool,
}

impl Cell {
    pub(crate) fn plain(text: &str) -> Self {
        Self { text: one_line(text), style: Style::new(), styled: false }
    }

    pub(super) fn state(state: &str, view: &View) -> Self {
        Self { text: one_line(state), style: state_style(state), styled: view.colours }
    }

    fn shown(&self, is_short: bool) -> String {
        if is_short {
            self.text.split(',').map(short).collect::<Vec<_>>().join(",")
        } else {
            self.text.clone()
        }
    }
}

/// Foreign text made harmless, on one line.
pub(crate) fn one_line(text: &str) -> String {
    harmless(text).replace(['\n', '\t'], " ")
}

pub(super) fn state_style(state: &str) -> Style {
    match state {
        "STARTED" => AnsiColor::Green.on_default(),
        "PENDING" | "STARTING" | "STOPPING" => AnsiColor::Yellow.on_default(),
        "ERROR" => AnsiColor::Red.on_default().bold(),
        _ => Style::new().effects(Effects::DIMMED),
    }
}

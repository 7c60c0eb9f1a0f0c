//! Blocks and tables: columns that line up whatever foreign text is in them.

use anstyle::{AnsiColor, Effects, Style};

use crate::console::{harmless, paint};

/// `Label: value` lines, values aligned. Empty values are left out.
pub(crate) fn block(rows: &[(&str, String)]) -> String {
    let rows: Vec<_> = rows.iter().filter(|(_, value)| !value.is_empty()).collect();
    let width = rows.iter().map(|(label, _)| label.len() + 1).max().unwrap_or(0);
    rows.iter().map(|(label, value)| format!("{:<width$} {value}\n", format!("{label}:"))).collect()
}

/// A table with upper-case heads. Widths count characters, and colours not at all.
pub(crate) fn table(heads: &[&str], rows: &[Vec<Cell>]) -> String {
    let widths: Vec<usize> = heads
        .iter()
        .enumerate()
        .map(|(column, head)| {
            let cells = rows.iter().filter_map(|row| row.get(column)).map(|it| it.text.chars().count());
            cells.chain([head.len()]).max().unwrap_or(0)
        })
        .collect();
    let mut out = line(&heads.iter().map(|it| Cell::plain(it)).collect::<Vec<_>>(), &widths, false);
    for row in rows {
        out.push_str(&line(row, &widths, true));
    }
    out
}

fn line(cells: &[Cell], widths: &[usize], styled: bool) -> String {
    let mut out = String::new();
    for (cell, width) in cells.iter().zip(widths) {
        if !out.is_empty() {
            out.push_str("  ");
        }
        let gap = " ".repeat(width.saturating_sub(cell.text.chars().count()));
        out.push_str(&paint(&cell.text, cell.style, styled && cell.styled));
        out.push_str(&gap);
    }
    format!("{}\n", out.trim_end())
}

/// One cell of a table.
pub(crate) struct Cell {
    text: String,
    style: Style,
    styled: bool,
}

impl Cell {
    pub(crate) fn plain(text: &str) -> Self {
        Self { text: one_line(text), style: Style::new(), styled: false }
    }

    pub(super) fn state(state: &str, colours: bool) -> Self {
        Self { text: one_line(state), style: state_style(state), styled: colours }
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

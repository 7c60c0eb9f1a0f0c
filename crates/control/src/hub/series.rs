//! The GGUF models of a repository, by what their files are called; what each file is, its content says once it comes.
//! Pure.
//!
//! A name tells the quantisation at its end (`x-Q4_K_M.gguf`), or the folder does (`Q4_K_M/x.gguf`). Names that are usual
//! for something else than a model, such as a projector, stand back behind all others and are never meant by a label.

use std::collections::BTreeMap;

use super::error::HubError;
use super::listing::Listed;
use super::source::Source;

/// Quantisations in the order they are taken in when none is named: first the usual balance of size and quality,
/// then what is close to it, then what is larger, then what loses much, then the unquantised.
pub(super) const ORDER: &[&str] = &[
    "Q4_K_M",
    "Q4_K_XL",
    "Q4_K_L",
    "Q4_K_S",
    "Q4_0",
    "IQ4_XS",
    "IQ4_NL",
    "Q4_1",
    "Q5_K_M",
    "Q5_K_XL",
    "Q5_K_L",
    "Q5_K_S",
    "Q5_0",
    "Q5_1",
    "Q6_K",
    "Q6_K_XL",
    "Q6_K_L",
    "Q8_0",
    "Q8_K_XL",
    "MXFP4",
    "MXFP4_MOE",
    "Q3_K_XL",
    "Q3_K_L",
    "Q3_K_M",
    "Q3_K_S",
    "IQ3_M",
    "IQ3_S",
    "IQ3_XS",
    "IQ3_XXS",
    "Q2_K_XL",
    "Q2_K_L",
    "Q2_K",
    "Q2_K_S",
    "IQ2_M",
    "IQ2_S",
    "IQ2_XS",
    "IQ2_XXS",
    "TQ2_0",
    "TQ1_0",
    "IQ1_M",
    "IQ1_S",
    "F16",
    "FP16",
    "BF16",
    "F32",
    "FP32",
];
/// Names told in a refusal.
const TOLD_MAX: usize = 20;

/// A GGUF model: one file, or the parts of a split one.
pub(super) struct Series<'a> {
    /// The path without `-00001-of-00003.gguf`.
    name: String,
    pub(super) parts: Vec<&'a Listed>,
    /// Its name is usual for something that is no model.
    is_suspect: bool,
}

impl Series<'_> {
    fn n_bytes(&self) -> u64 {
        self.parts.iter().filter_map(|it| it.n_bytes).fold(0, u64::saturating_add)
    }

    /// Whether it answers to a label. What its own name says of its quantisation goes before what its folder says.
    fn has_label(&self, label: &str) -> bool {
        if ends_with_label(base_name(&self.name), label) {
            return true;
        }
        let says_another = label_of(base_name(&self.name)).is_some() && is_quantisation(label);
        let mut folders = self.name.split('/').rev().skip(1);
        !says_another && folders.any(|it| ends_with_label(it, label))
    }

    /// The quantisation that it is labelled with.
    fn label(&self) -> Option<String> {
        self.name.rsplit('/').find_map(label_of)
    }
}

/// The complete GGUF models of a repository, by name.
pub(super) fn of(files: &[Listed]) -> Vec<Series<'_>> {
    let mut found: BTreeMap<(String, u32), Vec<&Listed>> = BTreeMap::new();
    for it in files.iter().filter(|it| is_gguf(&it.path)) {
        if is_matrix(&it.path) || is_projector(&it.path) {
            continue;
        }
        let whole = without_ending(&it.path);
        let key = split_part(whole).map_or((whole.to_owned(), 1), |(name, total)| (name.to_owned(), total));
        found.entry(key).or_default().push(it);
    }
    let complete = found.into_iter().filter(|((_, total), parts)| parts.len() == *total as usize);
    let mut all: Vec<Series<'_>> =
        complete.map(|((name, _), parts)| Series { is_suspect: is_suspect(&name), name, parts }).collect();
    for it in &mut all {
        it.parts.sort_by(|a, b| a.path.cmp(&b.path));
    }
    // Where nothing else is there, the name may be the model's own; its content decides.
    if all.iter().any(|it| !it.is_suspect) {
        all
    } else {
        all.into_iter().map(|it| Series { is_suspect: false, ..it }).collect()
    }
}

/// The one to take where none is named.
pub(super) fn best<'a>(all: &[Series<'a>]) -> Vec<&'a Listed> {
    let rank = |it: &Series<'_>| ORDER.iter().position(|label| it.has_label(label)).unwrap_or(ORDER.len());
    let first = all.iter().min_by_key(|it| (it.is_suspect, rank(it), it.n_bytes(), it.name.clone()));
    first.map(|it| it.parts.clone()).unwrap_or_default()
}

/// The one that is named: by its path, its name, or a label that is of one only.
pub(super) fn named<'a>(
    source: &Source,
    wanted: &str,
    all: &[Series<'a>],
) -> Result<Vec<&'a Listed>, HubError> {
    let hits = hits(wanted, all);
    match hits.as_slice() {
        [one] => Ok(one.parts.clone()),
        [] if all.is_empty() => Err(HubError::Unsuitable(format!(
            "{} has no complete GGUF model, so none can be named",
            source.model
        ))),
        found => {
            let how = if found.is_empty() { "has no file" } else { "has several files" };
            let which: Vec<&Series<'a>> = if found.is_empty() {
                all.iter().filter(|it| !it.is_suspect).collect()
            } else {
                found.to_vec()
            };
            let words: Vec<String> = which.iter().take(TOLD_MAX).map(|it| word_for(it, all)).collect();
            Err(HubError::Unsuitable(format!(
                "{} {how} `{wanted}`; these would work: {}",
                source.model,
                words.join(", ")
            )))
        }
    }
}

fn hits<'b, 'a>(wanted: &str, all: &'b [Series<'a>]) -> Vec<&'b Series<'a>> {
    let is_path = |it: &&Series<'_>| it.name == wanted || it.parts.iter().any(|it| it.path == wanted);
    let is_name = |it: &&Series<'_>| {
        base_name(&it.name) == wanted
            || it.parts.iter().any(|it| base_name(&it.path) == wanted || stem(&it.path) == wanted)
    };
    let is_label = |it: &&Series<'_>| !it.is_suspect && it.has_label(wanted);
    let by = |is_hit: &dyn Fn(&&Series<'_>) -> bool| all.iter().filter(|it| is_hit(it)).collect::<Vec<_>>();
    let ways: [&dyn Fn(&&Series<'_>) -> bool; 3] = [&is_path, &is_name, &is_label];
    ways.into_iter().map(by).find(|it| !it.is_empty()).unwrap_or_default()
}

/// The shortest word that names this one and no other.
fn word_for(it: &Series<'_>, all: &[Series<'_>]) -> String {
    let words = it.label().into_iter().chain([base_name(&it.name).to_owned()]);
    let is_own = |word: &String| matches!(hits(word, all).as_slice(), [one] if one.name == it.name);
    words.into_iter().find(is_own).unwrap_or_else(|| it.name.clone())
}

/// `x-UD-Q8_K_XL` ends with the labels `Q8_K_XL` and `UD-Q8_K_XL`.
fn ends_with_label(name: &str, label: &str) -> bool {
    let (name, label) = (name.to_ascii_uppercase(), label.to_ascii_uppercase());
    let Some(before) = name.strip_suffix(&label) else { return false };
    before.is_empty() || before.ends_with(['-', '.', '_'])
}

/// The quantisation at the end of a name.
fn label_of(name: &str) -> Option<String> {
    let longest = ORDER.iter().filter(|it| ends_with_label(name, it)).max_by_key(|it| it.len())?;
    Some((*longest).to_owned())
}

fn is_quantisation(label: &str) -> bool {
    ORDER.iter().any(|it| it.eq_ignore_ascii_case(label))
}

fn lower_name(path: &str) -> String {
    base_name(path).to_ascii_lowercase()
}

/// Reads images or sound for a model. Never a model, whatever it is asked for by.
fn is_projector(path: &str) -> bool {
    lower_name(path).contains("mmproj")
}

/// An importance matrix; a model that was made with one may have the word in its name, before its quantisation.
fn is_matrix(path: &str) -> bool {
    let whole = without_ending(path);
    let name = split_part(whole).map_or(whole, |(name, _)| name);
    lower_name(path).contains("imatrix") && label_of(base_name(name)).is_none()
}

/// Adapters and draft heads, by words of their name. There are models with such a word, too.
fn is_suspect(name: &str) -> bool {
    let lower = lower_name(name);
    let mut words = lower.split(['-', '_', '.']);
    words.any(|it| {
        matches!(
            it,
            "lora" | "qlora" | "adapter" | "mtp" | "nextn" | "draft" | "drafter" | "speculator" | "medusa"
        ) || it.starts_with("eagle")
    })
}

pub(super) fn is_gguf(path: &str) -> bool {
    path.rsplit_once('.').is_some_and(|(_, ending)| ending.eq_ignore_ascii_case("gguf"))
}

fn without_ending(path: &str) -> &str {
    if is_gguf(path) { path.rsplit_once('.').map_or(path, |(whole, _)| whole) } else { path }
}

pub(super) fn base_name(path: &str) -> &str {
    path.rsplit_once('/').map_or(path, |(_, name)| name)
}

pub(super) fn stem(path: &str) -> &str {
    without_ending(base_name(path))
}

/// `x-00001-of-00003` belongs to (`x`, 3).
pub(super) fn split_part(text: &str) -> Option<(&str, u32)> {
    let (rest, total) = text.rsplit_once("-of-")?;
    let (name, part) = rest.rsplit_once('-')?;
    let number = |it: &str| (it.len() == 5).then(|| it.parse::<u32>().ok()).flatten();
    number(part)?;
    Some((name, number(total)?))
}

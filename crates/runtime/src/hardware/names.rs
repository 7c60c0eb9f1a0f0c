//! From a GPU's name as the driver says it to its kind as the contract's hardware ids spell it. Pure.

use dedi_domain::DeviceKind;

/// Products whose marketed memory or link is known whatever the driver reports. The first that fits wins.
const KNOWN: [Known; 23] = [
    Known { words: &["gb300"], product: "nvidia_gb300", memory_gb: 288, link: Link::Sxm },
    Known { words: &["gb200"], product: "nvidia_gb200", memory_gb: 192, link: Link::Sxm },
    Known { words: &["b300"], product: "nvidia_b300", memory_gb: 288, link: Link::Sxm },
    Known { words: &["b200"], product: "nvidia_b200", memory_gb: 180, link: Link::Sxm },
    // Computes in the memory of its processor.
    Known { words: &["gb10"], product: "nvidia_gb10", memory_gb: 128, link: Link::Pcie },
    Known { words: &["gh200"], product: "nvidia_gh200", memory_gb: 0, link: Link::Sxm },
    Known { words: &["h200", "nvl"], product: "nvidia_h200", memory_gb: 140, link: Link::Pcie },
    Known { words: &["h200"], product: "nvidia_h200", memory_gb: 140, link: Link::Sxm },
    Known { words: &["h100", "nvl"], product: "nvidia_h100", memory_gb: 94, link: Link::Pcie },
    Known { words: &["h100"], product: "nvidia_h100", memory_gb: 0, link: Link::AsNamed },
    Known { words: &["h800"], product: "nvidia_h800", memory_gb: 0, link: Link::AsNamed },
    Known { words: &["h20"], product: "nvidia_h20", memory_gb: 0, link: Link::Sxm },
    Known { words: &["a100"], product: "nvidia_a100", memory_gb: 0, link: Link::AsNamed },
    Known { words: &["a800"], product: "nvidia_a800", memory_gb: 0, link: Link::AsNamed },
    Known { words: &["l40s"], product: "nvidia_l40s", memory_gb: 48, link: Link::Pcie },
    Known { words: &["l40"], product: "nvidia_l40", memory_gb: 48, link: Link::Pcie },
    Known { words: &["l4"], product: "nvidia_l4", memory_gb: 24, link: Link::Pcie },
    Known { words: &["a40"], product: "nvidia_a40", memory_gb: 48, link: Link::Pcie },
    Known { words: &["a10"], product: "nvidia_a10", memory_gb: 24, link: Link::Pcie },
    Known { words: &["a10g"], product: "nvidia_a10g", memory_gb: 24, link: Link::Pcie },
    Known { words: &["t4"], product: "nvidia_t4", memory_gb: 16, link: Link::Pcie },
    Known { words: &["v100"], product: "nvidia_v100", memory_gb: 0, link: Link::AsNamed },
    Known { words: &["rtx", "6000", "ada"], product: "nvidia_rtx_6000_ada", memory_gb: 48, link: Link::Pcie },
];

struct Known {
    /// Words of the driver's name that must all be there.
    words: &'static [&'static str],
    product: &'static str,
    /// 0 takes it from the name or the memory's size.
    memory_gb: u32,
    link: Link,
}

#[derive(Clone, Copy)]
enum Link {
    Sxm,
    Pcie,
    /// The name says `SXM…` where it is one.
    AsNamed,
}

/// Words that say what the fields already say, or nothing.
const NOISE: [&str; 10] =
    ["nvidia", "geforce", "tesla", "quadro", "graphics", "device", "generation", "pcie", "pcie3", "hbm"];

/// The kind of a device that the driver names so and that has so many bytes.
pub(super) fn kind_of(name: &str, memory_bytes: u64) -> DeviceKind {
    let lower = name.to_ascii_lowercase();
    let words: Vec<&str> =
        lower.split(|it: char| !it.is_ascii_alphanumeric()).filter(|it| !it.is_empty()).collect();
    let is_sxm = words.iter().any(|it| it.starts_with("sxm"));
    let named_gb = words.iter().find_map(|it| it.strip_suffix("gb")?.parse::<u32>().ok());
    let memory_gb =
        named_gb.filter(|it| is_near(*it, memory_bytes)).unwrap_or_else(|| marketed_gb(memory_bytes));
    let as_named = if is_sxm { "sxm" } else { "pcie" };
    let known = KNOWN.iter().find(|it| it.words.iter().all(|word| words.contains(word)));
    if let Some(known) = known {
        // An 80 GB H100 names itself both `80GB HBM3` (the SXM board) and `PCIe`.
        let is_named_board = words.iter().any(|it| it.starts_with("hbm"));
        let link = match known.link {
            Link::Sxm => "sxm",
            Link::Pcie => "pcie",
            Link::AsNamed if is_named_board && !words.contains(&"pcie") => "sxm",
            Link::AsNamed => as_named,
        };
        return DeviceKind {
            product: known.product.to_owned(),
            memory_gb: match known.memory_gb {
                sold if sold > 0 && is_near(sold, memory_bytes) => sold,
                _ => memory_gb,
            },
            link: link.to_owned(),
        };
    }
    let rest: Vec<&str> = words
        .into_iter()
        .filter(|it| !NOISE.contains(it) && !it.starts_with("sxm") && !is_memory(it))
        .collect();
    let product =
        if rest.is_empty() { "nvidia_gpu".to_owned() } else { format!("nvidia_{}", rest.join("_")) };
    DeviceKind { product, memory_gb, link: as_named.to_owned() }
}

/// Whether a size that a name claims is about what was measured; without a measure it has to be believed. A GH200 names
/// itself after the memory of its processor, and a part of a GPU, as virtual machines are given, after the whole.
fn is_near(claimed_gb: u32, measured_bytes: u64) -> bool {
    let (claimed, measured) = (u64::from(claimed_gb) << 30, measured_bytes);
    measured == 0 || claimed.abs_diff(measured) <= claimed / 6
}

fn is_memory(word: &str) -> bool {
    word.starts_with("hbm") || word.strip_suffix("gb").is_some_and(|it| it.parse::<u32>().is_ok())
}

/// Drivers report a little less than what is on the box: the next size that is sold, else GiB rounded up to
/// an even number.
fn marketed_gb(bytes: u64) -> u32 {
    const SOLD: [u32; 18] = [4, 6, 8, 10, 11, 12, 16, 20, 24, 32, 40, 48, 64, 80, 94, 96, 140, 180];
    let gib = u32::try_from(bytes.div_ceil(1 << 30)).unwrap_or(u32::MAX);
    SOLD.into_iter()
        .find(|it| *it >= gib && it - gib <= 1 + it / 16)
        .unwrap_or(gib.next_multiple_of(2))
        .max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use dedi_domain::HardwareId;

    #[test]
    fn drivers_names_become_the_contracts_names() {
        for (name, mib, expected) in [
            ("NVIDIA H100 80GB HBM3", 81_559, "1x_nvidia_h100_80gb_sxm"),
            ("NVIDIA H100 PCIe", 81_559, "1x_nvidia_h100_80gb_pcie"),
            ("NVIDIA H100 NVL", 95_830, "1x_nvidia_h100_94gb_pcie"),
            ("NVIDIA H200", 143_771, "1x_nvidia_h200_140gb_sxm"),
            ("NVIDIA H200 NVL", 143_771, "1x_nvidia_h200_140gb_pcie"),
            ("NVIDIA B200", 183_359, "1x_nvidia_b200_180gb_sxm"),
            ("NVIDIA A100-PCIE-40GB", 40_960, "1x_nvidia_a100_40gb_pcie"),
            ("NVIDIA A100 80GB PCIe", 81_920, "1x_nvidia_a100_80gb_pcie"),
            ("NVIDIA A100-SXM4-80GB", 81_920, "1x_nvidia_a100_80gb_sxm"),
            ("NVIDIA RTX 6000 Ada Generation", 49_140, "1x_nvidia_rtx_6000_ada_48gb_pcie"),
            ("NVIDIA L40S", 46_068, "1x_nvidia_l40s_48gb_pcie"),
            ("NVIDIA GH200 480GB", 97_871, "1x_nvidia_gh200_96gb_sxm"),
            ("NVIDIA GH200 480GB", 0, "1x_nvidia_gh200_480gb_sxm"),
            ("NVIDIA GB200", 189_471, "1x_nvidia_gb200_192gb_sxm"),
            ("NVIDIA B300 SXM6 AC", 275_040, "1x_nvidia_b300_288gb_sxm"),
            ("NVIDIA A40-24Q", 24_576, "1x_nvidia_a40_24gb_pcie"),
            ("GRID A100D-40C", 40_960, "1x_nvidia_grid_a100d_40c_40gb_pcie"),
            ("NVIDIA GB10", 122_504, "1x_nvidia_gb10_128gb_pcie"),
            ("NVIDIA L4", 23_034, "1x_nvidia_l4_24gb_pcie"),
            ("Tesla T4", 15_360, "1x_nvidia_t4_16gb_pcie"),
            ("Tesla V100-SXM2-16GB", 16_384, "1x_nvidia_v100_16gb_sxm"),
            ("NVIDIA GeForce RTX 4090", 24_564, "1x_nvidia_rtx_4090_24gb_pcie"),
            ("NVIDIA GeForce RTX 3080 Ti", 12_288, "1x_nvidia_rtx_3080_ti_12gb_pcie"),
            ("NVIDIA RTX A6000", 49_140, "1x_nvidia_rtx_a6000_48gb_pcie"),
            ("Quadro P400", 2_048, "1x_nvidia_p400_2gb_pcie"),
            ("", 1_024, "1x_nvidia_gpu_2gb_pcie"),
        ] {
            let id = kind_of(name, mib << 20).hardware_id(1);
            assert_eq!(id.as_str(), expected, "{name}");
            assert!(HardwareId::parse(id.as_str()).is_ok(), "{name}");
        }
    }
}

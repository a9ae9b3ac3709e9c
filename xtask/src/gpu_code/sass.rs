//! NVIDIA's assembly, as nvdisasm writes it.

use super::listing::{Kind, Line, Listing};

pub(crate) fn listing(assembly: &str) -> Listing {
    Listing::new(assembly.lines().filter_map(line))
}

/// Labels are `.L_x_7:`; an instruction comes after its address in a comment, and may have a predicate.
fn line(text: &str) -> Option<Line<'_>> {
    if let Some(label) = text.strip_suffix(':').filter(|l| l.starts_with(".L_x_")) {
        return Some(Line::Label(label));
    }
    let (_, instruction) = text.trim_start().strip_prefix("/*")?.split_once("*/")?;
    let mut words = instruction.split_whitespace().skip_while(|word| word.starts_with('@'));
    let name = words.next()?.split('.').next()?;
    // Only the padding after the end of the code consists of these.
    if !name.starts_with(|c: char| c.is_ascii_uppercase()) || name == "NOP" {
        return None;
    }
    let target = instruction
        .split_once("`(")
        .and_then(|(_, rest)| rest.split(')').next());
    Some(Line::Instruction(kind(name), target.filter(|_| name == "BRA")))
}

/// What has none of these names is computed by the lanes' units for integers.
const KINDS: [(Kind, &[&str]); 9] = [
    (Kind::Fma, &["FADD", "FMUL", "FFMA", "IMAD", "FADD2", "FMUL2", "FFMA2"]),
    (
        Kind::Special,
        &["MUFU", "F2I", "I2F", "F2F", "I2FP", "F2FP", "POPC", "FLO"],
    ),
    (Kind::Load, &["LDG", "LD", "LDL"]),
    (Kind::Store, &["STG", "ST", "STL", "ATOMG", "RED"]),
    (Kind::Group, &["LDS", "STS", "ATOMS"]),
    (Kind::ScalarLoad, &["LDC", "ULDC"]),
    (Kind::Shuffle, &["SHFL"]),
    (Kind::Barrier, &["BAR"]),
    (
        Kind::Control,
        &[
            "BRA", "EXIT", "BSSY", "BSYNC", "WARPSYNC", "CALL", "RET", "BRX", "S2R", "S2UR", "CS2R", "DEPBAR",
            "ERRBAR", "MEMBAR",
        ],
    ),
];

fn kind(name: &str) -> Kind {
    let found = KINDS.iter().find(|(_, names)| names.contains(&name));
    match found {
        Some((kind, _)) => *kind,
        // Uniform registers are those of a whole subgroup.
        None if name.starts_with('U') || name == "R2UR" => Kind::Scalar,
        None => Kind::Alu,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_labels_instructions_or_nothing() {
        for (text, expected) in [
            (".L_x_3:", Some(Line::Label(".L_x_3"))),
            (
                "        /*0040*/    FFMA.FTZ R2, R3, R4, R5 ;",
                Some(Line::Instruction(Kind::Fma, None)),
            ),
            (
                "        /*0050*/    @!P0 IADD3 R2, R3, R4, RZ ;",
                Some(Line::Instruction(Kind::Alu, None)),
            ),
            (
                "        /*0060*/    @P1 BRA `(.L_x_3) ;",
                Some(Line::Instruction(Kind::Control, Some(".L_x_3"))),
            ),
            ("        /*0070*/    NOP ;", None),
            ("\t.section\t.text.main_", None),
        ] {
            assert_eq!(line(text), expected, "{text:?}");
        }
    }
}

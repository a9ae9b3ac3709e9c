//! AMD's assembly, as Mesa writes it.

use super::listing::{Kind, Line, Listing};

pub(crate) fn listing(assembly: &str) -> Listing {
    Listing::new(assembly.lines().filter_map(line))
}

/// Labels are `BB7:`; an instruction is indented, and its encoding follows after a semicolon.
fn line(text: &str) -> Option<Line<'_>> {
    if let Some(label) = text.strip_suffix(':').filter(|l| l.starts_with("BB")) {
        return Some(Line::Label(label));
    }
    let instruction = text.strip_prefix('\t')?.split(';').next()?;
    let mut words = instruction.split_whitespace();
    let name = words.next()?;
    let target = words
        .next()
        .filter(|_| name.starts_with("s_branch") || name.starts_with("s_cbranch"));
    Some(Line::Instruction(kind(name), target))
}

/// Instructions whose names begin so are of this kind; the first that fits counts.
const KINDS: [(&str, Kind); 23] = [
    ("v_", Kind::Vector),
    ("buffer_store", Kind::Store),
    ("global_store", Kind::Store),
    ("flat_store", Kind::Store),
    ("scratch_store", Kind::Store),
    ("buffer_", Kind::Load),
    ("global_", Kind::Load),
    ("flat_", Kind::Load),
    ("scratch_", Kind::Load),
    ("ds_", Kind::Group),
    ("s_load", Kind::ScalarLoad),
    ("s_buffer_load", Kind::ScalarLoad),
    ("s_barrier", Kind::Barrier),
    ("s_branch", Kind::Control),
    ("s_cbranch", Kind::Control),
    ("s_wait", Kind::Control),
    ("s_delay", Kind::Control),
    ("s_clause", Kind::Control),
    ("s_nop", Kind::Control),
    ("s_inst_prefetch", Kind::Control),
    ("s_endpgm", Kind::Control),
    ("s_sendmsg", Kind::Control),
    // Padding after the end of the code.
    ("s_code_end", Kind::Control),
];

fn kind(name: &str) -> Kind {
    let found = KINDS.iter().find(|(prefix, _)| name.starts_with(prefix));
    found.map_or(Kind::Scalar, |(_, kind)| *kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_labels_instructions_or_nothing() {
        for (text, expected) in [
            ("BB12:", Some(Line::Label("BB12"))),
            (
                "\tv_add_f32_e32 v0, v1, v2   ; 06000501",
                Some(Line::Instruction(Kind::Vector, None)),
            ),
            (
                "\tbuffer_store_dwordx4 v[0:3], v5 ; e078",
                Some(Line::Instruction(Kind::Store, None)),
            ),
            (
                "\ts_cbranch_scc0 BB2 ; bf84",
                Some(Line::Instruction(Kind::Control, Some("BB2"))),
            ),
            (
                "\ts_add_u32 s0, s1, s2 ; 80",
                Some(Line::Instruction(Kind::Scalar, None)),
            ),
            ("", None),
        ] {
            assert_eq!(line(text), expected, "{text:?}");
        }
    }
}

// See option/on/other.wgsl.

const HAS_OTHER: bool = false;

fn read_other(i: u32) -> Source {
    return Source();
}

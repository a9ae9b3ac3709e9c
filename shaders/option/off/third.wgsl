// See option/on/third.wgsl.

const HAS_THIRD: bool = false;

fn read_third(i: u32) -> Source {
    return Source();
}

// No result of the logits' shape was asked for.

const HAS_RESULT: bool = false;

fn store_quad(start: u32, quad: u32, bits: vec4<u32>) {
}

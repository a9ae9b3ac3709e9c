// How many quads of a row, or of a chunk of it, one lane keeps in registers.
const HELD: u32 = 2u;

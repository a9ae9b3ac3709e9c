// What a row sees of its text: the last CONTEXT characters before its end. Rows of a training batch share one text, with a STRIDE
// of 0; rows that are decoded have STRIDE characters each.

override ROWS: u32 = 1u;
override CLASSES: u32 = 1u;
override STRIDE: u32 = 0u;
const CONTEXT: u32 = 8u;
const HIDDEN: u32 = 64u;

@group(0) @binding(0) var<storage, read> text: array<u32>;
@group(0) @binding(1) var<storage, read> ends: array<u32>;

// The character that is `back` places before the last one; CLASSES where the text has not begun yet, and for what is no character.
fn character_at(row: u32, back: u32) -> u32 {
    let end = ends[row];
    if end < row * STRIDE + back + 1u {
        return CLASSES;
    }
    return min(text[end - 1u - back], CLASSES);
}

// Where the embedding of a character in a place begins: each place has its own, for CLASSES characters and for none.
fn embedding_at(back: u32, character: u32) -> u32 {
    return (back * (CLASSES + 1u) + character) * HIDDEN;
}

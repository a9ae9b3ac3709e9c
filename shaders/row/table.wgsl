// Rows of unequal length. A dispatch takes rows of similar length, as if all had `params.classes`; a table has an entry for each, in
// which `lane_of` finds what is the row's own. Classes that a row does not have are missing as those after any row's last are, so
// that its bits follow from its own number of classes. Rust twin: `RowTable` in src/dispatch/ragged.rs.

//#import "params"

const ROW_TABLE: u32 = 45u;
// The row's number in the part of the batch that is bound, its first element there, its classes, and the label smoothing's share of
// a class, as bits of f32.
@group(0) @binding(ROW_TABLE) var<storage, read> row_table: array<vec4<u32>>;

// The row at hand: its place among the rows of the dispatch, and the rest of its entry.
var<private> row_place: u32;
var<private> row_first: u32;
var<private> row_classes: u32;
var<private> row_smoothing: f32;

// The number of the row at a place among those of the dispatch.
fn find_row(place: u32) -> u32 {
    let entry = row_table[offset_of(ROW_TABLE) + place];
    row_place = place;
    row_first = entry.y;
    row_classes = entry.z;
    row_smoothing = bitcast<f32>(entry.w);
    return entry.x;
}

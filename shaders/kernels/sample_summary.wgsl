// How many rows have no token, and the first of them. One work-group goes through the tokens of all rows of a part.

//#import "row/stats"

const TOKENS: u32 = 31u;
@group(0) @binding(TOKENS) var<storage, read> tokens: array<u32>;

// Rust twin: `SampleSummary` in src/ops/sample/summary.rs.
const SAMPLE_SUMMARY: u32 = 40u;
@group(0) @binding(SAMPLE_SUMMARY) var<storage, read_write> sample_summary: array<u32>;

var<workgroup> missing: atomic<u32>;
var<workgroup> first_missing: atomic<u32>;

fn run(lane: Lane) {
    let local = local_index(lane);
    if local == 0u {
        atomicStore(&missing, 0u);
        atomicStore(&first_missing, NO_TOKEN);
    }
    workgroupBarrier();
    for (var row = local; row < params.rows; row += WORKGROUP_SIZE) {
        if tokens[offset_of(TOKENS) + row] == NO_TOKEN {
            atomicAdd(&missing, 1u);
            atomicMin(&first_missing, params.first_row + row);
        }
    }
    workgroupBarrier();
    if local == 0u {
        var count = atomicLoad(&missing);
        var first = atomicLoad(&first_missing);
        let at = offset_of(SAMPLE_SUMMARY);
        if params.first_row > 0u {
            // The parts before this one have left theirs.
            count += sample_summary[at];
            first = min(first, sample_summary[at + 1u]);
        }
        sample_summary[at] = count;
        sample_summary[at + 1u] = first;
    }
}

// copied[i] = source[i], four words at a time. No kernel that moves as many bytes can be faster.
// WIDTH neighbouring invocations copy neighbouring vec4s; each invocation copies EACH of them, WIDTH apart.

override GROUP: u32 = 64u;
override WIDTH: u32 = 64u;
override EACH: u32 = 1u;

@group(0) @binding(0) var<storage, read> source: array<vec4<u32>>;
@group(0) @binding(1) var<storage, read_write> copied: array<vec4<u32>>;

@compute @workgroup_size(GROUP)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let group = workgroup.y * groups.x + workgroup.x;
    let first = (group * GROUP + local / WIDTH * WIDTH) * EACH + local % WIDTH;
    for (var i = 0u; i < EACH; i++) {
        let at = first + i * WIDTH;
        if at < arrayLength(&copied) {
            copied[at] = source[at];
        }
    }
}

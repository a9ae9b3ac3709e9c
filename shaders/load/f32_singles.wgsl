// f32, one element at a time: any number of classes, any stride, any offset, the class axis anywhere.

alias Source = u32;

fn source_one(which: u32, start: u32, class_index: u32) -> u32 {
    // Without a branch, which lanes would take turns in.
    return read_source(which, offset_of(which) + start + min(class_index, class_count() - 1u) * params.inner);
}

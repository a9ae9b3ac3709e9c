//! Sampling recorded on the caller's buffers: what a call on host slices gives, within guards.

use super::common::buffers::{GUARD, encode, encoder, guarded, inside, unguarded};
use super::common::{Random, Subject, bits, equal, gpu, must, places};
use wgpu_softmax::testing::SampleBatch;
use wgpu_softmax::{
    Allowed, History, NO_TOKEN, Rows, Sample, SampleBuffers, SampleOutput, SampleParams, SampleRows, Values, Words,
    wgpu,
};

/// The inputs of a batch, on the device.
struct Inputs {
    logits: wgpu::Buffer,
    params: wgpu::Buffer,
    history: wgpu::Buffer,
    allowed: wgpu::Buffer,
    bias_classes: wgpu::Buffer,
    bias_values: wgpu::Buffer,
}

/// What is written, and its words.
struct Outputs(Vec<(&'static str, wgpu::Buffer)>);

fn input(words: &[u32]) -> wgpu::Buffer {
    guarded(Some(words), words.len())
}

fn on_host(words: &Words) -> &[u32] {
    match words {
        Words::Host(words) => words,
        other => panic!("{other:?} is not on the host"),
    }
}

impl Inputs {
    /// Copies what the options hold, with the logits so far apart as `rows` says, and guards between them.
    fn new(batch: &SampleBatch, options: &Sample, rows: Rows) -> Self {
        let mut logits = vec![GUARD; rows.elements().unwrap()];
        for row in 0..rows.count() {
            let start = places(&rows, row).next().unwrap();
            logits[start..start + rows.classes()].copy_from_slice(&bits(batch.row(row)));
        }
        let (history, bias) = (options.history.as_ref().unwrap(), options.bias.as_ref().unwrap());
        let Some(Allowed::PerRow(allowed)) = &options.allowed else {
            panic!("each row should have allowed classes");
        };
        let Values::Host(bias_values) = &bias.values else {
            panic!("{:?} is not on the host", bias.values);
        };
        Self {
            logits: input(&logits),
            params: input(bytemuck::cast_slice(&batch.params)),
            history: input(on_host(&history.tokens)),
            allowed: input(on_host(allowed)),
            bias_classes: input(on_host(&bias.classes)),
            bias_values: input(&bits(bias_values)),
        }
    }
}

impl Outputs {
    fn new(rows: Rows, top_n: usize) -> Self {
        let (count, elements) = (rows.count(), rows.elements().unwrap());
        let lists = [
            ("tokens", count),
            ("log_probs", count),
            ("ranks", count),
            ("kept", count),
            ("top_ids", count * top_n),
            ("top_log_probs", count * top_n),
            ("probs", elements),
        ];
        Self(lists.map(|(name, words)| (name, guarded(None, words))).into())
    }

    fn buffers<'a>(&'a self, inputs: &'a Inputs) -> SampleBuffers<'a> {
        let at = |i: usize| Some(inside(&self.0[i].1));
        SampleBuffers {
            params: Some(inside(&inputs.params)),
            history: Some(inside(&inputs.history)),
            allowed: Some(inside(&inputs.allowed)),
            bias_classes: Some(inside(&inputs.bias_classes)),
            bias_values: Some(inside(&inputs.bias_values)),
            log_probs: at(1),
            ranks: at(2),
            kept: at(3),
            top_ids: at(4),
            top_log_probs: at(5),
            probs: at(6),
            ..SampleBuffers::new(inside(&inputs.logits), inside(&self.0[0].1))
        }
    }

    /// Everything that was written is what a call on the host gave, in rows as far apart as `rows` says.
    #[track_caller]
    fn are(&self, subject: &Subject<'_>, rows: Rows, host: &SampleOutput) {
        let mut probs = vec![GUARD; rows.elements().unwrap()];
        for (row, values) in host.probs.as_ref().unwrap().chunks(rows.classes()).enumerate() {
            let start = places(&rows, row).next().unwrap();
            probs[start..start + rows.classes()].copy_from_slice(&bits(values));
        }
        let words = |list: &Option<Vec<u32>>| list.clone().unwrap();
        let float_words = |list: &Option<Vec<f32>>| bits(list.as_ref().unwrap());
        let expected = [
            host.tokens.clone(),
            float_words(&host.log_probs),
            words(&host.ranks),
            words(&host.kept),
            words(&host.top_ids),
            float_words(&host.top_log_probs),
            probs,
        ];
        for ((name, buffer), expected) in self.0.iter().zip(&expected) {
            must(subject.each(name, &unguarded(subject, name, buffer), expected));
        }
    }
}

/// The same options, with all numbers in buffers.
fn in_buffers(options: &Sample) -> Sample {
    let mut options = options.clone();
    options.rows = SampleRows::Buffer;
    if let Some(history) = &mut options.history {
        history.tokens = Words::Buffer;
    }
    options.allowed = Some(Allowed::PerRow(Words::Buffer));
    if let Some(bias) = &mut options.bias {
        (bias.classes, bias.values) = (Words::Buffer, Values::Buffer);
    }
    options
}

fn batch(random: &mut Random) -> (SampleBatch, Sample) {
    let mut batch = SampleBatch::new(random, 28, 33, true);
    batch.joint = false;
    let options = Sample {
        probs: true,
        ..batch.options()
    };
    (batch, options)
}

#[test]
fn recorded_sampling_writes_what_a_host_call_returns_and_nothing_else() {
    let (batch, options) = batch(&mut Random(101));
    let host = gpu().sample(&batch.logits, batch.rows, &options).unwrap();
    for rows in [batch.rows, batch.rows.with_row_stride(37)] {
        let inputs = Inputs::new(&batch, &options, rows);
        let subject = Subject::new::<f32>("sample, recorded,", rows, &batch.joint);
        let kernel = in_buffers(&options).prepare(gpu(), rows).unwrap();
        let outputs = Outputs::new(rows, options.top_n);
        encode(|encoder| kernel.encode(encoder, &outputs.buffers(&inputs)).unwrap());
        outputs.are(&subject, rows, &host);

        let outputs = Outputs::new(rows, options.top_n);
        let bound = kernel.bind(&outputs.buffers(&inputs)).unwrap();
        let mut commands = encoder();
        let recorded = bound.encode(&mut commands);
        equal(&subject, "bytes allocated", recorded.allocated_bytes, 0);
        let mut pass = commands.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
        // A second time, over what the first one left.
        bound.record(&mut pass);
        drop(pass);
        gpu().queue().submit([commands.finish()]);
        outputs.are(&subject, rows, &host);
        for (name, buffer) in [("the logits", &inputs.logits), ("the params", &inputs.params)] {
            unguarded(&subject, name, buffer);
        }
    }
}

/// Histories and biases of one step leave nothing to the next, whose rows are others.
#[test]
fn a_kernel_forgets_the_classes_that_it_penalised_before() {
    let mut random = Random(103);
    let (first, options) = batch(&mut random);
    let (second, _) = batch(&mut random);
    let kernel = in_buffers(&options).prepare(gpu(), first.rows).unwrap();
    let subject = Subject::new::<f32>("sample, recorded,", first.rows, &first.joint);
    let host = |batch: &SampleBatch| {
        let options = Sample {
            probs: true,
            ..batch.options()
        };
        (
            options.clone(),
            gpu().sample(&batch.logits, batch.rows, &options).unwrap(),
        )
    };
    let both = [&first, &second].map(|batch| (batch, host(batch)));
    for step in [0, 1, 1, 0, 2, 0] {
        let (batch, (options, expected)) = &both[step % 2];
        let mut inputs = Inputs::new(batch, options, batch.rows);
        if step == 2 {
            // Every token of the histories is out of range.
            let history = on_host(&options.history.as_ref().unwrap().tokens);
            inputs.history = input(&vec![33; history.len()]);
        }
        let outputs = Outputs::new(batch.rows, options.top_n);
        encode(|encoder| kernel.encode(encoder, &outputs.buffers(&inputs)).unwrap());
        if step == 2 {
            let tokens = unguarded(&subject, "tokens", &outputs.0[0].1);
            equal(&subject, "the tokens", tokens, vec![NO_TOKEN; 28]);
        } else {
            outputs.are(&subject, batch.rows, expected);
        }
    }
}

#[test]
fn parameters_out_of_range_in_a_buffer_make_rows_without_a_token() {
    let (mut batch, options) = batch(&mut Random(102));
    let good = SampleParams::default().at(7, 7);
    let bad = |change: fn(&mut SampleParams)| {
        let mut params = good;
        change(&mut params);
        params
    };
    let all = [
        bad(|p| p.temperature = -1.0),
        bad(|p| p.temperature = f32::NAN),
        bad(|p| p.temperature = f32::INFINITY),
        bad(|p| p.temperature = 1e-40),
        bad(|p| p.top_p = 1.5),
        bad(|p| p.top_p = -0.1),
        bad(|p| p.top_p = f32::NAN),
        bad(|p| p.min_p = 1.000_000_1),
        bad(|p| p.min_p = f32::NAN),
        bad(|p| p.repetition_penalty = 0.0),
        bad(|p| p.repetition_penalty = -2.0),
        bad(|p| p.repetition_penalty = f32::NAN),
        bad(|p| p.presence_penalty = f32::NAN),
        bad(|p| p.frequency_penalty = f32::NEG_INFINITY),
    ];
    let of_row = |row: usize| if row.is_multiple_of(2) { good } else { all[row / 2] };
    batch.params = (0..28).map(of_row).collect();
    let kernel = in_buffers(&options).prepare(gpu(), batch.rows).unwrap();
    let inputs = Inputs::new(&batch, &options, batch.rows);
    let outputs = Outputs::new(batch.rows, options.top_n);
    encode(|encoder| kernel.encode(encoder, &outputs.buffers(&inputs)).unwrap());
    let subject = Subject::new::<f32>("sample, recorded,", batch.rows, &batch.params);
    let tokens = unguarded(&subject, "tokens", &outputs.0[0].1);
    let log_probs = unguarded(&subject, "log_probs", &outputs.0[1].1);
    let good_tokens = batch.drawn();
    for row in 0..28usize {
        let expected = if row.is_multiple_of(2) {
            good_tokens[row].token
        } else {
            NO_TOKEN
        };
        equal(&subject, &format!("the token of row {row}"), tokens[row], expected);
        let is_nan = f32::from_bits(log_probs[row]).is_nan();
        equal(
            &subject,
            &format!("whether row {row} has no log-probability"),
            is_nan,
            expected == NO_TOKEN,
        );
    }
}

/// Work-groups are arranged in two dimensions, and some of the last line have no row.
#[test]
fn more_rows_than_a_grid_is_wide_are_penalised_alike() {
    let rows = Rows::new(65_537, 4);
    let history: Vec<u32> = (0..rows.count() as u32).map(|row| row % 4).collect();
    let params = SampleParams {
        presence_penalty: 1.0,
        ..SampleParams::greedy()
    };
    let options = Sample {
        history: Some(History {
            length: 1,
            tokens: history.clone().into(),
        }),
        ..Sample::new(params)
    };
    // The class that was generated was the largest, and another is less than 1 below it.
    let mut logits = vec![0f32; rows.count() * 4];
    for (x, class) in logits.chunks_mut(4).zip(&history) {
        x[*class as usize] = 2.5;
        x[(*class as usize + 1) % 4] = 2.0;
    }
    let expected: Vec<u32> = history.iter().map(|class| (class + 1) % 4).collect();
    let subject = Subject::new::<f32>("sample with a history", rows, &"");
    for _ in 0..2 {
        let out = gpu().sample(&logits, rows, &options).unwrap();
        must(subject.each("tokens", &out.tokens, &expected));
    }
}

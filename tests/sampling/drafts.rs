//! Drafts: the tokens are those of plain f32 Rust, and as frequent as without a draft.

use super::common::buffers::{encode, encoder, guarded, inside, unguarded};
use super::common::{GPUS, Random, Subject, bits, equal, gpu, must, on};
use super::frequencies::{bound, chi_square};
use wgpu_softmax::testing::{DraftBatch, SampleBatch};
use wgpu_softmax::{
    Draft, Gpu, GpuOptions, NO_TOKEN, Rows, Sample, SampleBuffers, SampleOutput, SampleParams, Schedule, Values, Words,
    reference,
};

fn batch(random: &mut Random, sequences: usize, length: usize, classes: usize, is_full: bool) -> DraftBatch {
    let target = SampleBatch::new(random, sequences * (length + 1), classes, is_full);
    DraftBatch::new(random, target, length, is_full)
}

#[track_caller]
fn must_be_of_twin(gpu: &Gpu, batch: &DraftBatch, options: &Sample) {
    let rows = batch.target.rows;
    let out = gpu.sample(&batch.target.logits, rows, options).unwrap();
    let subject = Subject::new::<f32>(on("sample with a draft", gpu), rows, &options.schedule);
    let (tokens, accepted) = batch.verified();
    must(subject.each("tokens", &out.tokens, &tokens));
    must(subject.each("accepted", &out.accepted.unwrap(), &accepted));
}

#[test]
fn tokens_of_drafts_are_those_of_the_twin() {
    let mut random = Random(101);
    let mut counts = [0; 5];
    for gpu in GPUS.iter() {
        for (sequences, length, classes) in [(64, 1, 2), (40, 4, 33), (12, 3, 1025), (3, 2, 50_257)] {
            for is_full in [false, true] {
                let batch = batch(&mut random, sequences, length, classes, is_full);
                must_be_of_twin(gpu, &batch, &batch.options());
                batch.verified().1.iter().for_each(|&count| counts[count as usize] += 1);
            }
        }
    }
    assert!(
        counts.iter().all(|&count| count > 0),
        "how often 0, 1, 2, 3 and 4 tokens are accepted: {counts:?}"
    );
}

#[test]
fn tokens_of_drafts_do_not_depend_on_the_schedule_or_on_parts() {
    let batch = batch(&mut Random(102), 7, 3, 2100, true);
    for schedule in [
        Schedule::Split { lanes: 64, pieces: 2 },
        Schedule::Chunked { lanes: 32 },
    ] {
        let options = Sample {
            schedule: Some(schedule),
            ..batch.options()
        };
        must_be_of_twin(gpu(), &batch, &options);
    }
    // Five rows, of which a sequence has four.
    let options = GpuOptions {
        part_bytes: 5 * 4 * 2100,
        ..GpuOptions::default()
    };
    must_be_of_twin(&Gpu::with_options(&options).unwrap(), &batch, &batch.options());
}

/// A span of such rows has two chunks.
#[test]
fn drafts_of_more_than_a_million_classes_are_those_of_the_twin() {
    let mut random = Random(103);
    let (sequences, classes) = (12, 1_049_600);
    let rows = Rows::new(2 * sequences, classes);
    // Half of what is left after the first token is in the last classes, whose span is the shorter one.
    let mut logits = random.logits(rows.count() * classes, 1.0);
    logits
        .chunks_mut(classes)
        .for_each(|row| row[classes - 700..].iter_mut().for_each(|x| *x += 6.0));
    let params: Vec<SampleParams> = (0..rows.count() as u64)
        .map(|row| SampleParams::default().at(103, row))
        .collect();
    let options = Sample {
        draft: Some(Draft::new(1, vec![5; sequences])),
        ..Sample::per_row(params.clone())
    };
    let out = gpu().sample(&logits, rows, &options).unwrap();
    let subject = Subject::new::<f32>("sample with a draft", rows, &"");
    let values: Vec<Vec<f32>> = logits.chunks(classes).map(<[f32]>::to_vec).collect();
    let mut expected = Vec::new();
    for sequence in 0..sequences {
        let of_sequence = wgpu_softmax::twin::Sequence {
            values: &values[2 * sequence..2 * sequence + 2],
            params: &params[2 * sequence..2 * sequence + 2],
            joint: false,
        };
        expected.extend(wgpu_softmax::twin::verify_draft(&of_sequence, &[5], None).0);
    }
    must(subject.each("tokens", &out.tokens, &expected));
}

/// The row's own probabilities as the draft's: whatever was drawn with them is accepted.
#[test]
fn a_draft_by_the_model_itself_is_accepted() {
    let target = SampleBatch::new(&mut Random(104), 48, 300, false);
    let asked = Sample {
        probs: true,
        ..target.options()
    };
    let own = gpu().sample(&target.logits, target.rows, &asked).unwrap();
    let pick = |row: &usize| row % 4 < 3;
    let tokens: Vec<u32> = (0..48).filter(pick).map(|row| own.tokens[row]).collect();
    let probs = own.probs.unwrap();
    let probs: Vec<f32> = (0..48)
        .filter(pick)
        .flat_map(|row| probs[300 * row..300 * (row + 1)].to_vec())
        .map(|q| if q.is_nan() { 0.0 } else { q })
        .collect();
    let options = Sample {
        draft: Some(Draft {
            probs: Some(Values::from(probs)),
            ..Draft::new(3, tokens)
        }),
        ..target.options()
    };
    let out = gpu().sample(&target.logits, target.rows, &options).unwrap();
    let subject = Subject::new::<f32>("sample with its own draft", target.rows, &"");
    for (sequence, tokens) in own.tokens.chunks(4).enumerate() {
        let end = tokens
            .iter()
            .position(|&token| token == NO_TOKEN)
            .map_or(4, |at| at + 1);
        let got = &out.tokens[4 * sequence..];
        must(subject.each("tokens", &got[..end], &tokens[..end]));
        equal(
            &subject,
            "accepted",
            out.accepted.as_ref().unwrap()[sequence] as usize,
            end - 1,
        );
    }
}

/// Rows without a token of the draft have the tokens that they have without it.
#[test]
fn an_empty_draft_changes_no_first_token() {
    let target = SampleBatch::new(&mut Random(105), 30, 40, true);
    let own = gpu().sample(&target.logits, target.rows, &target.options()).unwrap();
    let options = Sample {
        draft: Some(Draft::new(2, [NO_TOKEN; 20])),
        ..target.options()
    };
    let out = gpu().sample(&target.logits, target.rows, &options).unwrap();
    let subject = Subject::new::<f32>("sample with an empty draft", target.rows, &"");
    let expected: Vec<u32> = own.tokens.chunks(3).flat_map(|t| [t[0], NO_TOKEN, NO_TOKEN]).collect();
    must(subject.each("tokens", &out.tokens, &expected));
    must(subject.each("accepted", &out.accepted.unwrap(), &[0; 10]));
}

/// How often each class is the first of two tokens, replaces the first, and is the last.
fn counts_of(out: &SampleOutput, classes: usize) -> [Vec<u64>; 3] {
    let mut counts = [vec![0; classes], vec![0; classes], vec![0; classes]];
    for (pair, &accepted) in out.tokens.chunks(2).zip(out.accepted.as_ref().unwrap()) {
        counts[0][pair[0] as usize] += 1;
        match accepted {
            0 => counts[1][pair[0] as usize] += 1,
            _ => counts[2][pair[1] as usize] += 1,
        }
    }
    counts
}

/// The first token of a sequence is as frequent as its row's probabilities say, though it is proposed with others, and those
/// that take the place of a token are as frequent as the differences say.
#[test]
fn tokens_of_drafts_are_as_frequent_as_without_one() {
    let (sequences, classes) = (20_000, 12);
    let falling: Vec<f32> = (0..classes).map(|c| -0.4 * c as f32).collect();
    let rising: Vec<f32> = (0..classes).map(|c| 0.2 * c as f32).collect();
    let rows = Rows::new(2 * sequences, classes);
    let params = SampleParams {
        temperature: 0.8,
        top_k: 9,
        ..SampleParams::default()
    };
    let draft_rows = Rows::new(sequences, classes);
    let draft_params: Vec<SampleParams> = (0..sequences as u64)
        .map(|i| SampleParams::default().at(7, i))
        .collect();
    let proposed = gpu()
        .sample(&rising.repeat(sequences), draft_rows, &Sample::per_row(draft_params))
        .unwrap();
    let exact_q = reference::sample(&rising, Rows::new(1, classes), &Sample::default())
        .unwrap()
        .probs;
    let q: Vec<f32> = exact_q.iter().map(|&q| q as f32).collect();
    let options = Sample {
        draft: Some(Draft {
            probs: Some(Values::from(q.repeat(sequences))),
            ..Draft::new(1, proposed.tokens.clone())
        }),
        ..Sample::per_row(
            (0..2 * sequences as u64)
                .map(|row| params.at(8, row))
                .collect::<Vec<_>>(),
        )
    };
    let out = gpu().sample(&falling.repeat(2 * sequences), rows, &options).unwrap();
    let exact = reference::sample(&falling.repeat(2), Rows::new(2, classes), &Sample::new(params)).unwrap();
    let one = Draft {
        probs: Some(Values::from(q)),
        ..Draft::new(1, [0])
    };
    let replacement = reference::verify_draft(&exact.probs, Rows::new(2, classes), &one)
        .unwrap()
        .replacement;
    let counts = counts_of(&out, classes);
    let p = &exact.probs[..classes];
    for (what, counts, expected) in [
        ("first", &counts[0], p),
        ("replacing", &counts[1], &replacement[..]),
        ("last", &counts[2], p),
    ] {
        let stray = (0..classes).find(|&c| counts[c] > 0 && expected[c] == 0.0);
        assert_eq!(stray, None, "a class of probability 0 among the {what} tokens");
        let (chi_square, degrees) = chi_square(counts, expected);
        println!("{what} tokens of drafts: chi-square {chi_square:.1}, {degrees} degrees of freedom");
        let bound = bound(degrees);
        assert!(chi_square <= bound, "{what} tokens: {chi_square} is more than {bound}");
    }
}

#[test]
fn drafts_in_buffers_give_what_drafts_on_the_host_give() {
    let batch = batch(&mut Random(106), 9, 2, 130, true);
    let (rows, mut host) = (batch.target.rows, batch.options());
    let Some(Draft {
        tokens: Words::Host(tokens),
        probs: Some(Values::Host(probs)),
        ..
    }) = host.draft.clone()
    else {
        panic!("the draft should be on the host");
    };
    // What is no probability is 0.
    let odd = |other: [f32; 2]| -> Vec<f32> {
        let of = |(i, &q): (usize, &f32)| if i % 3 == 0 { other[i % 2] } else { q };
        probs.iter().enumerate().map(of).collect()
    };
    host.draft = Some(Draft {
        probs: Some(odd([0.0; 2]).into()),
        ..Draft::new(2, tokens.clone())
    });
    let probs = odd([f32::NAN, -0.5]);
    let out = gpu().sample(&batch.target.logits, rows, &host).unwrap();
    let options = Sample {
        draft: Some(Draft {
            probs: Some(Values::Buffer),
            ..Draft::new(2, Words::Buffer)
        }),
        ..host.clone()
    };
    let logits = guarded(Some(&bits(&batch.target.logits)), batch.target.logits.len());
    let draft_tokens = guarded(Some(&tokens), tokens.len());
    let draft_probs = guarded(Some(&bits(&probs)), probs.len());
    let (drawn, accepted) = (guarded(None, 27), guarded(None, 9));
    let kernel = options.prepare(gpu(), rows).unwrap();
    let buffers = SampleBuffers {
        draft_tokens: Some(inside(&draft_tokens)),
        draft_probs: Some(inside(&draft_probs)),
        accepted: Some(inside(&accepted)),
        ..SampleBuffers::new(inside(&logits), inside(&drawn))
    };
    encode(|encoder| kernel.encode(encoder, &buffers).unwrap());
    let subject = Subject::new::<f32>("a recorded sample with a draft", rows, &"");
    must(subject.each("tokens", &unguarded(&subject, "tokens", &drawn), &out.tokens));
    let counts = out.accepted.unwrap();
    must(subject.each("accepted", &unguarded(&subject, "accepted", &accepted), &counts));
    let mut encoder = encoder();
    let missing = kernel.encode(
        &mut encoder,
        &SampleBuffers {
            accepted: None,
            ..buffers
        },
    );
    let message = missing.unwrap_err().to_string();
    assert!(message.contains("accepted"), "{message}");
}

#[test]
fn drafts_that_do_not_fit_are_errors_with_numbers() {
    let logits = [0f32; 24];
    let message = |count: usize, draft: Draft| {
        let options = Sample {
            draft: Some(draft),
            ..Sample::default()
        };
        let result = gpu().sample(&logits[..4 * count], Rows::new(count, 4), &options);
        result.unwrap_err().to_string()
    };
    for (message, parts) in [
        (message(5, Draft::new(2, [0; 2])), ["draft.length", "2 with 5 rows"]),
        (message(6, Draft::new(0, [])), ["draft.length", "0 with 6 rows"]),
        (message(0, Draft::new(usize::MAX, [])), ["draft.length", "at most"]),
        (message(6, Draft::new(2, [0; 3])), ["3 elements", "4"]),
        (
            message(6, Draft::new(2, [0, 1, 2, 4])),
            ["draft.tokens of row 4", "class 4"],
        ),
        (
            message(6, Draft::new(2, Words::Buffer)),
            ["Words::Buffer", "Words::Host"],
        ),
        (
            message(
                6,
                Draft {
                    probs: Some(Values::from([0.5f32; 15])),
                    ..Draft::new(2, [0; 4])
                },
            ),
            ["15 elements", "16"],
        ),
        (
            message(
                6,
                Draft {
                    probs: Some(Values::from([f32::NAN; 16])),
                    ..Draft::new(2, [0; 4])
                },
            ),
            ["draft.probs", "NaN"],
        ),
    ] {
        assert!(
            parts.iter().all(|part| message.contains(part)),
            "{message}: {parts:?} are missing"
        );
    }
}

/// Where there are no rows, every number of tokens would fit them.
#[test]
fn the_reference_refuses_drafts_that_are_too_long() {
    let result = reference::verify_draft(&[], Rows::new(0, 3), &Draft::new(usize::MAX, []));
    let message = result.unwrap_err().to_string();
    assert!(message.contains("draft.length"), "{message}");
}

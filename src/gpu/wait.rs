//! Waiting for the device: the only file that blocks a thread or spawns one. In a browser nothing may block: its event
//! loop turns by itself, and tells what was asked for when it does.

#[cfg(not(target_arch = "wasm32"))]
use futures_intrusive::channel::shared::oneshot_channel;
#[cfg(not(target_arch = "wasm32"))]
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Who waits for the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wait {
    /// The calling thread.
    #[cfg(not(target_arch = "wasm32"))]
    Blocking,
    /// A thread made for that, so that none of the runtime's threads is blocked; in a browser, its event loop.
    OnThread,
}

/// Runs a future to its end, on this thread.
#[cfg(not(target_arch = "wasm32"))]
pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    pollster::block_on(future)
}

/// Waits until a submission is over.
#[cfg(not(target_arch = "wasm32"))]
pub(super) async fn finished(
    device: &wgpu::Device,
    submission: wgpu::SubmissionIndex,
    wait: Wait,
) -> Result<(), String> {
    let device = device.clone();
    let poll = move || {
        let poll_type = wgpu::PollType::Wait {
            submission_index: Some(submission),
            timeout: None,
        };
        // wgpu panics if the device is lost meanwhile.
        catch_unwind(AssertUnwindSafe(|| {
            device.poll(poll_type).map(|_| ()).map_err(|e| e.to_string())
        }))
        .unwrap_or_else(|_| Err("it was lost while it was waited for".into()))
    };
    match wait {
        Wait::Blocking => poll(),
        Wait::OnThread => {
            let (sender, receiver) = oneshot_channel();
            std::thread::spawn(move || {
                // The receiver is gone if the caller dropped the future; then no one waits for the result.
                let _ = sender.send(poll());
            });
            receiver
                .receive()
                .await
                .unwrap_or_else(|| Err("the thread that waited for it ended".into()))
        }
    }
}

/// A browser maps a buffer once the submissions before are over.
#[cfg(target_arch = "wasm32")]
pub(super) async fn finished(_: &wgpu::Device, _: wgpu::SubmissionIndex, _: Wait) -> Result<(), String> {
    Ok(())
}

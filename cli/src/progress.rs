//! The progress bar.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

/// A bar on standard error, if that is a terminal, for work that lasts over a second. Dropping it takes it off the screen.
pub(crate) struct Bar {
    bar: ProgressBar,
    /// The thread that shows the bar after a second, and the channel whose closing tells it that the work is over.
    delayed: Option<(Sender<()>, JoinHandle<()>)>,
}

impl Bar {
    pub(crate) fn new(length: usize, unit: &str) -> Self {
        let bar = ProgressBar::with_draw_target(Some(length as u64), ProgressDrawTarget::hidden());
        if let Ok(style) = ProgressStyle::with_template(&format!("{{bar:40}} {{pos}}/{{len}} {unit}")) {
            bar.set_style(style);
        }
        let (work, is_over) = channel();
        let shown = bar.clone();
        let thread = std::thread::spawn(move || {
            if is_over.recv_timeout(Duration::from_secs(1)) == Err(RecvTimeoutError::Timeout) {
                shown.set_draw_target(ProgressDrawTarget::stderr());
                shown.enable_steady_tick(Duration::from_millis(100));
            }
        });
        let delayed = Some((work, thread));
        Self { bar, delayed }
    }

    /// Takes the bar off the screen while `print` prints something else.
    pub(crate) fn suspend<T>(&self, print: impl FnOnce() -> T) -> T {
        self.bar.suspend(print)
    }

    /// A function that moves the bar, to be called with how much is done and how much there is in all.
    pub(crate) fn on_progress(&self) -> impl Fn(usize, usize) + Send + Sync + use<> {
        let bar = self.bar.clone();
        move |done, total| {
            bar.set_length(total as u64);
            bar.set_position(done as u64);
        }
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        if let Some((work, thread)) = self.delayed.take() {
            drop(work);
            // A thread that is still running could show the bar after it has been cleared.
            let _ = thread.join();
        }
        self.bar.finish_and_clear();
    }
}

//! The progress bar.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

/// A bar on standard error, where that is a terminal, of work that lasts over a second. It is gone once this is dropped.
pub(crate) struct Bar {
    bar: ProgressBar,
    /// Shows the bar, unless told before that the work is over.
    late: Option<(Sender<()>, JoinHandle<()>)>,
}

impl Bar {
    pub(crate) fn new(length: usize, of: &str) -> Self {
        let bar = ProgressBar::with_draw_target(Some(length as u64), ProgressDrawTarget::hidden());
        if let Ok(style) = ProgressStyle::with_template(&format!("{{bar:40}} {{pos}}/{{len}} {of}")) {
            bar.set_style(style);
        }
        let (over, is_over) = channel();
        let shown = bar.clone();
        let late = std::thread::spawn(move || {
            if is_over.recv_timeout(Duration::from_secs(1)) == Err(RecvTimeoutError::Timeout) {
                shown.set_draw_target(ProgressDrawTarget::stderr());
                shown.enable_steady_tick(Duration::from_millis(100));
            }
        });
        let late = Some((over, late));
        Self { bar, late }
    }

    /// Prints something else while the bar is away.
    pub(crate) fn aside<T>(&self, print: impl FnOnce() -> T) -> T {
        self.bar.suspend(print)
    }

    /// What the library tells of the rows that are done.
    pub(crate) fn teller(&self) -> impl Fn(usize, usize) + Send + Sync + use<> {
        let bar = self.bar.clone();
        move |done, rows| {
            bar.set_length(rows as u64);
            bar.set_position(done as u64);
        }
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        if let Some((over, late)) = self.late.take() {
            drop(over);
            // Else it might show the bar after this.
            let _ = late.join();
        }
        self.bar.finish_and_clear();
    }
}

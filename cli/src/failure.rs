//! Why a command ends without its result: the `error:` line, and the exit code that says whose mistake it was.

use std::process::ExitCode;
use wgpu_softmax::{EncodeError, GpuError, RunError};

#[derive(Debug)]
pub(crate) enum Failure {
    /// The caller's mistake: flags, a file that is missing or is no array, shapes that do not fit, a target out of range.
    Caller(String),
    /// The machine's: no adapter, a device lost, memory or a disk that is full.
    Machine(String),
}

impl Failure {
    /// The message on one line, whatever line breaks a driver's or clap's text has.
    pub(crate) fn line(&self) -> String {
        let (Self::Caller(message) | Self::Machine(message)) = self;
        let words: Vec<&str> = message.split_whitespace().collect();
        format!("error: {}", words.join(" "))
    }

    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::Caller(_) => 2,
            Self::Machine(_) => 1,
        })
    }
}

impl From<GpuError> for Failure {
    fn from(error: GpuError) -> Self {
        Self::Machine(match &error {
            // The library knows the variables that choose an adapter, but not this command's flags, which go before them.
            GpuError::NoAdapter { .. } => format!("{error}. Check --backend and --adapter too"),
            _ => error.to_string(),
        })
    }
}

impl From<RunError> for Failure {
    fn from(error: RunError) -> Self {
        match error {
            RunError::Encode(
                EncodeError::OutOfMemory { .. }
                | EncodeError::Pipeline { .. }
                | EncodeError::RowTooLong { .. }
                | EncodeError::TooManyBuffers { .. },
            )
            | RunError::DeviceLost { .. }
            | RunError::Device { .. } => Self::Machine(error.to_string()),
            _ => Self::Caller(error.to_string()),
        }
    }
}

impl From<EncodeError> for Failure {
    fn from(error: EncodeError) -> Self {
        RunError::from(error).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_an_adapter_the_flags_are_named_too() {
        let error = GpuError::NoAdapter {
            wanted: String::new(),
            found: "none".into(),
            hint: "Check WGPU_BACKEND and WGPU_ADAPTER_NAME",
        };
        let line = Failure::from(error).line();
        for name in ["--backend", "--adapter", "WGPU_BACKEND", "WGPU_ADAPTER_NAME"] {
            assert_eq!(line.matches(name).count(), 1, "times that {name} stands in {line:?}");
        }
    }

    #[test]
    fn a_message_of_several_lines_is_printed_on_one() {
        let failure = Failure::Machine("the driver said:\n  no\tmemory\n".into());
        assert_eq!(failure.line(), "error: the driver said: no memory");
    }
}

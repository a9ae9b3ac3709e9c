//! The files that outputs become: who may read them, and what is said where one cannot be written.
#![cfg(unix)]
#![allow(clippy::unwrap_used)]

mod common;

use common::Folder;

fn mode(folder: &Folder, name: &str) -> u32 {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(folder.at(name)).unwrap().permissions().mode() & 0o7777
}

/// As a shell's `>` does it, whichever user the test runs as.
#[test]
fn a_new_file_has_the_umask_and_another_keeps_its_mode() {
    use std::os::unix::fs::PermissionsExt;
    let folder = Folder::new();
    folder.write("x.npy", &[1, 2], &[0f32; 2]);
    for (umask, new) in [("022", 0o644), ("027", 0o640), ("077", 0o600), ("002", 0o664)] {
        for old in [None, Some(0o600), Some(0o664), Some(0o444)] {
            let _ = std::fs::remove_file(folder.at("y.npy"));
            if let Some(old) = old {
                std::fs::write(folder.at("y.npy"), "before").unwrap();
                std::fs::set_permissions(folder.at("y.npy"), std::fs::Permissions::from_mode(old)).unwrap();
            }
            let command = folder.command(&["softmax", "x.npy", "-o", "y.npy"]);
            let script = format!("umask {umask}; exec \"$0\" \"$@\"");
            let mut shell = std::process::Command::new("sh");
            shell.arg("-c").arg(script).arg(command.get_program());
            shell.args(command.get_args()).current_dir(folder.at("."));
            let output = shell.output().unwrap();
            assert!(output.status.success(), "{output:?}");
            assert_eq!(folder.read::<f32>("y.npy").1, [0.5; 2]);
            let want = old.unwrap_or(new);
            assert_eq!(mode(&folder, "y.npy"), want, "umask {umask}, before {old:?}");
        }
    }
}

/// Nobody, root included, can create a file in /proc.
#[cfg(target_os = "linux")]
#[test]
fn an_output_that_cannot_be_written_is_named_as_it_was_given() {
    let folder = Folder::new();
    folder.write("x.npy", &[1, 2], &[0f32; 2]);
    let (code, message) = folder.fails("softmax x.npy -o /proc/y.npy");
    assert_eq!(code, 2, "{message}");
    assert_eq!(message, "error: /proc/y.npy: No such file or directory (os error 2)");
}

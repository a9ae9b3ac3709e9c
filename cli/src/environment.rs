//! The environment that drivers see.

/// Keeps two lines `error: XDG_RUNTIME_DIR is invalid or not set in the environment.` off standard error, which would look
/// like this command's own.
///
/// Mesa's Vulkan layer asks a Wayland compositor which device to list first, and the Wayland library prints that line
/// wherever there is no session, as on a server or in a container. Any absolute path silences it, and `/dev/null` is one in
/// which nobody can put a socket: the connection fails as before, and the layer goes on as before. (`NODEVICE_SELECT=1`
/// silences it too, but turns the layer off, and with it the user's `MESA_VK_DEVICE_SELECT` and `DRI_PRIME`.)
///
/// To be called before any thread is started.
#[cfg(target_os = "linux")]
#[allow(unsafe_code)]
pub(crate) fn silence_wayland() {
    if std::env::var_os("XDG_RUNTIME_DIR").is_none() {
        // SAFETY: this is the first thing that `main` does, so no other thread exists that could read the environment.
        unsafe { std::env::set_var("XDG_RUNTIME_DIR", "/dev/null") };
    }
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn silence_wayland() {}

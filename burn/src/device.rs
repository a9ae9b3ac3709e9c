//! The wgpu device behind a Burn device.

use burn::backend::{CubeDevice, DispatchDevice};
use burn::tensor::Device;
use burn::tensor::wgpu::{WgpuInitError, WgpuSetup};
use std::collections::HashMap;
use std::sync::{LazyLock, PoisonError, RwLock};
use wgpu_softmax::{Gpu, GpuError};

static GPUS: LazyLock<RwLock<HashMap<CubeDevice, Gpu>>> = LazyLock::new(RwLock::default);

/// Why a Burn device cannot run our kernels.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DeviceError {
    /// Burn could not set up its runtime, or it is running already. In that case whoever set it up has its wgpu device, and can
    /// pass it to [`attach`].
    #[error("Burn's wgpu runtime cannot be set up here: {0}")]
    Burn(#[from] WgpuInitError),
    /// The limits of the wgpu device are too small for the kernels.
    #[error(transparent)]
    Gpu(#[from] GpuError),
    /// The Burn device does not run on wgpu.
    #[error("{device} is no wgpu device: make one with burn_wgpu_softmax::device()")]
    NotWgpu {
        /// The device, as Burn names it.
        device: String,
    },
}

/// Sets up Burn's default wgpu device, and registers it with this crate. Call it once, before anything else uses that device, and
/// clone what it returns. The adapter is chosen as in Burn, by `CUBECL_WGPU_DEFAULT_DEVICE`.
///
/// ```no_run
/// let device = burn_wgpu_softmax::device()?;
/// let logits = burn::tensor::Tensor::<2>::from_floats([[1.0, 2.0, 3.0]], &device);
/// println!("{}", burn_wgpu_softmax::softmax(logits, 1));
/// # Ok::<(), burn_wgpu_softmax::DeviceError>(())
/// ```
///
/// # Errors
/// Every [`DeviceError`].
pub fn device() -> Result<Device, DeviceError> {
    let (device, setup) = Device::wgpu_options().init_with_setup()?;
    attach(&device, &setup)?;
    Ok(device)
}

/// Registers a device whose wgpu setup the caller has: from `Device::wgpu_options().init_with_setup()`, or one that the caller gave
/// to Burn with `Device::wgpu_options().setup(..)`.
///
/// # Errors
/// [`DeviceError::NotWgpu`], [`DeviceError::Gpu`].
pub fn attach(device: &Device, setup: &WgpuSetup) -> Result<(), DeviceError> {
    let key = key_of(device)?;
    // Burn keeps many tensors in one buffer.
    let gpu = Gpu::from_device(setup.device.clone(), setup.queue.clone())?.with_shared_buffers();
    let mut gpus = GPUS.write().unwrap_or_else(PoisonError::into_inner);
    gpus.insert(key, gpu);
    Ok(())
}

/// Checks that a device is registered. Under fusion the work runs later, where the caller would not see it fail.
pub(crate) fn check(device: &Device) {
    match key_of(device) {
        Ok(key) => drop(gpu_of(&key)),
        Err(error) => panic!("{error}"),
    }
}

/// The name by which tensors refer to their device.
fn key_of(device: &Device) -> Result<CubeDevice, DeviceError> {
    match device.clone().inner().as_dispatch() {
        DispatchDevice::Cube(key @ CubeDevice::Wgpu(_)) => Ok(key.clone()),
        _ => Err(DeviceError::NotWgpu {
            device: format!("{device:?}"),
        }),
    }
}

/// The registered device of a tensor.
pub(crate) fn gpu_of(device: &CubeDevice) -> Gpu {
    let gpus = GPUS.read().unwrap_or_else(PoisonError::into_inner);
    match gpus.get(device) {
        Some(gpu) => gpu.clone(),
        None => panic!(
            "burn-wgpu-softmax does not know {device:?}: make the device with burn_wgpu_softmax::device(), or tell \
             burn_wgpu_softmax::attach() its wgpu setup"
        ),
    }
}

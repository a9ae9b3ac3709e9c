//! Which wgpu device a Burn device runs on.

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
    /// Burn could not set its runtime up, or it runs already: then only whoever set it up has its wgpu device, for
    /// [`attach`].
    #[error("Burn's wgpu runtime cannot be set up here: {0}")]
    Burn(#[from] WgpuInitError),
    /// Its limits rule our kernels out.
    #[error(transparent)]
    Gpu(#[from] GpuError),
    /// It is no device of wgpu's.
    #[error("{device} is no wgpu device: make one with burn_wgpu_softmax::device()")]
    NotWgpu {
        /// The device.
        device: String,
    },
}

/// Burn's default wgpu device, made ready for this crate. To be called once, before Burn itself first uses that device; clone
/// what it returns. Adapters and backends are chosen as Burn does, by `CUBECL_WGPU_DEFAULT_DEVICE`.
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

/// Makes a device ready whose setup the caller has: from `Device::wgpu_options().init_with_setup()`, or handed to Burn
/// with `Device::wgpu_options().setup(..)`.
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

/// Checks that a device can run our kernels, before work is queued that may be run later, where nobody sees it fail.
pub(crate) fn check(device: &Device) {
    match key_of(device) {
        Ok(key) => drop(gpu_of(&key)),
        Err(error) => panic!("{error}"),
    }
}

/// What its tensors name it by.
fn key_of(device: &Device) -> Result<CubeDevice, DeviceError> {
    match device.clone().inner().as_dispatch() {
        DispatchDevice::Cube(key @ CubeDevice::Wgpu(_)) => Ok(key.clone()),
        _ => Err(DeviceError::NotWgpu {
            device: format!("{device:?}"),
        }),
    }
}

/// The device of a tensor.
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

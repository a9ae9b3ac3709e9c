//! [`Gpu`]: a device, on an adapter chosen here or given by the caller, with its settings. What it does is in the files
//! of `gpu/`.

mod adapter;
mod buffers;
mod error_scope;
#[cfg(target_arch = "wasm32")]
mod late_errors;
mod lock;
mod pipelines;
mod pool;
pub(crate) mod readback;
#[cfg(target_arch = "wasm32")]
mod scopes;
mod wait;

pub use adapter::{GpuOptions, adapters};
pub(crate) use wait::Wait;
#[cfg(not(target_arch = "wasm32"))]
pub(crate) use wait::block_on;

use crate::error::GpuError;
use crate::plan::Capabilities;
use crate::shader::Variant;
use adapter::best_adapter;
use futures_intrusive::sync;
use lock::lock;
use pool::{BufferLeases, Pool};
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex};

/// A device and queue, with the kernels made for them so far.
///
/// Cloning is cheap, and clones share everything; calls may come from many threads at once.
///
/// ```
/// use wgpu_softmax::{Gpu, Rows, Softmax};
/// let gpu = Gpu::new()?;
/// let probs = gpu.softmax(&[0.0, 0.0, 1.0, 1.0], Rows::new(2, 2), &Softmax::default())?;
/// assert_eq!(probs, [0.5; 4]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Gpu {
    inner: Arc<Inner>,
    /// As in the options.
    part_bytes: u64,
    progress: Option<Progress>,
    /// Whether a call may read and write parts of one buffer.
    shares_buffers: bool,
    /// The buffers lent to a call on host slices, in a clone made for that call.
    leases: Option<Arc<BufferLeases>>,
}

/// A callback that is told how many rows of a batch are done, and how many there are.
#[cfg(not(target_arch = "wasm32"))]
type Progress = Arc<dyn Fn(usize, usize) + Send + Sync>;
#[cfg(target_arch = "wasm32")]
type Progress = Arc<dyn Fn(usize, usize)>;

struct Inner {
    device: wgpu::Device,
    queue: wgpu::Queue,
    info: wgpu::AdapterInfo,
    limits: wgpu::Limits,
    capabilities: Capabilities,
    pool: Arc<Pool>,
    /// The pipelines made so far, by variant and by whether a call may share buffers.
    pipelines: Mutex<HashMap<(Variant, bool), Arc<wgpu::ComputePipeline>>>,
    /// Held while a pipeline is made, on OpenGL.
    gl_compile_lock: Mutex<()>,
    /// Held by one call at a time, on OpenGL.
    gl_call_lock: sync::Mutex<()>,
    errors: Arc<DeviceErrors>,
    /// Of what was recorded for the caller.
    #[cfg(target_arch = "wasm32")]
    recorded: scopes::Scopes,
}

/// What the device reported outside of any error scope.
#[derive(Default)]
struct DeviceErrors {
    lost: Mutex<Option<String>>,
    uncaptured: Mutex<Option<String>>,
}

impl fmt::Debug for Gpu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gpu")
            .field("adapter", &self.inner.info.name)
            .field("backend", &self.inner.info.backend)
            .finish()
    }
}

/// The pool keeps buffers for later calls, up to the bytes of this many parts of a batch: two parts in flight, of two
/// matrices each, and for each of these the device buffer and its copy for the host.
const PARTS_KEPT: u64 = 8;

impl Gpu {
    /// The fastest kind of adapter that is found: discrete, integrated, virtual, any other, and last software;
    /// `WGPU_BACKEND` and `WGPU_ADAPTER_NAME` narrow the choice.
    ///
    /// # Errors
    /// Every [`GpuError`]; without an adapter it says what to install.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn new() -> Result<Self, GpuError> {
        Self::with_options(&GpuOptions::default())
    }

    /// As [`Gpu::new`], with the caller's own choice.
    ///
    /// # Errors
    /// Every [`GpuError`].
    #[cfg(not(target_arch = "wasm32"))]
    pub fn with_options(options: &GpuOptions) -> Result<Self, GpuError> {
        block_on(Self::with_options_async(options))
    }

    /// [`Gpu::with_options`] for callers with a runtime.
    ///
    /// # Errors
    /// Every [`GpuError`].
    pub async fn with_options_async(options: &GpuOptions) -> Result<Self, GpuError> {
        let adapter = best_adapter(options).await?;
        let info = adapter.get_info();
        let descriptor = wgpu::DeviceDescriptor {
            label: Some("wgpu-softmax"),
            required_features: adapter.features() & (wgpu::Features::SUBGROUP | options.features),
            required_limits: adapter.limits(),
            ..Default::default()
        };
        let no_device = |message: String| GpuError::NoDevice {
            adapter: info.name.clone(),
            message,
        };
        let (device, queue) = adapter
            .request_device(&descriptor)
            .await
            .map_err(|e| no_device(e.to_string()))?;
        let errors = Arc::new(DeviceErrors::default());
        let kept = Arc::clone(&errors);
        device.set_device_lost_callback(move |reason, message| {
            *lock(&kept.lost) = Some(format!("{reason:?}: {message}"));
        });
        // In a browser wgpu 30 panics on an internal error here. The browser's console shows what no scope caught.
        #[cfg(not(target_arch = "wasm32"))]
        let kept = Arc::clone(&errors);
        #[cfg(not(target_arch = "wasm32"))]
        device.on_uncaptured_error(Arc::new(move |error: wgpu::Error| {
            lock(&kept.uncaptured).get_or_insert_with(|| error.to_string());
        }));
        Self::assemble(device, queue, options, errors)
    }

    /// Uses a device and queue of the caller's. The device's callbacks are left as they are. Subgroup kernels run if
    /// the device was made with [`wgpu::Features::SUBGROUP`].
    ///
    /// # Errors
    /// [`GpuError::TooSmall`] where the device's limits rule out every kernel.
    pub fn from_device(device: wgpu::Device, queue: wgpu::Queue) -> Result<Self, GpuError> {
        Self::assemble(device, queue, &GpuOptions::default(), Arc::default())
    }

    fn assemble(
        device: wgpu::Device,
        queue: wgpu::Queue,
        options: &GpuOptions,
        errors: Arc<DeviceErrors>,
    ) -> Result<Self, GpuError> {
        let (info, limits) = (device.adapter_info(), device.limits());
        if limits.max_compute_invocations_per_workgroup < 64 || limits.max_storage_buffers_per_shader_stage < 8 {
            return Err(GpuError::TooSmall {
                adapter: info.name,
                needed: "64 invocations a work-group and 8 storage buffers",
                available: format!(
                    "{} and {}",
                    limits.max_compute_invocations_per_workgroup, limits.max_storage_buffers_per_shader_stage
                ),
            });
        }
        let subgroups = options.subgroups && device.features().contains(wgpu::Features::SUBGROUP);
        let capabilities = Capabilities::new(&info, &limits, subgroups);
        let inner = Inner {
            device,
            queue,
            info,
            limits,
            capabilities,
            pool: Arc::new(Pool::new(options.part_bytes.saturating_mul(PARTS_KEPT))),
            pipelines: Mutex::default(),
            gl_compile_lock: Mutex::default(),
            gl_call_lock: sync::Mutex::new((), true),
            errors,
            #[cfg(target_arch = "wasm32")]
            recorded: scopes::Scopes::default(),
        };
        Ok(Self {
            inner: Arc::new(inner),
            part_bytes: options.part_bytes,
            progress: None,
            shares_buffers: false,
            leases: None,
        })
    }

    /// A clone whose calls that take host slices tell `progress`, after each part of a batch, how many of its rows are
    /// done and how many there are. It runs within the call, and must not wait for another one on the same [`Gpu`]. In a
    /// browser it need not be `Send` and `Sync`, so that it may call JavaScript.
    pub fn with_progress(&self, progress: impl Fn(usize, usize) + wgpu::WasmNotSendSync + 'static) -> Self {
        Self {
            progress: Some(Arc::new(progress)),
            ..self.clone()
        }
    }

    /// A clone for callers who keep many arrays in one buffer, as the memory pools of frameworks do: a call may read
    /// and write parts of one buffer that are apart. Its kernels bind every buffer as writable, as WebGPU requires in
    /// that case, and adapters may read such buffers a little more slowly.
    pub fn with_shared_buffers(&self) -> Self {
        Self {
            shares_buffers: true,
            ..self.clone()
        }
    }

    /// A clone for one call on host slices: its buffers come from the pool, and go back when the last of its clones is
    /// gone.
    pub(crate) fn leasing(&self) -> Self {
        #[cfg(not(target_arch = "wasm32"))]
        let leases = BufferLeases::of(&self.inner.pool);
        #[cfg(target_arch = "wasm32")]
        let leases = {
            let inner = Arc::clone(&self.inner);
            BufferLeases::of(&self.inner.pool, Arc::new(move || inner.forget_shared()))
        };
        Self {
            leases: Some(Arc::new(leases)),
            ..self.clone()
        }
    }

    /// A clone with another size of parts.
    pub(crate) fn with_part_bytes(&self, part_bytes: u64) -> Self {
        Self {
            part_bytes,
            ..self.clone()
        }
    }

    pub(crate) fn pool(&self) -> &Pool {
        &self.inner.pool
    }

    pub(crate) fn leases(&self) -> Option<&BufferLeases> {
        self.leases.as_deref()
    }

    pub(crate) fn tell_progress(&self, done: usize, rows: usize) {
        if let Some(progress) = &self.progress {
            progress(done, rows);
        }
    }

    /// The device.
    pub fn device(&self) -> &wgpu::Device {
        &self.inner.device
    }

    /// The queue.
    pub fn queue(&self) -> &wgpu::Queue {
        &self.inner.queue
    }

    /// What the adapter says of itself.
    pub fn adapter_info(&self) -> &wgpu::AdapterInfo {
        &self.inner.info
    }

    /// Whether the kernels use subgroup operations.
    pub fn uses_subgroups(&self) -> bool {
        self.inner.capabilities.subgroup.is_some()
    }

    pub(crate) fn shares_buffers(&self) -> bool {
        self.shares_buffers
    }

    pub(crate) fn limits(&self) -> &wgpu::Limits {
        &self.inner.limits
    }

    pub(crate) fn capabilities(&self) -> &Capabilities {
        &self.inner.capabilities
    }

    /// Bytes that travel at once: as many as the options say, but no more than the device's limits allow.
    pub(crate) fn part_bytes(&self) -> u64 {
        let limits = self.limits();
        self.part_bytes
            .min(limits.max_buffer_size)
            .min(limits.max_storage_buffer_binding_size)
    }

    /// Held for the whole of a call that takes host slices. On OpenGL, wgpu has one context for all threads, and panics
    /// in a thread that has waited 6 s for it, which can happen while another thread compiles or computes. So calls on
    /// OpenGL take turns here.
    pub(crate) async fn gl_call_lock(&self) -> Option<sync::MutexGuard<'_, ()>> {
        if self.inner.info.backend == wgpu::Backend::Gl {
            Some(self.inner.gl_call_lock.lock().await)
        } else {
            None
        }
    }
}

//! [`Gpu`]: an adapter chosen or a device handed in, and the pipelines made for it.

use crate::error::{EncodeError, GpuError, RunError};
use crate::plan::Traits;
use crate::pool::{Loans, Pool};
use crate::shader::Variant;
use futures_intrusive::sync;
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Which adapter [`Gpu::with_options`] takes, and how it uses it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GpuOptions {
    /// Backends to look at; `None`: those of `WGPU_BACKEND`, else all.
    pub backends: Option<wgpu::Backends>,
    /// Part of the adapter's name, in any case; `None`: that of `WGPU_ADAPTER_NAME`, else any.
    pub adapter_name: Option<String>,
    /// Whether to use subgroup operations where the adapter has them. Off, the group-memory kernels run that adapters
    /// without subgroups get; the results have the same bits.
    pub subgroups: bool,
    /// Features to ask the device for beside those the kernels use, where the adapter has them.
    pub features: wgpu::Features,
    /// Bytes of logits that travel to the device at once in the calls that take host slices; at least one row does. Up to
    /// eight times as many bytes of device memory are kept for calls to come.
    pub part_bytes: u64,
}

impl Default for GpuOptions {
    fn default() -> Self {
        Self {
            backends: None,
            adapter_name: None,
            subgroups: true,
            features: wgpu::Features::empty(),
            part_bytes: 32 << 20,
        }
    }
}

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
    /// Where buffers are lent to one call.
    loans: Option<Arc<Loans>>,
}

/// Told how many rows of a batch are done, and how many there are.
type Progress = Arc<dyn Fn(usize, usize) + Send + Sync>;

struct Inner {
    device: wgpu::Device,
    queue: wgpu::Queue,
    info: wgpu::AdapterInfo,
    limits: wgpu::Limits,
    traits: Traits,
    pool: Arc<Pool>,
    /// With whether buffers are shared.
    pipelines: Mutex<HashMap<(Variant, bool), Arc<wgpu::ComputePipeline>>>,
    /// Held while a pipeline is made, on OpenGL.
    making: Mutex<()>,
    /// Held by one call at a time, on OpenGL.
    turn: sync::Mutex<()>,
    faults: Arc<Faults>,
}

/// What the device reported outside of any error scope.
#[derive(Default)]
struct Faults {
    lost: Mutex<Option<String>>,
    uncaptured: Mutex<Option<String>>,
}

/// A panic in another thread leaves nothing half-written here, so a poisoned lock is as good as any.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for Gpu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gpu")
            .field("adapter", &self.inner.info.name)
            .field("backend", &self.inner.info.backend)
            .finish()
    }
}

/// Parts of a batch whose buffers are kept for calls to come: two under way, of two matrices, each with its copies for the host.
const PARTS_KEPT: u64 = 8;
const HINT: &str = "On Debian or Ubuntu `apt-get install mesa-vulkan-drivers` installs a software adapter; \
    elsewhere install your GPU's Vulkan driver. Check --backend, --adapter, WGPU_BACKEND and WGPU_ADAPTER_NAME";

/// The adapters that [`Gpu::with_options`] chooses from, the one it would take first.
///
/// # Errors
/// [`GpuError::UnknownBackend`] where `WGPU_BACKEND` names none.
pub async fn adapters(options: &GpuOptions) -> Result<Vec<wgpu::Adapter>, GpuError> {
    let backends = match (options.backends, std::env::var("WGPU_BACKEND")) {
        (Some(backends), _) => backends,
        (None, Ok(value)) if !value.is_empty() => {
            let backends = wgpu::Backends::from_comma_list(&value);
            if backends.is_empty() {
                return Err(GpuError::UnknownBackend { value });
            }
            backends
        }
        _ => wgpu::Backends::all(),
    };
    let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle();
    descriptor.backends = backends;
    // Validation layers are for whoever debugs a driver.
    descriptor.flags = wgpu::InstanceFlags::empty().with_env();
    let mut adapters = wgpu::Instance::new(descriptor).enumerate_adapters(backends).await;
    let wanted = wanted_name(options);
    adapters.retain(|a| {
        wanted
            .as_ref()
            .is_none_or(|name| a.get_info().name.to_lowercase().contains(name))
    });
    adapters.sort_by_key(|adapter| {
        let info = adapter.get_info();
        let kind = match info.device_type {
            wgpu::DeviceType::DiscreteGpu => 0,
            wgpu::DeviceType::IntegratedGpu => 1,
            wgpu::DeviceType::VirtualGpu => 2,
            wgpu::DeviceType::Other => 3,
            wgpu::DeviceType::Cpu => 4,
        };
        (kind, info.backend == wgpu::Backend::Gl)
    });
    Ok(adapters)
}

fn wanted_name(options: &GpuOptions) -> Option<String> {
    let name = options
        .adapter_name
        .clone()
        .or_else(|| std::env::var("WGPU_ADAPTER_NAME").ok());
    name.filter(|n| !n.is_empty()).map(|n| n.to_lowercase())
}

impl Gpu {
    /// The fastest kind of adapter there is: discrete, integrated, then software; `WGPU_BACKEND` and
    /// `WGPU_ADAPTER_NAME` narrow the choice.
    ///
    /// # Errors
    /// Every [`GpuError`]; without an adapter it says what to install.
    pub fn new() -> Result<Self, GpuError> {
        Self::with_options(&GpuOptions::default())
    }

    /// As [`Gpu::new`], with the caller's own choice.
    ///
    /// # Errors
    /// Every [`GpuError`].
    pub fn with_options(options: &GpuOptions) -> Result<Self, GpuError> {
        pollster::block_on(Self::with_options_async(options))
    }

    /// [`Gpu::with_options`] for callers with a runtime.
    ///
    /// # Errors
    /// Every [`GpuError`].
    pub async fn with_options_async(options: &GpuOptions) -> Result<Self, GpuError> {
        let candidates = adapters(options).await?;
        let Some(adapter) = candidates.first() else {
            let wanted = [
                options.backends.map(|b| format!(" on {b:?}")),
                wanted_name(options).map(|n| format!(" whose name contains {n:?}")),
            ];
            let everything = GpuOptions {
                adapter_name: Some(String::new()),
                ..options.clone()
            };
            let found = adapters(&everything).await?;
            let found: Vec<_> = found.iter().map(|a| a.get_info().name).collect();
            return Err(GpuError::NoAdapter {
                wanted: wanted.into_iter().flatten().collect(),
                found: if found.is_empty() {
                    "none".into()
                } else {
                    found.join(", ")
                },
                hint: HINT,
            });
        };
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
        let faults = Arc::new(Faults::default());
        let kept = Arc::clone(&faults);
        device.set_device_lost_callback(move |reason, message| {
            *lock(&kept.lost) = Some(format!("{reason:?}: {message}"));
        });
        let kept = Arc::clone(&faults);
        device.on_uncaptured_error(Arc::new(move |error: wgpu::Error| {
            lock(&kept.uncaptured).get_or_insert_with(|| error.to_string());
        }));
        Self::assemble(device, queue, options, faults)
    }

    /// A device and queue of the caller's. Its callbacks are left as they are. Subgroup kernels run if it was made with
    /// [`wgpu::Features::SUBGROUP`].
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
        faults: Arc<Faults>,
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
        let traits = Traits::new(&info, &limits, subgroups);
        let inner = Inner {
            device,
            queue,
            info,
            limits,
            traits,
            pool: Arc::new(Pool::new(options.part_bytes.saturating_mul(PARTS_KEPT))),
            pipelines: Mutex::default(),
            making: Mutex::default(),
            turn: sync::Mutex::new((), true),
            faults,
        };
        Ok(Self {
            inner: Arc::new(inner),
            part_bytes: options.part_bytes,
            progress: None,
            shares_buffers: false,
            loans: None,
        })
    }

    /// A clone whose calls that take host slices tell `progress`, after each part of a batch, how many of its rows are done
    /// and how many there are. It runs within the call, and must not wait for another one on the same [`Gpu`].
    pub fn with_progress(&self, progress: impl Fn(usize, usize) + Send + Sync + 'static) -> Self {
        Self {
            progress: Some(Arc::new(progress)),
            ..self.clone()
        }
    }

    /// A clone for callers who keep many arrays in one buffer, as the memory pools of frameworks do: a call may read and write
    /// parts of one buffer that are apart. Its kernels bind everything to be written, which is what WebGPU asks for there,
    /// and adapters may read a little slower through it.
    pub fn with_shared_buffers(&self) -> Self {
        Self {
            shares_buffers: true,
            ..self.clone()
        }
    }

    /// A clone for one call on host slices: its buffers come from the pool, and go back when the last of its clones is gone.
    pub(crate) fn lending(&self) -> Self {
        Self {
            loans: Some(Arc::new(Loans::of(&self.inner.pool))),
            ..self.clone()
        }
    }

    /// A clone with other parts.
    pub(crate) fn with_part_bytes(&self, part_bytes: u64) -> Self {
        Self {
            part_bytes,
            ..self.clone()
        }
    }

    pub(crate) fn pool(&self) -> &Pool {
        &self.inner.pool
    }

    pub(crate) fn loans(&self) -> Option<&Loans> {
        self.loans.as_deref()
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
        self.inner.traits.subgroup.is_some()
    }

    pub(crate) fn shares_buffers(&self) -> bool {
        self.shares_buffers
    }

    pub(crate) fn limits(&self) -> &wgpu::Limits {
        &self.inner.limits
    }

    pub(crate) fn traits(&self) -> &Traits {
        &self.inner.traits
    }

    /// Bytes that travel at once: what the options say, within what fits the device.
    pub(crate) fn part_bytes(&self) -> u64 {
        let limits = self.limits();
        self.part_bytes
            .min(limits.max_buffer_size)
            .min(limits.max_storage_buffer_binding_size)
    }

    /// Held for the whole of a call that takes host slices. On OpenGL wgpu has one context for all threads, and panics in
    /// one that has waited 6 s for it, as it may while another compiles or computes: so there, calls take turns here.
    pub(crate) async fn turn(&self) -> Option<sync::MutexGuard<'_, ()>> {
        if self.inner.info.backend == wgpu::Backend::Gl {
            Some(self.inner.turn.lock().await)
        } else {
            None
        }
    }

    /// The pipeline of a variant, made when it is first asked for.
    pub(crate) fn pipeline(&self, variant: &Variant) -> Result<Arc<wgpu::ComputePipeline>, EncodeError> {
        let key = (variant.clone(), self.shares_buffers);
        let made = || lock(&self.inner.pipelines).get(&key).map(Arc::clone);
        if let Some(pipeline) = made() {
            return Ok(pipeline);
        }
        // A driver may take seconds, in which others may use what is there already; on OpenGL, not a queue of them (see
        // `turn`).
        let _one = (self.inner.info.backend == wgpu::Backend::Gl).then(|| lock(&self.inner.making));
        if let Some(pipeline) = made() {
            return Ok(pipeline);
        }
        // Two threads may make the same one; the first stays.
        let pipeline = Arc::new(self.make_pipeline(variant)?);
        Ok(Arc::clone(lock(&self.inner.pipelines).entry(key).or_insert(pipeline)))
    }

    fn make_pipeline(&self, variant: &Variant) -> Result<wgpu::ComputePipeline, EncodeError> {
        let device = self.device();
        let name = variant.to_string();
        let mut source = variant.source();
        if self.shares_buffers {
            source = source.replace("var<storage, read>", "var<storage, read_write>");
        }
        let internal = device.push_error_scope(wgpu::ErrorFilter::Internal);
        let validation = device.push_error_scope(wgpu::ErrorFilter::Validation);
        let module = device.create_shader_module(wgpu::ShaderModuleDescriptor {
            label: Some(&name),
            source: wgpu::ShaderSource::Wgsl(source.into()),
        });
        let constants: Vec<_> = variant
            .constants()
            .into_iter()
            .map(|(name, value)| (name, f64::from(value)))
            .collect();
        let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(&name),
            layout: None,
            module: &module,
            entry_point: Some("main"),
            compilation_options: wgpu::PipelineCompilationOptions {
                constants: &constants,
                zero_initialize_workgroup_memory: false,
            },
            cache: None,
        });
        let error = pollster::block_on(validation.pop()).or(pollster::block_on(internal.pop()));
        match error {
            None => Ok(pipeline),
            Some(error) if self.is_lost() => Err(self.blame(error.to_string())),
            Some(error) => Err(EncodeError::Pipeline {
                kernel: name,
                message: variant.located(&error.to_string()),
            }),
        }
    }

    /// Runs `work` under error scopes, so that what goes wrong is known here and told to no handler of the caller's, which
    /// by default panics.
    pub(crate) fn scoped<T>(&self, work: impl FnOnce() -> T) -> Result<T, EncodeError> {
        let memory = self.device().push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        let validation = self.device().push_error_scope(wgpu::ErrorFilter::Validation);
        let done = work();
        let error = pollster::block_on(validation.pop()).or(pollster::block_on(memory.pop()));
        error.map_or(Ok(done), |error| Err(self.blame(error.to_string())))
    }

    /// What an error is: on a lost device everything that is made is invalid, and its use the error.
    pub(crate) fn blame(&self, message: String) -> EncodeError {
        if !self.is_lost() {
            return EncodeError::Device { message };
        }
        let told = lock(&self.inner.faults.lost).clone();
        EncodeError::DeviceLost {
            message: told.unwrap_or("it takes no more work".into()),
        }
    }

    /// The callback that tells of a loss may be the caller's, and comes late; but what is made on a lost device is
    /// never mapped.
    fn is_lost(&self) -> bool {
        let memory = self.device().push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        let probe = self.device().create_buffer(&wgpu::BufferDescriptor {
            label: Some("probe"),
            size: 4,
            usage: wgpu::BufferUsages::MAP_WRITE | wgpu::BufferUsages::COPY_SRC,
            mapped_at_creation: true,
        });
        pollster::block_on(memory.pop()).is_none() && probe.get_mapped_range(..).is_err()
    }

    /// The error that the device reported since the last look, if any.
    pub(crate) fn fault(&self) -> Result<(), RunError> {
        if let Some(message) = lock(&self.inner.faults.lost).clone() {
            return Err(RunError::DeviceLost { message });
        }
        match lock(&self.inner.faults.uncaptured).take() {
            Some(message) => Err(RunError::Device { message }),
            None => Ok(()),
        }
    }
}

//! Lists the adapters, and chooses one of them.

use crate::error::GpuError;

/// Which adapter [`Gpu::with_options`](crate::Gpu::with_options) takes, and how it uses it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GpuOptions {
    /// Backends to look at; `None`: those of `WGPU_BACKEND`, else all.
    pub backends: Option<wgpu::Backends>,
    /// Part of the adapter's name, in any case; `None`: that of `WGPU_ADAPTER_NAME`, else any.
    pub adapter_name: Option<String>,
    /// Whether to use subgroup operations where the adapter has them. If not, the kernels run that adapters without
    /// subgroups get, which go through work-group memory; the results have the same bits.
    pub subgroups: bool,
    /// Features to ask the device for besides those that the kernels use, where the adapter has them.
    pub features: wgpu::Features,
    /// Bytes of logits that travel to the device at once in the calls that take host slices; at least one row does. Up
    /// to eight times as many bytes of device memory are kept for later calls.
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

#[cfg(not(target_arch = "wasm32"))]
const HINT: &str = "On Debian or Ubuntu `apt-get install mesa-vulkan-drivers` installs a software adapter; \
    elsewhere install your GPU's Vulkan driver. Check WGPU_BACKEND and WGPU_ADAPTER_NAME";

#[cfg(target_arch = "wasm32")]
const HINT: &str = "WebGPU needs a browser that has it turned on, and a page that came over https or from localhost. A new \
    browser lists its graphics features, and what blocks them, on chrome://gpu or about:support";

const HINT_OTHERS: &str = "Check WGPU_BACKEND and WGPU_ADAPTER_NAME";

const HINT_NO_BACKEND: &str = "This build has no backend for this platform: turn on a feature of wgpu-softmax (vulkan, metal, \
    dx12, gles or webgpu)";

/// The adapters that [`Gpu::with_options`](crate::Gpu::with_options) chooses from, in order of preference.
///
/// # Errors
/// [`GpuError::UnknownBackend`] where `WGPU_BACKEND` names none.
pub async fn adapters(options: &GpuOptions) -> Result<Vec<wgpu::Adapter>, GpuError> {
    let backends = wanted_backends(options)?.unwrap_or(wgpu::Backends::all());
    // wgpu panics where it was built without any backend.
    if wgpu::Instance::enabled_backend_features().is_empty() {
        return Ok(Vec::new());
    }
    let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle();
    descriptor.backends = backends;
    // Validation layers are only of use for debugging a driver; the environment can turn them on.
    descriptor.flags = wgpu::InstanceFlags::empty().with_env();
    let instance = wgpu::Instance::new(descriptor);
    #[cfg(not(target_arch = "wasm32"))]
    let mut adapters = instance.enumerate_adapters(backends).await;
    // A browser gives one adapter, the thrifty one if it is not told otherwise.
    #[cfg(target_arch = "wasm32")]
    let mut adapters: Vec<_> = instance
        .request_adapter(&wgpu::RequestAdapterOptions {
            power_preference: wgpu::PowerPreference::HighPerformance,
            ..Default::default()
        })
        .await
        .into_iter()
        .collect();
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

/// The backends that the options or `WGPU_BACKEND` name.
fn wanted_backends(options: &GpuOptions) -> Result<Option<wgpu::Backends>, GpuError> {
    match (options.backends, std::env::var("WGPU_BACKEND")) {
        (None, Ok(value)) if !value.is_empty() => {
            let backends = wgpu::Backends::from_comma_list(&value);
            if backends.is_empty() {
                return Err(GpuError::UnknownBackend { value });
            }
            Ok(Some(backends))
        }
        (backends, _) => Ok(backends),
    }
}

/// Backends by the names that `WGPU_BACKEND` has for them.
fn names_of(backends: wgpu::Backends) -> String {
    let names: Vec<String> = backends
        .iter_names()
        .map(|(name, _)| name.to_lowercase().replace("browser_", ""))
        .collect();
    names.join(", ")
}

fn wanted_name(options: &GpuOptions) -> Option<String> {
    let name = options
        .adapter_name
        .clone()
        .or_else(|| std::env::var("WGPU_ADAPTER_NAME").ok());
    name.filter(|n| !n.is_empty()).map(|n| n.to_lowercase())
}

/// The first of [`adapters`], or an error that says what was asked for and what there is.
pub(super) async fn best_adapter(options: &GpuOptions) -> Result<wgpu::Adapter, GpuError> {
    if let Some(adapter) = adapters(options).await?.into_iter().next() {
        return Ok(adapter);
    }
    let wanted = [
        wanted_backends(options)?.map(|b| format!(" on {}", names_of(b))),
        wanted_name(options).map(|n| format!(" whose name contains {n:?}")),
    ];
    // All that there are: those of other backends are what may be chosen instead.
    let all = GpuOptions {
        backends: Some(wgpu::Backends::all()),
        adapter_name: Some(String::new()),
        ..options.clone()
    };
    let found = adapters(&all).await?;
    let found: Vec<_> = found.iter().map(|a| a.get_info()).collect();
    let found: Vec<_> = found
        .iter()
        .map(|info| format!("{} on {}", info.name, info.backend))
        .collect();
    Err(GpuError::NoAdapter {
        wanted: wanted.into_iter().flatten().collect(),
        found: if found.is_empty() {
            "none".into()
        } else {
            found.join(", ")
        },
        hint: if wgpu::Instance::enabled_backend_features().is_empty() {
            HINT_NO_BACKEND
        } else if found.is_empty() {
            HINT
        } else {
            HINT_OTHERS
        },
    })
}

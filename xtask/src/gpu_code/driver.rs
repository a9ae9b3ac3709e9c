//! Compiles kernels with a Vulkan driver and asks it what became of them. No memory is allocated and nothing is run, so a
//! driver that has no GPU will do. This runs in a process of its own, under the driver's C library.
// Vulkan has no safe interface, and wgpu's does not give the assembly; nothing else of this program does without.
#![allow(unsafe_code)]

use super::kernels::Kernel;
use ash::{Device, Entry, Instance, ext, khr, vk};
use serde_json::{Value, json};
use std::ffi::CStr;
use std::path::Path;

/// Compiles the kernels of `folder`, and prints a line with the driver's name, and a line for each kernel as soon as it is
/// compiled, a JSON object.
pub(crate) fn run(folder: &Path) -> Result<(), String> {
    // SAFETY: this loads the system's Vulkan loader, whose initialization has no requirements.
    let entry = unsafe { Entry::load() }.map_err(|e| e.to_string())?;
    let driver = Driver::new(&entry).map_err(|e| format!("the Vulkan driver: {e}"))?;
    println!("{}", driver.name);
    for kernel in Kernel::read_all(folder)? {
        let words = std::fs::read(kernel.path(folder, "spv")).map_err(|e| e.to_string())?;
        let words: Vec<u32> = words
            .chunks_exact(4)
            .map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]))
            .collect();
        let compiled = driver.compile(&kernel, &words);
        println!("{}", compiled.map_err(|e| format!("{kernel}: {e}"))?);
    }
    Ok(())
}

/// The first device of the driver. It lives until the process ends, and so does all that is made with it.
struct Driver {
    /// Of the driver and the device.
    name: String,
    device: Device,
    executables: khr::pipeline_executable_properties::Device,
}

impl Driver {
    fn new(entry: &Entry) -> Result<Self, vk::Result> {
        let application = vk::ApplicationInfo::default().api_version(vk::API_VERSION_1_3);
        let info = vk::InstanceCreateInfo::default().application_info(&application);
        // SAFETY: all that `info` points to is alive, here and wherever else something is created below.
        let instance = unsafe { entry.create_instance(&info, None) }?;
        // SAFETY: the instance was just created.
        let adapters = unsafe { instance.enumerate_physical_devices() }?;
        let adapter = adapters.first().ok_or(vk::Result::ERROR_INITIALIZATION_FAILED)?;
        let mut driver = vk::PhysicalDeviceDriverProperties::default();
        let mut properties = vk::PhysicalDeviceProperties2::default().push_next(&mut driver);
        // SAFETY: the adapter is one of the instance's.
        unsafe { instance.get_physical_device_properties2(*adapter, &mut properties) };
        let device_name = text(properties.properties.device_name_as_c_str());
        let name = format!("{}, {device_name}", text(driver.driver_info_as_c_str()));
        let device = Self::device(&instance, *adapter)?;
        let executables = khr::pipeline_executable_properties::Device::new(&instance, &device);
        Ok(Self {
            name,
            device,
            executables,
        })
    }

    /// With the features that wgpu turns on and a compiler could take notice of.
    fn device(instance: &Instance, adapter: vk::PhysicalDevice) -> Result<Device, vk::Result> {
        let queue = vk::DeviceQueueCreateInfo::default().queue_priorities(&[1.0]);
        let extensions = [khr::pipeline_executable_properties::NAME, ext::robustness2::NAME].map(CStr::as_ptr);
        let features = vk::PhysicalDeviceFeatures::default().robust_buffer_access(true);
        let mut executables =
            vk::PhysicalDevicePipelineExecutablePropertiesFeaturesKHR::default().pipeline_executable_info(true);
        let mut robustness = vk::PhysicalDeviceRobustness2FeaturesEXT::default().robust_buffer_access2(true);
        let mut vulkan13 = vk::PhysicalDeviceVulkan13Features::default().subgroup_size_control(true);
        let info = vk::DeviceCreateInfo::default()
            .queue_create_infos(std::slice::from_ref(&queue))
            .enabled_extension_names(&extensions)
            .enabled_features(&features)
            .push_next(&mut executables)
            .push_next(&mut robustness)
            .push_next(&mut vulkan13);
        // SAFETY: a feature or extension that the driver lacks makes this an error.
        unsafe { instance.create_device(adapter, &info, None) }
    }

    fn compile(&self, kernel: &Kernel, words: &[u32]) -> Result<Value, vk::Result> {
        let pipeline = self.pipeline(kernel, words)?;
        let info = vk::PipelineExecutableInfoKHR::default().pipeline(pipeline);
        Ok(json!({"statistics": self.statistics(&info)?, "assembly": self.assembly(&info)?}))
    }

    fn pipeline(&self, kernel: &Kernel, words: &[u32]) -> Result<vk::Pipeline, vk::Result> {
        let bindings: Vec<_> = kernel.bindings.iter().map(layout_binding).collect();
        let set = vk::DescriptorSetLayoutCreateInfo::default().bindings(&bindings);
        // SAFETY: the bindings have different numbers.
        let sets = [unsafe { self.device.create_descriptor_set_layout(&set, None) }?];
        let layout = vk::PipelineLayoutCreateInfo::default().set_layouts(&sets);
        // SAFETY: the layout of the set was just created.
        let layout = unsafe { self.device.create_pipeline_layout(&layout, None) }?;
        let module = vk::ShaderModuleCreateInfo::default().code(words);
        // SAFETY: naga wrote the SPIR-V, which is valid.
        let module = unsafe { self.device.create_shader_module(&module, None) }?;
        let stage = vk::PipelineShaderStageCreateInfo::default()
            .flags(vk::PipelineShaderStageCreateFlags::ALLOW_VARYING_SUBGROUP_SIZE)
            .stage(vk::ShaderStageFlags::COMPUTE)
            .module(module)
            .name(c"main");
        let flags = vk::PipelineCreateFlags::CAPTURE_STATISTICS_KHR
            | vk::PipelineCreateFlags::CAPTURE_INTERNAL_REPRESENTATIONS_KHR;
        let info = vk::ComputePipelineCreateInfo::default()
            .flags(flags)
            .stage(stage)
            .layout(layout);
        let cache = vk::PipelineCache::null();
        // SAFETY: the module's entry point is `main`, and it uses the bindings of the layout.
        let made = unsafe { self.device.create_compute_pipelines(cache, &[info], None) };
        made.map(|pipelines| pipelines[0]).map_err(|(_, error)| error)
    }

    fn statistics(&self, info: &vk::PipelineExecutableInfoKHR<'_>) -> Result<Value, vk::Result> {
        // SAFETY: the pipeline captured its statistics.
        let all = unsafe { self.executables.get_pipeline_executable_statistics(info) }?;
        let named = all.iter().map(|statistic| {
            use vk::PipelineExecutableStatisticFormatKHR as Format;
            // SAFETY: the format says which of the fields is set.
            let value = unsafe {
                match statistic.format {
                    Format::BOOL32 => json!(statistic.value.b32),
                    Format::INT64 => json!(statistic.value.i64),
                    Format::UINT64 => json!(statistic.value.u64),
                    _ => json!(statistic.value.f64),
                }
            };
            (text(statistic.name_as_c_str()), value)
        });
        Ok(Value::Object(named.collect()))
    }

    fn assembly(&self, info: &vk::PipelineExecutableInfoKHR<'_>) -> Result<Value, vk::Result> {
        // SAFETY: the pipeline captured its representations.
        let mut all = unsafe { self.executables.get_pipeline_executable_internal_representations(info) }?;
        let mut buffers: Vec<Vec<u8>> = all.iter().map(|r| vec![0; r.data_size]).collect();
        for (representation, buffer) in all.iter_mut().zip(&mut buffers) {
            representation.p_data = buffer.as_mut_ptr().cast();
        }
        let (get, mut count) = (self.executables.fp(), all.len() as u32);
        let get = get.get_pipeline_executable_internal_representations_khr;
        // SAFETY: `all` has `count` elements, each with a buffer of the size that the driver asked for.
        unsafe { get(self.device.handle(), info, &mut count, all.as_mut_ptr()) }.result()?;
        let mut named = all.iter().zip(&buffers);
        let found = named.find(|(r, _)| text(r.name_as_c_str()) == "Assembly");
        Ok(found.map_or(Value::Null, |(_, buffer)| {
            String::from_utf8_lossy(buffer).trim_end_matches('\0').into()
        }))
    }
}

fn layout_binding(&(number, is_uniform): &(u32, bool)) -> vk::DescriptorSetLayoutBinding<'static> {
    let kind = match is_uniform {
        true => vk::DescriptorType::UNIFORM_BUFFER,
        false => vk::DescriptorType::STORAGE_BUFFER,
    };
    vk::DescriptorSetLayoutBinding::default()
        .binding(number)
        .descriptor_type(kind)
        .descriptor_count(1)
        .stage_flags(vk::ShaderStageFlags::COMPUTE)
}

fn text<E>(name: Result<&CStr, E>) -> String {
    name.map_or_else(|_| String::new(), |name| name.to_string_lossy().into_owned())
}

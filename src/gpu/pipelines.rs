//! Pipelines, made when they are first asked for.

use super::Gpu;
use super::lock::lock;
use crate::error::EncodeError;
use crate::shader::{TemplateError, Variant};
use std::borrow::Cow;
use std::sync::Arc;

impl Gpu {
    /// The pipeline of a variant, made when it is first asked for.
    pub(crate) fn pipeline(&self, variant: &Variant) -> Result<Arc<wgpu::ComputePipeline>, EncodeError> {
        let key = (variant.clone(), self.shares_buffers);
        let made = || lock(&self.inner.pipelines).get(&key).map(Arc::clone);
        if let Some(pipeline) = made() {
            return Ok(pipeline);
        }
        // A driver may take seconds to compile, so the lock on the pipelines is not held meanwhile, and other threads
        // can use those that exist. On OpenGL, threads queue here to compile one at a time, because wgpu panics in a
        // thread that waits too long for its context (see `gl_call_lock`).
        let _one = (self.inner.info.backend == wgpu::Backend::Gl).then(|| lock(&self.inner.gl_compile_lock));
        if let Some(pipeline) = made() {
            return Ok(pipeline);
        }
        // Two threads may make the same pipeline; the first one is kept.
        let pipeline = Arc::new(self.make_pipeline(variant)?);
        Ok(Arc::clone(lock(&self.inner.pipelines).entry(key).or_insert(pipeline)))
    }

    fn make_pipeline(&self, variant: &Variant) -> Result<wgpu::ComputePipeline, EncodeError> {
        let device = self.device();
        let name = variant.to_string();
        let refused = |message| EncodeError::Pipeline {
            kernel: name.clone(),
            message,
        };
        let rendered = variant.render().map_err(|e: TemplateError| refused(e.to_string()))?;
        let source = match self.shares_buffers {
            true => Cow::Owned(
                rendered
                    .source
                    .replace("var<storage, read>", "var<storage, read_write>"),
            ),
            false => Cow::Borrowed(rendered.source.as_str()),
        };
        // Browsers require the directive, and naga rejects it. It adds no line, for the sake of the numbers in messages.
        #[cfg(target_arch = "wasm32")]
        let source = match self.uses_subgroups() {
            true => Cow::Owned(format!("enable subgroups; {source}")),
            false => source,
        };
        // In a browser wgpu 30 panics on an internal error. It is left to the browser there, and this call fails for the
        // invalid pipeline.
        #[cfg(not(target_arch = "wasm32"))]
        let internal = device.push_error_scope(wgpu::ErrorFilter::Internal);
        let validation = device.push_error_scope(wgpu::ErrorFilter::Validation);
        let module = device.create_shader_module(wgpu::ShaderModuleDescriptor {
            label: Some(&name),
            source: wgpu::ShaderSource::Wgsl(source),
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
        let error = self.popped(validation);
        #[cfg(not(target_arch = "wasm32"))]
        let error = error.or(self.popped(internal));
        match error {
            None => Ok(pipeline),
            Some(error) if self.is_lost() => Err(self.classify_error(error.to_string())),
            Some(error) => Err(refused(rendered.located(&error.to_string()))),
        }
    }
}

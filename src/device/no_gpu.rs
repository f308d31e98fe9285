//! Replaces `gpu/` without the feature `gpu`: the same names, as types without values, so that the rest of
//! the crate compiles unchanged.
#![warn(dead_code)] // here alone: see lib.rs

use super::Counters;
use super::class::Class;
use super::coresident::Coresident;
use super::fast_path::{Candidates, FastPath};
use super::kernel::Dispatch;
use super::options::{AdapterInfo, GpuOptions};
use super::pool::Memory;
use super::profile::{Cost, Profile};
use crate::{Device, Error, Result};
use std::convert::Infallible;
use std::sync::Arc;

pub(crate) fn wait_for(options: GpuOptions) -> Result<Arc<Gpu>> {
    Err(missing(options))
}

pub(crate) fn adapters() -> Vec<AdapterInfo> {
    Vec::new()
}

pub(crate) fn unknown(name: String) -> Error {
    Error::UnknownDevice { name, available: Vec::new() }
}

fn missing(options: GpuOptions) -> Error {
    let wanted = match options {
        GpuOptions { name: Some(name), .. } => format!("the device {name:?}"),
        GpuOptions { software: true, .. } => "a software adapter".into(),
        _ => "a GPU".into(),
    };
    Error::MissingFeature { feature: "gpu", wanted }
}

pub(crate) struct Gpu {
    pub(crate) info: AdapterInfo,
    pub(crate) class: Class,
    pub(crate) limits: Limits,
    pub(crate) subgroup_size: Option<u32>,
    pub(crate) options: GpuOptions,
    pub(crate) coresident: Coresident,
    never: Infallible,
}

#[derive(Clone)]
pub(crate) struct Raw {
    _never: Infallible,
}

pub(crate) struct GpuBuffer {
    pub(crate) gpu: Arc<Gpu>,
    pub(crate) raw: Raw,
}

/// The limits of a device that ops use.
pub(crate) struct Limits {
    pub(crate) max_compute_invocations_per_workgroup: u32,
    pub(crate) max_compute_workgroup_size_x: u32,
    pub(crate) max_compute_workgroup_storage_size: u32,
    pub(crate) max_compute_workgroups_per_dimension: u32,
}

impl Limits {
    /// WebGPU's default limits.
    pub(crate) fn defaults() -> Self {
        Self {
            max_compute_invocations_per_workgroup: 256,
            max_compute_workgroup_size_x: 256,
            max_compute_workgroup_storage_size: 16384,
            max_compute_workgroups_per_dimension: 65535,
        }
    }
}

impl Gpu {
    pub(crate) async fn open(options: GpuOptions) -> Result<Arc<Self>> {
        wait_for(options)
    }

    pub(crate) fn device(self: &Arc<Self>) -> Device {
        match self.never {}
    }

    pub(crate) fn has_f16(&self) -> bool {
        match self.never {}
    }

    pub(crate) fn has_matrices(&self, _: u32) -> bool {
        match self.never {}
    }

    pub(crate) fn has_cooperative(&self) -> bool {
        match self.never {}
    }

    pub(crate) fn max_binding(&self) -> u64 {
        match self.never {}
    }

    pub(crate) fn alloc(
        self: &Arc<Self>,
        _: usize,
        _: &'static str,
        _: bool,
    ) -> Result<Arc<GpuBuffer>> {
        match self.never {}
    }

    pub(crate) fn alloc_large(
        self: &Arc<Self>,
        _: usize,
        _: &'static str,
    ) -> Result<Arc<GpuBuffer>> {
        match self.never {}
    }

    pub(super) fn unpooled(self: &Arc<Self>, _: &Raw) -> Arc<GpuBuffer> {
        match self.never {}
    }

    pub(crate) fn trim(&self) -> Result<()> {
        match self.never {}
    }

    pub(crate) fn upload(self: &Arc<Self>, _: &[u8], _: &'static str) -> Result<Arc<GpuBuffer>> {
        match self.never {}
    }

    pub(crate) fn upload_large(
        self: &Arc<Self>,
        _: &[u8],
        _: &'static str,
    ) -> Result<Arc<GpuBuffer>> {
        match self.never {}
    }

    pub(crate) fn write(&self, _: &Raw, _: u64, _: &[u8]) {
        match self.never {}
    }

    pub(crate) fn memory(&self) -> Memory {
        match self.never {}
    }

    pub(crate) fn counters(&self) -> Counters {
        match self.never {}
    }

    pub(crate) fn profile(&self) -> Option<Profile> {
        match self.never {}
    }

    pub(crate) fn foresee(&self, _: &Dispatch<'_>) {
        match self.never {}
    }

    pub(crate) fn record(&self, _: &Dispatch<'_>, _: Cost) -> Result<()> {
        match self.never {}
    }

    pub(crate) fn submit(&self) -> Result<()> {
        match self.never {}
    }

    pub(crate) fn wait(&self) -> Result<()> {
        match self.never {}
    }

    pub(crate) fn read(&self, _: &GpuBuffer, _: u64, _: u64) -> Result<Vec<u32>> {
        match self.never {}
    }

    pub(crate) async fn read_async(
        self: &Arc<Self>,
        _: &GpuBuffer,
        _: u64,
        _: u64,
    ) -> Result<Vec<u32>> {
        match self.never {}
    }

    pub(crate) fn is_trusted(self: &Arc<Self>, _: &FastPath) -> bool {
        match self.never {}
    }

    pub(crate) fn autotune(self: &Arc<Self>, _: &Candidates<'_>) -> usize {
        match self.never {}
    }
}

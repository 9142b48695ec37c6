//! What the system says of this process, under the names that all of Prometheus' clients give it.

use core::fmt;

use procfs::process::{LimitValue, Process};
use procfs::{CurrentSI, KernelStats, ProcResult};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

/// Reads `/proc` at each scrape. What cannot be read is left out.
#[derive(Clone, Copy, Debug)]
pub(super) struct ProcessMetrics;

/// Resources of this process.
struct Resources {
    cpu_seconds: f64,
    resident_bytes: u64,
    virtual_bytes: u64,
    start_seconds: f64,
    open_fds: usize,
    /// `None`: no limit.
    max_fds: Option<u64>,
    threads: i64,
}

impl Resources {
    fn read() -> ProcResult<Self> {
        let process = Process::myself()?;
        let stat = process.stat()?;
        let ticks = procfs::ticks_per_second() as f64;
        let started = KernelStats::current()?.btime as f64 + stat.starttime as f64 / ticks;
        let max_fds = match process.limits()?.max_open_files.soft_limit {
            LimitValue::Value(limit) => Some(limit),
            LimitValue::Unlimited => None,
        };
        Ok(Self {
            cpu_seconds: (stat.utime + stat.stime) as f64 / ticks,
            resident_bytes: stat.rss.saturating_mul(procfs::page_size()),
            virtual_bytes: stat.vsize,
            start_seconds: started,
            open_fds: process.fd_count()?,
            max_fds,
            threads: stat.num_threads,
        })
    }
}

impl Collector for ProcessMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let resources = match Resources::read() {
            Ok(resources) => resources,
            Err(error) => {
                tracing::debug!(%error, "/proc cannot be read");
                return Ok(());
            }
        };
        let cpu = ConstCounter::new(resources.cpu_seconds);
        cpu.encode(encoder.encode_descriptor(
            "process_cpu_seconds",
            "Time of the processor that was used, in user and system mode",
            None,
            cpu.metric_type(),
        )?)?;
        for (name, help, value) in [
            (
                "process_resident_memory_bytes",
                "Memory in use",
                resources.resident_bytes as f64,
            ),
            (
                "process_virtual_memory_bytes",
                "Address space in use",
                resources.virtual_bytes as f64,
            ),
            (
                "process_start_time_seconds",
                "Time of the start since 1970",
                resources.start_seconds,
            ),
            (
                "process_open_fds",
                "Open file descriptors",
                resources.open_fds as f64,
            ),
            (
                "process_max_fds",
                "Limit of open file descriptors",
                resources
                    .max_fds
                    .map_or(f64::INFINITY, |limit| limit as f64),
            ),
            ("process_threads", "Threads", resources.threads as f64),
        ] {
            let gauge = ConstGauge::new(value);
            gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)?;
        }
        Ok(())
    }
}

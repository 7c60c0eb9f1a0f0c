//! Gauges of the current load, read at scrape time.

use std::fmt;
use std::sync::Arc;

use dedi_domain::route::EndpointLoad;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;

use crate::core::Core;
use crate::metrics::OfEndpoint;

/// Requests on replicas, and held for one, of each endpoint.
#[derive(Debug)]
pub(crate) struct Gauges(pub(crate) Arc<Core>);

impl Collector for Gauges {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let loads = self.0.fleet.loads();
        let mut gauge = |name: &str, help: &str, read: fn(&EndpointLoad) -> u32| {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            for (endpoint, load) in &loads {
                let of = OfEndpoint::new(*endpoint);
                ConstGauge::new(read(load)).encode(family.encode_family(&of)?)?;
            }
            Ok(())
        };
        gauge("requests_running", "Requests on replicas", |it| it.in_flight)?;
        gauge("requests_waiting", "Requests held until a replica is ready", |it| it.waiting)
    }
}

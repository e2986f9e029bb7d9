//! A collector: takes OTLP over HTTP in protobuf, and keeps what it is given. It is an [`Upstream`] too, so it can
//! hang or fail.

#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part of it")]

use std::ops::Deref;

use opentelemetry_proto::tonic::{
    collector::{metrics::v1::ExportMetricsServiceRequest, trace::v1::ExportTraceServiceRequest},
    common::v1::{KeyValue, any_value::Value},
    metrics::v1::Metric,
    resource::v1::Resource,
    trace::v1::Span,
};
use prost::Message;

use super::upstream::{Answer, Upstream};

/// The collector.
pub struct Receiver {
    upstream: Upstream,
}

impl Receiver {
    /// Takes everything.
    pub async fn start() -> Self {
        let taken = |_: &_| Answer::Raw(200, "application/x-protobuf", Vec::new());
        Self { upstream: Upstream::start(taken).await }
    }

    /// Every span so far, in the order of arrival.
    pub fn spans(&self) -> Vec<Span> {
        let scopes = self.traces().into_iter().flat_map(|resource| resource.scope_spans);
        scopes.flat_map(|scope| scope.spans).collect()
    }

    /// Every metric so far, in the order of arrival; a metric comes again with every export.
    pub fn metrics(&self) -> Vec<Metric> {
        let requests = self.bodies::<ExportMetricsServiceRequest>("/v1/metrics").into_iter();
        let scopes = requests.flat_map(|request| request.resource_metrics).flat_map(|all| all.scope_metrics);
        scopes.flat_map(|scope| scope.metrics).collect()
    }

    /// The `service.name` that spans came under.
    pub fn service_names(&self) -> Vec<String> {
        let name = |resource: Resource| text_of(&resource.attributes, "service.name");
        self.traces().into_iter().filter_map(|spans| spans.resource.and_then(name)).collect()
    }

    fn traces(&self) -> Vec<opentelemetry_proto::tonic::trace::v1::ResourceSpans> {
        let requests = self.bodies::<ExportTraceServiceRequest>("/v1/traces").into_iter();
        requests.flat_map(|request| request.resource_spans).collect()
    }

    fn bodies<T: Message + Default>(&self, path: &str) -> Vec<T> {
        let requests = self.received().into_iter().filter(|request| request.path.ends_with(path));
        requests.map(|request| T::decode(&*request.body).unwrap()).collect()
    }
}

impl Deref for Receiver {
    type Target = Upstream;

    fn deref(&self) -> &Upstream {
        &self.upstream
    }
}

/// A text attribute; nothing for one of another type.
pub fn text_of(attributes: &[KeyValue], key: &str) -> Option<String> {
    let value = attributes.iter().find(|attribute| attribute.key == key)?.value.clone()?.value?;
    if let Value::StringValue(text) = value { Some(text) } else { None }
}

/// An id as it is written in headers and logs.
pub fn hex(id: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(id)
}

import type { DescMethod } from "@bufbuild/protobuf";
import {
  type Attributes,
  context,
  isSpanContextValid,
  propagation,
  type Span,
  SpanKind,
  SpanStatusCode,
  trace,
} from "@opentelemetry/api";
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from "prom-client";

/** Every metric of Waymark, served at /metrics. docs/telemetry.md is made from this registry. */
export const registry = new Registry();

const RPC_BUCKETS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10];

/** Calls of RPCs by method and gRPC code, and how long they took. */
export const rpcDuration = new Histogram({
  name: "waymark_rpc_duration_seconds",
  help: "Duration of RPC handlers by method and gRPC code.",
  labelNames: ["rpc", "code"],
  buckets: RPC_BUCKETS,
  registers: [registry],
});

/** Requests at the gateway by RPC (or page) and HTTP status, and how long they took. */
export const httpDuration = new Histogram({
  name: "waymark_http_duration_seconds",
  help: "Duration of HTTP requests by RPC or page and status.",
  labelNames: ["route", "status"],
  buckets: RPC_BUCKETS,
  registers: [registry],
});

/** Touches by what became of them at intake. */
export const touchesTotal = new Counter({
  name: "waymark_touches_total",
  help: "Touches by outcome at intake: accepted, rejected, shed.",
  labelNames: ["outcome"],
  registers: [registry],
});

/** Gauges of background work: projection lag, queue depth, poison entries. */
export const backgroundGauge = new Gauge({
  name: "waymark_background",
  help: "State of background work by name: entries behind, queue depth, entries set aside.",
  labelNames: ["name"],
  registers: [registry],
});

/** Begins to collect the process's own metrics; again changes nothing. */
export function collectProcessMetrics(): void {
  if (registry.getSingleMetric("process_cpu_user_seconds_total") !== undefined) return;
  collectDefaultMetrics({ register: registry });
}

const tracer = trace.getTracer("waymark");

/** Every span of Waymark, and what it says. docs/telemetry.md is this table. No attribute ever holds an address, token, message text or medical word. */
export const spans = {
  http: {
    says: "A request at the gateway; named by its RPC, or by the page it is for (`redirect`). It goes on with the caller's `traceparent`.",
    attributes: ["http.request.method", "http.response.status_code"],
  },
  "rpc.client": {
    says: "A call over gRPC, as its caller sees it.",
    attributes: ["rpc.system", "rpc.service", "rpc.method"],
  },
  "rpc.server": {
    says: "A call, as the service that answers sees it; also within one process.",
    attributes: ["rpc.system", "rpc.service", "rpc.method"],
  },
  "log.append": {
    says: "Records on their way to the log, until they are durable.",
    attributes: [
      "messaging.operation.type",
      "messaging.batch.message_count",
      "messaging.message.body.size",
      "waymark.log.position",
    ],
  },
  "log.project": {
    says: "A step of a projection, in the trace of each request that wrote its entries.",
    attributes: [
      "messaging.operation.type",
      "messaging.batch.message_count",
      "waymark.projection",
      "waymark.log.position",
    ],
  },
  store: {
    says: "A call of the store, by collection.",
    attributes: ["db.collection.name", "db.operation.name"],
  },
} as const;

/** Name of a span. */
export type SpanName = keyof typeof spans;

/** Runs `work` in a span; an error marks the span with its class alone and goes on. */
export async function inSpan<T>(
  span: { name: SpanName; kind?: SpanKind; attributes?: Attributes },
  work: (active: Span) => Promise<T>,
): Promise<T> {
  return tracer.startActiveSpan(
    span.name,
    { kind: span.kind ?? SpanKind.INTERNAL, attributes: span.attributes ?? {} },
    async (active) => {
      try {
        return await work(active);
      } catch (error) {
        active.setStatus({ code: SpanStatusCode.ERROR, message: error instanceof Error ? error.name : "error" });
        throw error;
      } finally {
        active.end();
      }
    },
  );
}

/** What a span says of an RPC. */
export function rpcAttributes(method: DescMethod): Attributes {
  return { "rpc.system": "grpc", "rpc.service": method.parent.typeName, "rpc.method": method.name };
}

/** Runs `work` as a part of the trace that another process began; without one, of none. */
export function inTraceOf<T>(traceparent: string | undefined, work: () => T): T {
  if (traceparent === undefined) return work();
  return context.with(propagation.extract(context.active(), { traceparent }), work);
}

/** The W3C traceparent of the active span; empty when nothing is traced. */
export function traceparent(): string {
  const span = trace.getActiveSpan()?.spanContext();
  if (span === undefined || !isSpanContextValid(span)) return "";
  return `00-${span.traceId}-${span.spanId}-0${span.traceFlags & 1}`;
}

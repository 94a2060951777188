import { BinaryReader } from "@bufbuild/protobuf/wire";
import { context, propagation, type Span, SpanKind, SpanStatusCode, trace } from "@opentelemetry/api";
import { TouchBatchSchema } from "#gen/waymark/events/v1/touches_pb.ts";
import type { LogEntry } from "../log.ts";
import type { Projection } from "../service.ts";
import { inSpan } from "../telemetry.ts";
import { holdsTouches } from "../touches.ts";

/** Traces of one step that get a span of it; a step can have entries of more, and the step's own span counts them all. */
const MOST_TRACES = 64;

/**
 * A projection whose steps are seen in the traces of the requests that wrote their entries: each of these traces ends with
 * a span `log.project` as long as the step. The store's spans lie under the first of them.
 */
export function tracedProjection(projection: Projection): Projection {
  return {
    ...projection,
    project: (entries, deps) => {
      const [first, ...others] = tracesOf(entries).slice(0, MOST_TRACES);
      const run = () => projection.project(entries, deps);
      if (first === undefined) return run();
      const attributes = attributesOf(projection.name, entries);
      const beside = others.map((parent) => begin(parent, attributes));
      const work = () => inSpan({ name: "log.project", kind: SpanKind.CONSUMER, attributes }, run);
      return endWith(beside, () => context.with(contextOf(first), work));
    },
  };
}

function begin(traceparent: string, attributes: ReturnType<typeof attributesOf>): Span {
  const options = { kind: SpanKind.CONSUMER, attributes };
  return trace.getTracer("waymark").startSpan("log.project", options, contextOf(traceparent));
}

async function endWith(spans: readonly Span[], run: () => Promise<void>): Promise<void> {
  try {
    await run();
  } catch (error) {
    for (const span of spans) span.setStatus({ code: SpanStatusCode.ERROR });
    throw error;
  } finally {
    for (const span of spans) span.end();
  }
}

function contextOf(traceparent: string) {
  return propagation.extract(context.active(), { traceparent });
}

function attributesOf(projection: string, entries: readonly LogEntry[]) {
  return {
    "messaging.operation.type": "process",
    "messaging.batch.message_count": entries.length,
    "waymark.projection": projection,
    "waymark.log.position": entries.at(-1)?.position ?? 0,
  };
}

/** The distinct traceparents of batches of touches, in the order of the log. */
function tracesOf(entries: readonly LogEntry[]): string[] {
  const traces = new Set<string>();
  for (const { subject, payload } of entries) {
    const found = holdsTouches(subject) ? traceparentOf(payload) : "";
    if (found !== "") traces.add(found);
  }
  return [...traces];
}

/** The traceparent of a batch, read without its touches; empty when there is none, or the bytes are no batch. */
export function traceparentOf(payload: Uint8Array): string {
  const { number } = TouchBatchSchema.field.traceparent;
  try {
    const reader = new BinaryReader(payload);
    while (reader.pos < reader.len) {
      const [field, wireType] = reader.tag();
      if (field === number) return reader.string();
      reader.skip(wireType, field);
    }
  } catch {
    // What is wrong with the entry is for the projection to say.
  }
  return "";
}

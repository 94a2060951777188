import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import { text } from "node:stream/consumers";

/** A span as OTLP/JSON has it. https://opentelemetry.io/docs/specs/otlp/ */
export interface ReceivedSpan {
  name: string;
  /** SpanKind of OTLP: 1 internal, 2 server, 3 client, 4 producer, 5 consumer. */
  kind: number;
  traceId: string;
  spanId: string;
  parentSpanId?: string;
  attributes: Readonly<Record<string, string | number | boolean>>;
  /** Of the process that sent it. */
  service: string;
}

/** A receiver of traces by OTLP over HTTP. */
export interface OtlpReceiver {
  url: string;
  spans: () => readonly ReceivedSpan[];
  /** Every body that was sent, as it was. */
  bodies: () => string;
  close: () => Promise<void>;
}

interface Value {
  stringValue?: string;
  intValue?: string | number;
  doubleValue?: number;
  boolValue?: boolean;
}

interface Sent {
  resourceSpans: {
    resource: { attributes: { key: string; value: Value }[] };
    scopeSpans: { spans: (Omit<ReceivedSpan, "attributes" | "service"> & { attributes: Pair[] })[] }[];
  }[];
}

type Pair = { key: string; value: Value };

/** Starts a receiver on a free port. */
export async function startOtlpReceiver(): Promise<OtlpReceiver> {
  const spans: ReceivedSpan[] = [];
  const bodies: string[] = [];
  const server = createServer((request, response) => {
    take(request, { spans, bodies }).then(
      () => response.writeHead(200, { "content-type": "application/json" }).end("{}"),
      () => response.writeHead(400).end(),
    );
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    spans: () => spans,
    bodies: () => bodies.join("\n"),
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

async function take(request: IncomingMessage, to: { spans: ReceivedSpan[]; bodies: string[] }): Promise<void> {
  const body = await text(request);
  if (request.url !== "/v1/traces") throw new Error("not a path of OTLP");
  const { resourceSpans } = JSON.parse(body) as Sent;
  to.bodies.push(body);
  for (const { resource, scopeSpans } of resourceSpans) {
    const service = String(attributesOf(resource.attributes)["service.name"]);
    for (const { spans } of scopeSpans) {
      for (const span of spans) to.spans.push({ ...span, service, attributes: attributesOf(span.attributes) });
    }
  }
}

function attributesOf(pairs: readonly Pair[]): Record<string, string | number | boolean> {
  return Object.fromEntries(
    pairs.map(({ key, value }) => [
      key,
      value.stringValue ?? value.boolValue ?? Number(value.intValue ?? value.doubleValue),
    ]),
  );
}

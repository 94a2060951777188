import { SpanKind } from "@opentelemetry/api";
import type { Log } from "../log.ts";
import { inSpan } from "../telemetry.ts";

/** The log with a span around each append, so that a trace shows how long durability took. */
export function tracedLog(log: Log): Log {
  return {
    append: (records, batchId) =>
      inSpan(
        {
          name: "log.append",
          kind: SpanKind.PRODUCER,
          attributes: {
            "messaging.operation.type": "send",
            "messaging.batch.message_count": records.length,
            "messaging.message.body.size": records.reduce((sum, { payload }) => sum + payload.byteLength, 0),
          },
        },
        async (span) => {
          const position = await log.append(records, batchId);
          span.setAttribute("waymark.log.position", position);
          return position;
        },
      ),
    read: (options) => log.read(options),
    head: () => log.head(),
    start: () => log.start(),
    ping: () => log.ping(),
    close: () => log.close(),
  };
}

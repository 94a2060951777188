import { Counter, Gauge } from "prom-client";
import { registry } from "#runtime/telemetry.ts";

/** Touches of redirects by what became of them. */
export const redirectTouches = new Counter({
  name: "waymark_redirect_touches_total",
  help: "Touches of redirects by outcome: recorded, rejected by intake, shed because the queue was full, dropped after failures.",
  labelNames: ["outcome"],
  registers: [registry],
});

/** Touches of redirects that wait for intake. */
export const redirectQueue = new Gauge({
  name: "waymark_redirect_queue",
  help: "Touches of redirects that intake has not acknowledged yet, in memory or on the disk.",
  registers: [registry],
});

/** Room that waiting touches take. */
export const redirectQueueBytes = new Gauge({
  name: "waymark_redirect_queue_bytes",
  help: "Bytes on the gateway's disk of touches that intake has not acknowledged yet.",
  registers: [registry],
});

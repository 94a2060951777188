import type { handleServerStreamingCall, handleUnaryCall, Server, ServerWritableStream } from "@grpc/grpc-js";
import { status as Status } from "@grpc/grpc-js";
import { service as definition } from "grpc-health-check";

type Word = "SERVING" | "NOT_SERVING" | "SERVICE_UNKNOWN";
type Asked = { service: string };
type Told = { status: Word };

/** The name whose health says that the process is alive: it follows nothing. */
const LIVE = "live";

/** grpc.health.v1 of a server. */
export interface Health {
  /** Sets all names but `live`; who watches is told changes alone. */
  setServing: (serving: boolean) => void;
  /** Ends every watch, which else would hold its connection open. */
  endWatches: () => void;
}

/** Adds the standard health service for the server as a whole (""), for these names, and for `live`. */
export function addHealth(server: Server, names: readonly string[]): Health {
  const known = new Set(["", ...names]);
  const watches = new Map<ServerWritableStream<Asked, Told>, string>();
  let word: Word = "SERVING";
  const wordOf = (name: string): Word => (name === LIVE ? "SERVING" : known.has(name) ? word : "SERVICE_UNKNOWN");
  const check: handleUnaryCall<Asked, Told> = ({ request: { service } }, reply) => {
    const said = wordOf(service);
    if (said !== "SERVICE_UNKNOWN") return reply(null, { status: said });
    reply({ code: Status.NOT_FOUND, details: `${service} is not served here` });
  };
  const watch: handleServerStreamingCall<Asked, Told> = (call) => {
    watches.set(call, call.request.service);
    call.on("cancelled", () => watches.delete(call));
    call.write({ status: wordOf(call.request.service) });
  };
  const list: handleUnaryCall<object, { statuses: Record<string, Told> }> = (_call, reply) => {
    const all = [...known, LIVE].map((name) => [name, { status: wordOf(name) }]);
    reply(null, { statuses: Object.fromEntries(all) });
  };
  server.addService(definition, { check, watch, list });
  return {
    setServing: (serving) => {
      const next: Word = serving ? "SERVING" : "NOT_SERVING";
      if (next === word) return;
      word = next;
      for (const [call, name] of watches) if (known.has(name)) call.write({ status: word });
    },
    endWatches: () => {
      for (const call of watches.keys()) call.end();
      watches.clear();
    },
  };
}

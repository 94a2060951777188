import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import {
  type CallOptions,
  type ConnectRouter,
  createClient,
  createRouterTransport,
  type Interceptor,
  type Transport,
} from "@connectrpc/connect";
import { AuthorityService } from "#gen/waymark/access/v1/authority_pb.ts";
import { Purpose } from "#gen/waymark/events/v1/touches_pb.ts";
import { IntakeService, RecordTouchesRequestSchema } from "#gen/waymark/scans/v1/intake_pb.ts";
import { requestContextKey } from "#runtime/context.ts";
import { fail } from "#runtime/failure.ts";
import { as, internalContext, newId } from "#runtime/internal.ts";
import { openLogger } from "#runtime/logger.ts";
import { seal, unseal } from "#runtime/rpc/envelope.ts";
import { createInProcessTransport } from "#runtime/rpc/in-process.ts";
import { serverInterceptors } from "#runtime/rpc/interceptors.ts";
import { bindMethods } from "#runtime/rpc/methods.ts";
import { farCalls } from "./far-calls.ts";
import { type Finding, percentile } from "./report.ts";

const KEY = Buffer.alloc(32, 7);
const ENVELOPE = "waymark-envelope";
const BATCH = 500;
const ROUNDS = 15;

/** Handlers that do next to nothing, so that what is left is the cost of the call. */
function routes(router: ConnectRouter): void {
  router.service(AuthorityService, {
    getSettings: () => ({ timezone: "Europe/Berlin", privacy: { ip: 2, userAgent: 3, place: 3, deviceIdentity: 3 } }),
  });
  router.service(IntakeService, {
    recordTouches: ({ touches }) => ({ accepted: touches.length, ids: touches.map(({ id }) => id) }),
  });
}

/** What a router transport needs to know the caller: it drops context values, so they are signed, sent and checked. */
const receiving: Interceptor = (next) => (request) => {
  const caller = unseal(request.header.get(ENVELOPE) ?? "", { key: KEY, now: Date.now() });
  if (caller === undefined) throw fail("UNAUTHENTICATED");
  request.contextValues.set(requestContextKey, { ...caller, now: Date.now, newId });
  return next(request);
};

/** A way to call, with what the caller adds to each call. */
interface Way {
  name: string;
  transport: Transport;
  options: () => CallOptions;
}

function ways(): Way[] {
  const interceptors = serverInterceptors(openLogger("silent"));
  const context = internalContext("acme", { userAgent: "Mozilla/5.0 (iPhone; CPU iPhone OS 17_4 like Mac OS X)" });
  const bare = {
    name: "router transport, caller unknown",
    transport: createRouterTransport(routes),
    options: () => ({}),
  };
  const router = { interceptors: [receiving, ...interceptors] };
  const signed = {
    name: "router transport, caller signed, our interceptors",
    transport: createRouterTransport(routes, { router }),
    options: () => ({ headers: { [ENVELOPE]: seal(context, { key: KEY, now: Date.now() }) } }),
  };
  const handed = {
    name: "in process, our interceptors",
    transport: createInProcessTransport(bindMethods(routes, interceptors)),
    options: () => as(context),
  };
  return [bare, signed, handed];
}

/** Requests of 500 touches as a client of the Scans API sends them, made before the clock runs. */
function batch() {
  const touches = Array.from({ length: BATCH }, (_, index) => ({
    id: `scan_${index}`,
    purpose: Purpose.MARKETING,
    codeId: `qpr_${index % 16}`,
    scannedAt: timestampFromMs(1_774_020_600_000 + index),
    ip: `81.2.${index % 256}.7`,
    userAgent: "Mozilla/5.0 (iPhone; CPU iPhone OS 17_4 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko)",
    deviceId: `d${index}`,
    metadata: { campaign: "spring", table: index },
  }));
  return create(RecordTouchesRequestSchema, { touches });
}

/** Microseconds a call takes, by way: the middle of rounds that the ways take in turn. */
async function measure(all: readonly Way[], call: (way: Way) => () => Promise<unknown>, times: number) {
  const took = new Map(all.map(({ name }) => [name, [] as number[]]));
  const calls = all.map((way) => ({ took: took.get(way.name) as number[], call: call(way) }));
  for (let round = -3; round < ROUNDS; round += 1) {
    for (const way of calls) {
      const begun = performance.now();
      for (let count = 0; count < times; count += 1) await way.call();
      if (round >= 0) way.took.push(((performance.now() - begun) / times) * 1000);
    }
  }
  return Object.fromEntries([...took].map(([name, values]) => [name, `${percentile(values, 0.5).toFixed(1)} µs`]));
}

/** What a call within the process costs, against Connect's router transport and against gRPC to another process. */
export async function calls(): Promise<Finding[]> {
  const all = ways();
  const small = ({ transport, options }: Way) => {
    const client = createClient(AuthorityService, transport);
    return () => client.getSettings({}, options());
  };
  const request = batch();
  const large = ({ transport, options }: Way) => {
    const client = createClient(IntakeService, transport);
    return () => client.recordTouches(request, options());
  };
  return [
    {
      name: "A small call within the process",
      parameters: { rpc: "GetSettings", rounds: ROUNDS, "calls a round": 2_000 },
      figures: await measure(all, small, 2_000),
    },
    {
      name: `A call with ${BATCH} touches within the process`,
      parameters: { rpc: "RecordTouches", rounds: ROUNDS, "calls a round": 40 },
      figures: await measure(all, large, 40),
    },
    ...(await farCalls()),
  ];
}

import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { type CallOptions, createClient, type Transport } from "@connectrpc/connect";
import { AuthorityService } from "#gen/waymark/access/v1/authority_pb.ts";
import { ScanService } from "#gen/waymark/scans/v1/scans_pb.ts";
import { as, internalContext } from "#runtime/internal.ts";
import { createGrpcTransport } from "#runtime/rpc/grpc-client.ts";
import { createInProcessTransport } from "#runtime/rpc/in-process.ts";
import { answers, KEY } from "./answering.ts";
import { type Finding, percentile } from "./report.ts";

const ROUNDS = 20;
const CALLS = 500;

/** What a call over gRPC to another process costs more than one within the process, one call after the other. */
export async function farCalls(): Promise<Finding[]> {
  const server = await startAnswering();
  const far = createGrpcTransport({ target: `ipv4:127.0.0.1:${server.port}`, key: KEY });
  const near = createInProcessTransport(answers());
  const findings = [
    await compare("A small call to another process", { near, far, call: small }),
    await compare("A call with a reply of 20 KB to another process", { near, far, call: large }),
  ];
  far.close();
  server.stop();
  return findings;
}

async function startAnswering(): Promise<{ port: number; stop: () => void }> {
  const child = spawn(process.execPath, [join(import.meta.dirname, "answering.ts")], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  const [line] = (await once(child.stdout, "data")) as [Buffer];
  return { port: Number(line.toString()), stop: () => child.stdin.end() };
}

/** Each request of a gateway has a context of its own. */
const caller = () => as(internalContext("acme", { ip: "192.0.2.7", userAgent: "Mozilla/5.0 (iPhone; CPU iPhone OS)" }));

const small = (transport: Transport) => {
  const client = createClient(AuthorityService, transport);
  return (options: CallOptions) => client.getSettings({}, options);
};

const large = (transport: Transport) => {
  const client = createClient(ScanService, transport);
  return (options: CallOptions) => client.listScans({ limit: 100 }, options);
};

type Call = (transport: Transport) => (options: CallOptions) => Promise<unknown>;

async function compare(name: string, { near, far, call }: { near: Transport; far: Transport; call: Call }) {
  const within: number[] = [];
  const across: number[] = [];
  const ways = [
    { call: call(near), took: within },
    { call: call(far), took: across },
  ];
  for (let round = -3; round < ROUNDS; round += 1) {
    for (const way of ways) {
      for (let count = 0; count < CALLS; count += 1) {
        const options = { ...caller(), timeoutMs: 15_000 };
        const begun = performance.now();
        await way.call(options);
        if (round >= 0) way.took.push(performance.now() - begun);
      }
    }
  }
  const ms = (value: number) => `${value.toFixed(3)} ms`;
  const of = (share: number) => [percentile(within, share), percentile(across, share)] as const;
  const [near50, far50] = of(0.5);
  const [near95, far95] = of(0.95);
  const figures = {
    "in process, p50": ms(near50),
    "in process, p95": ms(near95),
    "gRPC, p50": ms(far50),
    "gRPC, p95": ms(far95),
    "gRPC adds, p50": ms(far50 - near50),
    "gRPC adds, p95": ms(far95 - near95),
  };
  return { name, parameters: { rounds: ROUNDS, "calls a round": CALLS, connections: 1, "at once": 1 }, figures };
}

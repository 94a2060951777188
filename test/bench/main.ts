import { mongodbMissing } from "../support/mongodb-server.ts";
import { natsMissing } from "../support/nats-server.ts";
import { analytics } from "./analytics.ts";
import { calls } from "./calls.ts";
import { startMeasuredCluster } from "./cluster.ts";
import { batches, makeCodes, singles } from "./intake.ts";
import { startMeasured } from "./process.ts";
import { reads } from "./reads.ts";
import { redirects } from "./redirects.ts";
import { type Finding, machine, toMarkdown } from "./report.ts";
import { visible } from "./visible.ts";

const HELP = `npm run bench [-- SCENARIO …]

  calls      what a call within the process costs, and to another one
  start      from spawn to ready, memory when idle, with the demo
  batches    POST /v1/scans in batches of 500
  singles    POST /v1/scans with one scan each
  redirects  GET /s/{short_id} at 1,000 a second
  reads      questions with 1,000,000 scans of one code
  analytics  the Analytics API with 10,000,000 events in 1,000 links by 2,000,000 devices; takes some minutes
  processes  the same services as many processes on NATS and a MongoDB-protocol server: memory, batches, freshness

Without a scenario: all. \`processes\` needs nats-server and mongod on PATH, or a folder with such servers in
WAYMARK_TEST_SERVERS. Raw figures go to standard output as Markdown. A run whose ledger does not balance is void.
`;

const MINUTE_MS = 60_000;
const MONTH_MS = 29 * 86_400_000;

const scenarios: Record<string, () => Promise<Finding[]>> = {
  calls,
  start: async () => {
    const measured = await startMeasured({ WAYMARK_DEMO: "on" });
    await new Promise((resolve) => setTimeout(resolve, 10_000));
    const figures = {
      "spawn to ready": `${measured.startMs.toFixed(0)} ms`,
      "resident after 10 s": `${measured.rssMb().toFixed(0)} MB`,
    };
    await measured.stop();
    return [{ name: "Start on an empty folder", parameters: { demo: "on" }, figures }];
  },
  batches: () =>
    withCodes(16, async (measured, codes) => {
      const load = { size: 500, connections: 8, codes, devices: 50_000 };
      return [
        await batches(measured, { ...load, name: "warm-up", scans: 50_000, first: 0, spreadMs: MINUTE_MS }),
        await batches(measured, { ...load, name: "live", scans: 300_000, first: 50_000, spreadMs: MINUTE_MS }),
        await batches(measured, {
          ...load,
          name: "backfill of 29 days",
          scans: 300_000,
          first: 350_000,
          spreadMs: MONTH_MS,
        }),
      ];
    }),
  singles: () =>
    withCodes(16, async (measured, codes) => [
      await singles(measured, {
        scans: 60_000,
        connections: 64,
        first: 0,
        codes,
        devices: 50_000,
        spreadMs: MINUTE_MS,
      }),
    ]),
  redirects: () =>
    withCodes(1, async (measured, codes) => [
      await redirects(measured, { perSecond: 1_000, seconds: 5, code: codes[0] as string }),
      await redirects(measured, { perSecond: 1_000, seconds: 20, code: codes[0] as string }),
    ]),
  reads: () =>
    withCodes(1, async (measured, codes) => {
      const code = codes[0] as string;
      const scans = 1_000_000;
      const load = {
        name: "loading for reads",
        scans,
        size: 500,
        connections: 8,
        first: 0,
        codes,
        devices: 200_000,
        spreadMs: MONTH_MS,
      };
      return [await batches(measured, load), ...(await reads(measured, { code, scans, times: 300 }))];
    }),
  analytics,
  processes: async () => {
    if (natsMissing() || (await mongodbMissing())) return [];
    const measured = await startMeasuredCluster();
    try {
      await new Promise((resolve) => setTimeout(resolve, 40_000));
      const idle = { ...idleOf(measured.memory()), "in all, shared pages once": `${measured.shareMb().toFixed(0)} MB` };
      const codes = await makeCodes(measured, 16);
      const load = { size: 500, connections: 8, codes, devices: 50_000, spreadMs: MINUTE_MS };
      return [
        { name: "Many processes at rest", parameters: { "after the start": "40 s" }, figures: idle },
        await batches(measured, { ...load, name: "many processes, warm-up", scans: 30_000, first: 0 }),
        await batches(measured, { ...load, name: "many processes", scans: 150_000, first: 30_000 }),
        await visible(measured, { perSecond: 1_000, seconds: 20, size: 10, codes }),
      ];
    } finally {
      await measured.stop();
    }
  },
};

/** Memory by process, and the sum. */
function idleOf(memory: Record<string, number>): Record<string, string> {
  const sum = Object.values(memory).reduce((all, mb) => all + mb, 0);
  const rows = [...Object.entries(memory), ["in all", sum] as const];
  return Object.fromEntries(rows.map(([name, mb]) => [name, `${mb.toFixed(0)} MB`]));
}

type Measured = Awaited<ReturnType<typeof startMeasured>>;

async function withCodes(
  count: number,
  work: (measured: Measured, codes: string[]) => Promise<Finding[]>,
): Promise<Finding[]> {
  const measured = await startMeasured();
  try {
    return await work(measured, await makeCodes(measured, count));
  } finally {
    await measured.stop();
  }
}

const wanted = process.argv.slice(2);
const unknown = wanted.filter((name) => scenarios[name] === undefined);
if (unknown.length > 0) {
  process.stdout.write(HELP);
  process.exitCode = wanted.includes("--help") ? 0 : 2;
} else {
  process.stdout.write(`# Benchmarks\n\n${new Date().toISOString().slice(0, 10)}, ${machine()}\n\n`);
  for (const name of wanted.length > 0 ? wanted : Object.keys(scenarios)) {
    process.stderr.write(`running ${name} …\n`);
    for (const finding of (await scenarios[name]?.()) ?? []) process.stdout.write(`${toMarkdown(finding)}\n`);
  }
}

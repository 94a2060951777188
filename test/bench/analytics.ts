import { mkdtempSync, renameSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { feed } from "./feed.ts";
import { linkOf, makeHistory } from "./history.ts";
import { KEY, type Measured, startMeasured } from "./process.ts";
import { type Finding, latencies } from "./report.ts";
import { openWire, prepare } from "./wire.ts";

const DAY_MS = 86_400_000;

/** The history of the issue: a year of 10,000,000 events in 1,000 links by 2,000,000 devices. */
const SIZE = { events: 10_000_000, links: 1_000, devices: 2_000_000, days: 365, seed: 1 };

/** A question; `body` of the n-th time that it is asked. */
interface Question {
  name: string;
  path: string;
  body: (n: number) => Record<string, unknown>;
  times: number;
}

/** What is asked of a history that ends at `end`. Links are asked by turns, from the largest to the 200th. */
function questionsOf(end: number): Question[] {
  const range = { startDate: new Date(end - 30 * DAY_MS).toISOString(), endDate: new Date(end).toISOString() };
  const year = { startDate: new Date(end - 365 * DAY_MS).toISOString(), endDate: new Date(end).toISOString() };
  const link = (n: number) => ({ linkId: linkOf((n * 7) % 200), ...range });
  const where = (n: number) => [{ field: "linkId", value: linkOf((n * 7) % 200) }];
  const uniques = { fn: "countUnique", field: "visitorId" };
  return [
    {
      name: "One link, 30 days by day",
      path: "/v1/analytics/timeseries",
      body: (n) => ({ ...link(n), intervalInMinutes: 1440 }),
      times: 200,
    },
    {
      name: "One link, 30 days by country",
      path: "/v1/analytics/breakdown",
      body: (n) => ({ ...link(n), dimension: "country" }),
      times: 200,
    },
    {
      name: "One link, unique visitors of 30 days",
      path: "/v1/query",
      body: (n) => ({ where: where(n), select: [uniques], ...range }),
      times: 200,
    },
    {
      name: "Workspace, 30 days by country and device with unique visitors",
      path: "/v1/query",
      body: () => ({ groupBy: ["country", "deviceType"], select: [{ fn: "count" }, uniques], limit: 1000, ...range }),
      times: 60,
    },
    {
      name: "Workspace, monthly cohorts of a year",
      path: "/v1/analytics/cohorts",
      body: () => ({ kind: "COHORT_KIND_TIME", interval: "COHORT_INTERVAL_MONTH", ...year }),
      times: 5,
    },
  ];
}

/** The Analytics API over 10,000,000 events: questions, exports, the feed. */
export async function analytics(): Promise<Finding[]> {
  const folder = mkdtempSync(join(tmpdir(), "waymark-bench-analytics-"));
  try {
    const end = Date.now();
    await (await startMeasured({ WAYMARK_DATA: folder })).stop(); // makes the workspace
    const path = join(folder, "analytics.duckdb");
    process.stderr.write("  making 10,000,000 events …\n");
    await makeHistory({ ...SIZE, path, workspace: "default", end });
    const measured = await startMeasured({ WAYMARK_DATA: folder });
    const findings: Finding[] = [];
    let people = 0;
    try {
      people = await countAll(measured);
      for (const question of questionsOf(end)) findings.push(await ask(measured, question));
      for (const [format, compression] of FORMATS)
        findings.push(await exported(measured, { format, compression, end, people }));
    } finally {
      await measured.stop();
    }
    const alone = mkdtempSync(join(tmpdir(), "waymark-bench-feed-"));
    renameSync(path, join(alone, "analytics.duckdb"));
    findings.push(await feed({ folder: alone, touches: 600_000, before: people }));
    rmSync(alone, { recursive: true, force: true });
    return findings;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

const FORMATS = [
  ["PARQUET", "ZSTD"],
  ["NDJSON", "GZIP"],
  ["NDJSON", "ZSTD"],
] as const;

async function countAll({ call }: Measured): Promise<number> {
  const { body } = await call("GET", "/analytics/v1/metrics/events", { key: KEY });
  return Number(body.totalEvents);
}

async function ask(measured: Measured, { name, path, body, times }: Question): Promise<Finding> {
  const wire = await openWire(measured.port);
  const headers = { authorization: `Bearer ${KEY}`, "content-type": "application/json" };
  const took: number[] = [];
  await longestBlock(measured); // begins to count anew
  for (let n = -3; n < times; n += 1) {
    const request = prepare({
      ...{ method: "POST", path: `/analytics${path}`, headers },
      body: JSON.stringify(body(Math.abs(n))),
    });
    const begun = performance.now();
    const answer = await wire.send(request);
    if (n >= 0) took.push(performance.now() - begun);
    if (answer.status !== 200) throw new Error(`${path}: ${answer.status} ${answer.body.toString("utf8", 0, 500)}`);
  }
  wire.close();
  const figures = {
    ...latencies(took),
    "longest block of the event loop": `${(await longestBlock(measured)).toFixed(0)} ms`,
    "resident memory": `${measured.rssMb().toFixed(0)} MB`,
  };
  return { name, parameters: { ...SIZE, questions: times }, figures };
}

/** The longest that the event loop stood still since this was asked last, in milliseconds. */
async function longestBlock({ call }: Measured): Promise<number> {
  const { text } = await call("GET", "/metrics");
  return 1_000 * Number(/^nodejs_eventloop_lag_max_seconds (\S+)$/m.exec(text)?.[1] ?? Number.NaN);
}

async function exported(
  measured: Measured,
  given: { format: string; compression: string; end: number; people: number },
): Promise<Finding> {
  const { format, compression, end, people } = given;
  const range = {
    startDate: new Date(end - 400 * DAY_MS).toISOString(),
    endDate: new Date(end + DAY_MS).toISOString(),
  };
  const begun = performance.now();
  const asked = await measured.call("POST", "/analytics/v1/exports", {
    key: KEY,
    body: { format: `EXPORT_FORMAT_${format}`, compression: `EXPORT_COMPRESSION_${compression}`, ...range },
  });
  if (asked.status !== 200) throw new Error(`exports: ${asked.status} ${asked.text}`);
  const { id } = asked.body;
  for (;;) {
    const { body } = await measured.call("GET", `/analytics/v1/exports/${id}`, { key: KEY });
    const { status, rows } = body;
    if (/FAILED|CANCELLED/.test(status)) throw new Error(`the export ended as ${status}`);
    if (!/DONE/.test(status)) {
      await delay(50);
      continue;
    }
    const seconds = (performance.now() - begun) / 1_000;
    const files = body.files as { bytes: string }[];
    const bytes = files.reduce((sum, file) => sum + Number(file.bytes), 0);
    await measured.call("DELETE", `/analytics/v1/exports/${id}`, { key: KEY });
    return {
      name: `Export of everything to ${format} ${compression}`,
      parameters: { ...SIZE, fields: "all" },
      figures: {
        "rows a second": Math.round(Number(rows) / seconds),
        seconds: seconds.toFixed(1),
        files: files.length,
        "MB in all": (bytes / 1e6).toFixed(0),
        "resident memory": `${measured.rssMb().toFixed(0)} MB`,
      },
      isVoid: Number(rows) === people ? undefined : `${rows} rows of ${people} events`,
    };
  }
}

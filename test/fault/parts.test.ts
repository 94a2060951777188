import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { caller } from "../support/waymark.ts";
import {
  countsOf,
  expectBalance,
  faultsSaid,
  killAndRestart,
  nothingQueued,
  type Part,
  type System,
  startSystem,
  stopAndContinue,
} from "./system.ts";

/** Rounds of each fault. */
const ROUNDS = Number(process.env.WAYMARK_TEST_FAULT_ROUNDS ?? 1);
/** How long a part is away, and how long the service may take after its return. */
const AWAY_MS = 1_500;
const BACK_MS = 10_000;

const PARTS: Part[] = [
  ...(["gateway", "access", "codes", "scans", "impressions", "touchpoints", "tags", "emergency", "analytics"] as const),
  "nats",
  "mongodb",
];

let system: System;
let faults = 0;
beforeAll(async () => {
  system = await startSystem();
});
afterAll(() => system?.stop());

/** Has a part fail under load, and checks that nothing that was acknowledged is lost or counted twice. */
async function survives(
  part: Part,
  fail: (system: System, part: Part, awayMs: number) => Promise<void>,
): Promise<void> {
  const load = await system.load(`fault-${faults++}`);
  await load.works();
  await fail(system, part, AWAY_MS);
  await within(BACK_MS, load.works());
  await load.stop();
  await nothingQueued(system);
  await system.watch.idle();
  const { acknowledged, redirects, surprises } = load;
  const said = surprises.length === 0 ? [] : faultsSaid(system);
  expect({ surprises: surprises.map(({ status, text }) => ({ status, text })), said }).toEqual({
    surprises: [],
    said: [],
  });
  expect(redirects.other).toEqual([]);
  if (part !== "gateway") expect(redirects.unanswered).toBe(0);
  const [api, phone] = load.codeIds as [string, string];
  const wanted = acknowledged.size;
  expect(await countsOf(system, api)).toEqual({ documents: wanted, counted: wanted, analytics: wanted });
  await expectRedirects(phone, redirects);
  const ledger = await expectBalance(system);
  expect(ledger.counted).toBeGreaterThanOrEqual(wanted);
}

/** Every redirect that was answered is counted once; of one without an answer nobody can tell. The cache was filled by two. */
async function expectRedirects(code: string, { answered, unanswered }: { answered: number; unanswered: number }) {
  const warming = system.cluster.urls.length;
  const { counted, documents } = await countsOf(system, code);
  expect(documents).toBe(counted);
  expect(counted).toBeGreaterThanOrEqual(answered);
  expect(counted).toBeLessThanOrEqual(answered + unanswered + warming);
}

async function within(limitMs: number, work: Promise<void>): Promise<void> {
  const late = new Promise<never>((_resolve, reject) => {
    setTimeout(() => reject(new Error(`the service is not back within ${limitMs} ms`)), limitMs).unref();
  });
  await Promise.race([work, late]);
}

describe.each(Array.from({ length: ROUNDS }, (_, round) => round + 1))("round %i, under load", (round) => {
  it.each(PARTS)(`${round}: a kill -9 of %s loses nothing and counts nothing twice`, (part) =>
    survives(part, killAndRestart),
  );

  it.each(PARTS)(`${round}: %s may stand still and go on`, (part) => survives(part, stopAndContinue));
});

it("says in /readyz what does not answer, and goes on redirecting", async () => {
  const load = await system.load("readyz");
  await system.cluster.parts("emergency")[0]?.end("SIGKILL");
  const answers = await Promise.all(system.cluster.urls.map((url) => caller(url)("GET", "/readyz")));
  for (const { status, body } of answers) {
    expect(status).toBe(200);
    expect(body.dependencies).toMatchObject({ emergency: "does not answer", codes: "ok" });
  }
  await system.cluster.parts("emergency")[0]?.again();
  await load.stop();
});

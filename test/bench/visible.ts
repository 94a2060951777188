import { setTimeout as delay } from "node:timers/promises";
import { scanText } from "./intake.ts";
import { settled, total, verdict } from "./ledger.ts";
import { KEY, type Measured } from "./process.ts";
import { type Finding, latencies } from "./report.ts";
import { openWire, prepare, type Wire } from "./wire.ts";

const HEADERS = { authorization: `Bearer ${KEY}`, "content-type": "application/json" };
const PROBES_PER_SECOND = 5;

/** What is measured: scans of all codes but the first at a rate, and probes of the first. */
interface Given {
  perSecond: number;
  seconds: number;
  /** Scans of one request. */
  size: number;
  codes: readonly string[];
}

/** How long after its acknowledgement a scan stands in `GET /v1/scans`, while others come at a fixed rate. */
export async function visible(measured: Measured, given: Given): Promise<Finding> {
  const { perSecond, seconds, size } = given;
  const before = await total(measured);
  const until = performance.now() + seconds * 1_000;
  const probing = probe(measured, { until, code: given.codes[0] as string });
  const sent = await sendAtRate(measured, given);
  const took = await probing;
  await settled(measured);
  const scans = sent + took.length;
  return {
    name: `From scan to GET /v1/scans at ${perSecond} scans/s`,
    parameters: { seconds, "scans of a request": size, probes: took.length },
    figures: latencies(took),
    isVoid: verdict(before, await total(measured), { accepted: scans, counted: scans }),
  };
}

/** Sends batches when they are due; answers how many scans that were. */
async function sendAtRate(measured: Measured, { perSecond, seconds, size, codes }: Given): Promise<number> {
  const load = { codes: codes.slice(1), devices: 50_000, spreadMs: 60_000 };
  const wires = await Promise.all(Array.from({ length: 32 }, () => openWire(measured.port)));
  const free = [...wires];
  const running = new Set<Promise<void>>();
  const begun = performance.now();
  const requests = (perSecond * seconds) / size;
  const send = async (wire: Wire, number: number): Promise<void> => {
    const items = Array.from({ length: size }, (_, index) => scanText(10_000_000 + number * size + index, load));
    const body = `{"scans":[${items.join(",")}]}`;
    const { status } = await wire.send(prepare({ method: "POST", path: "/v1/scans", headers: HEADERS, body }));
    if (status !== 200) throw new Error(`status ${status}`);
    free.push(wire);
  };
  for (let number = 0; number < requests; ) {
    const due = begun + (number * size * 1_000) / perSecond;
    const wire = performance.now() >= due ? free.pop() : undefined;
    if (wire === undefined) {
      await delay(1);
      continue;
    }
    const one = send(wire, number++);
    running.add(one);
    void one.finally(() => running.delete(one));
  }
  await Promise.all(running);
  for (const wire of wires) wire.close();
  return requests * size;
}

async function probe({ call }: Measured, { until, code }: { until: number; code: string }): Promise<number[]> {
  const took: number[] = [];
  for (let number = 0; performance.now() < until; number += 1) {
    const id = `probe-${number}`;
    const { body } = await call("POST", "/v1/scans", { key: KEY, body: { scans: [{ id, qpr_code_id: code }] } });
    if (body.accepted !== 1) throw new Error(`the probe was not accepted: ${JSON.stringify(body)}`);
    const begun = performance.now();
    while (!(await isThere(call, { id, code }))) await delay(10);
    took.push(performance.now() - begun);
    await delay(1_000 / PROBES_PER_SECOND);
  }
  return took;
}

async function isThere(call: Measured["call"], { id, code }: { id: string; code: string }): Promise<boolean> {
  const { body } = await call("GET", `/v1/scans?qpr_code_id=${code}&limit=1`, { key: KEY });
  return body.scans[0]?.id === id;
}
